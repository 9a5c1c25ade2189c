"""Frames of the report's small panels: title, axes with ticks, and marks inside."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from validation.report.marks import Array, Axis, dots, drawing, line, text_at
from validation.report.words import clipped
from validation.study.plan import Plan, PlannedScenario

WIDTH, HEIGHT = 260.0, 176.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 246.0, 26.0, 146.0
MOST, LEAST = 400, 10  # dots of one column
CROWDED = 60  # dots of a column, where a page has many scenarios
INTERVALS, DENSITIES, PANELS = 24, 8, 60
DOTS = 40_000  # on a page, which are about half a megabyte
SERIES = 8  # colours of the page
LETTER = 5.4  # pixels


@dataclass(frozen=True)
class Palette:
    """How estimators are drawn, the same in every figure: their colours, and at most how many dots a column has.

    A Laplace approximation has the colour of its point estimate. Of many scenarios each has fewer dots, intervals,
    replicates whose densities are drawn, and panels, so that the page stays small.
    """

    bases: tuple[str, ...]
    dots: int = MOST

    @property
    def is_crowded(self) -> bool:
        """Whether there is little room for each scenario."""
        return self.dots < CROWDED

    @property
    def intervals(self) -> int:
        """How many intervals a column or a scatter has."""
        return min(INTERVALS, max(self.dots // 4, 6))

    @property
    def densities(self) -> int:
        """Of how many replicates predicted densities are drawn."""
        return 2 if self.is_crowded else DENSITIES

    @property
    def panels(self) -> int:
        """How many panels a row has."""
        return 4 if self.is_crowded else PANELS

    @staticmethod
    def of(plan: Plan) -> "Palette":
        """Return the colours of a study, and what it has room for."""
        columns = sum(_columns(scenario) for scenario in plan.scenarios)
        named = dict.fromkeys(
            (*plan.contenders, *(name for scenario in plan.scenarios for name in scenario.estimators))
        )
        bases = tuple(name for name in named if base(name) == name)
        return Palette(bases, min(MOST, max(LEAST, DOTS // max(columns, 1))))

    def css(self, name: str) -> str:
        """Return the classes of an estimator's marks."""
        index = self.bases.index(base(name)) if base(name) in self.bases else len(self.bases)
        return f"c{index % SERIES}" + (" approximate" if is_approximate(name) else "")


def base(name: str) -> str:
    """Return the name of the point estimate that a row belongs to."""
    return name.removesuffix("+laplace")


def is_approximate(name: str) -> bool:
    """Whether a row is of a Laplace approximation."""
    return base(name) != name


def thinned(values: ArrayLike, most: int = MOST) -> Array:
    """Return at most so many of the values, evenly chosen."""
    array = np.asarray(values, dtype=np.float64)
    if len(array) <= most:
        return array
    return np.asarray(array[np.linspace(0, len(array) - 1, most).astype(int)])


def _columns(scenario: PlannedScenario) -> int:
    """About how many columns of dots a scenario has: quantities, interventions, seconds and draws per second."""
    quantities = len(scenario.asymptotics.truth) if scenario.asymptotics else 4 + len(scenario.interventions)
    return (quantities + len(scenario.interventions) + 2) * len(scenario.estimators)


def framed(
    title: str,
    marks: Sequence[str],
    *,
    x: Axis | Sequence[tuple[float, str]],
    y: Axis,
    description: str,
    labels: tuple[str, str] = ("", ""),
) -> str:
    """Return a panel: marks in a frame with a title and ticks. `x` is an axis, or pixels with their names."""
    across = [(float(x.at(v)), text) for v, text in x.ticks()] if isinstance(x, Axis) else list(x)
    frame = [text_at(4, 14, title, "title")]
    for value, text in y.ticks():
        tick = float(y.at(value))
        frame += [line([LEFT, RIGHT], [tick, tick], "grid"), text_at(LEFT - 5, tick + 3.5, text, "tick y")]
    for tick, text in across:
        for i, text_line in enumerate(text.split("\n")):
            frame.append(text_at(tick, BOTTOM + 12 + 10 * i, text_line, "tick x"))
    frame.append(line([LEFT, RIGHT], [BOTTOM, BOTTOM], "frame"))
    frame += [
        text_at(RIGHT, at, label, "label end") for at, label in zip((HEIGHT - 3, 14), labels, strict=True) if label
    ]
    return drawing(WIDTH, HEIGHT, [*frame, *marks], description)


def column_names(names: Sequence[str]) -> list[tuple[float, str]]:
    """Return middles and names of the columns; a Laplace approximation's name is in two lines."""
    width = (RIGHT - LEFT) / max(len(names), 1)
    letters = max(4, int(width / LETTER))
    texts = [clipped(base(name), letters) + ("\n+lapl." if is_approximate(name) else "") for name in names]
    return [(LEFT + width * (i + 0.5), text) for i, text in enumerate(texts)]


def jittered(middle: float, count: int, width: float) -> Array:
    """Return pixels around the middle of a column, in a fixed pattern."""
    return np.asarray(middle + 0.3 * width * np.sin(2.399963 * np.arange(count)))


def column_of_dots(values: Array, y: Axis, middle: float, width: float, css: str, most: int = MOST) -> str:
    """Return a column of dots, and how many lie beyond the panel."""
    shown = thinned(values, most)
    kept = shown[y.holds(shown)]
    above, below = int(np.sum(values > y.high)), int(np.sum(values < y.low))
    marks = dots(jittered(middle, len(kept), width), y.at(kept), css)
    if above:
        marks += text_at(middle, TOP + 6, f"▲{above}", "beyond")
    if below:
        marks += text_at(middle, BOTTOM - 3, f"▼{below}", "beyond")
    return marks


def columns_of_dots(
    values: Mapping[str, Array], y: Axis, palette: Palette, centre: Callable[[Array], Any]
) -> list[str]:
    """Return a column of dots for each estimator with a bar at its centre, and how many are infinite."""
    width = (RIGHT - LEFT) / max(len(values), 1)
    marks = []
    for (name, all_values), (middle, _) in zip(values.items(), column_names(list(values)), strict=True):
        finite = all_values[np.isfinite(all_values)]
        marks.append(column_of_dots(finite, y, middle, width, palette.css(name), palette.dots))
        if infinite := int(np.sum(np.isinf(all_values))):
            marks.append(text_at(middle, TOP + 6, f"∞ {infinite}", "beyond"))
        if all_values.size and y.holds(bar := float(centre(all_values))):
            marks.append(line([middle - 0.36 * width, middle + 0.36 * width], y.at([bar] * 2), "mean"))
    return marks
