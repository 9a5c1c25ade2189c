"""The Greeks as sites: name, shape, prior, and the map from unconstrained coordinates of the standardised data.

The maps are those of Pyro's `biject_to` up to an affine change to the data's own centre and scale. They are written in
NumPy, with their derivatives, because NUTS evaluates them thousands of times on a handful of numbers, where an
autograd graph costs ten times the arithmetic. Tests compare every one with torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import log
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pyro.distributions.torch_distribution import TorchDistributionMixin
from scipy.special import expit
from torch import Tensor

Array = NDArray[np.float64]
TINY = 1e-300


@dataclass(frozen=True, eq=False)
class Parameter:
    """A Greek: its name, its shape, its prior over that shape, and whether the leading axis runs over components."""

    name: str
    shape: tuple[int, ...]
    prior: TorchDistributionMixin
    by_component: bool = True


def checked_greeks(greeks: Mapping[str, Any], expected: Mapping[str, tuple[tuple[int, ...], Any]]) -> dict[str, Tensor]:
    """Return Greeks as float64 tensors, or raise a ValueError on a wrong name, shape or support."""
    if set(greeks) != set(expected):
        raise ValueError(f"greeks: expected {sorted(expected)}, got {sorted(greeks)}")
    checked = {name: torch.as_tensor(greeks[name], dtype=torch.float64) for name in expected}
    for name, (shape, support) in expected.items():
        if tuple(checked[name].shape) != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {tuple(checked[name].shape)}")
        if not bool(torch.as_tensor(support.check(checked[name])).all()):
            raise ValueError(f"{name}: expected values in {support}, got {checked[name].tolist()}")
    return checked


class Transform(Protocol):
    """A map from unconstrained coordinates [..., size] to a Greek [..., *shape], flat in its last axis.

    ``pull_back`` turns a gradient with respect to the Greek into one with respect to the coordinates. ``log_jacobian``
    is log |d Greek / d coordinates| [...] as a function of the Greek, with its gradient with respect to the Greek.
    """

    def size(self, shape: tuple[int, ...]) -> int: ...
    def forward(self, coordinates: Array) -> Array: ...
    def inverse(self, value: Array) -> Array: ...
    def pull_back(self, value: Array, gradient: Array) -> Array: ...
    def log_jacobian(self, value: Array) -> tuple[Array | float, Array | float]: ...


@dataclass(frozen=True)
class Real:
    """``x = origin + unit * v`` on the real line."""

    origin: float = 0.0
    unit: float = 1.0

    def size(self, shape: tuple[int, ...]) -> int:
        return int(np.prod(shape))

    def forward(self, coordinates: Array) -> Array:
        return self.origin + self.unit * coordinates

    def inverse(self, value: Array) -> Array:
        return (value - self.origin) / self.unit

    def pull_back(self, value: Array, gradient: Array) -> Array:
        return gradient * self.unit

    def log_jacobian(self, value: Array) -> tuple[Array | float, Array | float]:
        return log(self.unit) * value.shape[-1], 0.0


@dataclass(frozen=True)
class Positive:
    """``x = unit * exp(v)`` on the positive half-line: dx/dv = x."""

    unit: float = 1.0

    def size(self, shape: tuple[int, ...]) -> int:
        return int(np.prod(shape))

    def forward(self, coordinates: Array) -> Array:
        # The exponent is held where exp is finite and positive: a proposal this far out is rejected on its density.
        return self.unit * np.exp(np.minimum(np.maximum(coordinates, -300.0), 300.0))

    def inverse(self, value: Array) -> Array:
        return np.asarray(np.log(value / self.unit))

    def pull_back(self, value: Array, gradient: Array) -> Array:
        return gradient * value

    def log_jacobian(self, value: Array) -> tuple[Array | float, Array | float]:
        return np.log(value).sum(-1), 1.0 / value


@dataclass(frozen=True)
class Simplex:
    """Stick breaking, ``x_i = z_i prod_{j<i} (1 - z_j)`` with ``z_i = expit(v_i - log(K - i))`` (i from 1).

    The offset puts v = 0 at the uniform distribution (as Stan and Pyro do). The Jacobian is triangular with diagonal
    ``z_i (1 - z_i) prod_{j<i} (1 - z_j)``, whose product is that of all K weights.
    """

    def size(self, shape: tuple[int, ...]) -> int:
        return shape[-1] - 1

    def forward(self, coordinates: Array) -> Array:
        shifted = coordinates - _stick_offsets(coordinates.shape[-1])
        value = np.empty((*coordinates.shape[:-1], coordinates.shape[-1] + 1))
        value[..., 0] = 1.0
        # expit(-v), not 1 - expit(v), which is 0 for a large v.
        np.cumprod(expit(-shifted), axis=-1, out=value[..., 1:])
        value[..., :-1] *= expit(shifted)
        return value

    def inverse(self, value: Array) -> Array:
        value = np.maximum(value, TINY)
        return np.asarray(np.log(value[..., :-1] / _from_here(value)[..., 1:]) + _stick_offsets(value.shape[-1] - 1))

    def pull_back(self, value: Array, gradient: Array) -> Array:
        # d x_j / d v_i = x_j ([i = j] - z_i [j >= i]) with z_i = x_i / (x_i + ... + x_K).
        weighted = gradient * value
        broken = value[..., :-1] / _from_here(value)[..., :-1]
        return np.asarray(weighted[..., :-1] - broken * _from_here(weighted)[..., :-1])

    def log_jacobian(self, value: Array) -> tuple[Array | float, Array | float]:
        held = np.maximum(value, TINY)
        return np.log(held).sum(-1), 1.0 / held


def _from_here(value: Array) -> Array:
    """Sums of each entry and all that follow it, along the last axis."""
    return np.asarray(np.add.accumulate(value[..., ::-1], axis=-1)[..., ::-1])


@cache
def _stick_offsets(size: int) -> Array:
    return np.asarray(np.log(np.arange(size, 0, -1.0)))
