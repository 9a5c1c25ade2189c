"""Observed information of a fit in unconstrained coordinates, and the normal approximation it gives.

The information is minus the Hessian of the log-likelihood (EM) or log joint (MAP), by central differences of the exact
gradient. The Hessian of the E-step's J would be complete-data information and make every sd too small.
"""

from typing import Protocol

import numpy as np

from estimators.parameters import Array
from estimators.status import EstimationError


class Smooth(Protocol):
    """A log density of unconstrained coordinates [D], with its gradient."""

    size: int

    def value_and_gradient(self, coordinates: Array) -> tuple[float, Array]:
        """The log density and its gradient [D]."""


def observed_information(density: Smooth, mode: Array) -> Array:
    """``-d² log p / dv dv'`` at `mode` [D], as [D, D]."""
    step = np.full(density.size, 1e-4)
    information = _difference(density, mode, step)
    # A second pass, with steps of a thousandth of each coordinate's own sd, does not step over sharp directions.
    curvature = np.abs(np.diag(information))
    step = np.clip(1e-3 / np.sqrt(np.maximum(curvature, 1e-12)), 1e-9, 1e-2)
    return _difference(density, mode, step)


def laplace_draws(density: Smooth, mode: Array, num_draws: int, generator: np.random.Generator) -> Array:
    """Draws [S, D] from Normal(mode, information⁻¹).

    Raises EstimationError where the information is not positive definite: some direction is not informed by the data.
    """
    if not density.size:
        return np.zeros((num_draws, 0))
    information = observed_information(density, mode)
    spread = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(information)), 1e-300))
    scaled = information * np.outer(spread, spread)
    values, vectors = eigen(scaled)
    if not np.isfinite(values).all() or values.min() < 1e-9:
        raise EstimationError(
            "laplace: the observed information is not positive definite (smallest scaled eigenvalue "
            f"{values.min():.3g}), so the data leave some combination of the Greeks undetermined; "
            "use NUTS, fewer components, or seen Z"
        )
    normal = generator.standard_normal((num_draws, density.size))
    return np.asarray(mode + spread * ((normal / np.sqrt(values)) @ vectors.T))


def eigen(information: Array) -> tuple[Array, Array]:
    """Eigenvalues and eigenvectors of a symmetric matrix whose entries may be as large as 1e200."""
    size = max(float(np.abs(information).max()), 1e-300)
    if not np.isfinite(size):
        return np.full(len(information), np.inf), np.eye(len(information))
    values, vectors = np.linalg.eigh(information / size)
    return values * size, vectors


def _difference(density: Smooth, mode: Array, step: Array) -> Array:
    rows = []
    for index in range(density.size):
        move = np.zeros(density.size)
        move[index] = step[index]
        ahead, behind = density.value_and_gradient(mode + move)[1], density.value_and_gradient(mode - move)[1]
        rows.append((behind - ahead) / (2.0 * step[index]))
    information = np.array(rows)
    return np.asarray(0.5 * (information + information.T))
