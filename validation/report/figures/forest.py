"""Intervals side by side: one line of text per quantity, and below it one interval per estimator."""

from collections.abc import Mapping

import numpy as np
from scipy import stats

from validation.report import summaries
from validation.report.figures.estimates import fitted
from validation.report.marks import Axis, block, drawing, line, ring, text_at
from validation.report.panels import Palette
from validation.report.summaries import ByEstimator, Ranged
from validation.report.words import short
from validation.study.plan import PlannedScenario
from validation.study.row import LEVEL

WIDTH, LEFT, RIGHT, TOP = 360.0, 10.0, 350.0, 22.0
HEAD, STEP, FOOT = 17.0, 10.0, 26.0
MOST = 8  # quantities of one panel
Intervals = Mapping[str, Mapping[str, Ranged]]  # by quantity and estimator
Bands = Mapping[str, tuple[float, float]]  # by estimator


def coverage(scenario: PlannedScenario, rows: ByEstimator, palette: Palette, claimed: frozenset[str]) -> list[str]:
    """Return coverage by quantity and estimator with exact binomial intervals, and the nominal level."""
    names = [name for name in summaries.with_intervals(scenario, rows, claimed) if rows[name]]
    rates = {
        quantity: {name: summaries.coverage(rows[name], quantity) for name in names}
        for quantity in summaries.quantities(rows)
    }
    bands = {name: band(len(rows[name])) for name in names}
    return forest("Share of 90 % intervals that hold the truth", rates, palette, reference=LEVEL, bands=bands)


def band(replicates: int) -> tuple[float, float]:
    """Return between which shares of so many replicates an exact coverage is found with probability CONFIDENCE."""
    tail = (1 - summaries.CONFIDENCE) / 2
    low, high = stats.binom.ppf([tail, 1 - tail], replicates, LEVEL)
    return float(low) / replicates, float(high) / replicates


def efficiency(scenario: PlannedScenario, rows: ByEstimator, palette: Palette) -> list[str]:
    """Return efficiency by quantity and estimator with its interval, and the bound."""
    efficiencies = {
        quantity: {
            name: ranged
            for name in fitted(scenario, rows)
            if (ranged := summaries.efficiency(rows[name], quantity, bound))
        }
        for quantity, bound in summaries.bounds(scenario).items()
    }
    return forest("Cramér–Rao bound / mean squared error", efficiencies, palette, reference=1.0, log=True)


def distances(scenario: PlannedScenario, rows: ByEstimator, palette: Palette) -> list[str]:
    """Return mean Wasserstein-1 distance to the exact posterior, give or take two standard errors."""
    intervals: dict[str, dict[str, Ranged]] = {}
    for entry in summaries.compared(rows):
        intervals[entry] = {}
        for name in scenario.estimators:
            distance = summaries.distance(rows[name], entry)
            if distance and (value := distance[0].value) is not None:
                error = distance[0].error or 0
                intervals[entry][name] = Ranged(value, value - 2 * error, value + 2 * error)
    return forest("Mean Wasserstein-1 to the exact posterior, in its sd", intervals, palette, reference=0.0)


def forest(
    title: str,
    intervals: Intervals,
    palette: Palette,
    *,
    reference: float,
    log: bool = False,
    bands: Bands | None = None,
) -> list[str]:
    """Return panels of at most MOST quantities, all on one axis, with a band behind each line where there are any."""
    intervals = {quantity: by_name for quantity, by_name in intervals.items() if by_name}
    if not intervals:
        return []
    ends = [end for by_name in intervals.values() for ranged in by_name.values() for end in (ranged.low, ranged.high)]
    bands = bands or {}
    ends += [end for of_estimator in bands.values() for end in of_estimator]
    x = Axis.over(np.array([*ends, reference]), LEFT, RIGHT, log=log, pad=0.03)
    names = list(intervals)
    num_panels = -(-len(names) // MOST)
    size = -(-len(names) // num_panels)
    return [
        _panel(title, {quantity: intervals[quantity] for quantity in names[i : i + size]}, palette, x, reference, bands)
        for i in range(0, len(names), size)
    ]


def _panel(title: str, intervals: Intervals, palette: Palette, x: Axis, reference: float, bands: Bands) -> str:
    bottom = TOP + sum(HEAD + STEP * len(by_name) for by_name in intervals.values()) + 4
    marks = [text_at(4, 14, title, "title")]
    for value, text in x.ticks():
        tick = float(x.at(value))
        marks += [line([tick, tick], [TOP, bottom], "grid"), text_at(tick, bottom + 13, text, "tick x")]
    at = float(x.at(reference))
    marks += [line([LEFT, RIGHT], [bottom, bottom], "frame"), line([at, at], [TOP, bottom], "truth dashed")]
    y = TOP
    for quantity, by_name in intervals.items():
        marks.append(text_at(LEFT, y + 12, short(quantity), "label"))
        y += HEAD
        for name, ranged in by_name.items():
            low, high = x.at(np.clip([ranged.low, ranged.high], x.low, x.high))
            middle, css = y + STEP / 2, palette.css(name)
            if name in bands:
                start, end = x.at(np.array(bands[name]))
                marks.append(block((start, end), (y, y + STEP), "band"))
            marks += [line([low, high], [middle, middle], css), ring(float(x.at(ranged.value)), middle, css)]
            y += STEP
    names = dict.fromkeys(name for by_name in intervals.values() for name in by_name)
    return drawing(WIDTH, bottom + FOOT, marks, f"{title}: {', '.join(intervals)} by {', '.join(names)}")
