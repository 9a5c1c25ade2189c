"""Statistical checks whose false-alarm probability and power are computed, of arrays of numbers: no model, no torch.

`check` first: what a check is, and how it is judged. Then one kind of check a file: `mean`, `proportion`, `ranks`,
`distribution`, `estimates`. They rest on `student` (Student's test, of `mean` and `estimates`), `tolerances`,
`uniformity` (ranks) and `dependence` (draws of chains).
"""
