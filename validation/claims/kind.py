"""What every kind of claim is: a sentence with a number in it, and what of stored rows shows or refutes it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from scipy import stats

from validation.scenarios import Moments
from validation.scenarios.asymptotics import Asymptotics
from validation.statistics.arguments import Array
from validation.statistics.measured import Ends, Law, Measured
from validation.statistics.tolerances import proportion_interval
from validation.study.row import Row

ALPHA = 1e-7  # about what one number of a claim has of the budget
UNLUCKY = 0.005  # with which a number lies so far from what it should be, of ten in a claim one in twenty times
# Standard errors of an interval, and of its middle for the worst of several numbers.
REACH = float(stats.norm.isf(ALPHA / 2) + stats.norm.isf(UNLUCKY / 2))

Limits = Callable[[float], Ends]


@dataclass(frozen=True)
class Asked:
    """What a claim is judged by: the number in its sentence, and the probability that its verdict is wrong.

    `allowed_of` is the number in the sentence of other numbers of replicates, where it is not one and the same.
    `reference` are the efficient errors of a fixed truth; `others` the rows of the estimator it is compared with, by
    replicate; `moments` those of the posterior by another program; `expected` the estimates known in closed form.
    """

    allowed: float
    alpha: float
    reference: Asymptotics | None = None
    others: Mapping[int, Row] = field(default_factory=dict)
    moments: Mapping[str, Moments] = field(default_factory=dict)
    expected: Mapping[str, float] = field(default_factory=dict)
    allowed_of: Callable[[int], float] | None = None

    def of(
        self, entry: str, value: float, n: int, law: Law, limits: Limits, *, right: float = 0.0, shared_by: int = 1
    ) -> Measured:
        """Return one number of the claim, one of so many that share its alpha; `limits` are of what is allowed."""

        def allows(replicates: int) -> Ends:
            return limits(self.allowed_of(replicates) if self.allowed_of else self.allowed)

        return Measured(entry, value, n, law, self.alpha / shared_by, limits(self.allowed), right, allows)

    def of_each(
        self, values: Mapping[str, Array | list[bool]], law: Callable[[Any], Law], limits: Limits, *, right: float = 0.0
    ) -> list[Measured]:
        """Return the mean over rows of each name's values [R], all that the claim is about; `law` is that of a mean."""
        return [
            self.of(name, float(np.mean(each)), len(each), law(each), limits, right=right, shared_by=len(values))
            for name, each in values.items()
        ]


class Kind:
    """What is asserted, in which unit, and what of the rows is measured.

    `sentence` has ``{allowed}`` where its number stands. Where `counts_failures`, a fit without a result counts against
    the claim as one of its rows; elsewhere it fails it. `needs_asymptotics` are those whose unit is an efficient
    estimator's, `compares_with` is the estimator whose rows on the same data a claim needs.

    A sentence says what so many replicates can show of an estimator that is as it should be, and no less: with an alpha
    of 1e-7 an interval reaches 5.3 standard errors, and the middle of the worst of ten numbers 2.8 more. What is not
    worth saying any more, beyond `most`, is not said: there such an estimator is UNDERPOWERED. Nor is what is too small
    to matter, below `least`, however many replicates there are.
    """

    name: ClassVar[str]
    sentence: ClassVar[str]
    unit: ClassVar[str]
    counts_failures: ClassVar[bool] = False
    needs_asymptotics: ClassVar[bool] = False
    compares_with: ClassVar[str] = ""
    most: ClassVar[float]
    least: ClassVar[float] = 0.0

    def attainable(self, replicates: int) -> float:
        """The number of the sentence that so many replicates can show."""
        return self.most

    def allowed(self, replicates: int) -> float:
        """The number of the sentence, to two digits."""
        return max(self.least, min(self.most, rounded_up(self.attainable(replicates))))

    def said(self, allowed: float) -> str:
        """The sentence with its number."""
        return self.sentence.format(allowed=f"{allowed:g}")

    def has_result(self, row: Row) -> bool:
        """Whether a row holds what is measured."""
        return bool(row.estimate)

    def measure(self, rows: Sequence[Row], asked: Asked) -> list[Measured]:
        """The numbers of the claim, all of which must be as it says; none where the rows do not tell."""
        raise NotImplementedError


def within(allowed: float) -> Ends:
    """The range of a number that is to be 0, give or take what is allowed."""
    return -allowed, allowed


def by_a_factor(allowed: float) -> Ends:
    """That of a number that is to be 1, within a factor."""
    return 1 / allowed, allowed


def at_most(allowed: float) -> Ends:
    """That of a number that is to be small."""
    return -math.inf, allowed


def at_least(allowed: float) -> Ends:
    """That of a number that is to be large."""
    return allowed, math.inf


def shown_share(share: float, replicates: int) -> Ends:
    """Return between which shares so many replicates can show one to be: exact intervals of unlucky counts."""
    few, many = stats.binom.ppf(UNLUCKY / 2, replicates, share), stats.binom.isf(UNLUCKY / 2, replicates, share)
    (least, _), (_, most) = (proportion_interval(int(count), replicates, level=1 - ALPHA) for count in (few, many))
    return least, most


def rounded_up(number: float) -> float:
    """Return a positive number to two digits, or three above 1, and never less than it is."""
    unit = 10.0 ** (math.floor(math.log10(number)) - 1) if number < 1 else 0.01
    return round(math.ceil(number / unit - 1e-9) * unit, 10)
