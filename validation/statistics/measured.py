"""What was measured over replicates, with the interval that holds it: a mean, a ratio of squares, a proportion.

A claim allows a range. It is shown by an interval that lies in that range, and refuted by one that lies outside
(equivalence testing; Schuirmann 1987). What an interval of another number of replicates would have said is asked of the
same law, so the replicates that a claim still takes are no second computation.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy import stats

from validation.statistics.arguments import Array
from validation.statistics.check import Verdict
from validation.statistics.search import MOST, smallest
from validation.statistics.student import critical_value, tail_exponent
from validation.statistics.tolerances import chi_square_mean_above, chi_square_mean_below, proportion_interval

Ends = tuple[float, float]
POWER = 0.95  # with which what a claim would see is not passed
STEPS = 30  # of bisection
ROUNDING = 1e-9  # of the size of numbers
UNSEEN = 1.5  # times the skewness that a sample has whose mean is far off
# Squares of errors whose tails are so heavy that n are worth less than a third are no matter of χ².
LEAST_WORTH = 1 / 3


class Law(Protocol):
    """How far a measure may be from what is true of it: its interval, and its standard error."""

    def interval(self, value: float, n: int, alpha: float) -> Ends:
        """The interval of a value measured over n replicates, which misses the truth with probability alpha."""

    def error(self, value: float, n: int) -> float:
        """The standard error of such a value."""


@dataclass(frozen=True)
class Mean:
    """A mean of independent numbers of this standard deviation and skewness: Student's interval.

    The level pays for skewness, ``alpha/cosh(1.5·e)`` of the exponent e of a tail: that of the sample's own skewness,
    which is too small where the mean is far off.
    """

    sd: float
    skewness: float = 0.0

    @staticmethod
    def of(values: Array) -> "Mean":
        """The law of the mean of such values [n]; of one value nothing is known."""
        if len(values) < 2:
            return Mean(math.inf)
        sd, size = float(np.std(values, ddof=1)), float(np.max(np.abs(values)))
        # Of numbers that differ by rounding there is no shape.
        return Mean(sd, float(stats.skew(values)) if sd > ROUNDING * size else 0.0)

    def interval(self, value: float, n: int, alpha: float) -> Ends:
        if n < 2:
            return -math.inf, math.inf
        paid = math.cosh(min(UNSEEN * tail_exponent(self.skewness, n, alpha), 700.0))
        half = critical_value(alpha / paid, n - 1) * self.error(value, n)
        return value - half, value + half

    def error(self, value: float, n: int) -> float:
        return self.sd / math.sqrt(n)


@dataclass(frozen=True)
class Sampled:
    """A mean of normal numbers of known standard deviation, held against a number that has an error of its own."""

    sd: float
    other_error: float

    def interval(self, value: float, n: int, alpha: float) -> Ends:
        half = float(stats.norm.isf(alpha / 2)) * self.error(value, n)
        return value - half, value + half

    def error(self, value: float, n: int) -> float:
        return math.hypot(self.sd / math.sqrt(n), self.other_error)


def worth(squares: Array, weights: tuple[float, ...] = (1.0,)) -> float:
    """Return how many replicates one of such squares [n] is worth: less than 1 where tails are heavier than normal.

    The relative variance of ``Σ_i weights_i·χ²_1``, by that of the sample and a standard error more. 0 below a third.
    """
    mean = float(np.mean(squares))
    if len(squares) < 2 or not 0 < mean < math.inf:
        return 1.0
    gaps = (squares / mean - 1) ** 2
    found = float(gaps.mean() + gaps.std(ddof=1) / math.sqrt(len(squares)))
    share = min(_relative_variance(weights) / found, 1.0) if found > 0 else 1.0
    return share if share >= LEAST_WORTH else 0.0


def _relative_variance(weights: tuple[float, ...]) -> float:
    """That of ``Σ_i weights_i·χ²_1``."""
    return 2 * sum(weight**2 for weight in weights) / sum(weights) ** 2


@dataclass(frozen=True)
class Square:
    """A mean of squares of near-normal numbers, in units of their variance: ``m·mean ~ variance·χ²_m``.

    m is n times what each is worth (Box 1953): heavier tails make fewer of them.
    """

    worth: float = 1.0

    def interval(self, value: float, n: int, alpha: float) -> Ends:
        size = n * self.worth
        if size < 1:
            return 0.0, math.inf
        low, high = stats.chi2.ppf(alpha / 2, size), stats.chi2.isf(alpha / 2, size)
        return size * value / float(high), size * value / float(low)

    def error(self, value: float, n: int) -> float:
        return value * math.sqrt(2 / (n * self.worth)) if self.worth else math.inf


@dataclass(frozen=True)
class SumOfSquares:
    """A mean of independent draws of ``scale · Σ_i weights_i·χ²_1``, by Chernoff's bounds; `worth` as in `Square`."""

    weights: tuple[float, ...]
    worth: float = 1.0

    def interval(self, value: float, n: int, alpha: float) -> Ends:
        total, size = sum(self.weights), n * self.worth
        below = chi_square_mean_below(self.weights, size, alpha=alpha / 2)
        above = chi_square_mean_above(self.weights, size, alpha=alpha / 2)
        return value * total / above, value * total / below if below > 0 else math.inf

    def error(self, value: float, n: int) -> float:
        if not self.worth:
            return math.inf
        return value * math.sqrt(_relative_variance(self.weights) / (n * self.worth))


