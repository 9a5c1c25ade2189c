"""Particles: points of a cloud, with the parts of the density there."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from estimators.contract import Combination, Density, log_likelihood, log_prior
from estimators.optimise.arrays import Array
from estimators.status import in_words

# Numbers that one evaluation holds at most; Ctrl-C is heard between two.
MOST_AT_ONCE = 20_000_000


@dataclass(frozen=True, eq=False)
class Particles:
    """Coordinates [n, D], the log prior (as a density of these) and the log-likelihood [n], and their slopes [n, D].

    Where a log density is infinite or not a number it is -inf, so that no particle goes there, and its slope is 0.
    """

    coordinates: Array
    log_prior: Array
    log_likelihood: Array
    prior_slopes: Array
    likelihood_slopes: Array

    def __len__(self) -> int:
        return len(self.coordinates)

    def log_target(self, temperature: float) -> Array:
        """``log p(v) + t log p(data | v)`` as [n], for t > 0."""
        return self.log_prior + temperature * self.log_likelihood

    def slopes(self, temperature: float) -> Array:
        """The gradient of `log_target`, as [n, D]."""
        return self.prior_slopes + temperature * self.likelihood_slopes

    def take(self, index: Any) -> "Particles":
        """The particles of an index, a mask or a slice."""
        return Particles(*(array[index] for array in _arrays(self)))

    def replaced(self, is_replaced: Any, others: "Particles") -> "Particles":
        """The same cloud with the particles that are marked [n] replaced by others."""

        def merged(own: Array, other: Array) -> Array:
            return np.where(is_replaced.reshape(-1, *[1] * (own.ndim - 1)), other, own)

        return Particles(*map(merged, _arrays(self), _arrays(others)))


def joined(clouds: Sequence[Particles]) -> Particles:
    """Clouds one after the other, as one."""
    return Particles(*(np.concatenate(arrays) for arrays in zip(*map(_arrays, clouds), strict=True)))


def evaluate(density: Density, coordinates: Array) -> Particles:
    """Particles at coordinates [n, D]."""
    size = max(1, MOST_AT_ONCE // max(1, density.row_size))
    with in_words("SMC"), np.errstate(all="ignore"):
        blocks = [_evaluated(density, coordinates[at : at + size]) for at in range(0, len(coordinates), size)]
    return blocks[0] if len(blocks) == 1 else joined(blocks)


def _evaluated(density: Density, coordinates: Array) -> Particles:
    values, gradients = density.evaluate(coordinates)

    def part(combination: Combination) -> tuple[Array, Array]:
        value, slopes = combination(values), combination(gradients)
        return np.where(np.isfinite(value), value, -np.inf), np.where(np.isfinite(slopes), slopes, 0.0)

    (prior, prior_slopes), (likelihood, likelihood_slopes) = part(log_prior), part(log_likelihood)
    return Particles(coordinates, prior, likelihood, prior_slopes, likelihood_slopes)


def _arrays(particles: Particles) -> list[Array]:
    return [getattr(particles, each.name) for each in fields(particles)]
