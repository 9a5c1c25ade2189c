"""Proposals for importance sampling: Student's t about every mode, and about their images under labels that are free.

With G the label permutations and J = |dφ/dv|, the density of a proposal in a labelling at random is

    q(v) = 1/|G| Σ_g Σ_m w_m t_m(g v) J(v) / J(g v),

since a permutation moves Greeks about and changes no volume of theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from estimators.contract import Density
from estimators.modes.labelling import Labelling
from estimators.optimise.curvature import Curvature, student_draws, student_log_density
from estimators.parameters.parameter import Array
from estimators.symmetry import Indices

# Of the proposals this share is dealt over modes evenly, whatever their weights.
EVENLY = 0.2


@dataclass(frozen=True, eq=False)
class Proposals:
    """Points [S, D], log q [S] up to a constant, and the mode that each is likeliest to belong to [S]."""

    points: Array
    log_density: Array
    modes: Indices


def proposals(
    density: Density,
    labelling: Labelling | None,
    modes: Sequence[tuple[Array, Curvature]],
    weights: Array,
    num_draws: int,
    rng: np.random.Generator,
) -> Proposals:
    """Draws about modes with a curvature each; without a labelling their images have no part in it.

    Raises EstimationError where a mode has a direction without curvature.
    """
    shares = (1.0 - EVENLY) * weights / weights.sum() + EVENLY / len(weights)
    counts = rng.multinomial(num_draws, shares)
    drawn = [mode + student_draws(curve, count, rng) for (mode, curve), count in zip(modes, counts, strict=True)]
    points = np.concatenate(drawn)
    images = points[None] if labelling is None else labelling.images(points)
    logs = np.array([_log_densities(image, modes, shares) for image in images])
    if len(images) > 1:
        jacobians = np.array([density.values(image).jacobian for image in images])
        logs = logs + (jacobians[0] - jacobians)[:, None, :]
    return Proposals(points, logsumexp(logs, (0, 1)), np.asarray(logs.max(0).argmax(0)))


def _log_densities(points: Array, modes: Sequence[tuple[Array, Curvature]], shares: Array) -> Array:
    """log w_m t_m [M, S] at points [S, D]."""
    logs = [student_log_density(curve, points - mode) for mode, curve in modes]
    return np.asarray(np.log(shares)[:, None] + logs)
