"""What changed between two studies beyond noise: for a project's continuous integration.

Each measure of each scenario and estimator that both studies have is compared by a test without assumptions on its law:
paired where both studies made the replicate from the same seed, which takes the luck of the data out. The probability
of any change that is none is split evenly over the comparisons.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from validation.claims.posteriors import covers
from validation.claims.results import Results
from validation.scenarios.quantities import shown
from validation.statistics.check import Verdict
from validation.study.row import CONVERGED, Row, by_estimator

Array = NDArray[np.float64]
NEGLIGIBLE = 1e-6  # of the larger of two values: rounding on another machine, no change


@dataclass(frozen=True)
class Change:
    """One measure of one estimator on one scenario in both studies; `worse` says which way it went."""

    scenario: str
    estimator: str
    measure: str
    old: float
    new: float
    p_value: float
    replicates: tuple[int, int]
    paired: bool
    worse: bool


@dataclass(frozen=True, repr=False)
class Comparison:
    """All comparisons, the level each is held to, verdicts that differ, and what only one study has."""

    compared: tuple[Change, ...]
    alpha: float
    verdicts: tuple[tuple[str, Verdict, Verdict], ...]
    only: tuple[str, ...]
    seconds: Mapping[tuple[str, str], float]

    def __repr__(self) -> str:
        return f"Comparison({self.outcome})"

    @property
    def outcome(self) -> str:
        """How many comparisons came out how."""
        worse = sum(change.worse for change in self.changes)
        return (
            f"{len(self.compared)} comparisons at {self.alpha:.1e} each: {worse} worse, {len(self.changes) - worse} "
            f"better beyond noise, {len(self.verdicts)} verdicts changed"
        )

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes beyond noise, the most certain first."""
        return tuple(sorted((c for c in self.compared if c.p_value <= self.alpha), key=lambda change: change.p_value))

    @property
    def exit_status(self) -> int:
        """1 if anything got worse beyond noise, or a claim that did not fail now does; else 0."""
        broken = any(new is Verdict.FAIL for _, _, new in self.verdicts)
        return int(broken or any(change.worse for change in self.changes))


@dataclass(frozen=True)
class _Measure:
    """A number for each row (None where there is none), whether more is worse, and whether it is a yes or no."""

    name: str
    of: Callable[[Row], float | None]
    more_is_worse: bool
    counted: bool = False


def compare(old: Results, new: Results, *, false_alarm: float = 1e-3) -> Comparison:
    """Compare two studies. Raises ValueError where they have no scenario and estimator in common; TypeError for others.

    To see fits side by side is `estimators.plot_compare`.
    """
    for argument, results in (("old", old), ("new", new)):
        if not isinstance(results, Results):
            raise TypeError(
                f"{argument}: expected Results, as assess(study.plan(), run(study)), got {type(results).__name__}; "
                "fits are compared by estimators.plot_compare([fit, other])"
            )
    before, after = _replicates(old), _replicates(new)
    common = [key for key in after if key in before]
    if not common:
        raise ValueError("the two studies have no scenario and estimator in common")
    compared = [
        change
        for key in common
        for measure in _measures(before[key], after[key])
        if (change := _change(key, measure, before[key], after[key])) is not None
    ]
    only = [
        f"{' / '.join(key)}: only in the {name} study"
        for name, rows, others in (("old", before, after), ("new", after, before))
        for key in rows
        if key not in others
    ]
    verdicts = {(f.scenario, f.estimator, f.kind, f.only): f.verdict for f in old.findings}
    flips = [
        (f"{f.scenario} / {f.estimator} / {f.kind}{f' of {f.only}' if f.only else ''}", verdicts[key], f.verdict)
        for f in new.findings
        if (key := (f.scenario, f.estimator, f.kind, f.only)) in verdicts and verdicts[key] is not f.verdict
    ]
    seconds = {key: _median_seconds(after[key]) / _median_seconds(before[key]) for key in common}
    return Comparison(tuple(compared), false_alarm / max(len(compared), 1), tuple(flips), tuple(only), seconds)


