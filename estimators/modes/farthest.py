"""The least and the greatest value of a quantity in a region around a mode, from as many starts as it takes."""

from collections.abc import Sequence

import numpy as np

from estimators.modes.evolution import evolved
from estimators.modes.no_end import has_no_end
from estimators.modes.region import OPEN, SETTLED, End, Region, Shape, rounding_of_slopes
from estimators.optimise.arrays import Array
from estimators.optimise.ascent import climb

# Starts on the way to the quantity's end in the normal approximation, as shares of the way, and how far one coordinate
# moves at most.
SHARES, LONGEST = (1.0, 0.3), 2.0
# Climbs to other points of a ridge, their steps, and the gradient per row at which they end; a log or logit moves along
# an open axis if by so much, and begins anywhere within this.
CLIMBS, CLIMB_STEPS, GRADIENT = 24, 100, 1e-6
MOVES, ANYWHERE = 0.1, 3.0
# How often points evolve at most, until as many searches as this have the farthest end.
TIMES, AGREE = 8, 3
# Points tried on the way from an end of the support to the inside.
TRIED = 40
# How often a search is continued; how far along each axis it goes at most, since further out the axes are others; and
# how far it must go at least.
ROUNDS, REACH, LEAST_REACH = 15, 2.0, 0.1
# Two ends that differ by less than this share of their distance from the mode are one.
SAME = 1e-3


def ends_around(region: Region, mode: Array) -> list[End]:
    """The ends of the quantity in the region around a mode [D]: the least and the greatest value."""
    shape = region.shape(mode)
    value, slope = region.quantity_and_slope(mode)
    steepness = float(np.linalg.norm(shape.axes.T @ slope))
    is_level = steepness <= rounding_of_slopes(value, shape.axes)
    begin = End(value, mode, steepness, is_level)
    # The search from the mode may stop at the first of several ends, or, where nothing has a slope, at once.
    others = _elsewhere(region, mode, shape) if is_level or shape.is_open.any() else mode[:0].reshape(0, len(mode))
    ends = []
    for sign in (-1.0, 1.0):
        if shape.is_open.any() and has_no_end(region, mode, shape, mode[None][:0], sign):
            ends.append(_without_end(begin, sign))
            continue
        found = [begin, *_from_mode(region, mode, shape, sign * slope, sign)]
        if len(others):
            found = _agreed(region, mode, others, found, sign)
        ends.append(_farthest(found, sign))
    # At an end of the support, where the quantity's slope vanishes, it may have no interval to this side at all.
    width = ends[1].value - ends[0].value
    settled = SETTLED * width if np.isfinite(width) else 0.0
    return [end._replace(is_settled=end.is_settled or end.left <= settled) for end in ends]


def _agreed(region: Region, mode: Array, others: Array, found: list[End], sign: float) -> list[End]:
    """The ends, and those from where other points [P, D] evolve to, until enough searches have the farthest one."""
    starts: list[Array] = []
    for seed in range(TIMES):
        starts.append(evolved(region, mode, others, sign, seed))
        if any(np.array_equal(starts[-1], start) for start in starts[:-1]):
            continue
        found = [*found, _searched(region, starts[-1], region.shape(starts[-1]).axes, sign)]
        best = max(found, key=lambda end: sign * end.value)
        if not np.isfinite(best.value) or sum(_is_same(end, best, found[0]) for end in found) >= AGREE:
            return found
    # What one search alone has found others may go beyond.
    return [end._replace(is_settled=False) for end in found]


def _is_same(end: End, best: End, begin: End) -> bool:
    """Whether one of two ends is the other, judged by their distance from where both began."""
    return end.is_settled and abs(end.value - best.value) <= SAME * abs(best.value - begin.value)


def _from_mode(region: Region, mode: Array, shape: Shape, slope: Array, sign: float) -> list[End]:
    """The ends of searches from the mode until one settles."""
    ends: list[End] = []
    for start in _on_the_way(region, mode, shape.axes, slope):
        ends.append(_searched(region, start, shape.axes, sign))
        if ends[-1].is_settled:
            break
    return ends


