"""Structural assumptions: how a variable's noise is recovered from what was seen, and turned into what would have been.

A conditional distribution p(x | causes) says nothing of which noise belongs to which row. For a Gaussian the noise is
the residual. For a discrete variable an assumption is needed, and another may be put in its place: see `Structural`.
"""

from typing import Any, Protocol

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from estimators.mechanisms.base import Mechanism


class Structural(Protocol):
    """A structural equation ``x = f(causes, noise)`` that is compatible with a conditional distribution.

    Distributions have batch shape [...]; the noise may have any shape that begins so. Random numbers are torch's.
    """

    def abduct(self, distribution: Any, value: Tensor) -> Tensor:
        """A draw of the noise given the value seen: p(noise | x, causes)."""

    def act(self, distribution: Any, noise: Tensor) -> Tensor:
        """The value under other causes and the same noise."""


class Residual:
    """``x = mean + scale · noise`` for Gaussians: the noise is the standardised residual, so it is identified."""

    def abduct(self, distribution: Any, value: Tensor) -> Tensor:
        """(x - mean) / scale, with the Cholesky factor for a scale where there is one."""
        residual = value - distribution.mean
        if isinstance(distribution, dist.MultivariateNormal):
            factor = distribution.scale_tril.expand(*residual.shape, -1)
            solved: Tensor = torch.linalg.solve_triangular(factor, residual[..., None], upper=False)[..., 0]
            return solved
        standardised: Tensor = residual / distribution.stddev
        return standardised

    def act(self, distribution: Any, noise: Tensor) -> Tensor:
        """Mean + scale · noise."""
        if isinstance(distribution, dist.MultivariateNormal):
            moved: Tensor = distribution.mean + (distribution.scale_tril @ noise[..., None])[..., 0]
            return moved
        scaled: Tensor = distribution.mean + distribution.stddev * noise
        return scaled


class MonotoneInverse:
    """``x = F⁻¹(noise)`` with uniform noise and F the CDF: what raises the chance of a large x never lowers x.

    The assumption for Bernoulli and Poisson. Source: Pearl (2009), Causality, section 9.2 (monotonicity).
    """

    def abduct(self, distribution: Any, value: Tensor) -> Tensor:
        """Uniform between F(x - 1) and F(x)."""
        low, high = _cdf(distribution, value - 1.0), _cdf(distribution, value)
        noise = low + (high - low) * torch.rand(torch.broadcast_shapes(low.shape, high.shape), dtype=torch.float64)
        # Far in the upper tail F rounds to 1, where F⁻¹ is infinite.
        return noise.clamp_max(1.0 - np.finfo(np.float64).epsneg)

    def act(self, distribution: Any, noise: Tensor) -> Tensor:
        """The smallest value whose CDF reaches the noise."""
        if isinstance(distribution, dist.Bernoulli):
            is_one: Tensor = noise > 1.0 - distribution.probs
            return is_one.double()
        found: Tensor = distribution.icdf(noise)
        return found


class GumbelMax:
    """``x = argmax_j log p_j + noise_j`` with Gumbel noise: no option is left for one that loses odds to it.

    The assumption for Categorical. Source: Oberst & Sontag (2019), "Counterfactual off-policy evaluation with
    Gumbel-max structural causal models".
    """

    def abduct(self, distribution: Any, value: Tensor) -> Tensor:
        """Gumbels given that the value seen has the largest sum, top down (Maddison & Tarlow 2017)."""
        logits = torch.broadcast_to(distribution.logits, (*value.shape, distribution.logits.shape[-1])).double()
        logits = torch.log_softmax(logits, -1)
        top = _gumbel(value.shape)[..., None]
        below = -torch.log(torch.exp(-top) + torch.exp(-_gumbel(logits.shape) - logits))
        chosen = torch.nn.functional.one_hot(value.long(), logits.shape[-1]).bool()
        return torch.where(chosen, top, below) - logits

    def act(self, distribution: Any, noise: Tensor) -> Tensor:
        """The option with the largest sum."""
        total: Tensor = torch.log_softmax(distribution.logits.double(), -1) + noise
        return total.argmax(-1).double()


def assumption(mechanism: Mechanism) -> Structural:
    """The structural assumption that is made for a mechanism unless another is given."""
    if mechanism.is_gaussian:
        return Residual()
    return GumbelMax() if mechanism.num_levels is not None and mechanism.num_levels > 2 else MonotoneInverse()


def is_random(structural: Structural) -> bool:
    """Whether the noise is not identified by what was seen, so that it has to be drawn."""
    return not isinstance(structural, Residual)


def _gumbel(shape: Any) -> Tensor:
    uniform = torch.rand(shape, dtype=torch.float64).clamp_min(np.finfo(np.float64).tiny)
    return -torch.log(-torch.log(uniform))


def _cdf(distribution: TorchDistributionMixin, value: Tensor) -> Tensor:
    if isinstance(distribution, dist.Bernoulli):
        no = (1.0 - distribution.probs).double()
        return torch.where(value < 0, torch.zeros_like(no), torch.where(value < 1, no, torch.ones_like(no)))
    found: Tensor = distribution.cdf(value)
    return found
