"""Ascents of a density by themselves, so that no estimator is judged by its own."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from estimators import Fit
from estimators.contract import Density, Objective, log_joint, log_likelihood
from validation.statistics.arguments import Array

LIMIT = 30.0  # of logs and logits
FAR_BELOW = -1e100  # in place of what is not a number

Mask = NDArray[np.bool_]


def objective_of(fit: Fit, density: Density) -> Objective:
    """What a point fit is the maximum of: the likelihood, or with priors the joint density."""
    return Objective(density, log_joint if fit.uses_prior else log_likelihood)


def point_of(fit: Fit, density: Density) -> Array:
    """The coordinates of a point fit."""
    return inside(density, density.unconstrain({name: value.numpy()[0] for name, value in fit.draws.items()}))


def inside(density: Density, point: Array) -> Array:
    """A point whose logs and logits are within LIMIT."""
    return np.where(density.bounded, np.clip(point, -LIMIT, LIMIT), point)


def value_at(objective: Objective, point: Array) -> float:
    """The value of an objective, -inf where it is not a number."""
    value = float(objective.value(point))
    return value if np.isfinite(value) else -np.inf


def loss_of(objective: Objective) -> Callable[[Array], tuple[float, Array]]:
    """The negative of an objective with its gradient, as SciPy takes it."""

    def loss(point: Array) -> tuple[float, Array]:
        value, gradient = objective.value_and_gradient(point)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return -FAR_BELOW, np.zeros_like(point)
        return -value, -gradient

    return loss


def climb(objective: Objective, start: Array, is_free: Mask | None = None) -> Array:
    """The end of an ascent (L-BFGS-B) in the coordinates that are free, by default in all."""
    free = np.ones(len(start), dtype=bool) if is_free is None else is_free
    if not free.any():
        return start
    whole = loss_of(objective)

    def placed(part: Array) -> Array:
        point = start.copy()
        point[free] = part
        return point

    def loss(part: Array) -> tuple[float, Array]:
        value, gradient = whole(placed(part))
        return value, gradient[free]

    bounds = [(-LIMIT, LIMIT) if bounded else (None, None) for bounded in np.asarray(objective.bounded)[free]]
    with np.errstate(all="ignore"):
        return placed(minimize(loss, start[free], jac=True, method="L-BFGS-B", bounds=bounds).x)


def maxima(objective: Objective, starts: tuple[Array, ...]) -> Iterator[Array]:
    """The ends of ascents that are maxima like any other: a likelihood without bound is higher on a single row."""
    density: Any = objective.density
    for start in starts:
        end = climb(objective, start)
        _, gradient = objective.value_and_gradient(end)
        if not (density.has_collapsed(end, gradient) or density.is_spurious(end)):
            yield end
