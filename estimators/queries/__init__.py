"""What is asked of a fit: interventions, conditioning and counterfactuals, for every draw of the Greeks at once.

Read `estimate` and `prediction` (answers), then `mixture_query` and `program_query`; `counterfactual` rests on
`structural` and `worlds`.
"""