def _searched(region: Region, start: Array, axes: Array, sign: float) -> End:
    """Where a search ends, continued in the axes of its end until it settles or has no end.

    Where that gains nothing, the axes were not good for so far, and the next search goes less far; else it may go
    farther again.
    """
    best, reach, gain = region.farthest(start, axes, sign, REACH), REACH, 0.0
    way, begin = best.point - start, best.value
    for _ in range(ROUNDS):
        if best.is_settled or reach < LEAST_REACH:
            break
        shape = region.shape(best.point)
        if has_no_end(region, best.point, shape, way[None], sign):
            return _without_end(best, sign)
        end = region.farthest(best.point, shape.axes, sign, reach)
        gain, way = sign * (end.value - best.value), end.point - best.point
        reach = min(2.0 * reach, REACH) if gain > 0.0 else 0.25 * reach
        if gain > 0.0 or (end.is_settled and gain > -SETTLED * best.left):
            best = end
    # A search that was still on its way has no end, however long its way was.
    is_on_its_way = not best.is_settled and gain > SETTLED * abs(best.value - begin)
    return best._replace(left=np.inf) if is_on_its_way else best


def _without_end(end: End, sign: float) -> End:
    return end._replace(value=sign * np.inf, left=0.0, is_settled=True)


def _farthest(ends: Sequence[End], sign: float) -> End:
    """The farthest of some ends, the first of which is where they began; settled if one that is reaches as far."""
    best = max(ends, key=lambda end: sign * end.value)
    return (
        best._replace(is_settled=any(_is_same(end, best, ends[0]) for end in ends)) if np.isfinite(best.value) else best
    )


def _on_the_way(region: Region, mode: Array, axes: Array, slope: Array) -> list[Array]:
    """Points on the way to where the quantity ends in the normal approximation."""
    direction = axes.T @ slope
    length = float(np.linalg.norm(direction))
    if not length > 0.0:
        return []
    move = np.sqrt(2.0 * region.excess(mode[None])[0]) / length * (axes @ direction)
    move = move * min(1.0, LONGEST / max(float(np.abs(move).max()), 1e-300))
    return [mode + share * move for share in SHARES]


def _elsewhere(region: Region, mode: Array, shape: Shape) -> Array:
    """Other points [P, D] of the region: on a ridge, or else along the axes and inside the support, from its end."""
    if shape.is_flat:
        tried = _on_ridge(region, mode, shape)
    else:
        moves = np.sqrt(2.0 * max(float(region.excess(mode[None])[0]), 0.0)) * shape.axes.T
        tried = np.concatenate([mode + moves, mode - moves, _pulled_in(region, mode)])
    tried = region.held(tried)
    return np.asarray(tried[region.excess(tried) >= 0.0])


def _pulled_in(region: Region, mode: Array) -> Array:
    """Points with one log or logit moved from an end of its support, where nothing has a slope, to the inside."""
    far = np.flatnonzero(region.objective.bounded & (np.abs(mode) > LONGEST))
    points = np.tile(mode, (len(far), TRIED, 1))
    for i, coordinate in enumerate(far):
        points[i, :, coordinate] = mode[coordinate] * np.linspace(1.0, -0.5, TRIED)
    return points.reshape(-1, len(mode))


def _on_ridge(region: Region, mode: Array, shape: Shape) -> Array:
    """Points that are climbed to from steps at random in the directions that are open.

    A log or logit that these move begins anywhere: from near the mode all end at the same corner.
    """
    # The steps are fixed, so that the same fit has the same interval every time.
    rng = np.random.default_rng(0)
    open_axes = shape.axes[:, shape.is_open]
    begin = mode + OPEN * rng.standard_normal((CLIMBS, open_axes.shape[1])) @ open_axes.T
    is_free = region.objective.bounded & (np.linalg.norm(open_axes, axis=1) > MOVES)
    begin = np.where(is_free, ANYWHERE * rng.standard_normal(begin.shape), begin)
    return np.array([climb(region.objective, point, gradient=GRADIENT, max_steps=CLIMB_STEPS) for point in begin])
