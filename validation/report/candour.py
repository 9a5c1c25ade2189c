"""Silent and wrong, warned, or right: what became of every contrast that was asked of the fits."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from validation.claims.endings import Ending, answered, ending, holds_truth
from validation.measures.answers import length
from validation.report import summaries
from validation.report.figures.bars import Bar, bars
from validation.report.summaries import ByEstimator
from validation.report.tables import Cell, Column, Table, name_cell, number_cell
from validation.report.topic import Figures, Topic
from validation.report.words import interval, short
from validation.scenarios import Allowed
from validation.study.plan import Plan, PlannedScenario
from validation.study.row import Row

Rows = Mapping[str, ByEstimator]  # by scenario
CSS = {Ending.SILENT: "silent", Ending.WARNED: "warned", Ending.RIGHT: "right", Ending.LOST: "lost"}
TITLE = "Silent and wrong, warned, or right"
READING = (
    "A bar is all replicates of an estimator: red gave no warning and leave the truth out; amber warned; green hold it."
)
NOTES = (
    "Red are fits that gave no warning and leave the truth of the contrast out of their set of answers at 99.9 %; "
    "amber gave a status other than CONVERGED, a warning or a refusal; green gave none and hold the truth; grey gave "
    "no fit, and said why. The set of a point fit are the likelihood intervals of all modes that it knows, that of "
    "other fits the range of their draws, at the level that their number can promise. A warning is right where the "
    "rows allow several answers, and a false alarm where they allow one. A long set is safe and says little: its "
    "length stands in the table. Where not one of n fits is silent and wrong, the share may still be up to about 3.7 "
    "/ n. A posterior keeps its level over truths drawn from its prior, not at each one: where the rows allow a range "
    "it is largely the prior's, and a truth at the end of that range is left out by draws that are right for their "
    "prior. That is no fault of the sampler, which says NOT_IDENTIFIED there."
)
COLUMNS = (
    Column("Scenario", numeric=False),
    Column("The rows allow", numeric=False),
    Column("Estimator", numeric=False),
    Column("Replicates"),
    Column("Silent and wrong", hint="no warning and the truth left out; in brackets the exact 95 % interval"),
    Column("Warned", hint="a status other than CONVERGED, a warning, or a refusal to answer"),
    Column("Right", hint="no warning, and the truth in the set of answers"),
    Column("No fit", hint="the estimator, or the Laplace approximation, raised an error in words"),
    Column("Set holds the truth", hint="of the fits that gave one, warned or not; of many rivals none is sought"),
    Column("Median length", hint="of the set of answers, all its intervals together, in units of the outcome"),
    Column("Contrast", numeric=False),
)


def topic(plan: Plan, rows: Rows) -> Topic | None:
    """Return the table and the figures of all scenarios that ask for sets of answers; None where none does."""
    asked = list(_asked(plan, rows))
    if not asked:
        return None

    def figures() -> Figures:
        return [[_bars(scenario, contrast, rows[scenario.name]) for scenario, contrast in asked]]

    lines = tuple(
        _line(plan, scenario, contrast, name, rows[scenario.name][name])
        for scenario, contrast in asked
        for name in scenario.estimators
        if rows[scenario.name][name]
    )
    return Topic(TITLE, READING, NOTES, figures, Table("candour", COLUMNS, lines))


def _asked(plan: Plan, rows: Rows) -> Iterator[tuple[PlannedScenario, str]]:
    """Scenarios with each contrast that any of their fits answers."""
    for scenario in plan.scenarios:
        for contrast in answered(row for of_estimator in rows[scenario.name].values() for row in of_estimator):
            yield scenario, contrast


def _bars(scenario: PlannedScenario, contrast: str, rows: ByEstimator) -> str:
    lines = {name: _counts(rows[name], contrast) for name in scenario.estimators if rows[name]}
    return bars(
        f"{scenario.name}: {_words(scenario)}",
        {name: [Bar(count, CSS[end]) for end, count in counts.items()] for name, counts in lines.items()},
        f"{short(contrast)}: "
        + "; ".join(
            f"{name}: " + ", ".join(f"{count} {end.name.lower()}" for end, count in counts.items() if count)
            for name, counts in lines.items()
        ),
    )


def _counts(rows: Sequence[Row], contrast: str) -> dict[Ending, int]:
    """How many answers ended how, the worst first."""
    counts = Counter(ending(row, contrast) for row in rows)
    return {end: counts[end] for end in Ending}


def _words(scenario: PlannedScenario) -> str:
    """What the rows allow, in a word or two."""
    assert scenario.allowed is not None
    return {
        Allowed.ONE: "one answer",
        Allowed.AT_AN_END: "one answer, at an end",
        Allowed.LABELS: "labels are unsure",
        Allowed.SEVERAL: "several answers",
        Allowed.RANGE: "a range",
        Allowed.MIXED: "one, several, a range",
    }[scenario.allowed]


def _line(plan: Plan, scenario: PlannedScenario, contrast: str, name: str, rows: Sequence[Row]) -> tuple[Cell, ...]:
    counts, total = _counts(rows, contrast), len(rows)
    with_set = [row for row in rows if contrast in row.answers and row.answers[contrast].intervals]
    held = sum(holds_truth(row, contrast) for row in with_set)
    lengths = [length(row.answers[contrast].intervals) for row in with_set]
    return (
        name_cell(scenario.name, [one.name for one in plan.scenarios]),
        Cell(_words(scenario)),
        name_cell(name, scenario.estimators),
        number_cell(total, 9),
        _share(counts[Ending.SILENT], total, "bad" if counts[Ending.SILENT] else ""),
        _share(counts[Ending.WARNED], total),
        _share(counts[Ending.RIGHT], total),
        number_cell(counts[Ending.LOST], 9),
        Cell(f"{held} of {len(with_set)}", held, css="bad" if held < len(with_set) else ""),
        number_cell(float(np.median(lengths)) if lengths else None),
        Cell(short(contrast)),
    )


def _share(count: int, total: int, css: str = "") -> Cell:
    """A count, and the exact interval of its share."""
    ranged = summaries.share(count, total)
    return Cell(f"{count} ({interval(ranged.low, ranged.high, 2)})", count, css=css)
