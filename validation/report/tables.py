"""The report's tables, computed from rows: plain values for the template."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from validation.kinds import covers
from validation.record import CONVERGED, Row
from validation.report.figures import shown
from validation.results import Described
from validation.scenarios import Truth
from validation.tolerances import proportion_interval

ByEstimator = Mapping[str, Sequence[Row]]


@dataclass(frozen=True)
class Coverage:
    """How many of the replicates an interval covered, and the exact 95 % interval of that proportion."""

    covered: int
    replicates: int
    low: float
    high: float


@dataclass(frozen=True)
class Recovery:
    """One entry by one estimator: bias with its standard error and root mean squared error over `fits`, coverage.

    Where `fits` is less than `replicates`, the others gave no estimate; coverage is over all replicates.
    """

    fits: int
    replicates: int
    bias: float | None
    bias_error: float | None
    rmse: float | None
    coverage: Coverage | None


@dataclass(frozen=True)
class RecoveryLine:
    """One entry by every estimator, in the order of the scenario's estimators."""

    entry: str
    truth: float | None
    efficient_sd: float | None
    cells: tuple[Recovery, ...]


@dataclass(frozen=True)
class Interventional:
    """Predictions of one estimator under one intervention, means over `fits` of the replicates."""

    estimator: str
    z: int
    fits: int
    kl: float
    kl_median: float
    efficient_kl: float | None
    wasserstein: float


@dataclass(frozen=True)
class Distance:
    """Distance of one estimator's draws to the exact posterior: the largest mean gap, and mean Wasserstein-1."""

    estimator: str
    gap: float
    gap_entry: str
    wasserstein: float
    wasserstein_entry: str


@dataclass(frozen=True)
class Ending:
    """How the fits of one estimator ended, in words, and how long they took."""

    estimator: str
    replicates: int
    converged: int
    others: tuple[tuple[str, int, str], ...]
    median_seconds: float | None


def by_estimator(scenario: Described, rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return a scenario's rows by estimator, in the study's order."""
    return {
        name: [row for row in rows if row.scenario == scenario.name and row.estimator == name]
        for name in scenario.estimators
    }


def recovery(scenario: Described, rows: ByEstimator) -> list[RecoveryLine]:
    """Return the recovery of every entry, the estimators side by side; contrasts are the last entries."""
    entries = shown(entry for each in rows.values() for row in each for entry in row.estimate)
    truth, sd = scenario.truth or {}, scenario.efficient_sd or {}
    # An interval that holds the mean of the exact posterior has nothing to cover.
    covers_truth = scenario.kind != Truth.EXACT.name
    return [
        RecoveryLine(
            entry, truth.get(entry), sd.get(entry), tuple(_recovery(entry, rows[name], covers_truth) for name in rows)
        )
        for entry in entries
    ]


def interventional(scenario: Described, rows: ByEstimator) -> list[Interventional]:
    """Return distances from the true to the predicted p(X | do(Z=z)) by estimator and z."""
    found = []
    for name, mine in rows.items():
        for z in sorted({p.z for row in mine for p in row.predictions}):
            chosen = [p for row in mine for p in row.predictions if p.z == z]
            kl = [p.kl for p in chosen]
            efficient = None if scenario.efficient_kl is None else scenario.efficient_kl[z]
            w1 = float(np.mean([p.wasserstein for p in chosen]))
            found.append(Interventional(name, z, len(chosen), float(np.mean(kl)), float(np.median(kl)), efficient, w1))
    return sorted(found, key=lambda each: each.z)


def distances(rows: ByEstimator) -> list[Distance]:
    """Return distances to the exact posterior, for the estimators that have draws."""
    found = []
    for name, mine in rows.items():
        kept = [row.exactness for row in mine if row.exactness]
        if kept:
            gaps = {e: float(np.abs(np.mean([each[e].gaps for each in kept], axis=0)).max()) for e in kept[0]}
            w1 = {e: float(np.mean([each[e].wasserstein for each in kept])) for e in kept[0]}
            worst_gap, worst_w1 = max(gaps, key=lambda e: gaps[e]), max(w1, key=lambda e: w1[e])
            found.append(Distance(name, gaps[worst_gap], worst_gap, w1[worst_w1], worst_w1))
    return found


def endings(rows: ByEstimator) -> list[Ending]:
    """Return how every estimator's fits ended: counts by status and reason, the most frequent first."""
    found = []
    for name, mine in rows.items():
        others = Counter((row.status, row.reason) for row in mine if row.status != CONVERGED)
        seconds = [row.seconds for row in mine if row.seconds is not None]
        found.append(
            Ending(
                name,
                len(mine),
                sum(row.status == CONVERGED for row in mine),
                tuple((status, count, reason) for (status, reason), count in others.most_common()),
                float(np.median(seconds)) if seconds else None,
            )
        )
    return found


def _recovery(entry: str, rows: Sequence[Row], covers_truth: bool) -> Recovery:
    errors = np.array([row.estimate[entry] - row.truth[entry] for row in rows if entry in row.estimate])
    n = len(errors)
    coverage = None
    if covers_truth and any(entry in row.intervals for row in rows):
        covered = sum(covers(row, entry) for row in rows)
        coverage = Coverage(covered, len(rows), *proportion_interval(covered, len(rows)))
    return Recovery(
        fits=n,
        replicates=len(rows),
        bias=float(errors.mean()) if n else None,
        bias_error=float(errors.std(ddof=1) / np.sqrt(n)) if n > 1 else None,
        rmse=float(np.sqrt(np.mean(errors**2))) if n else None,
        coverage=coverage,
    )
