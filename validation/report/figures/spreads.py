"""How a positive number is spread over replicates: divergences, seconds, effective draws per second."""

from collections.abc import Mapping

import numpy as np

from validation.report import summaries
from validation.report.figures.estimates import robust
from validation.report.marks import Array, line
from validation.report.panels import (
    LEFT,
    RIGHT,
    Palette,
    column_names,
    columns_of_dots,
    framed,
    is_approximate,
)
from validation.report.summaries import ByEstimator
from validation.report.words import clipped
from validation.study.plan import PlannedScenario

LEAST = 1e-6  # a smaller divergence is drawn here


def divergences(scenario: PlannedScenario, rows: ByEstimator, palette: Palette) -> list[str]:
    """Return one panel per intervention: the divergence in every replicate, and what an efficient estimator expects."""
    names = [name for name in scenario.estimators if not is_approximate(name)]
    panels = []
    for intervention in scenario.interventions:
        predictions = {name: summaries.predictions(rows[name], intervention) for name in names}
        values = {name: np.array([max(p.kl, LEAST) for p in predictions[name]]) for name in names}
        expected = scenario.asymptotics.kl.get(intervention) if scenario.asymptotics else None
        panels.append(spread(f"KL, nats: {intervention}", values, palette, reference=expected))
    return [panel for panel in panels if panel]


def seconds(scenario: PlannedScenario, rows: ByEstimator, palette: Palette) -> list[str]:
    """Return the seconds that fits took, and where there are draws, the effective ones per second."""
    times = {name: np.array([r.seconds for r in rows[name] if r.seconds]) for name in scenario.estimators}
    rates = {
        name: np.array([r.ess_per_second for r in rows[name] if r.ess_per_second is not None])
        for name in scenario.estimators
    }
    panels = [spread("seconds per fit", times, palette), spread("effective draws per second", rates, palette)]
    return [panel for panel in panels if panel]


def spread(title: str, values: Mapping[str, Array], palette: Palette, reference: float | None = None) -> str:
    """Return a panel with a column of dots for each estimator and a bar at the median; "" where there is nothing."""
    values = {name: v for name, v in values.items() if v.size}
    if not values:
        return ""
    names = list(values)
    all_values = np.concatenate([*values.values(), [reference] if reference else []])
    y = robust(all_values, log=True)
    marks = [line([LEFT, RIGHT], y.at([reference] * 2), "truth dashed")] if reference else []
    marks += columns_of_dots(values, y, palette, np.median)
    description = f"{title} by {', '.join(names)}, each replicate a dot, on a logarithmic axis"
    return framed(clipped(title, 40), marks, x=column_names(names), y=y, description=description)
