"""Maps from unconstrained coordinates of the standardised data to the supports of the Greeks, and back.

The maps are those of Pyro's `biject_to` up to an affine change to the data's own centre and scale. They are written in
NumPy, with their derivatives, because NUTS evaluates them thousands of times on a handful of numbers, where an
autograd graph costs ten times the arithmetic. Tests compare every one with torch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import log
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy.special import expit, log_expit, logit

from estimators.optimise.arrays import Array
from estimators.parameters.parameter import TINY

# The maps that compiled code has.
REAL, POSITIVE, UNIT, SIMPLEX, LINE, CORRELATION, INTERVAL, CONTRASTS = range(8)


class TabulatedMap(NamedTuple):
    """A map as compiled code has it: `copies` of one to `length` numbers, its numbers, its constant log Jacobian."""

    kind: int
    copies: int
    length: int
    numbers: Array
    log_jacobian: float = 0.0


class Transform(Protocol):
    """A map from unconstrained coordinates [..., size] to a Greek [..., *shape], flat in its last axis.

    ``log_jacobian`` is log |d Greek / d coordinates| [...] as a function of the Greek, ``jacobian_slope`` its gradient
    with respect to the coordinates. ``pull_back`` turns a gradient with respect to the Greek into one with respect to
    the coordinates.

    ``far`` is ``forward`` without holding the Greek where its square is finite and positive: what a density is of.
    Where ``has_logs``, the density is a function of the Greek's logs instead, which keep their digits where the Greek
    itself is rounded to 0 or 1 (see `Logged`). ``standardised`` are the coordinates of a value of standardised columns.
    """

    @property
    def has_logs(self) -> bool:
        """Whether it is `Logged`."""

    @property
    def bounded(self) -> bool:
        """Whether the coordinates are logs or logits, whose ends are the boundary of the support."""

    def tabulated(self, shape: tuple[int, ...]) -> TabulatedMap | None:
        """The map as compiled code has it, of a Greek of some shape; None where it has not."""

    def size(self, shape: tuple[int, ...]) -> int: ...
    def forward(self, coordinates: Array) -> Array: ...
    def far(self, coordinates: Array) -> Array: ...
    def inverse(self, value: Array) -> Array: ...
    def standardised(self, value: Array) -> Array: ...
    def log_jacobian(self, value: Array) -> Array | float: ...
    def jacobian_slope(self, value: Array) -> Array | float: ...
    def pull_back(self, value: Array, gradient: Array) -> Array: ...


class Logged(Transform, Protocol):
    """A map to probabilities p, with ``log p``, and ``log(1 - p)`` where p is not one of a simplex, as functions of v.

    ``pull_back_logs`` turns gradients with respect to each of these into one with respect to the coordinates. The log
    Jacobian is the sum of all logs.
    """

    def logs(self, coordinates: Array) -> tuple[Array, ...]: ...
    def pull_back_logs(self, coordinates: Array, gradients: Sequence[Array]) -> Array: ...


# The names under which logs stand among Greeks, in the order of `Logged.logs`.
LOGS = ("log {}", "log 1 - {}")


class _Square:
    """As many coordinates as the Greek has entries."""

    def size(self, shape: tuple[int, ...]) -> int:
        return int(np.prod(shape))


@dataclass(frozen=True)
class Real(_Square):
    """``x = origin + unit * v`` on the real line."""

    origin: Any = 0.0
    unit: float = 1.0
    bounded = False
    has_logs = False

    def forward(self, coordinates: Array) -> Array:
        return np.asarray(self.origin + self.unit * coordinates)

    far = forward

    def inverse(self, value: Array) -> Array:
        return np.asarray((value - self.origin) / self.unit)

    def standardised(self, value: Array) -> Array:
        return value

    def tabulated(self, shape: tuple[int, ...]) -> TabulatedMap | None:
        size = self.size(shape)
        numbers = np.concatenate([np.broadcast_to(part, size) for part in (self.origin, self.unit)])
        return TabulatedMap(REAL, size, 1, numbers, log(self.unit) * size)

    def log_jacobian(self, value: Array) -> Array | float:
        return float(log(self.unit) * value.shape[-1])

    def jacobian_slope(self, value: Array) -> Array | float:
        return 0.0

    def pull_back(self, value: Array, gradient: Array) -> Array:
        return gradient * self.unit


@dataclass(frozen=True)
class Positive(_Square):
    """``x = scale * exp(v)`` on the positive half-line: dx/dv = x. ``scale`` is a number, or one for each entry."""

    scale: Any = 1.0
    bounded = True
    has_logs = False

    def forward(self, coordinates: Array) -> Array:
        return np.asarray(self.scale * np.exp(np.minimum(np.maximum(coordinates, -300.0), 300.0)))

    def far(self, coordinates: Array) -> Array:
        return np.asarray(self.scale * np.exp(np.minimum(np.maximum(coordinates, -705.0), 705.0)))

    def inverse(self, value: Array) -> Array:
        return np.asarray(np.log(value / self.scale))

    standardised = inverse

    def tabulated(self, shape: tuple[int, ...]) -> TabulatedMap | None:
        scale = np.broadcast_to(np.asarray(self.scale, dtype=np.float64), self.size(shape))
        return TabulatedMap(POSITIVE, len(scale), 1, np.concatenate([scale, np.log(scale)]))

    def log_jacobian(self, value: Array) -> Array | float:
        return np.asarray(np.log(value).sum(-1))

    def jacobian_slope(self, value: Array) -> Array | float:
        return 1.0

    def pull_back(self, value: Array, gradient: Array) -> Array:
        return gradient * value


class Scale(Positive):
    """A positive number in units of its column, which are ``scale``."""

    def standardised(self, value: Array) -> Array:
        return np.log(value)


@dataclass(frozen=True)
class UnitInterval(_Square):
    """``x = expit(v)`` between 0 and 1: dx/dv = x (1 - x)."""

    bounded = True
    has_logs = True

    def forward(self, coordinates: Array) -> Array:
        return np.asarray(expit(coordinates))

    far = forward

    def inverse(self, value: Array) -> Array:
        return np.asarray(logit(value))

    standardised = inverse

    def tabulated(self, shape: tuple[int, ...]) -> TabulatedMap | None:
        return TabulatedMap(UNIT, self.size(shape), 1, np.zeros(0))

    def log_jacobian(self, value: Array) -> Array | float:
        low, high = np.maximum(value, TINY), np.maximum(1.0 - value, TINY)
        return np.asarray((np.log(low) + np.log(high)).sum(-1))

    def jacobian_slope(self, value: Array) -> Array | float:
        return 1.0 - 2.0 * value

    def pull_back(self, value: Array, gradient: Array) -> Array:
        return gradient * value * (1.0 - value)

    def logs(self, coordinates: Array) -> tuple[Array, ...]:
        return log_expit(coordinates), log_expit(-coordinates)

    def pull_back_logs(self, coordinates: Array, gradients: Sequence[Array]) -> Array:
        high, low = gradients
        return np.asarray(high * expit(-coordinates) - low * expit(coordinates))


@dataclass(frozen=True)
class Simplex:
    """Stick breaking, ``x_i = z_i prod_{j<i} (1 - z_j)`` with ``z_i = expit(v_i - log(K - i))`` (i from 1).

    The offset puts v = 0 at the uniform distribution (as Stan and Pyro do). The Jacobian is triangular with diagonal
    ``z_i (1 - z_i) prod_{j<i} (1 - z_j)``, whose product is that of all K weights. A Greek may hold several of them.
    """

    length: int
    count: int = 1
    bounded = True
    has_logs = True

    def size(self, shape: tuple[int, ...]) -> int:
        return int(np.prod(shape[:-1])) * (shape[-1] - 1)

    def forward(self, coordinates: Array) -> Array:
        apart = self._apart(coordinates, self.length - 1)
        shifted = apart - _stick_offsets(self.length - 1)
        value = np.empty((*apart.shape[:-1], self.length))
        value[..., 0] = 1.0
        # expit(-v), not 1 - expit(v), which is 0 for a large v.
        np.multiply.accumulate(expit(-shifted), axis=-1, out=value[..., 1:])
        value[..., :-1] *= expit(shifted)
        return self._flat(value)

    far = forward

    def inverse(self, value: Array) -> Array:
        apart = np.maximum(self._apart(value, self.length), TINY)
        logits = np.log(apart[..., :-1] / _tail_sums(apart)[..., 1:]) + _stick_offsets(self.length - 1)
        return self._flat(logits)

    standardised = inverse

    def tabulated(self, shape: tuple[int, ...]) -> TabulatedMap | None:
        return TabulatedMap(SIMPLEX, int(np.prod(shape[:-1])), self.length, np.zeros(0))

    def log_jacobian(self, value: Array) -> Array | float:
        return np.asarray(np.add.reduce(np.log(np.maximum(value, TINY)), -1))

    def jacobian_slope(self, value: Array) -> Array | float:
        return self._by_value(value, np.ones_like(value))

    def pull_back(self, value: Array, gradient: Array) -> Array:
        return self._by_value(value, gradient * value)

    def _by_value(self, value: Array, slope_of_log: Array) -> Array:
        # d log x_j / d v_i = [i = j] - z_i [j >= i] with z_i = x_i / (x_i + ... + x_K).
        apart = self._apart(value, self.length)
        weighted = self._apart(slope_of_log, self.length)
        broken = apart[..., :-1] / _tail_sums(apart)[..., :-1]
        return self._flat(weighted[..., :-1] - broken * _tail_sums(weighted)[..., :-1])

    def logs(self, coordinates: Array) -> tuple[Array, ...]:
        shifted = self._apart(coordinates, self.length - 1) - _stick_offsets(self.length - 1)
        logs = np.empty((*shifted.shape[:-1], self.length))
        logs[..., 0] = 0.0
        np.add.accumulate(log_expit(-shifted), axis=-1, out=logs[..., 1:])
        logs[..., :-1] += log_expit(shifted)
        return (self._flat(logs),)

    def pull_back_logs(self, coordinates: Array, gradients: Sequence[Array]) -> Array:
        # d log x_j / d v_i = [i = j] - z_i [j >= i].
        apart = self._apart(gradients[0], self.length)
        broken = expit(self._apart(coordinates, self.length - 1) - _stick_offsets(self.length - 1))
        return self._flat(apart[..., :-1] - broken * _tail_sums(apart)[..., :-1])

    def _apart(self, flat: Array, length: int) -> Array:
        """[..., count * length] as [..., count, length], or as it is where there is one simplex."""
        return flat if self.count == 1 else flat.reshape(*flat.shape[:-1], self.count, length)

    def _flat(self, apart: Array) -> Array:
        return np.asarray(apart if self.count == 1 else apart.reshape(*apart.shape[:-2], self.count * apart.shape[-1]))


@dataclass(frozen=True, eq=False)
class Linear(_Square):
    """``x = origin + matrix @ v`` for every row of x: [..., rows * P], with a square matrix [P, P].

    ``columns`` [P, P] maps x to the line in standardised columns, in which compiled sums have its slopes, where that is
    not v itself.
    """

    matrix: Array
    origin: Array
    columns: Array | None = None
    bounded = False
    has_logs = False

    def forward(self, coordinates: Array) -> Array:
        return self._by_row(coordinates, lambda v: self.origin + v @ self.matrix.T)

    far = forward

    def inverse(self, value: Array) -> Array:
        return self._by_row(
            value, lambda x: np.asarray(np.linalg.solve(self.matrix, (x - self.origin)[..., None])[..., 0])
        )

    def standardised(self, value: Array) -> Array:
        return value

    def tabulated(self, shape: tuple[int, ...]) -> TabulatedMap | None:
        length = len(self.origin)
        count = self.size(shape) // length
        of_columns = np.eye(length) if self.columns is None else self.columns @ self.matrix
        numbers = np.concatenate([self.origin, self.matrix.reshape(-1), of_columns.reshape(-1)])
        return TabulatedMap(LINE, count, length, numbers, float(np.linalg.slogdet(self.matrix)[1] * count))

    def log_jacobian(self, value: Array) -> Array | float:
        return float(np.linalg.slogdet(self.matrix)[1] * (value.shape[-1] // len(self.origin)))

    def jacobian_slope(self, value: Array) -> Array | float:
        return 0.0

    def pull_back(self, value: Array, gradient: Array) -> Array:
        return self._by_row(gradient, lambda slope: slope @ self.matrix)

    def _by_row(self, flat: Array, function: Callable[[Array], Array]) -> Array:
        length = len(self.origin)
        return function(flat.reshape(*flat.shape[:-1], flat.shape[-1] // length, length)).reshape(flat.shape)


def _tail_sums(value: Array) -> Array:
    """Sums of each entry and all that follow it, along the last axis."""
    return np.asarray(np.add.accumulate(value[..., ::-1], axis=-1)[..., ::-1])


@cache
def _stick_offsets(size: int) -> Array:
    return np.asarray(np.log(np.arange(size, 0, -1.0)))
