"""Pictures of models and fits.

Read `graph`: the causal graph of a mixture, drawn from causes to effects.
"""
