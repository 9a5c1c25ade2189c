"""Efficiency against the number of rows: one panel per quantity, the estimators side by side at each N."""

from collections.abc import Mapping, Sequence

import numpy as np

from validation.report import summaries
from validation.report.figures.estimates import fitted
from validation.report.marks import Axis, line, ring
from validation.report.panels import BOTTOM, LEFT, RIGHT, TOP, Palette, framed
from validation.report.summaries import ByEstimator, Ranged
from validation.report.words import clipped
from validation.study.plan import PlannedScenario

Rows = Mapping[str, ByEstimator]  # by scenario


def efficiency(scenarios: Sequence[PlannedScenario], rows: Rows, palette: Palette) -> list[str]:
    """Return one panel per quantity of a family."""
    names = dict.fromkeys(quantity for scenario in scenarios for quantity in summaries.bounds(scenario))
    return [_panel(quantity, scenarios, rows, palette) for quantity in names]


def _panel(quantity: str, scenarios: Sequence[PlannedScenario], rows: Rows, palette: Palette) -> str:
    efficiencies: dict[tuple[int, str], Ranged] = {}
    for i, scenario in enumerate(scenarios):
        bound = summaries.bounds(scenario).get(quantity)
        for name in fitted(scenario, rows[scenario.name]) if bound else ():
            if bound and (value := summaries.efficiency(rows[scenario.name][name], quantity, bound)):
                efficiencies[i, name] = value
    ends = [end for ranged in efficiencies.values() for end in (ranged.low, ranged.high)]
    y = Axis.over(np.array([*ends, 1.0]), BOTTOM, TOP, log=True)
    marks = [line([LEFT, RIGHT], y.at([1.0, 1.0]), "truth dashed")]
    width = (RIGHT - LEFT) / len(scenarios)
    middles = [LEFT + width * (i + 0.5) for i in range(len(scenarios))]
    names = list(dict.fromkeys(name for _, name in efficiencies))
    for j, name in enumerate(names):
        beside = (j - (len(names) - 1) / 2) * min(12.0, 0.8 * width / len(names))
        points = [(middles[i] + beside, e) for (i, estimator), e in efficiencies.items() if estimator == name]
        if len(points) > 1:
            marks.append(line([x for x, _ in points], y.at([e.value for _, e in points]), f"{palette.css(name)} faint"))
        for x, e in points:
            marks.append(line([x, x], y.at([e.low, e.high]), palette.css(name)))
            marks.append(ring(x, float(y.at(e.value)), palette.css(name)))
    ticks = [(middle, f"N={scenario.num_rows}") for middle, scenario in zip(middles, scenarios, strict=True)]
    description = (
        f"Cramér–Rao bound over mean squared error of {quantity} against the number of rows, by {', '.join(names)}"
    )
    return framed(clipped(quantity, 40), marks, x=ticks, y=y, description=description)
