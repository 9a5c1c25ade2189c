"""Generalised inverses of distribution functions: the smallest value whose probability reaches a level.

A bracket may span any number of orders of magnitude, as that of a mixture over the nodes of a heavy-tailed setting
does, and the distribution function may rise on a small part of it alone. So the search is Chandrupatla's (1997, "A new
hybrid quadratic/bisection algorithm for finding the zero of a nonlinear function", Adv. Eng. Softw. 28): inverse
quadratic interpolation where the last three values are consistent with it, else bisection; but where a bisection has
changed little, the next is by order of magnitude. It ends at a value, or at neighbouring numbers, never at a tolerance
that comes of the bracket.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, log, nextafter, sqrt

import numpy as np

from estimators.status import EstimationError

Function = Callable[[float], float]
EPS = float(np.finfo(np.float64).eps)
TINY = float(np.finfo(np.float64).tiny)
LARGEST = float(np.finfo(np.float64).max)
# The relative rounding of a distribution function, which is a sum: what is within it of a level has reached it.
ROUNDING = 16.0 * EPS
# The same for whole numbers, between which the function does not rise.
WHOLE_ROUNDING = 1e-12
# After a bisection that changes the excess by less than this share the next is by order of magnitude: the bracket is
# then far wider than the stretch on which the function rises.
FLAT = 0.1


@dataclass(frozen=True)
class Point:
    """A number and how much the function there exceeds the level."""

    x: float
    excess: float


def quantile_of(cdf: Function, level: float, near: tuple[float, float], what: str) -> float:
    """``inf {x : cdf(x) >= level}``, beginning with a bracket that need not hold it.

    A number where the CDF is the level up to rounding or, where it passes the level between two neighbouring numbers,
    the second of these. Raises EstimationError where no finite number reaches the level, or every one does, and
    ValueError where the CDF is not a number.
    """

    def excess(x: float) -> float:
        return log(max(_probability(cdf, x, what), TINY)) - log(level)

    low, high = bracketed(excess, level, near, what)
    return _crossing(excess, low, high, ROUNDING * max(1.0 - level, 1.0 / 16.0))


def whole_quantile_of(cdf: Function, level: float, near: tuple[float, float], what: str) -> float:
    """The same among whole numbers."""

    def excess(x: float) -> float:
        return _probability(cdf, x, what) - level * (1.0 - WHOLE_ROUNDING)

    start = float(np.floor(near[0])) - 1.0, float(np.ceil(near[1]))
    below, reached = bracketed(excess, level, start, what)
    low, high = float(np.floor(below.x)), float(np.ceil(reached.x))
    while low < (middle := float(np.floor(0.5 * low + 0.5 * high))) < high:
        low, high = (low, middle) if excess(middle) >= 0.0 else (middle, high)
    return high


def bracketed(excess: Function, level: float, near: tuple[float, float], what: str) -> tuple[Point, Point]:
    """Points of which the first does not reach the level and the second does."""
    start, end = (min(max(x, -LARGEST), LARGEST) for x in near)
    width = max(0.5 * end - 0.5 * start, 4.0 * EPS * max(abs(start), abs(end)), TINY)
    below, high = _outwards(excess, end, width, is_reached=True)
    if high.excess < 0.0:
        raise EstimationError(f"quantile: no finite value of {what} has probability {level} at or below it")
    if below is not None:
        return below, high
    above, low = _outwards(excess, start, -width, is_reached=False)
    if low.excess >= 0.0:
        raise EstimationError(f"quantile: every finite value of {what} has probability {level} at or below it")
    return low, above or high


def _outwards(excess: Function, start: float, step: float, *, is_reached: bool) -> tuple[Point | None, Point]:
    """The first point of ever larger steps where the level is reached, or is not, and the one before.

    Steps grow by 2, 4, 16, ..., so that no number is further than a dozen of them.
    """
    last, point, growth = None, Point(start, excess(start)), 2.0
    end = LARGEST if step > 0.0 else -LARGEST
    while (point.excess >= 0.0) is not is_reached and point.x != end:
        x = min(max(point.x + step, -LARGEST), LARGEST)
        last, point = point, Point(x, excess(x))
        step, growth = step * growth, growth * growth
    return last, point


def _crossing(excess: Function, low: Point, high: Point, rounding: float) -> float:
    """Where a function that rises passes 0: between two neighbouring numbers the second, or a root up to rounding."""
    for end in (high, low):
        if abs(end.excess) <= rounding:
            return end.x
    newest, other, replaced, is_flat = low, high, None, False
    while not _are_neighbours(low.x, high.x):
        x = None if replaced is None else _interpolated(newest, other, replaced)
        if x is None:
            x = _middle_of_orders(low.x, high.x) if is_flat else 0.5 * low.x + 0.5 * high.x
        point = _evaluated(excess, x, low, high)
        if abs(point.excess) <= rounding:
            return point.x
        is_same_side = (point.excess >= 0.0) == (newest.excess >= 0.0)
        newest, other, replaced = point, (other if is_same_side else newest), (newest if is_same_side else other)
        low, high = (other, newest) if newest.excess >= 0.0 else (newest, other)
        is_flat = abs(newest.excess - replaced.excess) <= FLAT * abs(replaced.excess)
    return high.x


def _interpolated(newest: Point, other: Point, replaced: Point) -> float | None:
    """The root of the quadratic for x through three points, or None where they are not consistent with it."""
    a, b, c = newest, other, replaced
    position = (a.x - b.x) / (c.x - b.x)
    value = (a.excess - b.excess) / (c.excess - b.excess)
    if not (value**2 < position and (1.0 - value) ** 2 < 1.0 - position):
        return None
    share = a.excess / (b.excess - a.excess) * c.excess / (b.excess - c.excess)
    share += (c.x - a.x) / (b.x - a.x) * a.excess / (c.excess - a.excess) * b.excess / (c.excess - b.excess)
    return a.x + share * (b.x - a.x)


def _evaluated(excess: Function, x: float, low: Point, high: Point) -> Point:
    """The point at a number, held inside the bracket: two numbers from an end, so that the root soon has both near."""
    first, last = nextafter(nextafter(low.x, inf), inf), nextafter(nextafter(high.x, -inf), -inf)
    inside = min(max(x, first), last) if first <= last else nextafter(low.x, inf)
    return Point(inside, excess(inside))


def _middle_of_orders(low: float, high: float) -> float:
    """Halfway by order of magnitude; 0 comes before what is beside it, and the smallest number there before others."""
    if low < 0.0 < high:
        return 0.0
    if low == 0.0 or high == 0.0:
        return TINY if low == 0.0 else -TINY
    return (1.0 if low > 0.0 else -1.0) * sqrt(abs(low)) * sqrt(abs(high))


def _are_neighbours(low: float, high: float) -> bool:
    return nextafter(low, inf) >= high or high - low <= TINY


def _probability(cdf: Function, x: float, what: str) -> float:
    probability = cdf(x)
    if probability != probability:
        raise ValueError(f"quantile: the CDF of {what} is not a number at {x:g}; use .sample()")
    return probability
