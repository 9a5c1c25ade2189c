"""Whether a quantity grows without end in a region: on a line along which the objective does not fall below its bound.

As the mean of a class does whose weight may be 0, or a sum with the slope of what is constant in a class. Every point
is looked at, out to where no unit of a column reaches: a line on which the objective hardly falls has an end.
"""

import numpy as np

from estimators.modes.region import SLACK, Region, Shape, rounding_of_slopes
from estimators.optimise.arrays import Array
from estimators.optimise.ridge import AHEAD, straightened

# The step of one coordinate alone; what grows in proportion over AHEAD times a step grows without end.
UNIT = 1.0
# A quantity that rises by less than this share of what it does over an sd rises by rounding.
LEAST_RISE = 1e-6


def has_no_end(region: Region, point: Array, shape: Shape, ways: Array, sign: float) -> bool:
    """Whether it grows from a point [D] on straight along a way [W, D], an axis that is open, or one coordinate."""
    value, slope = region.quantity_and_slope(point)
    slopes = sign * shape.axes.T @ slope
    least = max(LEAST_RISE * float(np.linalg.norm(slopes)), rounding_of_slopes(value, shape.axes))
    alone = UNIT * np.eye(len(point))[~region.objective.bounded]
    rises = np.where(shape.is_open, slopes, 0.0)
    if np.linalg.norm(rises) > least:
        way = shape.axes @ (rises / np.linalg.norm(rises))
        aside = shape.axes[:, ~shape.is_open]
        ways = np.concatenate([ways, straightened(region.excess_and_slope, point, way, aside, 0.0)[None]])
    steps = np.concatenate([ways, alone, -alone])
    if not len(steps):
        return False
    points = point + AHEAD[:, None, None] * steps
    shape_of_lines, points = points.shape[:2], points.reshape(-1, len(point))
    stays = (region.excess(points) >= -10.0 * SLACK).reshape(shape_of_lines)
    gains = sign * (region.quantity(region.held(points)) - value).reshape(shape_of_lines)
    grows = (gains[0] > least) & (gains >= 0.5 * AHEAD[:, None] * gains[0])
    return bool((stays & grows).all(0).any())
