"""The least and the greatest value of a quantity in a region around a mode, from as many starts as it takes."""

from collections.abc import Sequence

import numpy as np

from estimators.modes.evolution import evolved
from estimators.modes.no_end import has_no_end
from estimators.modes.region import SETTLED, SLACK, End, Region, Shape, rounding_of_slopes
from estimators.optimise.arrays import Array
from estimators.optimise.ascent import at_end, climb

# Starts on the way to the quantity's end in the normal approximation, as shares of the way, and how far one coordinate
# moves at most.
SHARES, LONGEST = (1.0, 0.3), 2.0
# Climbs to other points of a ridge, their steps, and the gradient per row at which they end. A log or logit moves along
# an open axis if by so much, and begins anywhere within this; another coordinate in steps so many times as long as the
# axes, halved while a row loses so many nats.
CLIMBS, CLIMB_STEPS, GRADIENT = 24, 100, 1e-6
MOVES, ANYWHERE, FAR = 0.1, 3.0, 6.0
LOST, HALVINGS = 10.0, 12
# Starts elsewhere on each side, where the data all but leave a direction open.
ELSEWHERE = 3
# How often points evolve at most, until as many searches as this have the farthest end.
TIMES, AGREE = 10, 4
# Points tried on the way from an end of the support to the inside.
TRIED = 40
# How often a search is continued; how far along each axis it goes at most, since further out the axes are others; and
# how far it must go at least.
ROUNDS, REACH, LEAST_REACH = 15, 2.0, 0.1
# Two ends that differ by less than this share of their distance from the mode, or of their size, are one.
SAME, ROUNDING = 1e-3, 1e-9
# A quantity goes on beyond the limit of a log if it was smaller than this share of its size one unit before.
GROWN = 0.5


def ends_around(region: Region, mode: Array) -> list[End]:
    """The ends of the quantity in the region around a mode [D]: the least and the greatest value."""
    shape = region.shape(mode)
    value, slope = region.quantity_and_slope(mode)
    steepness = float(np.linalg.norm(shape.axes.T @ slope))
    is_level = steepness <= rounding_of_slopes(value, shape.axes)
    begin = End(value, mode, steepness, is_level)
    # The search from the mode may stop at the first of several ends, or, where nothing has a slope, at once.
    others = mode[:0].reshape(0, len(mode))
    if not shape.is_flat and (is_level or shape.is_open.any()):
        others = _elsewhere(region, mode, shape)
    values = region.quantity(others) if len(others) else np.zeros(0)
    ends = []
    for sign in (-1.0, 1.0):
        if shape.is_open.any() and has_no_end(region, mode, shape, mode[None][:0], sign):
            ends.append(_without_end(begin, sign))
            continue
        found = [begin, *_from_mode(region, mode, shape, sign * slope, sign)]
        if shape.is_flat:
            found = _agreed(region, mode, shape, found, sign)
        else:
            starts = others[np.argsort(-sign * values)[:ELSEWHERE]]
            found += [_searched(region, start, region.shape(start).axes, sign) for start in starts]
        end = _farthest(found, sign)
        ends.append(_without_end(end, sign) if _goes_on(region, end) else end)
    # At an end of the support, where the quantity's slope vanishes, it may have no interval to this side at all.
    width = ends[1].value - ends[0].value
    settled = SETTLED * width if np.isfinite(width) else 0.0
    return [end._replace(is_settled=end.is_settled or end.left <= settled) for end in ends]


def _agreed(region: Region, mode: Array, shape: Shape, found: list[End], sign: float) -> list[End]:
    """The ends, and those from where points of a ridge evolve to, until enough searches have the farthest one."""
    for seed in range(TIMES):
        points = _on_ridge(region, mode, shape, seed)
        if not len(points):
            continue
        start = evolved(region, mode, points, sign, seed)
        found = [*found, _searched(region, start, region.shape(start).axes, sign)]
        best = max(found, key=lambda end: sign * end.value)
        if not np.isfinite(best.value) or sum(_is_same(end, best, found[0]) for end in found) >= AGREE:
            return found
    # What few searches alone have found others may go beyond, however level it is there.
    return [end._replace(is_settled=False, left=np.inf) for end in found]


