"""Straight ridges of a function: lines on which it stays where it is, however far out.

A maximum need not be flat beside one: where an intercept and a slope alias in all rows but those that hardly belong to
the class, these few make a hill of 1e-4 nats, and around it a plain without end.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from estimators.optimise.arrays import Array
from estimators.optimise.curvature import Curvature
from estimators.optimise.objective import Smooth

# Times a step at which a line is looked at.
AHEAD = np.array([1.0, 1e1, 1e2, 1e3, 1e6, 1e9])
# Newton steps back to a ridge, and the sds from it at which a point is on it.
BACK, ON_RIDGE = 8, 1e-2
# A direction with less than this share of each coordinate's own curvature may be a ridge; nats by which a function may
# fall on one.
SLIGHT, LEVEL = 1e-3, 0.01

# A value and its gradient [D] at a point [D].
ValueAndSlope = Callable[[Array], tuple[float, Array]]


def straightened(function: ValueAndSlope, point: Array, way: Array, aside: Array, least: float) -> Array:
    """A way [D] from a point corrected so that far out a function stays above ``least``, as far as it does.

    Directions of a curvature are known to a few digits; farther out, points that are brought back along the axes
    ``aside`` [D, A], of one sd each, to where the function is greatest tell more.
    """
    begin = _on_ridge(function, point, aside)
    for times in AHEAD:
        end = _on_ridge(function, begin + times * way, aside)
        if function(end)[0] < least:
            break
        way = (end - begin) / times
    return np.asarray(way)


@np.errstate(all="ignore")
def with_ridges(objective: Smooth, mode: Array, curve: Curvature) -> Curvature:
    """The curvature at a mode [D], none along a line on which the objective stays within LEVEL to both sides."""
    slight = ~curve.is_flat & (np.abs(curve.values) < SLIGHT)
    if not slight.any():
        return curve
    axes = curve.unit[:, None] * curve.vectors
    is_steep = ~curve.is_flat & ~slight
    aside = axes[:, is_steep] / np.sqrt(curve.values[is_steep])
    least = objective.value_and_gradient(mode)[0] - LEVEL
    values, vectors = curve.values.copy(), curve.vectors.copy()
    for number in np.flatnonzero(slight):
        way = straightened(objective.value_and_gradient, mode, axes[:, number], aside, least)
        line = mode + np.concatenate([AHEAD, -AHEAD])[:, None] * way
        if all(objective.value_and_gradient(point)[0] >= least for point in line):
            values[number], vectors[:, number] = 0.0, way / curve.unit / np.linalg.norm(way / curve.unit)
    return replace(curve, values=values, vectors=vectors)


def _on_ridge(function: ValueAndSlope, point: Array, aside: Array) -> Array:
    """The greatest point [D] of a plane through a point, the axes [D, A] of which have a unit of one sd."""
    for _ in range(BACK):
        move = aside.T @ function(point)[1]
        # Far out a move may be too long to be squared.
        if np.abs(move).max(initial=0.0) <= ON_RIDGE:
            break
        point = point + aside @ move
    return point
