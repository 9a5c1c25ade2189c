"""What compiled code is made of, wherever it stands: how it is compiled, numbers in vectors, and terms by address.

Read `jit`, then `arithmetic`; `code`, `general` and `predictor` are for families with functions of their own.
"""
