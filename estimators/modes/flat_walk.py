"""Walks along a set of Greeks with one law: how far a quantity goes on it.

Each step goes along the directions in which no row's log p moves, projected on the quantity's gradient, and is brought
back to the law by Gauss-Newton steps (Rosen 1961, "The gradient projection method for nonlinear programming, II").
A direction that is flat to first order only leads nowhere: no step along it comes back to the law. Where such a
direction is beside others, as at two classes that are alike, least squares from steps at random tell if any lead on.
"""

from typing import NamedTuple

import numpy as np

from estimators.modes.region import STEP, Quantity, slope_between
from estimators.modes.row_law import RowLaw
from estimators.optimise.arrays import Array

# Steps of a walk, the first and the longest, by how much they grow and shrink, and the least that is tried.
MOST_STEPS, FIRST, LONGEST, GROWTH, SHRINKAGE, LEAST = 80, 0.3, 3.0, 1.6, 0.3, 1e-3
# Where a step gains less than this share of what the walk has gained, so many times, it is at its end.
LEAST_GAIN, PATIENCE = 1e-5, 3
# Directions at random that are tried before one is held to be flat to first order only; steps of a scattering, and how
# many of them must end apart where the set is no point.
TRIES, SCATTERED, LEAST_APART, APART = 4, 8, 4, 1e-3


class Walk(NamedTuple):
    """The points of a walk [W, D] after its start, and the quantity there [W]."""

    points: Array
    values: Array


def climb_along(law: RowLaw, start: Array, rank: int, quantity: Quantity, sign: float) -> Walk:
    """Walk along the set through a point [D], ``sign`` times a quantity [S] of points [S, D] rising."""
    point, value = start, float(quantity(start[None])[0])
    points, values, step, idle, first = list[Array](), list[float](), FIRST, 0, value
    while len(points) < MOST_STEPS and idle < PATIENCE and step > LEAST:
        basis = law.tangent(point, rank)
        direction = sign * basis @ (basis.T @ slope(quantity, point))
        length = float(np.linalg.norm(direction))
        if not length > 0.0:
            break
        ahead = law.corrected(point + step / length * direction, rank)
        reached = value if ahead is None else float(quantity(ahead[None])[0])
        if ahead is None or not sign * (reached - value) > 0.0:
            step *= SHRINKAGE
            continue
        idle = idle + 1 if abs(reached - value) <= LEAST_GAIN * abs(reached - first) else 0
        point, value, step = ahead, reached, min(GROWTH * step, LONGEST)
        points.append(point)
        values.append(value)
    return Walk(np.array(points).reshape(-1, len(start)), np.array(values))


def is_walkable(law: RowLaw, point: Array, rank: int, rng: np.random.Generator) -> bool:
    """Whether a step along some combination of flat directions comes back to the law away from the point."""
    basis = law.tangent(point, rank)
    if not basis.shape[1]:
        return False
    for _ in range(TRIES):
        direction = basis @ rng.standard_normal(basis.shape[1])
        direction *= FIRST / np.linalg.norm(direction)
        for ahead in (law.corrected(point + side * direction, rank) for side in (1.0, -1.0)):
            if ahead is not None and np.linalg.norm(ahead - point) > 0.1 * FIRST:
                return True
    return False


def scattered(law: RowLaw, point: Array, rank: int, rng: np.random.Generator) -> Array:
    """Points [W, D] near a point to which steps in flat directions lead by least squares; none where they come back."""
    basis, points = law.tangent(point, rank), list[Array]()
    for _ in range(SCATTERED if basis.shape[1] else 0):
        direction = basis @ rng.standard_normal(basis.shape[1])
        end = law.polished(point + FIRST / np.linalg.norm(direction) * direction)
        known = [point, *points]
        if end is not None and np.abs(end - point).max() < 2.0 * FIRST:
            points += [end] * all(np.abs(end - other).max() > APART for other in known)
    return np.array(points if len(points) >= LEAST_APART else []).reshape(-1, len(point))


def wander(law: RowLaw, start: Array, rank: int, num_steps: int, rng: np.random.Generator) -> Array:
    """Points [W, D] of a walk from a point in a direction at random, kept as far as the set allows."""
    point, points = start, list[Array]()
    basis = law.tangent(point, rank)
    heading = basis @ rng.standard_normal(basis.shape[1])
    for _ in range(num_steps):
        basis = law.tangent(point, rank)
        heading = basis @ (basis.T @ heading)
        length = float(np.linalg.norm(heading))
        ahead = law.corrected(point + FIRST / length * heading, rank) if length > 0.0 else None
        if ahead is None:
            break
        point = ahead
        points.append(point)
    return np.array(points).reshape(-1, len(start))


def slope(quantity: Quantity, point: Array) -> Array:
    """The gradient [D] of a quantity, by central differences."""
    moves = STEP * np.eye(len(point))
    values = quantity(np.concatenate([point + moves, point - moves]))
    return slope_between(values[: len(point)], values[len(point) :])
