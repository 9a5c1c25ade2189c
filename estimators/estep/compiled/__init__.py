"""The kernel that is used: one compiled routine for all models, which are tables of numbers; none is compiled.

Read `tables` (how a model and its rows look), `coefficients` (from Greeks to numbers of each class, and back), then
`expectation` (blocks of rows: `log_joints`, softmax, `collect`). `kernel` is what the E-step calls. `jit` and
`arithmetic` are what they are compiled by and made of.
"""
