"""One row of a study: what one estimator did on one replicate. Plain numbers and text, so that it can be stored.

The names of quantities: a Greek's entry is called as in a summary (``mu_X[0]``), the mean of an outcome under an
intervention ``E[X | do(Z=1)]``, a contrast is the difference of two of these, the log-likelihood ``log p(data)``.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

ERROR = "ERROR"  # the status of a row whose fit raised
CONVERGED = "CONVERGED"
LEVEL = 0.9  # of every interval in a row
ANSWER_LEVEL = 0.999  # of every set of answers in a row, or what its draws are enough for
RANKED = 63  # draws among which a truth is ranked


@dataclass(frozen=True)
class Interval:
    """The spread of one quantity over the draws of a fit, and the rank of the truth.

    `lower` and `upper` are the central 90 % interval. `rank` is how many of RANKED draws lie below the truth: draws
    thinned evenly to the number that is worth as many independent ones; where fewer are worth so, the rank among those
    is spread at random over its share of 0 to RANKED. `ess` is the effective number of draws.
    """

    sd: float
    lower: float
    upper: float
    rank: int
    ess: float


@dataclass(frozen=True)
class Curve:
    """True and predicted density of an outcome on a grid, for the report's figures."""

    x: tuple[float, ...]
    true: tuple[float, ...]
    predicted: tuple[float, ...]


@dataclass(frozen=True)
class Prediction:
    """Distance from the true to the predicted distribution of an outcome under an intervention (``X | do(Z=1)``).

    `kl` in nats; `wasserstein` in the units of the outcome; `regret` is the mean log score of the truth less that of
    the prediction on fresh rows of a simulated experiment, an estimate of the divergence.
    """

    of: str
    kl: float
    wasserstein: float
    regret: float
    curve: Curve | None = None


@dataclass(frozen=True)
class Exactness:
    """Distance of one Greek entry's draws to the exact posterior: distribution gaps at LEVELS, and Wasserstein-1."""

    gaps: tuple[float, ...]
    wasserstein: float


@dataclass(frozen=True)
class Answer:
    """All that a fit holds possible of one contrast, at a level.

    `intervals` are the likelihood intervals of a point fit, one for each mode that it knows, or the range of the draws
    of another; none where there are many rivals, or another warning, and intervals were not sought. `rivals` are the
    contrast at other modes that count. `warnings` came with the question, and `refused` is the exception in words where
    there was one instead of an answer.
    """

    intervals: tuple[tuple[float, float], ...]
    level: float
    rivals: tuple[float, ...] = ()
    warnings: tuple[str, ...] = ()
    refused: str = ""


@dataclass(frozen=True)
class Row:
    """One estimator on one replicate.

    `status` is a `Status` name or ERROR, `reason` its advice or the exception in words ("" if converged). `truth`,
    `estimate` and `intervals` are by quantity; a point estimate has no intervals. `diagnostics` are numbers about the
    run (min_ess, max_r_hat, label_certainty). `answers` are by contrast, where the scenario asks for them; `held` are
    all the statuses that hold of the fit. What comes after `warnings`, but for `truth`, is empty where the fit failed.
    `seconds` are those of a fit by itself: the search for modes, which estimators of a replicate share, counts in full
    in the row of each that takes it, and a point fit's seconds in the row of its Laplace approximation. It is the only
    field that may differ between two runs of the same study.
    """

    scenario: str
    estimator: str
    replicate: int
    seed: int
    status: str
    reason: str = ""
    seconds: float | None = None
    warnings: tuple[str, ...] = ()
    truth: Mapping[str, float] = field(default_factory=dict)
    estimate: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    predictions: tuple[Prediction, ...] = ()
    exactness: Mapping[str, Exactness] = field(default_factory=dict)
    diagnostics: Mapping[str, float] = field(default_factory=dict)
    answers: Mapping[str, Answer] = field(default_factory=dict)
    held: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, int]:
        """What it is of: scenario, estimator and replicate."""
        return self.scenario, self.estimator, self.replicate

    @property
    def failed(self) -> bool:
        """Whether the estimator returned nothing."""
        return self.status == ERROR

    @property
    def ess_per_second(self) -> float | None:
        """The effective draws of the quantity that has fewest, for each second of the fit."""
        if not self.intervals or not self.seconds:
            return None
        return min(interval.ess for interval in self.intervals.values()) / self.seconds


def by_estimator(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """Return the rows of each scenario and estimator."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.scenario, row.estimator].append(row)
    return groups
