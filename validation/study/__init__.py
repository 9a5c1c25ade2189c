"""Studies: scenarios × estimators × replicates, run on any executor, each replicate kept as it ends.

Read `plan` and `row` (what is asked and what is kept), `task` and `measure` (one replicate), then `study` and `store`.
"""
