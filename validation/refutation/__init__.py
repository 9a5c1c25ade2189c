"""Experiments set against a fit: does the model predict what happened when something was set?

Read `refute` first; `experiment` simulates, `statistics` measures, and `refine` makes a loop of it.
"""
