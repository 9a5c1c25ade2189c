"""Draws of Dirichlet and Beta laws of small concentrations, in logs.

A weight of concentration c is a Gamma(c) draw over the sum of all of them, and for c = 1e-3 half of these draws are
below the smallest float: where all are, torch divides equal numbers and returns weights that are exactly uniform (in
12 % of draws of three weights). ``log Gamma(c) = log Gamma(c + 1) + log(U) / c`` with U uniform keeps them apart
(Marsaglia & Tsang 2000, "A simple method for generating gamma variables", sec. 6).
"""

from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor

from estimators.optimise.arrays import Array

# Concentrations from here on do not underflow: the chance of a Gamma(0.1) draw below 1e-300 is 1e-30.
SPARSE = 0.1


class SparseDirichlet(dist.Dirichlet):
    """Pyro's Dirichlet, drawn in logs; a weight too small for a float is the smallest normal one, as in torch."""

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """Draw weights, differentiable in the concentrations."""
        shape = self._extended_shape(torch.Size(sample_shape))
        powers = self.concentration.double().expand(shape)
        waits = torch.empty_like(powers).exponential_()
        logs = torch._standard_gamma(powers + 1.0).log() - waits / powers
        dtype = self.concentration.dtype
        return torch.softmax(logs, -1).to(dtype).clamp_min(torch.finfo(dtype).tiny)


class SparseBeta(dist.Beta):
    """Pyro's Beta, drawn in logs."""

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draw probabilities, differentiable in the concentrations."""
        powers = torch.stack([self.concentration1, self.concentration0], -1)
        return SparseDirichlet(powers, validate_args=False).rsample(sample_shape)[..., 0]


def in_logs(law: Any) -> Any:
    """The same law, drawn in logs where it is a Dirichlet or a Beta with a small concentration."""
    if isinstance(law, dist.Independent):
        base = in_logs(law.base_dist)
        return law if base is law.base_dist else base.to_event(law.reinterpreted_batch_ndims)
    if isinstance(law, dist.MaskedDistribution):
        base = in_logs(law.base_dist)
        return law if base is law.base_dist else base.mask(law._mask)
    if type(law) is dist.Dirichlet and bool((law.concentration < SPARSE).any()):
        return SparseDirichlet(law.concentration, validate_args=False)
    if type(law) is dist.Beta and bool((torch.minimum(law.concentration0, law.concentration1) < SPARSE).any()):
        return SparseBeta(law.concentration1, law.concentration0, validate_args=False)
    return law


class DrawnInLogs(Messenger):
    """A Pyro program whose sites of small concentrations are drawn in logs."""

    def _pyro_sample(self, msg: Any) -> None:
        if not msg["is_observed"] and msg["value"] is None:
            msg["fn"] = in_logs(msg["fn"])


def dirichlet_draws(powers: Array, generator: np.random.Generator) -> Array:
    """One draw of weights for each leading axis of concentrations [..., K]."""
    logs = np.log(generator.standard_gamma(powers + 1.0)) - generator.standard_exponential(powers.shape) / powers
    weights = np.exp(logs - logs.max(-1, keepdims=True))
    return np.asarray(weights / weights.sum(-1, keepdims=True))
