"""Claims about how fits end: that they converge, that they are not silent and wrong, that they find what is known."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from validation.claims.endings import Ending, answered, ending
from validation.claims.kind import REACH, Asked, Kind
from validation.statistics.measured import Known, Measured, Proportion
from validation.study.row import CONVERGED, Row


class Converges(Kind):
    """The share of fits that fail, or end with another status than CONVERGED."""

    name = "convergence"
    sentence = "At most a share of {allowed} of the fits fails or says that it did not converge"
    unit = "share of fits"
    counts_failures = True

    most = 0.2

    def attainable(self, replicates: int) -> float:
        """One fit in forty, and what so many replicates cannot tell from it."""
        return 0.025 + REACH * math.sqrt(0.025 / replicates)

    def has_result(self, row: Row) -> bool:
        return not row.failed

    def measure(self, rows: Sequence[Row], asked: Asked) -> list[Measured]:
        """An exact binomial interval of the count."""
        share = sum(row.status != CONVERGED for row in rows) / len(rows)
        return [asked.of("", share, len(rows), Proportion(), (-math.inf, asked.allowed))]


class IsCandid(Kind):
    """The share of fits without a warning whose set of answers leaves the truth out. A failed fit misleads nobody."""

    name = "candour"
    sentence = (
        "A share of at most {allowed} of the fits leaves the truth of a contrast out of its set of answers (the 99.9 % "
        "likelihood intervals of its modes, or the range of its draws) and says nothing"
    )
    unit = "share of fits silent and wrong"
    counts_failures = True

    most = 0.35

    def attainable(self, replicates: int) -> float:
        """One in a thousand by the level of the sets; none, one or two of n leave 12 to 18 of n possible."""
        return 0.003 + 16 / replicates

    def has_result(self, row: Row) -> bool:
        return bool(row.answers)

    def measure(self, rows: Sequence[Row], asked: Asked) -> list[Measured]:
        """An exact binomial interval of the count of each contrast."""
        names = answered(rows)
        return [
            asked.of(
                name,
                sum(ending(row, name) is Ending.SILENT for row in rows) / len(rows),
                len(rows),
                Proportion(),
                (-math.inf, asked.allowed),
                shared_by=len(names),
            )
            for name in names
        ]


@dataclass(frozen=True)
class IsExpected(Kind):
    """The estimate is the stationary point known in closed form, in every replicate."""

    expected: tuple[tuple[str, float], ...]
    name = "mode"
    sentence = "The estimate is the stationary point known in closed form, within {allowed}, whatever the seed"
    unit = "largest |error|"
    most = 1e-5  # what the estimators promise on this case

    def measure(self, rows: Sequence[Row], asked: Asked) -> list[Measured]:
        """The largest error of each entry over replicates, about which nothing is random."""
        errors = {name: max(abs(row.estimate[name] - value) for row in rows) for name, value in self.expected}
        limits = (-math.inf, asked.allowed)
        return [asked.of(name, error, len(rows), Known(), limits) for name, error in errors.items()]
