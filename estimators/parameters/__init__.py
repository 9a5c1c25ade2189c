"""The Greeks as sites of a density: shapes, supports, priors, and the way to unconstrained coordinates and back.

Read `parameter` first, then `priors` and `prior_checks`; `intervals`, `sparse`, `laws` and `edges` are special cases.
"""
