"""Sequential Monte Carlo: a cloud of particles is led from the prior to the posterior through tempered targets.

``target_t(v) ∝ p(v) p(data | v)^t`` in unconstrained coordinates v, for temperatures t from 0 to 1. At each, particles
are weighed by what their likelihood gains, resampled, and moved by Markov kernels that leave the target as it is. Read
`smc` first, then `cloud` (one cloud's way from prior to posterior), `tempering` (the next temperature, resampling),
`mutation` (moves until the cloud has decorrelated), `moves` (the kernels) and `shape` (what they take from the cloud).
"""