def _is_same(end: End, best: End, begin: End) -> bool:
    """Whether an end is settled, and the best one, judged by their distance from where both began."""
    least = ROUNDING * abs(best.value)
    return end.is_settled and abs(end.value - best.value) <= max(SAME * abs(best.value - begin.value), least)


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


def _goes_on(region: Region, end: End) -> bool:
    """Whether the quantity ends at the limit of a log alone, as the mean of a class without a row may."""
    at_limit = np.flatnonzero(region.objective.bounded & at_end(end.point))
    if not (len(at_limit) and np.isfinite(end.value)):
        return False
    before = np.tile(end.point, (len(at_limit), 1))
    before[np.arange(len(at_limit)), at_limit] -= np.sign(end.point[at_limit])
    grows = np.abs(region.quantity(before)) < GROWN * abs(end.value)
    return bool((grows & (region.excess(before) >= -SLACK)).any())


def _farthest(ends: Sequence[End], sign: float) -> End:
    """The farthest of some ends, the first of which is where they began; settled if one that is reaches as far."""
    best = max(ends, key=lambda end: sign * end.value)
    if not np.isfinite(best.value):
        return best
    return best._replace(is_settled=any(_is_same(end, best, ends[0]) for end in ends))


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
    """Other points [P, D] of the region: along the axes, and inside the support from an end of it."""
    moves = np.sqrt(2.0 * max(float(region.excess(mode[None])[0]), 0.0)) * shape.axes.T
    return _inside(region, np.concatenate([mode + moves, mode - moves, _pulled_in(region, mode)]))


def _inside(region: Region, points: Array) -> Array:
    """Those of the points that are in the region."""
    tried = region.held(points)
    return np.asarray(tried[region.excess(tried) >= 0.0])


def _pulled_in(region: Region, mode: Array) -> Array:
    """Points with one log or logit moved from an end of its support, where nothing has a slope, to the inside."""
    far = np.flatnonzero(region.objective.bounded & (np.abs(mode) > LONGEST))
    points = np.tile(mode, (len(far), TRIED, 1))
    for i, coordinate in enumerate(far):
        points[i, :, coordinate] = mode[coordinate] * np.linspace(1.0, -0.5, TRIED)
    return points.reshape(-1, len(mode))


def _on_ridge(region: Region, mode: Array, shape: Shape, seed: int) -> Array:
    """Points [P, D] of a ridge: climbs from anywhere that the open directions lead to, each coordinate by itself.

    From steps along these directions next to all end at the same corner. Half as far where rows lose too much of their
    likelihood: far out a logit has no slope that leads back.
    """
    # The steps are fixed, so that the same fit has the same interval every time.
    steps = np.random.default_rng(seed).standard_normal((CLIMBS, len(mode)))
    sizes = np.linalg.norm(shape.axes[:, shape.is_open], axis=1)
    bounded = region.objective.bounded
    # A coefficient that no row tells of is as open far out as near: every other start is near.
    near = np.where(np.arange(CLIMBS)[:, None] % 2 == 0, np.maximum(ANYWHERE, np.abs(mode)), np.inf)
    moves = np.where(bounded, 0.0, np.minimum(FAR * sizes, near) * steps)
    begin = np.where(bounded & (sizes > MOVES), ANYWHERE * steps, mode)
    least = float(region.excess(mode[None])[0]) - LOST * region.objective.total_weight
    for _ in range(HALVINGS):
        is_lost = region.excess(begin + moves) < least
        moves = np.where(is_lost[:, None], 0.5 * moves, moves)
    climbed = [climb(region.objective, at, gradient=GRADIENT, max_steps=CLIMB_STEPS) for at in begin + moves]
    return _inside(region, np.array(climbed))
