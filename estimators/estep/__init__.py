"""The one computation: log p(data | φ) with Z summed out, responsibilities, and expected sufficient statistics.

Read `term` (what adds to the log joint L of a row), `kernel` and `reference` (L, ℓ, R and the sums, on one page), then
`marginal`. `terms` makes terms of variables and their families, `newton` is the M-step of those that have none in
closed form, `centring` keeps the digits of squares. `compiled` is the reference made fast; rows with gaps take
`missing`, `incomplete`, `equations` and `residuals`.
"""
