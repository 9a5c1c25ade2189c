"""The shares of several namings of one mode's components, by importance sampling about the mode that each leads to."""

from collections.abc import Callable, Sequence

import numpy as np

from estimators.contract import Density, Objective, log_joint, log_likelihood, log_posterior
from estimators.modes.importance_sampling import mode_proposals
from estimators.modes.labelling import Labelling
from estimators.modes.student import Student
from estimators.optimise.ascent import ascend
from estimators.optimise.curvature import curvature
from estimators.parameters.parameter import Array
from estimators.symmetry import Draws, Indices, Symmetry, permute

# As many proposals as make this many numbers, but no fewer and no more than so many.
NUMBERS, LEAST, MOST = 2_000_000, 512, 4_096
# Weighted proposals that are worth fewer than these tell nothing.
LEAST_WORTH = 100.0
TOLERANCE = 1e-6


def shares_about_modes(
    density: Density,
    symmetry: Symmetry,
    at: Draws,
    orders: Sequence[Indices],
    numbered: Callable[[Draws], Indices],
    *,
    uses_prior: bool,
) -> Array | None:
    """The share of each naming [M], of one draw under all of them; None where importance sampling does not tell.

    ``numbered`` says which naming draws have [S], -1 for none of these.
    """
    objective = Objective(density, log_joint if uses_prior else log_likelihood)
    modes = []
    for order in orders:
        image = permute(at, symmetry.axes, order[None])
        start = density.unconstrain({name: value[0].numpy() for name, value in image.items()})
        if not np.isfinite(start).all():
            return None
        with np.errstate(all="ignore"):
            end = ascend(objective, start, TOLERANCE).coordinates
            curve = curvature(objective, end)
        if not np.isfinite(curve.information).all() or curve.is_flat.any():
            return None
        modes.append(Student.about(end, curve))
    free = Labelling(density, symmetry) if uses_prior and symmetry.is_nontrivial else None
    count = int(np.clip(NUMBERS // max(density.row_size, 1), LEAST, MOST))
    proposals, _ = mode_proposals(density, free, modes, np.ones(len(modes)))
    points = proposals.draws(count, np.random.default_rng(0))
    target = Objective(density, log_posterior if uses_prior else log_likelihood)
    with np.errstate(all="ignore"):
        logs = target.value(points) - proposals.log_density(points, np.zeros(count))
    logs = np.nan_to_num(logs, nan=-np.inf, posinf=-np.inf)
    if not np.isfinite(logs.max()):
        return None
    weights = np.exp(logs - logs.max())
    numbers = numbered(density.draws(points))
    weights[numbers < 0] = 0.0
    if weights.sum() ** 2 <= LEAST_WORTH * (weights**2).sum():
        return None
    return np.asarray(np.bincount(np.maximum(numbers, 0), weights, len(orders)) / weights.sum())
