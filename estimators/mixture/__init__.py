"""Causal mixtures, Z causes X: the model as a value and as a Pyro program, its density, and its predictive laws.

Read `graph` and `model`, then `density`; `situation`, `joint`, `integration` and `averages` answer questions.
"""
