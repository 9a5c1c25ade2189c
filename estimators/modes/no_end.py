"""Whether a quantity grows without end in a region: on a line along which the objective does not fall below its bound.

As the mean of a class does whose weight may be 0, or a sum with the slope of what is constant in a class. Every point
is looked at, out to where no unit of a column reaches: a line on which the objective hardly falls has an end.
"""

import numpy as np

from estimators.modes.region import SLACK, Region, Shape, rounding_of_slopes
from estimators.optimise.arrays import Array

# A quantity that grows in proportion over so many times a step grows without end; the step of one coordinate alone.
AHEAD, UNIT = np.array([1.0, 1e1, 1e2, 1e3, 1e6, 1e9]), 1.0
# A quantity that rises by less than this share of what it does over an sd rises by rounding.
LEAST_RISE = 1e-6
# Newton steps back to a ridge, and the sds from it at which a point is on it.
BACK, ON_RIDGE = 8, 1e-2


def has_no_end(region: Region, point: Array, shape: Shape, ways: Array, sign: float) -> bool:
    """Whether it grows from a point [D] on straight along a way [W, D], an axis that is open, or one coordinate."""
    value, slope = region.quantity_and_slope(point)
    slopes = sign * shape.axes.T @ slope
    least = max(LEAST_RISE * float(np.linalg.norm(slopes)), rounding_of_slopes(value, shape.axes))
    alone = UNIT * np.eye(len(point))[~region.objective.bounded]
    rises = np.where(shape.is_open, slopes, 0.0)
    if np.linalg.norm(rises) > least:
        ways = np.concatenate([ways, _straightened(region, point, shape, rises)[None]])
    steps = np.concatenate([ways, alone, -alone])
    points = point + AHEAD[:, None, None] * steps
    shape_of_lines, points = points.shape[:2], points.reshape(-1, len(point))
    stays = (region.excess(points) >= -10.0 * SLACK).reshape(shape_of_lines)
    gains = sign * (region.quantity(region.held(points)) - value).reshape(shape_of_lines)
    grows = (gains[0] > least) & (gains >= 0.5 * AHEAD[:, None] * gains[0])
    return bool((stays & grows).all(0).any())


def _straightened(region: Region, point: Array, shape: Shape, rises: Array) -> Array:
    """The way [D] from a point along open axes, by shares [D], on which the objective stays where it is.

    Axes are known to a few digits; farther out, points brought back to where the objective is best tell more.
    """
    aside = shape.axes[:, ~shape.is_open]
    begin, way = _on_ridge(region, point, aside), shape.axes @ (rises / np.linalg.norm(rises))
    for times in AHEAD:
        end = _on_ridge(region, begin + times * way, aside)
        if region.excess(end[None])[0] < 0.0:
            break
        way = (end - begin) / times
    return np.asarray(way)


def _on_ridge(region: Region, point: Array, aside: Array) -> Array:
    """The best point [D] of a plane through a point, the axes [D, A] of which have a unit of one sd."""
    for _ in range(BACK):
        move = aside.T @ region.excess_and_slope(point)[1]
        if np.linalg.norm(move) <= ON_RIDGE:
            break
        point = point + aside @ move
    return point
