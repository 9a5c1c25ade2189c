"""What the report says of the rows of a scenario, as plain numbers: one computation for its tables and its figures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from validation.claims.kinds import covers
from validation.measures.exactness import LEVELS
from validation.scenarios.quantities import LOG_LIKELIHOOD, greeks, shown
from validation.statistics.tolerances import proportion_interval
from validation.statistics.uniformity import uniformity_p_value
from validation.study.plan import Described
from validation.study.row import RANKED, Row

ByEstimator = Mapping[str, Sequence[Row]]
CONFIDENCE = 0.95  # of the intervals around what was measured


@dataclass(frozen=True)
class Mean:
    """A mean over `count` replicates with its standard error, None where there are too few to say."""

    value: float | None
    error: float | None
    count: int

    @staticmethod
    def of(values: ArrayLike) -> "Mean":
        """Return the mean of numbers, of which some may be infinite."""
        v = np.asarray(values, dtype=np.float64)
        if not v.size:
            return Mean(None, None, 0)
        error = float(v.std(ddof=1) / math.sqrt(v.size)) if v.size > 1 and np.isfinite(v).all() else None
        return Mean(float(v.mean()), error, int(v.size))


@dataclass(frozen=True)
class Recovery:
    """Errors of one quantity by one estimator, over the replicates that gave an estimate."""

    bias: Mean
    rmse: float | None


@dataclass(frozen=True)
class Rate:
    """How many of all replicates, and the exact 95 % interval of the proportion."""

    count: int
    replicates: int
    low: float
    high: float

    @property
    def value(self) -> float | None:
        """The proportion."""
        return self.count / self.replicates if self.replicates else None


@dataclass(frozen=True)
class Efficiency:
    """Cramér–Rao bound over mean squared error, with its 95 % interval, exact where errors are normal."""

    value: float
    low: float
    high: float
    replicates: int


@dataclass(frozen=True)
class Interventional:
    """Distances from true to predicted distributions of one intervention."""

    kl: Mean
    kl_median: float | None
    wasserstein: Mean
    regret: Mean


def quantities(rows: ByEstimator) -> list[str]:
    """Return every quantity that has a truth: Greeks, interventional means, contrasts."""
    return shown(name for each in rows.values() for row in each for name in row.truth)


def errors(rows: Sequence[Row], quantity: str) -> list[float]:
    """Return estimate - truth over the replicates that gave an estimate."""
    return [row.estimate[quantity] - row.truth[quantity] for row in rows if quantity in row.estimate]


def recovery(rows: Sequence[Row], quantity: str) -> Recovery:
    """Return bias and root mean squared error."""
    found = errors(rows, quantity)
    return Recovery(Mean.of(found), math.sqrt(float(np.mean(np.square(found)))) if found else None)


def coverage(rows: Sequence[Row], quantity: str) -> Rate:
    """Return how many intervals hold the truth, of all replicates: one without an interval does not."""
    covered = sum(covers(row, quantity) for row in rows)
    return Rate(covered, len(rows), *_exact(covered, len(rows)))


@cache
def _exact(successes: int, n: int) -> tuple[float, float]:
    return proportion_interval(successes, n, level=CONFIDENCE)


def efficiency(rows: Sequence[Row], quantity: str, bound: float) -> Efficiency | None:
    """Return the efficiency at a Cramér–Rao standard deviation; None without estimates.

    R · MSE/σ² of errors that are Normal(0, σ²) is χ²_R, so bound²/σ² lies between the quantiles of χ²_R times
    bound²/(R · MSE) with the stated probability.
    """
    found = np.asarray(errors(rows, quantity))
    if not found.size or not np.any(found):
        return None
    ratio, n = bound**2 / float(np.mean(found**2)), found.size
    tail = (1 - CONFIDENCE) / 2
    return Efficiency(ratio, ratio * float(stats.chi2.ppf(tail, n)) / n, ratio * float(stats.chi2.isf(tail, n)) / n, n)


def bounds(scenario: Described) -> dict[str, float]:
    """Return the Cramér–Rao standard deviations of a scenario by quantity, where they are known and not 0."""
    return scenario.asymptotics.bounds if scenario.asymptotics else {}


def interventional(rows: Sequence[Row], intervention: str) -> Interventional:
    """Return means over the replicates that gave a prediction."""
    found = [each for row in rows for each in row.predictions if each.of == intervention]
    kl = [each.kl for each in found]
    return Interventional(
        Mean.of(kl),
        float(np.median(kl)) if kl else None,
        Mean.of([each.wasserstein for each in found]),
        Mean.of([each.regret for each in found]),
    )


def ranks(rows: Sequence[Row], quantity: str) -> list[int]:
    """Return the ranks of the truth over the replicates that have one."""
    return [row.intervals[quantity].rank for row in rows if quantity in row.intervals]


def ranked(rows: ByEstimator) -> list[str]:
    """Return every quantity that is ranked, the log-likelihood last."""
    names = {name for each in rows.values() for row in each for name in row.intervals}
    return [name for name in (*quantities(rows), LOG_LIKELIHOOD) if name in names]


def p_value(rows: Sequence[Row], quantity: str) -> float | None:
    """Return the exact p-value of γ: of ranks as far from uniform as these."""
    found = ranks(rows, quantity)
    return uniformity_p_value(found, RANKED) if found else None


def distance(rows: Sequence[Row], entry: str) -> tuple[Mean, float, float] | None:
    """Return Wasserstein-1 to the exact posterior, the largest mean gap between distribution functions, its level."""
    found = [row.exactness[entry] for row in rows if entry in row.exactness]
    if not found:
        return None
    gaps = np.mean([each.gaps for each in found], axis=0)
    worst = int(np.argmax(np.abs(gaps)))
    return Mean.of([each.wasserstein for each in found]), float(gaps[worst]), LEVELS[worst]


def compared(rows: ByEstimator) -> list[str]:
    """Return the Greeks' entries whose distance to the exact posterior is known."""
    return greeks(name for each in rows.values() for row in each for name in row.exactness)


def with_intervals(scenario: Described, rows: ByEstimator, claimed: frozenset[str]) -> list[str]:
    """Return the estimators that give intervals, or of which it is claimed."""
    return [name for name in scenario.estimators if name in claimed or any(row.intervals for row in rows[name])]
