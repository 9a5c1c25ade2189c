"""Intervals side by side: one line of text per quantity, and below it one interval per estimator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from validation.report import summaries
from validation.report.figures.estimates import fitted
from validation.report.marks import Axis, drawing, line, ring, words
from validation.report.panels import Palette
from validation.report.summaries import ByEstimator
from validation.report.words import short
from validation.study.plan import Described
from validation.study.row import LEVEL

WIDTH, LEFT, RIGHT, TOP = 360.0, 10.0, 350.0, 22.0
HEAD, STEP, FOOT = 17.0, 10.0, 26.0
MOST = 8  # quantities of one panel


@dataclass(frozen=True)
class Whisker:
    """A number with an interval."""

    value: float
    low: float
    high: float


Whiskers = Mapping[str, Mapping[str, Whisker]]  # by quantity and estimator


def coverage(scenario: Described, rows: ByEstimator, palette: Palette, claimed: frozenset[str]) -> list[str]:
    """Return coverage by quantity and estimator with exact binomial intervals, and the nominal level."""
    names = summaries.with_intervals(scenario, rows, claimed)
    found = {}
    for quantity in summaries.quantities(rows):
        rates = {name: summaries.coverage(rows[name], quantity) for name in names if rows[name]}
        found[quantity] = {name: Whisker(r.count / r.replicates, r.low, r.high) for name, r in rates.items()}
    return forest("Share of 90 % intervals that hold the truth", found, palette, reference=LEVEL)


def efficiency(scenario: Described, rows: ByEstimator, palette: Palette) -> list[str]:
    """Return efficiency by quantity and estimator with its interval, and the bound."""
    found: dict[str, dict[str, Whisker]] = {}
    for quantity, bound in summaries.bounds(scenario).items():
        each = {name: summaries.efficiency(rows[name], quantity, bound) for name in fitted(scenario, rows)}
        found[quantity] = {name: Whisker(e.value, e.low, e.high) for name, e in each.items() if e}
    return forest("Cramér–Rao bound / mean squared error", found, palette, reference=1.0, log=True)


def distances(scenario: Described, rows: ByEstimator, palette: Palette) -> list[str]:
    """Return mean Wasserstein-1 distance to the exact posterior, give or take two standard errors."""
    found: dict[str, dict[str, Whisker]] = {}
    for entry in summaries.compared(rows):
        each = {name: summaries.distance(rows[name], entry) for name in scenario.estimators}
        means = {name: measured[0] for name, measured in each.items() if measured}
        found[entry] = {
            name: Whisker(m.value, m.value - 2 * (m.error or 0), m.value + 2 * (m.error or 0))
            for name, m in means.items()
            if m.value is not None
        }
    return forest("Mean Wasserstein-1 to the exact posterior, in its sd", found, palette, reference=0.0)


def forest(title: str, found: Whiskers, palette: Palette, *, reference: float, log: bool = False) -> list[str]:
    """Return panels of at most MOST quantities, all on one axis."""
    found = {quantity: each for quantity, each in found.items() if each}
    if not found:
        return []
    all_of = [w for each in found.values() for w in each.values()]
    ends = np.array([v for w in all_of for v in (w.low, w.high)] + [reference])
    x = Axis.over(ends, LEFT, RIGHT, log=log, pad=0.03)
    names = list(found)
    parts = -(-len(names) // MOST)
    size = -(-len(names) // parts)
    return [
        _panel(title, {q: found[q] for q in names[i : i + size]}, palette, x, reference)
        for i in range(0, len(names), size)
    ]


def _panel(title: str, found: Whiskers, palette: Palette, x: Axis, reference: float) -> str:
    bottom = TOP + sum(HEAD + STEP * len(each) for each in found.values()) + 4
    parts = [words(4, 14, title, "title")]
    for value, text in x.ticks():
        place = float(x.at(value))
        parts += [line([place, place], [TOP, bottom], "grid"), words(place, bottom + 13, text, "tick x")]
    at = float(x.at(reference))
    parts += [line([LEFT, RIGHT], [bottom, bottom], "frame"), line([at, at], [TOP, bottom], "truth dashed")]
    y = TOP
    for quantity, each in found.items():
        parts.append(words(LEFT, y + 12, short(quantity), "label"))
        y += HEAD
        for name, whisker in each.items():
            parts += _whisker(whisker, x, y + STEP / 2, palette.css(name))
            y += STEP
    what = f"{title}: {', '.join(found)} by {', '.join(_names(found))}"
    return drawing(WIDTH, bottom + FOOT, parts, what)


def _whisker(whisker: Whisker, x: Axis, y: float, css: str) -> list[str]:
    low, high = x.at(np.clip([whisker.low, whisker.high], x.low, x.high))
    return [line([low, high], [y, y], css), ring(float(x.at(whisker.value)), y, css)]


def _names(found: Whiskers) -> Sequence[str]:
    return list(dict.fromkeys(name for each in found.values() for name in each))
