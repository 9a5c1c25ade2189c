"""Truth and estimates: a column of dots per estimator where the truth is fixed, a scatter where it varies."""

from collections.abc import Sequence

import numpy as np

from validation.report.marks import Array, Axis, area, dots, line, spans, text_at
from validation.report.panels import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Palette,
    column_names,
    columns_of_dots,
    framed,
    is_approximate,
    thinned,
)
from validation.report.summaries import ByEstimator, bounds, quantities
from validation.report.words import clipped, short
from validation.scenarios.quantities import greeks, is_contrast, is_query
from validation.study.plan import PlannedScenario
from validation.study.row import Row

INNER = 1.6448536269514722  # sd of a normal variable's central 90 %


def strips(scenario: PlannedScenario, rows: ByEstimator, palette: Palette) -> list[list[str]]:
    """Return one panel per quantity: every replicate's estimate, the truth, and an efficient estimator's 90 %."""
    return [[_strip(scenario, rows, palette, quantity) for quantity in quantities(rows)]]


def scatters(scenario: PlannedScenario, rows: ByEstimator, palette: Palette) -> list[list[str]]:
    """Return a row of panels per kind of quantity, one for each estimator: estimates against their own truths."""
    names = fitted(scenario, rows)
    if not names:
        return []
    figures = []
    for label, entries in _grouped(quantities(rows)).items():
        pairs = {name: _pairs(rows[name], entries) for name in names}
        axis = robust(np.concatenate([values.ravel() for values in pairs.values()]))
        spread = {name: _intervals(rows, name, entries, palette.intervals) for name in names}
        figures.append(
            [
                _scatter(f"{name}: {label}", pairs[name], spread[name], axis, palette.css(name), palette.dots)
                for name in names
            ]
        )
    return figures


def fitted(scenario: PlannedScenario, rows: ByEstimator) -> list[str]:
    """Return the estimators that gave estimates, without Laplace approximations, whose centre is their mode."""
    return [
        name for name in scenario.estimators if not is_approximate(name) and any(row.estimate for row in rows[name])
    ]


def robust(values: Array, *, log: bool = False) -> Axis:
    """Return an axis that holds all but values far beyond the bulk, which are counted at the edge instead."""
    v = values[np.isfinite(values)]
    if v.size and not log:
        low, high = np.quantile(v, [0.01, 0.99])
        v = v[(v >= low - (high - low)) & (v <= high + (high - low))]
    return Axis.over(v, BOTTOM, TOP, log=log)


def _strip(scenario: PlannedScenario, rows: ByEstimator, palette: Palette, quantity: str) -> str:
    names = fitted(scenario, rows)
    values = {name: np.array([r.estimate[quantity] for r in rows[name] if quantity in r.estimate]) for name in names}
    all_rows = [row for of_estimator in rows.values() for row in of_estimator]
    truth = float(np.mean([row.truth[quantity] for row in all_rows if quantity in row.truth]))
    half = INNER * bounds(scenario).get(quantity, 0.0)
    y = robust(np.concatenate([*values.values(), [truth - half, truth, truth + half]]))
    marks = []
    if half:
        marks.append(area([LEFT, RIGHT], y.at([truth - half] * 2), y.at([truth + half] * 2), "truth"))
    marks.append(line([LEFT, RIGHT], y.at([truth] * 2), "truth dashed"))
    width = (RIGHT - LEFT) / max(len(names), 1)
    for name, (middle, _) in zip(names, column_names(names), strict=True):
        of = _intervals(rows, name, [quantity], palette.intervals)
        marks += _upright(of, np.linspace(middle - 0.4 * width, middle + 0.4 * width, len(of)), y, palette.css(name))
    marks += columns_of_dots(values, y, palette, np.mean)
    description = f"Estimates of {quantity} by {', '.join(names)}, with the truth {truth:.3g} as a line"
    return framed(clipped(quantity, 40), marks, x=column_names(names), y=y, description=description)


def _grouped(names: Sequence[str]) -> dict[str, list[str]]:
    """Quantities that share a panel, by its title: the entries of a Greek, interventional means, contrasts."""
    groups: dict[str, list[str]] = {}
    for name in greeks(names):
        groups.setdefault(name.split("[")[0], []).append(name)
    contrasts = [name for name in names if is_contrast(name)]
    means = [name for name in names if is_query(name) and name not in contrasts]
    for title, queries in (("means under do(…)", means), ("contrasts", contrasts)):
        if queries:
            groups[title if len(queries) > 1 else short(queries[0])] = queries
    return groups


def _pairs(rows: Sequence[Row], names: Sequence[str]) -> Array:
    """Truth and estimate [M, 2] of all entries in all replicates."""
    pairs = [(r.truth[q], r.estimate[q]) for r in rows for q in names if q in r.estimate and q in r.truth]
    return np.array(pairs, dtype=np.float64).reshape(-1, 2)


def _intervals(rows: ByEstimator, name: str, names: Sequence[str], most: int) -> Array:
    """Truth, lower and upper end [M, 3] of at most so many intervals, an estimator's or its Laplace approximation's."""
    own, approximate = rows[name], rows.get(f"{name}+laplace", ())
    chosen = own if any(row.intervals for row in own) else approximate
    ends = [
        (row.truth[q], row.intervals[q].lower, row.intervals[q].upper)
        for row in chosen
        for q in names
        if q in row.intervals and q in row.truth
    ]
    kept = thinned(np.arange(len(ends)), most).astype(int)
    return np.array([ends[i] for i in kept], dtype=np.float64).reshape(-1, 3)


def _upright(intervals: Array, x: Array, y: Axis, css: str) -> list[str]:
    """Intervals as upright lines at these pixels; those that leave their truth out in a colour of their own."""
    truth, low, high = intervals.T
    visible = (high >= y.low) & (low <= y.high) & np.isfinite(x)
    misses = (truth < low) | (truth > high)
    bottom, top = y.at(np.clip(low, y.low, y.high)), y.at(np.clip(high, y.low, y.high))
    return [
        spans(x[of], bottom[of], top[of], colour)
        for of, colour in ((visible & ~misses, css), (visible & misses, "miss"))
        if of.any()
    ]


def _scatter(title: str, pairs: Array, intervals: Array, y: Axis, css: str, most: int) -> str:
    truth, estimate = pairs.T
    x, ends = Axis(y.low, y.high, LEFT, RIGHT), np.array([y.low, y.high])
    inside = x.holds(truth) & y.holds(estimate)
    kept = thinned(np.flatnonzero(inside), most).astype(int)
    on_axis = intervals[x.holds(intervals[:, 0])]
    marks = [
        line(x.at(ends), y.at(ends), "truth"),
        *_upright(on_axis, x.at(on_axis[:, 0]), y, css),
        dots(x.at(truth[kept]), y.at(estimate[kept]), css),
    ]
    if beyond := int(np.sum(~inside)):
        marks.append(text_at(RIGHT - 12, TOP + 8, f"▲▼{beyond}", "beyond"))
    description = f"Estimates against the truth, {title}, with 90 % intervals"
    return framed(clipped(title, 28), marks, x=x, y=y, description=description, labels=("truth", "estimate"))