def _replicates(results: Results) -> dict[tuple[str, str], dict[int, Row]]:
    """The rows of each scenario and estimator by replicate."""
    return {key: {row.replicate: row for row in rows} for key, rows in by_estimator(results.rows).items()}


def _measures(old: Mapping[int, Row], new: Mapping[int, Row]) -> list[_Measure]:
    """What can be compared: errors and coverage by quantity, divergences by intervention, and how fits ended."""
    rows = [*old.values(), *new.values()]
    measures = [
        _Measure("share of fits that converged", lambda row: float(row.status == CONVERGED), False, counted=True),
        _Measure("share of fits that failed", lambda row: float(row.failed), True, counted=True),
    ]
    for name in shown(name for row in rows for name in row.estimate if name in row.truth):
        measures.append(_Measure(f"|error| of {name}", partial(_error, name=name), True))
    for name in shown(name for row in rows for name in row.intervals):
        measures.append(_Measure(f"coverage of {name}", partial(covers, name=name), False, counted=True))
    for of in dict.fromkeys(prediction.of for row in rows for prediction in row.predictions):
        measures.append(_Measure(f"KL of {of}", partial(_divergence, of=of), True))
    return measures


def _change(key: tuple[str, str], measure: _Measure, old: Mapping[int, Row], new: Mapping[int, Row]) -> Change | None:
    """Compare one measure, in pairs if every replicate that both studies have comes from the same seed."""
    shared = [r for r in new if r in old]
    paired = bool(shared) and all(old[r].seed == new[r].seed for r in shared)
    if paired:
        pairs = [(measure.of(old[r]), measure.of(new[r])) for r in shared]
        measured = [(a, b) for a, b in pairs if a is not None and b is not None]
        before, after = np.array([a for a, _ in measured]), np.array([b for _, b in measured])
    else:
        before, after = (
            np.array([v for row in rows.values() if (v := measure.of(row)) is not None]) for rows in (old, new)
        )
    if not before.size or not after.size:
        return None
    test = _test_of_counts if measure.counted else _test_of_values
    p_value = test(before, after, paired)
    larger = float(np.mean(after)) > float(np.mean(before))
    if not measure.counted and np.median(after) != np.median(before):
        larger = bool(np.median(after) > np.median(before))
    centre = np.mean if measure.counted else np.median
    worse = larger == measure.more_is_worse
    sizes = len(before), len(after)
    return Change(*key, measure.name, float(centre(before)), float(centre(after)), p_value, sizes, paired, worse)


def _test_of_values(before: Array, after: Array, paired: bool) -> float:
    """Wilcoxon's signed-rank test of pairs, or the Mann-Whitney test; differences of rounding are none."""
    if not paired:
        return float(stats.mannwhitneyu(before, after).pvalue)
    scale = np.maximum(np.abs(before), np.abs(after))
    difference = after - before
    moved = difference[np.abs(difference) > NEGLIGIBLE * scale]
    return float(stats.wilcoxon(moved).pvalue) if moved.size else 1.0


def _test_of_counts(before: Array, after: Array, paired: bool) -> float:
    """McNemar's exact test of pairs, or Fisher's exact test."""
    if paired:
        gained, lost = int(np.sum(after > before)), int(np.sum(after < before))
        return float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    table = [[int(values.sum()), len(values) - int(values.sum())] for values in (before, after)]
    return float(stats.fisher_exact(table).pvalue)


def _error(row: Row, name: str) -> float | None:
    return abs(row.estimate[name] - row.truth[name]) if name in row.estimate and name in row.truth else None


def _divergence(row: Row, of: str) -> float | None:
    return next((prediction.kl for prediction in row.predictions if prediction.of == of), None)


def _median_seconds(rows: Mapping[int, Row]) -> float:
    seconds: Sequence[float] = [row.seconds for row in rows.values() if row.seconds]
    return float(np.median(seconds)) if seconds else float("nan")
