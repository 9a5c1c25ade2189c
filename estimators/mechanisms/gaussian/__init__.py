"""Gaussian mechanisms: one number, several independent or correlated ones, and a line through observed causes.

Read `scalar` first, then `linear`; `diagonal`, `spherical` and `full` are of one column of vectors.
"""
