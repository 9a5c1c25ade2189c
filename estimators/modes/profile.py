"""Likelihood intervals of a quantity, one for each mode that the data allow.

``{q(v) : f(v) >= f(v̂_m) - χ²₁(level) / 2}`` for each mode v̂_m, with f the log-likelihood, or the log joint density of
an estimate that rests on priors. Every mode within 5 nats of the best is judged from *its own* maximum: modes with the
same law of the rows differ in f by chance alone, and a bound from the best of them excludes the right one too often.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from scipy.special import gammaincinv
from torch import Tensor

from estimators.data.words import in_few_digits
from estimators.modes.farthest import ends_around
from estimators.modes.region import Quantity, Region
from estimators.optimise.arrays import Array
from estimators.optimise.objective import Objective
from estimators.status import warn_user

# A mode is a rival of the best if it is not more than so many nats below.
RIVALS = 5.0

Number = TypeVar("Number", bound=float | Tensor)


@dataclass(frozen=True, eq=False)
class Maxima:
    """Local maxima [M, D] of an objective, and its values [M] there; what cannot be told apart by label is one mode."""

    objective: Objective
    coordinates: Array
    values: Array


class Interval(NamedTuple, Generic[Number]):
    """From ``low`` to ``high``, both in units of the quantity: of one number, or of the entries of tensors."""

    low: Number
    high: Number

    def __repr__(self) -> str:
        return f"({in_few_digits(self.low)}, {in_few_digits(self.high)})"


def profile(modes: Maxima, quantity: Quantity, level: float) -> list[Interval[float]]:
    """The likelihood intervals of a quantity [S] of points [S, D], from the lowest; those that overlap are one.

    Warns where an end could not be made sure of: the interval then reaches at least as far.
    """
    # χ²₁(level) / 2.
    cut = float(gammaincinv(0.5, level))
    best = float(modes.values.max())
    intervals, unsettled = [], []
    for mode, value in zip(modes.coordinates, modes.values, strict=True):
        bound = min(value, best) - cut if value > best - RIVALS else best - cut
        if value < bound:
            continue
        ends = ends_around(Region(modes.objective, quantity, bound), mode)
        intervals.append(Interval(ends[0].value, ends[1].value))
        unsettled += [end.value for end in ends if not end.is_settled]
    if unsettled:
        words = " and ".join(f"{value:.4g}" for value in sorted(unsettled))
        warn_user(f"profile: the search for an end did not settle: the interval reaches at least to {words}")
    return union(intervals)


def union(intervals: Sequence[Interval[float]]) -> list[Interval[float]]:
    """The intervals from the lowest, those that overlap as one.

    >>> union([Interval(2.0, 3.0), Interval(0.0, 1.0), Interval(0.5, 1.5)])
    [(0, 1.5), (2, 3)]
    """
    joined: list[Interval[float]] = []
    for interval in sorted(intervals):
        if joined and interval.low <= joined[-1].high:
            joined[-1] = Interval(joined[-1].low, max(joined[-1].high, interval.high))
        else:
            joined.append(interval)
    return joined