@dataclass(frozen=True)
class Proportion:
    """A share of independent replicates: Clopper and Pearson's exact interval."""

    def interval(self, value: float, n: int, alpha: float) -> Ends:
        return proportion_interval(round(value * n), n, level=1 - alpha)

    def error(self, value: float, n: int) -> float:
        return math.sqrt(max(value * (1 - value), 0.0) / n)


@dataclass(frozen=True)
class Known:
    """A number about which nothing is random."""

    def interval(self, value: float, n: int, alpha: float) -> Ends:
        return value, value

    def error(self, value: float, n: int) -> float:
        return 0.0


@dataclass(frozen=True)
class Measured:
    """One number of a claim: its value over n replicates, and the range that the claim allows.

    `right` is its value where all is as it should be. The interval misses what is true with probability `alpha`.
    `allows` is the range that the sentence of other numbers of replicates allows: of more it says more.
    """

    entry: str
    value: float
    n: int
    law: Law
    alpha: float
    allowed: Ends
    right: float = 0.0
    allows: Callable[[int], Ends] | None = None

    @cached_property
    def interval(self) -> Ends:
        """The interval of the number."""
        return self._interval(self.value, self.n)

    @property
    def verdict(self) -> Verdict:
        """PASS where the whole interval is allowed, FAIL where none of it is, UNDERPOWERED otherwise."""
        (low, high), (least, most) = self.interval, self.allowed
        if high < least or low > most:
            return Verdict.FAIL
        return Verdict.PASS if _is_within(self.interval, self.allowed) else Verdict.UNDERPOWERED

    @property
    def used(self) -> float:
        """How much of what is allowed the interval takes: up to 1 is a PASS."""
        (low, high), (least, most), right = self.interval, self.allowed, self.right
        if not least <= right <= most:
            return math.inf
        shares = [_share(high - right, most - right), _share(right - low, right - least)]
        return max(shares)

    @property
    def sees(self) -> float:
        """The value closest to what is right that would not have passed with probability `POWER`.

        Above what is right where there is a bound above, else below.
        """
        least, most = self.allowed
        end = most if math.isfinite(most) else least
        # The value furthest from what is right whose interval is allowed.
        inside, outside = self.right, end
        if not _is_within(self._interval(inside, self.n), self.allowed):
            return self.right
        for _ in range(STEPS):
            middle = 0.5 * (inside + outside)
            is_inside = _is_within(self._interval(middle, self.n), self.allowed)
            inside, outside = (middle, outside) if is_inside else (inside, middle)
        step = math.copysign(self.law.error(inside, self.n), end - self.right)
        return inside + float(stats.norm.ppf(POWER)) * step

    @property
    def needed(self) -> int | None:
        """The replicates with which this value would pass what is claimed of so many; None if it passes, or none do."""
        if self.verdict is not Verdict.UNDERPOWERED:
            return None
        allows = self.allows or (lambda n: self.allowed)
        return smallest(lambda n: _is_within(self._interval(self.value, n), allows(n)), least=max(self.n, 2))

    def _interval(self, value: float, n: int) -> Ends:
        return self.law.interval(value, min(n, MOST), self.alpha)


def _is_within(interval: Ends, allowed: Ends) -> bool:
    return allowed[0] <= interval[0] and interval[1] <= allowed[1]


def _share(reach: float, allowed: float) -> float:
    if math.isinf(allowed):
        return 0.0
    if allowed == 0:
        return 0.0 if reach <= 0 else math.inf
    return reach / allowed
