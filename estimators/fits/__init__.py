"""What was estimated and how sure it is: the fit, what its labels mean, what the data inform, and its file.

Read `fit` first, then `labels` and `identifiability`; `storage`, `arviz_bridge` and `summary` carry it elsewhere.
"""
