"""Observed information of a fit in unconstrained coordinates, and the normal approximation it gives.

The information is minus the Hessian of the log-likelihood (EM) or log joint (MAP), by central differences of the exact
gradient. The Hessian of the E-step's J would be complete-data information and make every sd too small. A difference is
known to within the rounding error of the gradients and what the step leaves out: a curvature that is not larger than
this error is not told apart from none at all.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from estimators.optimise.arrays import Array
from estimators.optimise.objective import Smooth

# A curvature below this many times its error is flat. So is one below this share of the curvature that each coordinate
# has alone: solving with it would keep no more than half the digits.
ERRORS, LEAST_SHARE = 10.0, 1e-9
# An ascent is at a saddle if a direction curves upwards by more than this share.
SADDLE_SHARE = 1e-6
# Points within a few units in the last place of the mode, at which the gradient's rounding error shows.
NEIGHBOURS = 4
# In place of an infinite error, whose product with 0 would be NaN.
HUGE = 1e200
ROUGH_STEP = 1e-4
# How many times longer or shorter a step may be than a thousandth of an sd, where a hundredth of the curvature will do.
LONGEST_STEP = 10.0
EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Curvature:
    """``-d² log p / dv dv'`` as ``information`` [D, D], each entry known to within ``error`` [D, D].

    ``u Λ u'`` is the information in units in which each coordinate's own is 1: ``values`` Λ [D], ``vectors`` u [D, D],
    ``unit`` [D]. ``errors`` [D] are what rounding and differencing may have added to each value, to first order.
    """

    information: Array
    error: Array
    unit: Array
    values: Array
    vectors: Array
    errors: Array

    @property
    def is_flat(self) -> NDArray[np.bool_]:
        """Which directions [D] have no curvature that is told apart from none."""
        return np.asarray(self.values <= np.maximum(ERRORS * self.errors, LEAST_SHARE))

    def way_up(self) -> Array | None:
        """The direction [D], of length 1, that leads up from a saddle most steeply; None where there is none."""
        if not len(self.values) or self.values[0] >= -max(ERRORS * self.errors[0], SADDLE_SHARE):
            return None
        direction = self.unit * self.vectors[:, 0]
        return np.asarray(direction / np.linalg.norm(direction))

    def newton_step(self, gradient: Array) -> Array:
        """``I⁻¹ g`` [D] in the directions that are not flat, nothing in the others."""
        slopes = self.vectors.T @ (self.unit * gradient)
        return np.asarray(self.unit * (self.vectors @ np.where(self.is_flat, 0.0, slopes / self._divisors)))

    def without(self, coordinates: NDArray[np.bool_]) -> "Curvature":
        """The same if some coordinates [D] had no curvature at all."""
        if not coordinates.any():
            return self
        none = coordinates | coordinates[:, None]
        return _curvature(np.where(none, 0.0, self.information), np.where(none, 0.0, self.error))

    def normal_draws(self, normal: Array) -> Array:
        """Standard normal numbers [S, D] as draws from Normal(0, information⁻¹)."""
        return np.asarray(self.unit * ((normal / np.sqrt(self._divisors)) @ self.vectors.T))

    @property
    def _divisors(self) -> Array:
        return np.where(self.is_flat, 1.0, self.values)


def curvature(objective: Smooth, mode: Array) -> Curvature:
    """The observed information at `mode` [D] with its error, by two central differences and their limit."""
    rough = _rough(objective, mode)
    step = _step(rough)
    wide, narrow = _difference(objective, mode, step), _difference(objective, mode, step / 2.0)
    limit = (4.0 * narrow - wide) / 3.0
    # What is left out is of fourth order in the step; a thousandth of the second order is a generous bound.
    error = np.maximum(1e-3 * np.abs(limit - narrow), 0.5 * np.abs(limit - limit.T))
    return _curvature(limit, error + 4.0 * _rounding(objective, mode, rough)[None, :] / step[:, None])


def rough_curvature(objective: Smooth, mode: Array) -> Curvature:
    """The same by one difference ahead, to a hundredth, for a fifth of the evaluations."""
    step = np.full(len(mode), ROUGH_STEP)
    ahead, centre = _ahead(objective, mode, step)
    rough = np.abs(np.diag(ahead))
    apart = np.flatnonzero(np.abs(np.log(_step(rough) / step)) > np.log(LONGEST_STEP))
    if len(apart):
        step[apart] = _step(rough)[apart]
        ahead[apart] = (centre - objective.gradients(mode + np.diag(step)[apart])) / step[apart, None]
    error = np.maximum(1e-3 * np.diag(np.abs(np.diag(ahead))), 0.5 * np.abs(ahead - ahead.T))
    return _curvature(ahead, error + 2.0 * _rounding(objective, mode, rough)[None, :] / step[:, None])


def _step(rough: Array) -> Array:
    """Steps [D] of a thousandth of each coordinate's own sd, which do not step over sharp directions."""
    return np.asarray(np.clip(1e-3 / np.sqrt(np.maximum(rough, 1e-12)), 1e-9, 1e-2))


