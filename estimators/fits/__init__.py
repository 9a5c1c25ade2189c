"""What was estimated and how sure it is: the fit, what its labels mean, what the data inform, and its file.

Read `fit` first, then `labels`, `identifiability` (near the fit) and `law_search` (anywhere); `storage`,
`arviz_bridge` and `summary` carry it elsewhere.
"""
