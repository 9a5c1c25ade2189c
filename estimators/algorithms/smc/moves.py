"""Markov kernels for half a cloud, of which the other half gives the directions and lengths.

Each leaves the target as it is, whatever the other half: it proposes, and a proposal is accepted by Metropolis and
Hastings' rule. Particles draw lengths of their own, within a factor of ten, so that wide and narrow modes of a cloud
are both explored.

Source: ter Braak & Vrugt (2008), "Differential Evolution Markov Chain with snooker updater and fewer chains", Stat.
Comput. 18; Roberts & Tweedie (1996), "Exponential convergence of Langevin distributions", Bernoulli 2.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from estimators.algorithms.smc.particles import Particles
from estimators.modes.proposals import Proposals
from estimators.optimise.arrays import Array

# A Langevin drift is held at this many times the length of its noise: a gradient may be huge far from the modes.
LONGEST_DRIFT = 2.0


class Surroundings(NamedTuple):
    """What a kernel takes beside the particles it moves: the others [m, D], t, its adapted scale, random numbers."""

    others: Array
    temperature: float
    scale: float
    rng: np.random.Generator


class Proposal(NamedTuple):
    """Points [n, D], and ``log q(v | v') - log q(v' | v)`` [n], for which the density at v' may be needed."""

    points: Array
    log_ratio: Callable[[Particles], Array]


class Move(Protocol):
    """A Markov kernel. Its scale is adapted until the share ``acceptance`` is accepted; None where it has no scale."""

    @property
    def acceptance(self) -> float | None:
        """The share, or None."""

    def propose(self, particles: Particles, around: Surroundings) -> Proposal:
        """Where each particle would go."""


@dataclass(frozen=True)
class DifferentialEvolution:
    """``v' = v + γ (a - b)`` for two others a and b: random-walk steps of the cloud's own directions."""

    acceptance: float | None = 0.3

    def propose(self, particles: Particles, around: Surroundings) -> Proposal:
        v, (a, b) = particles.coordinates, _pairs(around, len(particles))
        return Proposal(v + around.scale * _lengths(around, len(v)) * (a - b), _symmetric)


@dataclass(frozen=True)
class Jump:
    """``v' = v + a - b``, which takes a particle near b, in one mode, to a's place in another."""

    acceptance: float | None = None

    def propose(self, particles: Particles, around: Surroundings) -> Proposal:
        a, b = _pairs(around, len(particles))
        return Proposal(particles.coordinates + a - b, _symmetric)


@dataclass(frozen=True, eq=False)
class Snooker:
    """Along the line through another particle c, as far as a and b are apart on it: ``v' - c = (1 + r) (v - c)``.

    Distances are in units of ``widths`` [D]; the ratio of proposals is ``|1 + r|^(D - 1)``.
    """

    widths: Array
    acceptance: float | None = None

    def propose(self, particles: Particles, around: Surroundings) -> Proposal:
        v, (a, b) = particles.coordinates, _pairs(around, len(particles))
        c = around.others[around.rng.integers(len(around.others), size=len(v))]
        line, apart = (v - c) / self.widths, (a - b) / self.widths
        factor = around.rng.uniform(1.2, 2.2, len(v))
        r = factor * (apart * line).sum(-1) / np.maximum((line**2).sum(-1), 1e-300)
        log_ratio = (v.shape[1] - 1) * np.log(np.abs(1.0 + r))
        return Proposal(v + r[:, None] * (v - c), lambda _: log_ratio)


@dataclass(frozen=True, eq=False)
class Langevin:
    """``v' = v + ½ h² A ∇ log target(v) + h A^½ ξ`` with ``A = factor factorᵀ`` [D, D], the covariance of a mode."""

    factor: Array
    acceptance: float | None = 0.5

    def propose(self, particles: Particles, around: Surroundings) -> Proposal:
        lengths = around.scale * _lengths(around, len(particles))
        noise = around.rng.standard_normal(particles.coordinates.shape)

        def drift(at: Particles) -> Array:
            slopes = 0.5 * lengths * (at.slopes(around.temperature) @ self.factor)
            size = np.sqrt((slopes**2).mean(-1, keepdims=True))
            return np.asarray(slopes * np.minimum(1.0, LONGEST_DRIFT / np.maximum(size, 1e-300)))

        step = drift(particles) + noise

        def log_ratio(after: Particles) -> Array:
            return np.asarray(0.5 * (noise**2 - (step + drift(after)) ** 2).sum(-1))

        return Proposal(particles.coordinates + lengths * (step @ self.factor.T), log_ratio)


@dataclass(frozen=True, eq=False)
class Independent:
    """``v' ~ q``, Student's t's about clusters of a cloud as it was before it moved, wherever v is.

    It takes most particles anywhere in one step where there are few coordinates, and hardly one where there are many.
    """

    proposals: Proposals
    acceptance: float | None = None

    def propose(self, particles: Particles, around: Surroundings) -> Proposal:
        points = self.proposals.draws(len(particles), around.rng)[around.rng.permutation(len(particles))]
        log_ratio = self._log_density(particles.coordinates) - self._log_density(points)
        return Proposal(points, lambda _: log_ratio)

    def _log_density(self, points: Array) -> Array:
        return self.proposals.log_density(points[None], np.zeros(len(points)))


def _pairs(around: Surroundings, count: int) -> tuple[Array, Array]:
    """Two different others for each of `count` particles."""
    size = len(around.others)
    first = around.rng.integers(size, size=count)
    second = (first + around.rng.integers(1, size, size=count)) % size
    return around.others[first], around.others[second]


def _lengths(around: Surroundings, count: int) -> Array:
    """Numbers [n, 1] from a tenth to one, even in their logs."""
    return np.asarray(10.0 ** -around.rng.random((count, 1)))


def _symmetric(_: Particles) -> Array:
    return np.zeros(1)
