"""What is climbed, sampled or differenced: a sum of the parts of a density, as a function of coordinates.

A density gives its likelihood, its prior and the Jacobian of its coordinates apart. EM climbs the first, MAP the first
two (a density of the Greeks themselves), NUTS samples the sum of all three (a density of the coordinates).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from estimators.optimise.arrays import Array


class Parts(NamedTuple):
    """``log p(data | φ(v))``, ``log p(φ(v))`` and ``log |dφ/dv|`` as [...], or the gradient of each as [..., D]."""

    likelihood: Array
    prior: Array
    jacobian: Array


# A sum of parts: of values and, since it is linear, of their gradients alike.
Combination = Callable[[Parts], Array]


def log_likelihood(parts: Parts) -> Array:
    """``log p(data | φ)``."""
    return parts.likelihood


def log_joint(parts: Parts) -> Array:
    """``log p(data, φ)``."""
    return parts.likelihood + parts.prior


def log_posterior(parts: Parts) -> Array:
    """``log p(data, v)``, a density of the coordinates."""
    return parts.likelihood + parts.prior + parts.jacobian


def log_prior(parts: Parts) -> Array:
    """``log p(v)``, the prior as a density of the coordinates."""
    return parts.prior + parts.jacobian


def log_jacobian(parts: Parts) -> Array:
    """``log |dφ/dv|``."""
    return parts.jacobian


class NativeFunction(NamedTuple):
    """A log density that compiled code calls: ``int64 f(uint64 D, double *v, double *gradient, double *value, data)``.

    It returns 0, a positive number where the value or the gradient is not finite, and a negative one after `stop`.
    ``owner`` holds what the addresses in `data` belong to.
    """

    address: int
    data: NDArray[np.int64]
    owner: object

    def stop(self) -> None:
        """Every further call returns at once."""
        self.data[0, 1] = 1


class Smooth(Protocol):
    """A smooth function of unconstrained coordinates [D]; ``bounded`` marks logs and logits."""

    @property
    def size(self) -> int:
        """The number D of coordinates."""

    @property
    def bounded(self) -> Any:
        """Which coordinates [D] are logs or logits."""

    @property
    def total_weight(self) -> float:
        """Σ w over the rows."""

    def value_and_gradient(self, coordinates: Array) -> tuple[float, Array]:
        """The value and its gradient [D]."""

    def gradients(self, points: Array) -> Array:
        """The gradients [S, D] at points [S, D]."""


class InParts(Protocol):
    """A density whose parts are apart, for v [..., D]."""

    size: int
    bounded: Any
    total_weight: float

    def values(self, coordinates: Array) -> Parts:
        """The parts [...] alone."""

    def evaluate(self, coordinates: Array) -> tuple[Parts, Parts]:
        """The parts [...], and their gradients [..., D]."""


@dataclass(frozen=True, eq=False)
class Objective:
    """``v → Σ parts`` of a density."""

    density: InParts
    combination: Combination

    @property
    def size(self) -> int:
        return self.density.size

    @property
    def bounded(self) -> Any:
        return self.density.bounded

    @property
    def total_weight(self) -> float:
        return self.density.total_weight

    def value(self, coordinates: Array) -> Array:
        """The sum [...] at a batch of points [..., D]."""
        return self.combination(self.density.values(coordinates))

    def evaluate(self, points: Array) -> tuple[Array, Array]:
        """The sums [S] and their gradients [S, D] at points [S, D]."""
        values, gradients = self.density.evaluate(points)
        return self.combination(values), self.combination(gradients)

    def value_and_gradient(self, coordinates: Array) -> tuple[float, Array]:
        value, gradient = self.evaluate(coordinates)
        return float(value), gradient

    def gradients(self, points: Array) -> Array:
        return self.combination(self.density.evaluate(points)[1])
