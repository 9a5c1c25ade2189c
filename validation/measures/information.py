"""The Cramér-Rao bound from the covariance of scores, and the Kullback-Leibler divergence it implies."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
STEP = 1e-4  # of unconstrained coordinates, whose unit is of the order of one


def scores(log_densities: Callable[[Array], Array], at: Array) -> Array:
    """Return ``∂ log p(x_m) / ∂ coordinates`` [P, M] at coordinates [P], by central differences.

    `log_densities` of coordinates [S, P] are [S, M].
    """
    steps = STEP * np.eye(len(at))
    above, below = np.split(log_densities(np.concatenate([at + steps, at - steps])), 2)
    return np.asarray((above - below) / (2 * STEP))


def covariance_of_scores(score: Array, weights: Array) -> Array:
    """Return the Fisher information ``Σ_m w_m s_m s_mᵀ`` [P, P] from scores [P, M] and weights [M].

    With weights ``p(x_m) dx`` this is quadrature of ``∫ p s sᵀ dx``, with weights 1 a sum over simulated rows.
    """
    return np.asarray((score * weights) @ score.T)


def cramer_rao(information: Array, quantities: Callable[[Array], Array], parameters: Array) -> Array:
    """Return the Cramér-Rao standard deviations [Q] of ``quantities(parameters)`` from the information of all rows.

    ``sqrt(diag(J I⁻¹ Jᵀ))`` with J the Jacobian of the quantities, by central differences.
    """
    steps = 1e-5 * np.maximum(1.0, np.abs(parameters))
    jacobian = np.stack(
        [(quantities(parameters + step) - quantities(parameters - step)) / (2 * step.sum()) for step in np.diag(steps)],
        axis=1,
    )
    covariance = jacobian @ np.linalg.solve(information, jacobian.T)
    return np.asarray(np.sqrt(np.maximum(np.diag(covariance), 0.0)))


def divergence_weights(metric: Array, information: Array) -> Array:
    """Return the weights w of ``½ δᵀ metric δ ~ Σ w_i χ²_1`` for the efficient error ``δ ~ N(0, I⁻¹)``.

    With `metric` the Fisher information of an interventional distribution this is the limiting law of its
    Kullback-Leibler divergence; the weights sum to ``½ tr(metric I⁻¹)``, the expected divergence. Weights that are
    numerically zero (the metric is singular in parameters the intervention does not touch) are dropped.
    """
    lower = np.linalg.cholesky(np.linalg.inv(information))
    weights = np.linalg.eigvalsh(lower.T @ metric @ lower) / 2
    return np.asarray(weights[weights > 1e-9 * weights.max()])
