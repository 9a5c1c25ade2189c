"""Proposals for importance sampling: Student's t's, their images under labels that are free, and draws of the prior.

With G the label permutations, J = |dφ/dv| and a share π of draws of the prior, the density of a proposal is

    q(v) = π p(v) + (1 - π) / |G| Σ_g Σ_m w_m t_m(g v) J(v) / J(g v),

since a permutation moves Greeks about and changes no volume of theirs. Points are drawn in the labelling of the t's:
what is weighed is the same in all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from estimators.contract import Density
from estimators.modes.labelling import Labelling
from estimators.modes.student import Student
from estimators.optimise.arrays import Array
from estimators.parameters.symmetry import Indices

# Images whose t's are so many nats below the largest have no part in a density; of others the Jacobian is looked at.
NEGLIGIBLE = 40.0


@dataclass(frozen=True, eq=False)
class Proposals:
    """A mixture of t's [P] with ``shares`` [P], of their images where there is a labelling, and of the prior."""

    density: Density
    parts: Sequence[Student]
    shares: Array
    of_prior: float = 0.0

    def draws(self, count: int, rng: np.random.Generator) -> Array:
        """Points [count, D]."""
        of_prior, *counts = rng.multinomial(count, [self.of_prior, *((1.0 - self.of_prior) * self.shares)])
        drawn = [part.draws(int(own), rng) for part, own in zip(self.parts, counts, strict=True)]
        if of_prior:
            drawn.append(self.density.draw_prior(int(of_prior), rng))
        return np.concatenate(drawn)

    def log_density(self, images: Array, log_prior: Array) -> Array:
        """log q [S] at the images [G, S, D] of points, of which the prior's density is given [S]."""
        logs = np.full(images.shape[:2], -np.inf)
        for part, share in zip(self.parts, self.shares, strict=True):
            logs = np.logaddexp(logs, np.log(share) + part.log_density(images))
        logs = logs + log_ratios(self.density, images, logs)
        of_parts = np.logaddexp.reduce(logs, 0) - np.log(len(images))
        if not self.of_prior:
            return np.asarray(of_parts)
        return np.asarray(np.logaddexp(np.log1p(-self.of_prior) + of_parts, np.log(self.of_prior) + log_prior))


@dataclass(frozen=True, eq=False)
class Regions:
    """The parts of the space that belong to each of M modes: where its own t, weighed, is the highest of all.

    The same in every labelling.
    """

    density: Density
    labelling: Labelling | None
    parts: Sequence[Student]
    log_weights: Array

    def images(self, points: Array) -> Array:
        """Points [S, D] in all labellings that are compared [G, S, D], as they are first."""
        return points[None] if self.labelling is None else self.labelling.images(points)

    def of(self, points: Array) -> tuple[Indices, Array]:
        """The mode [S] of points [S, D], and the image of each that is near it [S, D]."""
        return self.of_images(self.images(points))

    def of_images(self, images: Array) -> tuple[Indices, Array]:
        """The same of points by their images [G, S, D]."""
        logs = np.array([part.log_density(images) for part in self.parts]) + self.log_weights[:, None, None]
        logs = logs + log_ratios(self.density, images, logs.max(0))
        best = logs.reshape(-1, images.shape[1]).argmax(0)
        modes, image = np.divmod(best, len(images))
        return modes, images[image, np.arange(images.shape[1])]


def log_ratios(density: Density, images: Array, logs: Array) -> Array:
    """log J(v) - log J(g v) [G, S] where an image [G, S, D] has a part in the largest of log densities [G, S]."""
    ratios = np.zeros(logs.shape)
    is_large = np.isfinite(logs) & (logs >= logs.max(0) - NEGLIGIBLE)
    counts: NDArray[np.bool_] = is_large & (np.arange(len(images)) > 0)[:, None]
    if not counts.any():
        return ratios
    own = counts.any(0)
    jacobians = np.zeros(logs.shape[1])
    jacobians[own] = density.log_jacobian(images[0][own])
    _, columns = np.nonzero(counts)
    ratios[counts] = jacobians[columns] - density.log_jacobian(images[counts])
    return ratios
