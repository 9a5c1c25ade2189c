"""The map from unconstrained coordinates to Cholesky factors of correlation matrices."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from estimators.optimise.arrays import Array
from estimators.parameters.transforms import CORRELATION, TabulatedMap


@dataclass(frozen=True)
class CholeskyOfCorrelation:
    """Rows of unit length broken like sticks, ``y_j = t_j s_j`` with t = tanh(v) and ``s_j² = Π_{k<j} (1 - t_k²)``.

    These are the coordinates of Pyro's `biject_to`, flat in their last axis; what is left of a row is its last entry.
    From a row back, ``s_j² = Σ_{k>=j} y_k²`` (a sum, which keeps the digits of nearly singular correlations) and
    ``dy_j/dv_j = s_{j+1}² / s_j``. A Greek may hold several factors.
    """

    length: int
    bounded = False
    has_logs = False

    def size(self, shape: tuple[int, ...]) -> int:
        return int(np.prod(shape[:-2])) * (self.length * (self.length - 1) // 2)

    def forward(self, coordinates: Array) -> Array:
        # Held where 1 - tanh² is not 0.
        return self.far(np.clip(coordinates, -18.0, 18.0))

    def far(self, coordinates: Array) -> Array:
        size, below = self.length, _below(self.length)
        apart = coordinates.reshape(*coordinates.shape[:-1], coordinates.shape[-1] // len(below[0]), len(below[0]))
        # Held where cosh is finite.
        held = np.clip(apart, -705.0, 705.0)
        value = np.zeros((*apart.shape[:-1], size, size))
        left = np.ones_like(value)
        value[..., below[0], below[1]] = np.tanh(held)
        left[..., below[0], below[1]] = 1.0 / np.cosh(held)
        value[..., range(size), range(size)] = 1.0
        value[..., 1:] *= np.cumprod(left, -1)[..., :-1]
        return np.asarray(value.reshape(*coordinates.shape[:-1], apart.shape[-2] * size * size))

    def inverse(self, value: Array) -> Array:
        rows, rest = self._rows(value)
        signs = np.where(rows[..., :-1] < 0, -1.0, 1.0)
        far = signs * np.log((rest[..., :-1] + np.abs(rows[..., :-1])) / rest[..., 1:])
        return self._coordinates(far, value)

    standardised = inverse

    def tabulated(self, shape: tuple[int, ...]) -> TabulatedMap | None:
        return TabulatedMap(CORRELATION, int(np.prod(shape[:-2])), self.length, np.zeros(0))

    def log_jacobian(self, value: Array) -> Array | float:
        # The product of the s_j of each row but the first, that of the last entry twice.
        _, rest = self._rows(value)
        return np.asarray((self._times() * np.log(rest)).sum((-1, -2)).sum(-1))

    def jacobian_slope(self, value: Array) -> Array | float:
        rows, rest = self._rows(value)
        return self.pull_back(value, rows * np.cumsum(self._times() / (rest * rest), -1))

    def pull_back(self, value: Array, gradient: Array) -> Array:
        rows, rest = self._rows(value)
        slope = np.tril(gradient.reshape(rows.shape))
        after = np.cumsum((slope * rows)[..., ::-1], -1)[..., ::-1][..., 1:]
        own = slope[..., :-1] * rest[..., 1:] ** 2 / rest[..., :-1]
        return self._coordinates(own - rows[..., :-1] / rest[..., :-1] * after, value)

    def _times(self) -> Array:
        """How often each s_j is a factor of the Jacobian."""
        times = np.tril(np.ones((self.length, self.length))) + np.eye(self.length)
        times[:, 0] = 0.0
        return times

    def _rows(self, value: Array) -> tuple[Array, Array]:
        """The rows of the factors [..., count, D, D] and s, with 1 in place of what is above the diagonal."""
        count = value.shape[-1] // self.length**2
        rows = value.reshape(*value.shape[:-1], count, self.length, self.length)
        rest = np.sqrt(np.cumsum((rows * rows)[..., ::-1], -1)[..., ::-1])
        return rows, np.where(np.tril(np.ones(rows.shape[-2:])) > 0, rest, 1.0)

    def _coordinates(self, found: Array, like: Array) -> Array:
        below = _below(self.length)
        return np.asarray(found[..., below[0], below[1]].reshape(*like.shape[:-1], found.shape[-3] * len(below[0])))


@cache
def _below(size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The indices i > j, row by row."""
    first, second = np.nonzero(np.tril(np.ones((size, size)), -1))
    return first, second
