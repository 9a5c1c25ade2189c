"""Claims about how fits end: that they converge, that they are not silent and wrong, that they find what is known."""

from collections.abc import Sequence

from validation.claims.endings import Ending, answered, ending
from validation.claims.kind import Asked, Kind, at_least, at_most, shown_share
from validation.statistics.measured import Known, Measured, Proportion
from validation.study.row import CONVERGED, Row


class Converges(Kind):
    """The share of fits that fail, or end with another status than CONVERGED."""

    name = "convergence"
    sentence = "At most a share of {allowed} of the fits fails or says that it did not converge"
    unit = "share of fits"
    counts_failures = True

    most = 0.3
    least = 0.05

    def attainable(self, replicates: int) -> float:
        """One fit in forty, and what so many replicates cannot tell from it."""
        return shown_share(0.025, replicates)[1]

    def has_result(self, row: Row) -> bool:
        return not row.failed

    def measure(self, rows: Sequence[Row], asked: Asked) -> list[Measured]:
        """An exact binomial interval of the count."""
        share = sum(row.status != CONVERGED for row in rows) / len(rows)
        return [asked.of("", share, len(rows), Proportion(), at_most)]


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
    least = 0.01

    def attainable(self, replicates: int) -> float:
        """One in a thousand by the level of the sets, and some more as draws are too few to promise that."""
        return shown_share(0.003, replicates)[1]

    def has_result(self, row: Row) -> bool:
        return bool(row.answers)

    def measure(self, rows: Sequence[Row], asked: Asked) -> list[Measured]:
        """An exact binomial interval of the count of each contrast."""
        silent = {name: [ending(row, name) is Ending.SILENT for row in rows] for name in answered(rows)}
        return asked.of_each(silent, lambda _: Proportion(), at_most)


class IsAnswered(Kind):
    """The share of fits that say, where one answer is true, what it is: no warning, and the truth in their set.

    Beside candour, which an estimator that always warns has too.
    """

    name = "answered"
    sentence = (
        "A share of at least {allowed} of the fits answers a contrast without a warning, and its set of answers holds "
        "the truth"
    )
    unit = "share of fits that are right"
    counts_failures = True

    most = 0.5

    def attainable(self, replicates: int) -> float:
        """Nine fits of ten."""
        return max(shown_share(0.9, replicates)[0], 0.01)

    def has_result(self, row: Row) -> bool:
        return bool(row.answers)

    def measure(self, rows: Sequence[Row], asked: Asked) -> list[Measured]:
        """An exact binomial interval of the count of each contrast."""
        # Where no fit gave an answer to any, none was given.
        right = {name: [ending(row, name) is Ending.RIGHT for row in rows] for name in answered(rows) or [""]}
        return asked.of_each(right, lambda _: Proportion(), at_least, right=1.0)


class IsExpected(Kind):
    """The estimate is the stationary point known in closed form, in every replicate."""

    name = "mode"
    sentence = "The estimate is the stationary point known in closed form, within {allowed}, whatever the seed"
    unit = "largest |error|"
    most = 1e-5  # what the estimators promise on this case

    def measure(self, rows: Sequence[Row], asked: Asked) -> list[Measured]:
        """The largest error of each entry over replicates, about which nothing is random."""
        errors = {name: max(abs(row.estimate[name] - value) for row in rows) for name, value in asked.expected.items()}
        return [asked.of(name, error, len(rows), Known(), at_most) for name, error in errors.items()]
