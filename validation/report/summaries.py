"""What the report says of the rows of a scenario, as plain numbers: one computation for its tables and its figures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from validation.claims.posteriors import covers
from validation.measures.exactness import LEVELS
from validation.scenarios.quantities import LOG_LIKELIHOOD, shown
from validation.statistics.tolerances import proportion_interval
from validation.statistics.uniformity import uniformity_p_value
from validation.study.plan import PlannedScenario
from validation.study.row import RANKED, Prediction, Row

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
class Ranged:
    """A number with an interval around it; `count` is how many replicates it is of, or of a rate how many it counts."""

    value: float
    low: float
    high: float
    count: int = 0


def quantities(rows: ByEstimator) -> list[str]:
    """Return every quantity that has a truth: Greeks, interventional means, contrasts."""
    return shown(name for of_estimator in rows.values() for row in of_estimator for name in row.truth)


def recovery(rows: Sequence[Row], quantity: str) -> tuple[Mean, float | None]:
    """Return bias and root mean squared error over the replicates that gave an estimate."""
    errors = _errors(rows, quantity)
    return Mean.of(errors), math.sqrt(float(np.mean(np.square(errors)))) if errors else None


def coverage(rows: Sequence[Row], quantity: str) -> Ranged:
    """Return the share of all replicates whose interval holds the truth, one without an interval not, exactly ranged.

    It is NaN of no replicate.
    """
    return share(sum(covers(row, quantity) for row in rows), len(rows))


def share(successes: int, n: int) -> Ranged:
    """Return a share of n replicates with its exact interval; it is NaN of no replicate."""
    return Ranged(successes / n if n else math.nan, *_exact(successes, n), successes)


@cache
def _exact(successes: int, n: int) -> tuple[float, float]:
    return proportion_interval(successes, n, level=CONFIDENCE)


def efficiency(rows: Sequence[Row], quantity: str, bound: float) -> Ranged | None:
    """Return a Cramér–Rao bound (a standard deviation) squared over the mean squared error; None without estimates.

    R · MSE/σ² of errors that are Normal(0, σ²) is χ²_R, so bound²/σ² lies between the quantiles of χ²_R times
    bound²/(R · MSE) with the stated probability.
    """
    errors = np.asarray(_errors(rows, quantity))
    if not errors.size or not np.any(errors):
        return None
    ratio, n = bound**2 / float(np.mean(errors**2)), errors.size
    tail = (1 - CONFIDENCE) / 2
    return Ranged(ratio, ratio * float(stats.chi2.ppf(tail, n)) / n, ratio * float(stats.chi2.isf(tail, n)) / n, n)


def bounds(scenario: PlannedScenario) -> dict[str, float]:
    """Return the Cramér–Rao standard deviations of a scenario by quantity, where they are known and not 0."""
    return scenario.asymptotics.bounds if scenario.asymptotics else {}


def predictions(rows: Sequence[Row], intervention: str) -> list[Prediction]:
    """Return the predictions of an intervention over the replicates that gave one."""
    return [prediction for row in rows for prediction in row.predictions if prediction.of == intervention]


def ranks(rows: Sequence[Row], quantity: str) -> list[int]:
    """Return the ranks of the truth over the replicates that have one."""
    return [row.intervals[quantity].rank for row in rows if quantity in row.intervals]


def ranked(rows: ByEstimator) -> list[str]:
    """Return every quantity that is ranked, the log-likelihood last."""
    names = {name for of_estimator in rows.values() for row in of_estimator for name in row.intervals}
    return [name for name in (*quantities(rows), LOG_LIKELIHOOD) if name in names]


def p_value(rows: Sequence[Row], quantity: str) -> float | None:
    """Return the exact p-value of γ: of ranks as far from uniform as these."""
    values = ranks(rows, quantity)
    return uniformity_p_value(values, RANKED) if values else None


def distance(rows: Sequence[Row], entry: str) -> tuple[Mean, float, float] | None:
    """Return Wasserstein-1 to the exact posterior, the largest mean gap between distribution functions, its level."""
    distances = [row.exactness[entry] for row in rows if entry in row.exactness]
    if not distances:
        return None
    gaps = np.mean([exactness.gaps for exactness in distances], axis=0)
    worst = int(np.argmax(np.abs(gaps)))
    return Mean.of([exactness.wasserstein for exactness in distances]), float(gaps[worst]), LEVELS[worst]


def compared(rows: ByEstimator) -> list[str]:
    """Return the quantities whose distance to the exact posterior is known."""
    return shown(name for of_estimator in rows.values() for row in of_estimator for name in row.exactness)


def with_intervals(scenario: PlannedScenario, rows: ByEstimator, claimed: frozenset[str]) -> list[str]:
    """Return the estimators that give intervals, or of which it is claimed."""
    return [name for name in scenario.estimators if name in claimed or any(row.intervals for row in rows[name])]


def _errors(rows: Sequence[Row], quantity: str) -> list[float]:
    return [row.estimate[quantity] - row.truth[quantity] for row in rows if quantity in row.estimate]
