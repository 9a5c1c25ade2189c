"""The No-U-Turn Sampler on the exact marginal density.

Read `nuts` first, then `chain_starts` and the engines: `nutpie_chains`, on native code (`nutpie_native`) or on Python's
(`nutpie_callback`), and `pyro_chains`. With a search for modes: `posterior_modes` deals chains, `proportions` puts what
they drew in proportion (`moments`, `resampled`), and `mode_words` says so.
"""
