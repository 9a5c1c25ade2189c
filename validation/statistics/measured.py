"""What was measured over replicates, with the interval that holds it: a mean, a ratio of squares, a proportion.

A claim allows a range. It is shown by an interval that lies in that range, and refuted by one that lies outside
(equivalence testing; Schuirmann 1987). What an interval of another number of replicates would have said is asked of the
same law, so the replicates that a claim still takes are no second computation.
"""

import math
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


class Law(Protocol):
    """How far a measure may be from what is true of it: its interval, and its standard error."""

    def interval(self, value: float, n: int, alpha: float) -> Ends:
        """The interval of a value measured over n replicates, which misses the truth with probability alpha."""

    def error(self, value: float, n: int) -> float:
        """The standard error of such a value."""


@dataclass(frozen=True)
class Mean:
    """A mean of independent numbers of this standard deviation and skewness: Student's interval.

    The level pays for skewness: ``alpha/cosh`` of the exponent of a tail.
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
        half = critical_value(alpha / math.cosh(min(tail_exponent(self.skewness, n, alpha), 700.0)), n - 1)
        half *= self.error(value, n)
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


@dataclass(frozen=True)
class Square:
    """A mean of squares of normal numbers, in units of their variance: ``n·mean ~ variance·χ²_n``."""

    def interval(self, value: float, n: int, alpha: float) -> Ends:
        low, high = stats.chi2.ppf(alpha / 2, n), stats.chi2.isf(alpha / 2, n)
        return n * value / float(high), n * value / float(low)

    def error(self, value: float, n: int) -> float:
        return value * math.sqrt(2 / n)


@dataclass(frozen=True)
class SumOfSquares:
    """A mean of independent draws of ``scale · Σ_i weights_i·χ²_1``, by Chernoff's bounds."""

    weights: tuple[float, ...]

    def interval(self, value: float, n: int, alpha: float) -> Ends:
        total = sum(self.weights)
        below = chi_square_mean_below(self.weights, n, alpha=alpha / 2)
        above = chi_square_mean_above(self.weights, n, alpha=alpha / 2)
        return value * total / above, value * total / below if below > 0 else math.inf

    def error(self, value: float, n: int) -> float:
        return value * math.sqrt(2 * sum(weight**2 for weight in self.weights) / n) / sum(self.weights)


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

    `right` is its value where all is as it should be. ``low`` and ``high`` are the interval, which misses what is true
    with probability `alpha`.
    """

    entry: str
    value: float
    n: int
    law: Law
    alpha: float
    allowed: Ends
    right: float = 0.0

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
        return Verdict.PASS if self._is_allowed(self.interval) else Verdict.UNDERPOWERED

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
        if not self._is_allowed(self._interval(inside, self.n)):
            return self.right
        for _ in range(STEPS):
            middle = 0.5 * (inside + outside)
            is_inside = self._is_allowed(self._interval(middle, self.n))
            inside, outside = (middle, outside) if is_inside else (inside, middle)
        step = math.copysign(self.law.error(inside, self.n), end - self.right)
        return inside + float(stats.norm.ppf(POWER)) * step

    @property
    def needed(self) -> int | None:
        """The replicates with which this value would pass; None where it passes, or none would do."""
        if self.verdict is not Verdict.UNDERPOWERED:
            return None
        if not self._is_allowed((self.value, self.value)):
            return None
        return smallest(lambda n: self._is_allowed(self._interval(self.value, n)), least=max(self.n, 2))

    def _interval(self, value: float, n: int) -> Ends:
        return self.law.interval(value, min(n, MOST), self.alpha)

    def _is_allowed(self, interval: Ends) -> bool:
        return self.allowed[0] <= interval[0] and interval[1] <= self.allowed[1]


def _share(reach: float, allowed: float) -> float:
    if math.isinf(allowed):
        return 0.0
    if allowed == 0:
        return 0.0 if reach <= 0 else math.inf
    return reach / allowed
