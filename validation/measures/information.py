"""Fisher information by quadrature, the Cramér-Rao bound, and the Kullback-Leibler divergence it implies."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LogDensity = Callable[[Array, Array], Array]  # (parameters [P], x [G]) -> log density [G]


def fisher_information(log_density: LogDensity, parameters: Array, x: Array) -> Array:
    """Return ``I = ∫ p s sᵀ dx`` [P, P] with the score ``s = ∂ log p / ∂ parameters`` by central differences.

    `x` [G] is an even grid that holds the mass of p. Steps are 1e-5 of max(1, |parameter|).
    """
    steps = 1e-5 * np.maximum(1.0, np.abs(parameters))
    score = np.stack(
        [
            (log_density(parameters + step, x) - log_density(parameters - step, x)) / (2 * step.sum())
            for step in np.diag(steps)
        ]
    )
    weight = np.exp(log_density(parameters, x)) * _trapezoid(x)
    return np.asarray((score * weight) @ score.T)


def cramer_rao(information: Array, quantities: Callable[[Array], Array], parameters: Array, num_rows: int) -> Array:
    """Return the Cramér-Rao standard deviations [Q] of ``quantities(parameters)`` at N rows.

    ``sqrt(diag(J I⁻¹ Jᵀ) / N)`` with J the Jacobian of the quantities, by central differences.
    """
    steps = 1e-5 * np.maximum(1.0, np.abs(parameters))
    jacobian = np.stack(
        [(quantities(parameters + step) - quantities(parameters - step)) / (2 * step.sum()) for step in np.diag(steps)],
        axis=1,
    )
    covariance = jacobian @ np.linalg.solve(information, jacobian.T) / num_rows
    return np.asarray(np.sqrt(np.diag(covariance)))


def divergence_weights(metric: Array, information: Array, num_rows: int) -> Array:
    """Return the weights w of ``½ δᵀ metric δ ~ Σ w_i χ²_1`` for the efficient error ``δ ~ N(0, I⁻¹/N)``.

    With `metric` the Fisher information of an interventional distribution this is the limiting law of its
    Kullback-Leibler divergence; the weights sum to ``½ tr(metric I⁻¹)/N``, the expected divergence. Weights that are
    numerically zero (the metric is singular in parameters the intervention does not touch) are dropped.
    """
    lower = np.linalg.cholesky(np.linalg.inv(information) / num_rows)
    weights = np.linalg.eigvalsh(lower.T @ metric @ lower) / 2
    return np.asarray(weights[weights > 1e-9 * weights.max()])


def _trapezoid(x: Array) -> Array:
    step = np.gradient(x)
    step[[0, -1]] /= 2
    return step
