"""Marks of a figure as fragments of SVG: text whose colours are classes of the page, so it follows light and dark.

Written directly, since a page has hundreds of panels: with 600 dots one of these takes 8 kB and half a millisecond, one
of Matplotlib's 70 kB and 30.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from validation.report.words import number

Array = NDArray[np.float64]
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
        marks = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(x[first::SHADES], y[first::SHADES], strict=True))
        if marks:
            paths.append(f'<path class="dots {css}" d="{marks}"/>')
    return "".join(paths)


def line(x: ArrayLike, y: ArrayLike, css: str) -> str:
    """Return a line through points, of which those that a straight run makes superfluous are left out."""
    points = [(round(float(a), 1), round(float(b), 1)) for a, b in zip(np.ravel(x), np.ravel(y), strict=True)]
    inner = zip(points, points[1:], points[2:], strict=False)
    kept = [points[0], *(b for a, b, c in inner if not (a[1] == b[1] == c[1])), points[-1]]
    return f'<path class="line {css}" d="M{" ".join(f"{a:g} {b:g}" for a, b in kept)}"/>'


def area(x: ArrayLike, low: ArrayLike, high: ArrayLike, css: str) -> str:
    """Return the area between two lines."""
    xs, lower, upper = np.ravel(x), np.ravel(low), np.ravel(high)
    outline = [*zip(xs, lower, strict=True), *zip(xs[::-1], upper[::-1], strict=True)]
    return f'<path class="area {css}" d="M{" ".join(f"{a:.1f} {b:.1f}" for a, b in outline)}z"/>'


def spans(x: ArrayLike, low: ArrayLike, high: ArrayLike, css: str) -> str:
    """Return upright lines as one path; "" of none."""
    ends = zip(np.ravel(x), np.ravel(low), np.ravel(high), strict=True)
    path = "".join(f"M{a:.1f} {b:.1f}V{c:.1f}" for a, b, c in ends)
    return f'<path class="span {css}" d="{path}"/>' if path else ""


def block(x: tuple[float, float], y: tuple[float, float], css: str) -> str:
    """Return a rectangle between two corners."""
    return f'<path class="area {css}" d="M{x[0]:.1f} {y[0]:.1f}H{x[1]:.1f}V{y[1]:.1f}H{x[0]:.1f}z"/>'


def ring(x: float, y: float, css: str) -> str:
    """Return one point as a circle, which CSS fills or leaves hollow."""
    return f'<circle class="ring {css}" cx="{x:.1f}" cy="{y:.1f}" r="3.2"/>'


def text_at(x: float, y: float, text: str, css: str) -> str:
    """Return text."""
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def drawing(width: float, height: float, marks: Sequence[str], description: str) -> str:
    """Return the ``<svg>`` element of some marks; screen readers have the description."""
    return (
        f'<svg role="img" aria-label="{escape(description)}" viewBox="0 0 {width:g} {height:g}" '
        f'style="--w:{width:g}">{"".join(marks)}</svg>'
    )


def _tick(value: float, digits: int) -> str:
    if value and not 1e-4 <= abs(value) < 1e6:
        return number(value, 2)
    return f"{value + 0.0:.{min(digits, 6)}f}".replace("-", "−")
