"""Deterministic ascent to a stationary point of an exact density: L-BFGS-B, then Newton steps on its gradient."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import numpy as np
from scipy.optimize import minimize

from estimators.optimise.arrays import Array, Mask
from estimators.optimise.curvature import Curvature, curvature
from estimators.optimise.objective import Smooth

# Logits of weights and logs of scales are held within e^±30: an ascent that ends there has run to the boundary.
LIMIT = 30.0
NEWTON_STEPS = 8
# Steps of a climb between looks at whether it has met another.
LOOK = 40
# Of so many coordinates Newton's method needs no more gradients than L-BFGS.
MOST_FOR_NEWTON = 30
# An ascent climbs on from so many saddles at most.
MAX_SADDLES = 4
# A weight that stands for less than a hundredth of a row is at the boundary.
LEAST_ROWS = 1e-2
# How far logs and logits may have moved in a climb that was ended before a stationary point.
NEAR = 1.5


@dataclass(frozen=True)
class Summit:
    """Where an ascent ended; ``gradient_norm`` is the largest coordinate of the gradient per unit of weight."""

    coordinates: Array
    value: float
    gradient: Array
    gradient_norm: float
    at_limit: bool


def ascend(objective: Smooth, start: Array, tolerance: float, *, max_steps: int = 1_000) -> Summit:
    """Climb from `start` [D] to a local maximum of the objective."""
    if not objective.size:
        return Summit(start, *objective.value_and_gradient(start), 0.0, False)
    point = start
    for _ in range(MAX_SADDLES):
        point = climb(objective, point, gradient=0.1 * tolerance, max_steps=max_steps)
        if _is_at_limit(objective, point):
            break
        curve = curvature(objective, point)
        way_up = curve.way_up()
        if way_up is None:
            point = newton(objective, point, curve)
            break
        point = point + 0.1 * way_up
    value, gradient = objective.value_and_gradient(point)
    norm = float(np.abs(gradient).max()) / objective.total_weight
    return Summit(point, value, gradient, norm, _is_at_limit(objective, point))


def _is_at_limit(objective: Smooth, point: Array) -> bool:
    return bool(at_end(point[objective.bounded]).any())


def within_limits(points: Array, bounded: Mask) -> Array:
    """Points [..., D] with their logs and logits within LIMIT."""
    return np.where(bounded, np.clip(points, -LIMIT, LIMIT), points)


def at_end(points: Array) -> Mask:
    """Which coordinates [..., D], if they are logs or logits, are held at an end."""
    return np.asarray(np.abs(points) >= LIMIT - 1e-6)


def climb(
    objective: Smooth,
    start: Array,
    *,
    gradient: float,
    max_steps: int,
    has_met: Callable[[Array], bool] | None = None,
) -> Array:
    """L-BFGS-B until the gradient per unit of weight is below `gradient`, logs and logits held within LIMIT.

    It ends before where a point [D] on the way, of which one in LOOK is looked at, has met another climb's.
    """
    total = objective.total_weight
    # L-BFGS-B squares the gradient, which must not overflow on columns of 1e±100.
    size = max(total, float(np.abs(objective.value_and_gradient(start)[1]).max()) / 1e50)

    def loss(coordinates: Array) -> tuple[float, Array]:
        value, slope = objective.value_and_gradient(coordinates)
        if not np.isfinite(value):
            return 1e300, np.zeros_like(coordinates)
        return -value / size, -slope / size

    steps = count(1)

    def after_step(point: Array) -> None:
        if has_met is not None and next(steps) % LOOK == 0 and has_met(point):
            raise StopIteration

    bounds = [(-LIMIT, LIMIT) if bounded else (None, None) for bounded in objective.bounded]
    point = within_limits(start, objective.bounded)
    options = {"maxiter": max_steps, "ftol": 0.0, "gtol": gradient}
    end = minimize(loss, point, jac=True, method="L-BFGS-B", bounds=bounds, options=options, callback=after_step).x
    return np.asarray(end) if np.isfinite(end).all() else point


def climb_inside(objective: Smooth, start: Array, num_rows: int, *, gradient: float, max_steps: int) -> Array | None:
    """Where `climb` ends if that is a stationary point or near, and None on the way into a spike.

    L-BFGS knows no floor of a scale. Where the likelihood is unbounded, its slope with respect to the log of the scale
    is the number of rows in the spike, one at least, and the log has moved far.
    """
    end = climb(objective, start, gradient=gradient, max_steps=max_steps)
    slope = np.abs(objective.value_and_gradient(end)[1]).max(initial=0.0)
    moved = np.abs(end - start)[objective.bounded].max(initial=0.0)
    is_stationary = slope <= LEAST_ROWS * objective.total_weight / num_rows
    return end if is_stationary or moved <= NEAR else None


def newton(objective: Smooth, point: Array, curve: Curvature) -> Array:
    """Newton's method with one curvature while it shrinks the gradient, logs and logits held within LIMIT."""
    _, gradient = objective.value_and_gradient(point)
    for _ in range(NEWTON_STEPS):
        moved = within_limits(point + curve.newton_step(gradient), objective.bounded)
        _, slope = objective.value_and_gradient(moved)
        if not (np.isfinite(slope).all() and np.abs(slope).max(initial=0.0) < np.abs(gradient).max(initial=0.0)):
            break
        point, gradient = moved, slope
    return point
