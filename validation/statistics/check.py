"""What one check may spend and must see, what came, and how it is judged."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from numbers import Real
from typing import Any


class Outcome(Enum):
    """How a check came out."""

    PASSED = "passed"
    FAILED = "failed"
    UNDERPOWERED = "underpowered"


@dataclass(frozen=True)
class Requirement:
    """The false-alarm probability `alpha` of a check, and the `power` with which it must see `min_effect`."""

    alpha: float
    power: float
    min_effect: float

    def __post_init__(self) -> None:
        check_probability("alpha", self.alpha)
        check_probability("power", self.power)
        check_effect(self.min_effect)


@dataclass(frozen=True)
class Message:
    """A check in words: what was expected, what came, how far that is, and what it rests on."""

    expected: str
    got: str
    distance: str
    size: str
    note: str = ""


@dataclass(frozen=True)
class Check:
    """One check as it came out.

    `statistic` is what was tested and `bound` the most of |observed - expected| (of the statistic, where nothing else
    is compared) that the check lets pass. `p_value` is the probability under the null of this or worse, or a bound of
    it; NaN if it cannot be said. `detectable` is the smallest effect seen with the power required, and `enough` finds a
    number of samples that would see `min_effect`.
    """

    kind: str
    requirement: Requirement
    n: int
    observed: float
    expected: float | None
    statistic: float
    p_value: float
    bound: float
    detectable: float
    message: Message
    enough: Callable[[], int | None]
    ess: float | None = None

    @property
    def outcome(self) -> Outcome:
        """FAILED if ``p ≤ alpha``; else UNDERPOWERED if and only if ``detectable > min_effect``."""
        if self.p_value <= self.requirement.alpha:
            return Outcome.FAILED
        return Outcome.PASSED if self.detectable <= self.requirement.min_effect else Outcome.UNDERPOWERED

    @cached_property
    def needed(self) -> int | None:
        """A number of samples that would see `min_effect`; None if the check is not underpowered, or if none does."""
        return self.enough() if self.outcome is Outcome.UNDERPOWERED else None


def check_probability(name: str, value: object) -> float:
    """Return a probability as a float; raise TypeError or ValueError unless it is strictly between 0 and 1."""
    found = check_number(name, value)
    if not 0 < found < 1:
        raise ValueError(f"{name}: expected a probability above 0 and below 1, got {value!r}")
    return found


def check_effect(value: object, name: str = "min_effect") -> float:
    """Return an effect as a float; raise TypeError or ValueError unless it is positive and finite."""
    found = check_number(name, value)
    if not 0 < found < math.inf:
        meaning = ", the smallest effect that matters" if name == "min_effect" else ""
        raise ValueError(f"{name}: expected a positive number{meaning}, got {value!r}")
    return found


def check_number(name: str, value: Any) -> float:
    """Return a real number, or an array of none but one, as a float; raise a TypeError if it is something else."""
    if getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    return float(value)
