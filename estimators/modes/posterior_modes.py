"""The modes of a posterior as a density of coordinates, what each weighs by Laplace, and the chains dealt to it."""

from dataclasses import dataclass, replace

import numpy as np

from estimators.contract import Density, Model, Objective, log_posterior
from estimators.modes.finder import Finder
from estimators.modes.found import Found, Tick, untold
from estimators.modes.importance_sampling import MOST_IMAGES, OF_PRIOR, mode_proposals
from estimators.modes.labelling import Labelling
from estimators.modes.proposals import Proposals, Regions
from estimators.modes.student import Student
from estimators.modes.table import SHARE
from estimators.optimise.arrays import Array
from estimators.optimise.curvature import curvature
from estimators.parameters.symmetry import Indices, Symmetry

# Modes of less weight than this, by Laplace, are left out of what is weighed.
NO_WEIGHT = 1e-4


@dataclass(frozen=True, eq=False)
class PosteriorModes:
    """Modes [M] that weigh anything, best first, each with a t of its curvature; ``weights`` [M] are by Laplace."""

    found: Found
    parts: tuple[Student, ...]
    weights: Array
    symmetry: Symmetry
    proposals: Proposals
    regions: Regions

    def __len__(self) -> int:
        return len(self.parts)

    @property
    def counting(self) -> Indices:
        """The modes of a hundredth of the posterior or more, the heaviest first."""
        order = np.argsort(-self.weights, kind="stable")
        return np.asarray(order[self.weights[order] >= SHARE])

    def dealt(self, num_chains: int) -> Array:
        """The mode [num_chains, D] at which each chain starts: each that counts has one, the others are by weight."""
        chains = np.zeros(len(self), dtype=int)
        chains[self.counting[:num_chains]] = 1
        while chains.sum() < num_chains:
            chains[np.argmax(self.weights / (chains + 1))] += 1
        return np.repeat([part.location for part in self.parts], chains, axis=0)


def posterior_modes(
    search: Finder, model: Model, density: Density, rng: np.random.Generator, tick: Tick = untold
) -> PosteriorModes | None:
    """What a search finds of a posterior; None where it finds nothing.

    Narrow classes on few rows are modes like others where a prior keeps their mass finite.
    """
    if not density.size:
        return None
    found = search.found(model, density, log_posterior, rng, tick)
    if found is None:
        return None
    modes = sorted((*found.modes, *found.spurious), key=lambda mode: -mode.value)
    if not modes:
        return None
    objective = Objective(density, log_posterior)
    curves = [m.curve if m.curve is not None and m.free.all() else curvature(objective, m.point) for m in modes]
    parts = [Student.near(mode.point, curve) for mode, curve in zip(modes, curves, strict=True)]
    logs = np.array([mode.value + part.log_volume for mode, part in zip(modes, parts, strict=True)])
    weights = np.exp(logs - logs.max())
    kept = [number for number, weight in enumerate(weights / weights.sum()) if weight >= NO_WEIGHT]
    parts, weights = [parts[number] for number in kept], weights[kept] / weights[kept].sum()
    labelling = Labelling.of(model, density, uses_prior=True)
    is_whole = labelling.num_images <= MOST_IMAGES
    proposals, regions = mode_proposals(density, labelling, parts, weights)
    if is_whole and density.has_prior:
        proposals = replace(proposals, of_prior=OF_PRIOR)
    found = replace(found, modes=tuple(modes[number] for number in kept), spurious=())
    return PosteriorModes(found, tuple(parts), weights, labelling.symmetry, proposals, regions)
