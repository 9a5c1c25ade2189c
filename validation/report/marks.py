"""Marks of a figure as fragments of SVG: text whose colours are classes of the page, so it follows light and dark.

Written directly, since a page has hundreds of panels: with 600 dots one of these takes 8 kB and half a millisecond, one
of Matplotlib's 70 kB and 30.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from validation.report.words import number

Array = NDArray[np.float64]
SEEN = 0.2  # pixels that a point of a line may be beside what is drawn
SHADES = 4  # paths over which the dots of a column are dealt, so that where many lie is darker


@dataclass(frozen=True)
class Axis:
    """Numbers from `low` to `high` on the pixels from `start` to `end`, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    @staticmethod
    def over(values: ArrayLike, start: float, end: float, *, log: bool = False, pad: float = 0.05) -> "Axis":
        """Return an axis that holds all finite `values` with some room; of 0 to 1 where there is none."""
        v = np.asarray(values, dtype=np.float64).ravel()
        v = v[np.isfinite(v) & ((v > 0) if log else True)]
        low, high = (float(v.min()), float(v.max())) if v.size else (0.1, 1.0)
        if log:
            room = max((high / low) ** pad, 1.1)
            return Axis(low / room, high * room, start, end, log)
        room = pad * (high - low) or 0.05 * abs(high) or 1.0
        return Axis(low - room, high + room, start, end)

    def at(self, values: ArrayLike) -> Array:
        """Return the pixels of numbers."""
        v = np.asarray(values, dtype=np.float64)
        low, high = self.low, self.high
        if self.log:
            v, low, high = np.log(v), math.log(low), math.log(high)
        return np.asarray(self.start + (v - low) / (high - low) * (self.end - self.start))

    def holds(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Return which numbers lie on the axis."""
        v = np.asarray(values, dtype=np.float64)
        return np.asarray((v >= self.low) & (v <= self.high))

    def ticks(self) -> list[tuple[float, str]]:
        """Return a few round numbers on the axis with their texts."""
        decades = math.log10(self.high / self.low) if self.log else 0.0
        if decades > 0.8:  # on less there is hardly a power of ten
            subs = (1.0,) if decades > 2.5 else (1.0, 3.0) if decades > 1.2 else (1.0, 2.0, 5.0)
            values = LogLocator(subs=subs, numticks=6).tick_values(self.low, self.high)
            return [(float(v), number(float(v), 2)) for v in values if self.holds(v)]
        values = MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        step = values[1] - values[0]
        digits = max(0, -math.floor(math.log10(step) + 1e-9)) + (not math.isclose(step, float(f"{step:.0e}")))
        return [(float(v), _tick(float(v), digits)) for v in values if self.holds(v)]


def dots(x: Array, y: Array, css: str) -> str:
    """Return dots: strokes of no length with round ends, dealt over a few paths."""
    paths = []
    for first in range(SHADES):
        steps = _steps(zip(x[first::SHADES], y[first::SHADES], strict=True))
        marks = "".join(f"m{_joined(step)}h0" for step in steps)
        if marks:
            paths.append(f'<path class="dots {css}" d="{marks}"/>')
    return "".join(paths)


def line(x: ArrayLike, y: ArrayLike, css: str) -> str:
    """Return a line through points, of which those are left out that nobody would see missing."""
    points = np.column_stack([np.ravel(x), np.ravel(y)]).astype(np.float64)
    return f'<path class="line {css}" d="{_through(points[_needed(points)])}"/>'


def area(x: ArrayLike, low: ArrayLike, high: ArrayLike, css: str) -> str:
    """Return the area between two lines."""
    ends = [np.column_stack([np.ravel(x), np.ravel(end)]).astype(np.float64) for end in (low, high)]
    lower, upper = (points[_needed(points)] for points in ends)
    return f'<path class="area {css}" d="{_through([*lower, *upper[::-1]])}z"/>'


def spans(x: ArrayLike, low: ArrayLike, high: ArrayLike, css: str) -> str:
    """Return upright lines as one path; "" of none."""
    lows, highs = np.ravel(low), np.ravel(high)
    # Each is drawn up from its low end, to which the next one's way is told.
    starts = _steps(zip(np.ravel(x), lows, strict=True))
    heights = [round(float(b), 1) - round(float(a), 1) for a, b in zip(lows, highs, strict=True)]
    ways = zip(starts, heights, [0.0, *heights], strict=False)
    path = "".join(f"m{_joined((a, b - last))}v{_joined((up,))}" for (a, b), up, last in ways)
    return f'<path class="span {css}" d="{path}"/>' if path else ""


def block(x: tuple[float, float], y: tuple[float, float], css: str) -> str:
    """Return a rectangle between two corners."""
    return f'<path class="area {css}" d="M{x[0]:.1f} {y[0]:.1f}H{x[1]:.1f}V{y[1]:.1f}H{x[0]:.1f}z"/>'


def ring(x: float, y: float, css: str) -> str:
    """Return one point as a circle, which CSS fills or leaves hollow."""
    return f'<circle class="ring {css}" cx="{_short(f"{x:.1f}")}" cy="{_short(f"{y:.1f}")}" r="3.2"/>'


def text_at(x: float, y: float, text: str, css: str) -> str:
    """Return text."""
    return f'<text class="{css}" x="{_short(f"{x:.1f}")}" y="{_short(f"{y:.1f}")}">{escape(text)}</text>'


def drawing(width: float, height: float, marks: Sequence[str], description: str) -> str:
    """Return the ``<svg>`` element of some marks; screen readers have the description."""
    return (
        f'<svg role="img" aria-label="{escape(description)}" viewBox="0 0 {width:g} {height:g}" '
        f'style="--w:{width:g}">{"".join(marks)}</svg>'
    )


def _needed(points: Array) -> NDArray[np.bool_]:
    """Which points [P, 2] of a line are needed, the others being SEEN or less beside it (Douglas & Peucker 1973)."""
    needed = np.zeros(len(points), dtype=bool)
    needed[[0, -1]] = True
    open_runs = [(0, len(points) - 1)]
    while open_runs:
        first, last = open_runs.pop()
        between = points[first + 1 : last] - points[first]
        way = points[last] - points[first]
        if not len(between):
            continue
        share = np.clip(between @ way / max(float(way @ way), 1e-12), 0.0, 1.0)
        beside = np.hypot(*(between - share[:, None] * way).T)
        if beside.max() > SEEN:
            middle = first + 1 + int(beside.argmax())
            needed[middle] = True
            open_runs += [(first, middle), (middle, last)]
    return needed


def _steps(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The first point and the way from each to the next, in tenths of a pixel: half as many letters as places."""
    rounded = [(0.0, 0.0), *((round(float(a), 1), round(float(b), 1)) for a, b in points)]
    return [(c - a, d - b) for (a, b), (c, d) in pairwise(rounded)]


def _through(points: Iterable[tuple[float, float]]) -> str:
    """The path through points: what follows a first relative move is a relative line."""
    return "m" + _joined([number for step in _steps(points) for number in step])


def _joined(numbers: Iterable[float]) -> str:
    """Numbers in tenths, with no letter more than a path needs."""
    words = [_short(f"{value:.1f}") for value in numbers]
    return words[0] + "".join(word if word.startswith("-") else f" {word}" for word in words[1:])


def _short(tenths: str) -> str:
    """``-0.5`` as ``-.5``, ``2.0`` as ``2``."""
    sign, size = ("-", tenths[1:]) if tenths.startswith("-") else ("", tenths)
    return "0" if size == "0.0" else sign + size.removesuffix(".0").removeprefix("0")


def _tick(value: float, digits: int) -> str:
    if value and not 1e-4 <= abs(value) < 1e6:
        return number(value, 2)
    return f"{value + 0.0:.{min(digits, 6)}f}".replace("-", "−")
