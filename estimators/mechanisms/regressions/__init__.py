"""Regressions that are not log-linear, each in a file with its compiled functions.

Read `generalised` (what they have in common), then `logistic`. They are imported when they are asked for: compiling
takes numba, which takes half a second.
"""
