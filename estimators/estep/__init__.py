"""The one computation: log p(data | φ) with Z summed out, responsibilities, and expected sufficient statistics.

Read `variable` (what one variable adds to a row), `features` (L = C Φ and S = R Φᵀ), then `marginal`; rows with gaps
take `missing`, `incomplete`, `equations` and `residuals`.
"""
