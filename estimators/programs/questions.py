"""What is asked of a distribution: its mean, its log density, its log CDF; 0 or 1 outside its support."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from estimators.programs.supports import base_support, is_possible

# A function of the target's distribution and points [P, ...]: its values [P, ...].
Of = Callable[[Any, Tensor], Tensor]


def mean_of(source: Any, at: Tensor) -> Tensor:
    """The mean, at no point in particular."""
    mean: Tensor = source.mean
    return mean.unsqueeze(0)


def log_density_of(source: Any, at: Tensor) -> Tensor:
    """log p(at)."""
    if isinstance(source, Masses):
        return source.log_prob(at)
    # Outside the support a distribution computes what its formula gives.
    return torch.where(is_possible(source, at), source.log_prob(at), -torch.inf)


def log_cdf_of(source: Any, at: Tensor) -> Tensor:
    """log P(value <= at)."""
    found: Tensor = source.cdf(at)
    if not isinstance(source, Masses):
        support = base_support(source.support)
        low, high = getattr(support, "lower_bound", -torch.inf), getattr(support, "upper_bound", torch.inf)
        found = torch.where(at < low, 0.0, torch.where(at >= high, 1.0, found)).clamp(0.0, 1.0)
    return found.log()


class Masses:
    """A discrete site's own probabilities [M, ..., K] over its values [K], asked like a distribution."""

    def __init__(self, shares: Tensor, values: Tensor) -> None:
        self._shares, self._values = shares, values

    @property
    def mean(self) -> Tensor:
        """``Σ_k p_k value_k``."""
        return (self._shares * self._values).sum(-1)

    def log_prob(self, at: Tensor) -> Tensor:
        """log p(at)."""
        return (self._shares * (self._values == at[..., None])).sum(-1).log()

    def cdf(self, at: Tensor) -> Tensor:
        """P(value <= at)."""
        return (self._shares * (self._values <= at[..., None])).sum(-1)


class Point:
    """A simulated value, asked like a distribution."""

    def __init__(self, value: Tensor) -> None:
        self.mean = value
