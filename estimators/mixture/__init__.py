"""Causal mixtures, Z causes X: the model as a value and as a Pyro program, its density, and its predictive laws.

Read `graph` and `model`, then `density`; `predictive`, `integration` and `averages` answer questions in closed form.
"""
