"""What is asked of a fit: interventions, conditioning and counterfactuals, for every draw of the Greeks at once.

Read `estimate` and `prediction` (answers), then `query`, which asks a model's `contract.Predictive`; `counterfactual`
asks its `contract.Structural`. Means are compared on `scales`; effects by level are an `effect_table`.
"""
