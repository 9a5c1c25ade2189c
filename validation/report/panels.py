"""Frames of the report's small panels: title, axes with ticks, and marks inside."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from validation.report.marks import Array, Axis, dots, drawing, line, words
from validation.report.words import clipped
from validation.study.plan import Plan

WIDTH, HEIGHT = 260.0, 176.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 246.0, 26.0, 146.0
MOST = 400  # dots of one column
SERIES = 8  # colours of the page
LETTER = 5.4  # pixels


@dataclass(frozen=True)
class Palette:
    """The colour of every estimator, the same in every figure; a Laplace approximation has its point estimate's."""

    bases: tuple[str, ...]

    @staticmethod
    def of(plan: Plan) -> "Palette":
        """Return the colours of a study."""
        named = dict.fromkeys((*plan.contenders, *(name for each in plan.scenarios for name in each.estimators)))
        return Palette(tuple(name for name in named if base(name) == name))

    def css(self, name: str) -> str:
        """Return the classes of an estimator's marks."""
        place = self.bases.index(base(name)) if base(name) in self.bases else len(self.bases)
        return f"c{place % SERIES}" + (" approximate" if is_approximate(name) else "")


def base(name: str) -> str:
    """Return the name of the point estimate that a row belongs to."""
    return name.removesuffix("+laplace")


def is_approximate(name: str) -> bool:
    """Whether a row is of a Laplace approximation."""
    return base(name) != name


def thinned(values: ArrayLike) -> Array:
    """Return at most MOST of the values, evenly chosen."""
    array = np.asarray(values, dtype=np.float64)
    if len(array) <= MOST:
        return array
    return np.asarray(array[np.linspace(0, len(array) - 1, MOST).astype(int)])


def framed(
    title: str,
    marks: Sequence[str],
    *,
    x: Axis | Sequence[tuple[float, str]],
    y: Axis,
    description: str,
    labels: tuple[str, str] = ("", ""),
) -> str:
    """Return a panel: marks in a frame with a title and ticks. `x` is an axis, or places with their names."""
    across = [(float(x.at(v)), text) for v, text in x.ticks()] if isinstance(x, Axis) else list(x)
    parts = [words(4, 14, title, "title")]
    for value, text in y.ticks():
        place = float(y.at(value))
        parts += [line([LEFT, RIGHT], [place, place], "grid"), words(LEFT - 5, place + 3.5, text, "tick y")]
    for place, text in across:
        for i, part in enumerate(text.split("\n")):
            parts.append(words(place, BOTTOM + 12 + 10 * i, part, "tick x"))
    parts.append(line([LEFT, RIGHT], [BOTTOM, BOTTOM], "frame"))
    if labels[0]:
        parts.append(words(RIGHT, HEIGHT - 3, labels[0], "label end"))
    if labels[1]:
        parts.append(words(RIGHT, 14, labels[1], "label end"))
    return drawing(WIDTH, HEIGHT, [*parts, *marks], description)


def column_names(names: Sequence[str]) -> list[tuple[float, str]]:
    """Return places and names of the columns; a Laplace approximation's name is in two lines."""
    width = (RIGHT - LEFT) / max(len(names), 1)
    letters = max(4, int(width / LETTER))
    texts = [clipped(base(name), letters) + ("\n+lapl." if is_approximate(name) else "") for name in names]
    return [(LEFT + width * (i + 0.5), text) for i, text in enumerate(texts)]


def jittered(middle: float, count: int, width: float) -> Array:
    """Return places around the middle of a column, in a fixed pattern."""
    return np.asarray(middle + 0.3 * width * np.sin(2.399963 * np.arange(count)))


def column_of_dots(values: Array, y: Axis, middle: float, width: float, css: str) -> str:
    """Return a column of dots, and how many lie beyond the panel."""
    seen = thinned(values)
    kept = seen[y.holds(seen)]
    above, below = int(np.sum(values > y.high)), int(np.sum(values < y.low))
    marks = dots(jittered(middle, len(kept), width), y.at(kept), css)
    if above:
        marks += words(middle, TOP + 6, f"▲{above}", "beyond")
    if below:
        marks += words(middle, BOTTOM - 3, f"▼{below}", "beyond")
    return marks


def columns_of_dots(
    values: Mapping[str, Array], y: Axis, palette: Palette, centre: Callable[[Array], Any]
) -> list[str]:
    """Return a column of dots for each estimator with a bar at its centre, and how many are infinite."""
    width = (RIGHT - LEFT) / max(len(values), 1)
    marks = []
    for (name, everything), (middle, _) in zip(values.items(), column_names(list(values)), strict=True):
        marks.append(column_of_dots(everything[np.isfinite(everything)], y, middle, width, palette.css(name)))
        if infinite := int(np.sum(np.isinf(everything))):
            marks.append(words(middle, TOP + 6, f"∞ {infinite}", "beyond"))
        if everything.size and y.holds(bar := float(centre(everything))):
            marks.append(line([middle - 0.36 * width, middle + 0.36 * width], y.at([bar] * 2), "mean"))
    return marks
