"""What a study claims of an estimator, judged over its stored rows.

Read `kinds` (each kind of claim), `judge`, then `results`; `compare` sets one study beside another.
"""
