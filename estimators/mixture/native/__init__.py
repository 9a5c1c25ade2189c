"""The whole log density of a mixture in compiled code: coordinates to Greeks, rows, priors, and gradients back.

Read `sites` (the maps and priors of Greeks as tables), `laws` (the same compiled), `parts` (all of it at once), then
`density`, which the mixture's Density calls where every map and prior of the model has its table.
"""
