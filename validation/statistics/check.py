"""A statistical check: what it may spend and must see, what was observed, and how that is judged.

A test's check asks whether a number is what it should be; what a study claims is that a number lies in a range,
which is judged by `validation.statistics.measured`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from numbers import Real
from typing import Any

BUDGET = 1e-3  # probability that a correct study, or a correct suite, raises any false alarm at all
POWER = 0.9  # probability with which an effect is to be seen, unless a test's marker says otherwise


class Verdict(Enum):
    """How a check or a claim came out."""

    PASS = "passed"
    FAIL = "failed"
    UNDERPOWERED = "underpowered"


@dataclass(frozen=True)
class Requirement:
    """The false-alarm probability `alpha` of a check, and the `power` with which it must see `min_effect`.

    `alpha` is 0 where nothing is random.
    """

    alpha: float
    power: float
    min_effect: float

    def __post_init__(self) -> None:
        if self.alpha != 0:
            check_probability("alpha", self.alpha)
        check_probability("power", self.power)
        check_effect(self.min_effect)


@dataclass(frozen=True)
class Message:
    """A check in words: what was expected, what came, how far that is, and what it rests on."""

    expected: str = ""
    got: str = ""
    distance: str = ""
    size: str = ""
    note: str = ""


@dataclass(frozen=True)
class Check:
    """One check of n samples, replicates or rows, as it came out.

    `observed` is accepted from `low` to `high`. `detectable` is the smallest effect seen with the power required.
    `statistic` is what was tested, where that is not `observed` itself. `p_value` is the probability under the null of
    this or worse, or a bound of it; NaN if it cannot be said. `enough` finds a number of samples that would see
    `min_effect`.
    """

    kind: str
    requirement: Requirement
    n: int
    observed: float
    detectable: float
    low: float = -math.inf
    high: float = math.inf
    expected: float | None = None
    statistic: float = math.nan
    p_value: float = math.nan
    message: Message = Message()
    enough: Callable[[], int | None] = lambda: None
    ess: float | None = None

    @property
    def verdict(self) -> Verdict:
        """FAIL if ``p ≤ alpha``, or, without a p-value, if out of bounds; else PASS if ``detectable ≤ min_effect``."""
        if self.p_value <= self.requirement.alpha:
            return Verdict.FAIL
        if math.isnan(self.p_value) and (self.observed < self.low or self.observed > self.high):
            return Verdict.FAIL
        return Verdict.PASS if self.detectable <= self.requirement.min_effect else Verdict.UNDERPOWERED

    @property
    def bound(self) -> float:
        """The most of |observed - expected| that passes; NaN where `observed` has no bounds."""
        ends = [end for end in (self.low, self.high) if math.isfinite(end)]
        return max((abs(end - (self.expected or 0.0)) for end in ends), default=math.nan)

    @cached_property
    def needed(self) -> int | None:
        """A number of samples that would see `min_effect`; None if the check is not underpowered, or if none does."""
        return self.enough() if self.verdict is Verdict.UNDERPOWERED else None


def check_probability(name: str, value: object) -> float:
    """Return a probability as a float; raise TypeError or ValueError unless it is strictly between 0 and 1."""
    number = check_number(name, value)
    if not 0 < number < 1:
        raise ValueError(f"{name}: expected a probability above 0 and below 1, got {value!r}")
    return number


def check_effect(value: object, name: str = "min_effect") -> float:
    """Return an effect as a float; raise TypeError or ValueError unless it is positive and finite."""
    number = check_number(name, value)
    if not 0 < number < math.inf:
        meaning = ", the smallest effect that matters" if name == "min_effect" else ""
        raise ValueError(f"{name}: expected a positive number{meaning}, got {value!r}")
    return number


def check_number(name: str, value: Any) -> float:
    """Return a real number, or an array of none but one, as a float; raise a TypeError if it is something else."""
    if getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    return float(value)
