"""The No-U-Turn Sampler on the exact marginal density.

Read `nuts` first; `nutpie_callback` and `foreign_thread` are how nutpie's threads call it.
"""