def _curvature(limit: Array, error: Array) -> Curvature:
    """The curvature of an information [D, D] that is not symmetric yet, each entry of it known to within its error."""
    information, error = 0.5 * (limit + limit.T), np.nan_to_num(np.maximum(error, error.T), nan=np.inf)
    own_size = np.abs(np.diag(information))
    # A coordinate that nothing informs has no unit of its own, and would spread its error over all directions.
    unit = np.where(own_size <= ERRORS * np.diag(error), 1.0, 1.0 / np.sqrt(np.maximum(own_size, 1e-300)))
    # The unit of a coordinate without curvature is so large that products with it overflow.
    with np.errstate(over="ignore", invalid="ignore"):
        scaled, own = error * np.outer(unit, unit), information * np.outer(unit, unit)
    values, vectors = eigen(own)
    scaled = np.minimum(np.nan_to_num(scaled), HUGE)
    errors = np.einsum("id,id->d", np.abs(vectors), scaled @ np.abs(vectors))
    return Curvature(information, error, unit, values, vectors, errors)


def observed_information(objective: Smooth, mode: Array) -> Array:
    """``-d² log p / dv dv'`` at `mode` [D], as [D, D]."""
    return curvature(objective, mode).information


def eigen(information: Array) -> tuple[Array, Array]:
    """Eigenvalues and eigenvectors of a symmetric matrix whose entries may be as large as 1e200."""
    size = max(float(np.abs(information).max(initial=0.0)), 1e-300)
    if not np.isfinite(size):
        return np.full(len(information), np.inf), np.eye(len(information))
    values, vectors = np.linalg.eigh(information / size)
    return values * size, vectors


def _difference(objective: Smooth, mode: Array, step: Array) -> Array:
    """Minus the derivative of the gradient in each coordinate [D, D], not yet symmetric."""
    moves = np.diag(step)
    gradients = objective.gradients(np.concatenate([mode + moves, mode - moves]))
    ahead, behind = gradients[: len(moves)], gradients[len(moves) :]
    return np.asarray((behind - ahead) / (2.0 * step[:, None]))


def _rough(objective: Smooth, mode: Array) -> Array:
    """The size of each coordinate's own information [D], by forward differences: enough to choose steps by."""
    return np.asarray(np.abs(np.diag(_ahead(objective, mode, np.full(len(mode), ROUGH_STEP))[0])))


def _ahead(objective: Smooth, mode: Array, step: Array) -> tuple[Array, Array]:
    """Minus the forward differences of the gradient in each coordinate [D, D], and the gradient [D]."""
    gradients = objective.gradients(np.concatenate([mode[None], mode + np.diag(step)]))
    return (gradients[0] - gradients[1:]) / step[:, None], gradients[0]


def _rounding(objective: Smooth, mode: Array, information: Array) -> Array:
    """The rounding error of the gradient [D]: how much it changes where next to nothing does.

    The neighbours may agree by chance. A sum over rows of scores that cancel is off by their size: the squares of these
    add up to the information, and those of a log or a logit are up to 1 in a row, with the relative error of its
    probabilities, which is the absolute error of their logs.
    """
    value, centre = objective.value_and_gradient(mode)
    logs = np.where(objective.bounded, max(objective.total_weight, abs(value)), 0.0)
    error = EPSILON * np.maximum(np.sqrt(objective.total_weight * information), logs)
    spacing = np.spacing(np.maximum(np.abs(mode), 0.1))
    # The moves are fixed, so that the same fit has the same status every time.
    moves = np.random.default_rng(0).integers(-8, 9, (NEIGHBOURS, objective.size)) * spacing
    return np.asarray(np.maximum(error, np.abs(objective.gradients(mode + moves) - centre).max(0, initial=0.0)))
