"""Causal mixtures, Z causes X: the model as a value and as a Pyro program, its density, and its predictive laws.

Read `graph` and `model`, then `density`, which is computed by `native` code or `by_greek`; `predictive` answers
questions by `situation` and `joint`, by `integration` and `averages`.
"""
