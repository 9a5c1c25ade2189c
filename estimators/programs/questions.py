"""What is asked of a distribution: its mean, its log density, its log CDF; 0 or 1 outside its support."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor

from estimators.parameters.distributions import CountingPoisson
from estimators.parameters.intervals import base_support, bounds_of_support, innermost
from estimators.parameters.laws import MOST_TERMS
from estimators.programs.supports import is_possible

# A function of the target's distribution and points [P, ...]: its values [P, ...].
Functional = Callable[[Any, Tensor], Tensor]
# Probabilities of whole numbers are summed in blocks of at most so many numbers in memory, and at most so many blocks.
MOST_HELD, MOST_BLOCKS = 1_000_000, 100


# A count's probabilities are summed up to one of these: a graph is captured for each, so that points share few graphs.
SUMMED = (63, 511, 8_191, 131_071, 999_999)


class TooManyTermsError(NotImplementedError):
    """A sum of probabilities that would take too long; the message says how many there are."""


def mean_of(law: Any, at: Tensor) -> Tensor:
    """The mean [1, ...]; the points play no part."""
    mean: Tensor = law.mean
    return mean.unsqueeze(0)


def log_density_of(law: Any, at: Tensor) -> Tensor:
    """log p(at)."""
    if isinstance(law, DiscreteLaw):
        return law.log_prob(at)
    # Outside its support a distribution's formula may give any number.
    return torch.where(is_possible(law, at), law.log_prob(at), -torch.inf)


def log_cdf_of(law: Any, at: Tensor) -> Tensor:
    """log P(value <= at)."""
    if isinstance(law, DiscreteLaw):
        return law.cdf(at).log()
    formula = next((cdf for family, cdf in _FORMULAS.items() if isinstance(law, family)), None)
    return _within(law, law.cdf(at) if formula is None else formula(law, at), at).log()


@dataclass(frozen=True)
class LogCdfOfCount:
    """log P(count <= at), of a law of whole numbers without a formula: the sum of their probabilities.

    Those from the least up to ``largest``, which the points do not exceed: a captured graph has a fixed size. Raises
    `TooManyTermsError`.
    """

    largest: int

    def __call__(self, law: Any, at: Tensor) -> Tensor:
        first = _least(law)
        size = max(self.largest - first + 1, 1)
        block = max(MOST_HELD // max(torch.Size(law.batch_shape).numel(), 1), 1)
        if size > min(MOST_TERMS, MOST_BLOCKS * block):
            raise TooManyTermsError(f"{size} probabilities would have to be summed in every row")
        steps = (at.flatten() - first).floor()
        total = torch.zeros(len(at), *law.batch_shape, dtype=torch.float64)
        below = torch.zeros(law.batch_shape, dtype=torch.float64)
        for terms in torch.arange(size, dtype=torch.float64).split(block):
            sums = below + _probabilities(law, first + terms, first).cumsum(0)
            positions = (steps - terms[0]).clamp(0, len(terms) - 1).long()
            is_reached = (steps >= terms[0]).reshape(-1, *[1] * len(law.batch_shape))
            total, below = torch.where(is_reached, sums[positions], total), sums[-1]
        return _within(law, total, at).log()


def _within(law: Any, cdf: Tensor, at: Tensor) -> Tensor:
    """A CDF that is 0 below the support and 1 from its upper end on."""
    low, high = bounds_of_support(base_support(law.support))
    return torch.where(at < low, 0.0, torch.where(at >= high, 1.0, cdf)).clamp(0.0, 1.0)


def _least(law: Any) -> int:
    """The least whole number that a law can give, where it is the same in every row."""
    least = getattr(innermost(law.support), "lower_bound", 0)
    if isinstance(least, Tensor):
        raise NotImplementedError("the least number depends on other values")
    return int(least)


def _probabilities(law: Any, values: Tensor, first: int) -> Tensor:
    """p(value) of numbers [V] as [V, ...], 0 outside the support."""
    at = values.reshape(-1, *[1] * len(law.batch_shape))
    fits = is_possible(law, at)
    # Evaluated inside the support alone: a formula may index a table by the value.
    log: Tensor = law.log_prob(torch.where(fits, at, float(first)))
    return torch.where(fits, log, -torch.inf).exp()


# Distribution functions that Pyro does not have.
_FORMULAS: dict[type, Functional] = {
    dist.Poisson: lambda law, at: CountingPoisson(law.rate).cdf(at),  # type: ignore[no-untyped-call]
    # 1 - (1 - p)^(n + 1): the number of failures before a success.
    dist.Geometric: lambda law, at: -torch.expm1((at.floor() + 1.0) * torch.log1p(-law.probs)),
    dist.Delta: lambda law, at: (law.v <= at).double(),
}


class DiscreteLaw:
    """The law of an enumerated site in each row: its values [K] and their probabilities [M, ..., K]."""

    def __init__(self, shares: Tensor, values: Tensor) -> None:
        self._shares, self._values = shares, values

    @property
    def mean(self) -> Tensor:
        return (self._shares * self._values).sum(-1)

    def log_prob(self, at: Tensor) -> Tensor:
        return (self._shares * (self._values == at[..., None])).sum(-1).log()

    def cdf(self, at: Tensor) -> Tensor:
        return (self._shares * (self._values <= at[..., None])).sum(-1)


def log_cdf_up_to(points: Tensor, law: Any) -> Functional:
    """The log CDF at points [P] of a law, or a class of laws, of whole numbers: a formula, or a sum."""
    if issubclass(law if isinstance(law, type) else type(law), tuple(_FORMULAS)):
        return log_cdf_of
    largest = float(points.max()) if len(points) else 0.0
    return LogCdfOfCount(next((size for size in SUMMED if size >= largest), int(largest)))
