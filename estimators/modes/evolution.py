"""The point of a region at which a quantity is greatest, by differential evolution (Storn & Price 1997).

Where the data leave a direction open the quantity has ends of its own at many corners of the region, at probabilities
of 0 or 1, and a search that climbs stops at the first of them: which, the last digit of a weight decides.
"""

import numpy as np
from scipy.optimize import NonlinearConstraint, differential_evolution
from scipy.special import expit, logit

from estimators.modes.region import Region
from estimators.optimise.arrays import Array

# Points, at least and by coordinate, and generations of them by coordinate; they end where the quantity differs by this
# share.
POINTS, POINTS_EACH, GENERATIONS_EACH, SAME = 40, 3, 9, 1e-3
# How far from the mode a coordinate without bounds may go, in multiples of the farthest point that is given.
FARTHER = 4.0
# The share of a difference that is added, drawn for each generation, and of coordinates that are taken from the sum.
MUTATION, RECOMBINATION = (0.4, 0.9), 0.7


def evolved(region: Region, mode: Array, points: Array, sign: float, seed: int) -> Array:
    """Where ``sign`` times the quantity is greatest [D], from points [P, D] of a region around a mode [D].

    The same seed has the same end, and a fit the same interval every time.
    """
    bounded, rng = region.objective.bounded, np.random.default_rng(seed)
    # Logs and logits as shares: their ends are as near as any other point.
    first = np.where(bounded, expit(points), points)
    reach = FARTHER * np.maximum(np.abs(points - mode).max(0), np.finfo(float).tiny)
    low, high = np.where(bounded, 0.0, mode - reach), np.where(bounded, 1.0, mode + reach)
    value = region.quantity(mode[None])[0]

    def coordinates(members: Array) -> Array:
        rows = np.atleast_2d(members.T)
        with np.errstate(divide="ignore", invalid="ignore"):
            return region.held(np.where(bounded, logit(rows), rows))

    def loss(members: Array) -> Array:
        found = coordinates(members)
        return np.nan_to_num(-sign * (region.quantity(found) - value)) if len(found) else np.zeros(0)

    inside = NonlinearConstraint(lambda members: region.excess(coordinates(members))[None], 0.0, np.inf)
    found = differential_evolution(
        loss,
        list(zip(low, high, strict=True)),
        init=_members(np.clip(first, low, high), rng),
        constraints=inside,
        mutation=MUTATION,
        recombination=RECOMBINATION,
        maxiter=GENERATIONS_EACH * len(mode),
        tol=SAME,
        vectorized=True,
        updating="deferred",
        polish=False,
        rng=rng,
    )
    return np.asarray(coordinates(found.x)[0])


def _members(points: Array, rng: np.random.Generator) -> Array:
    """As many of the points [P, D] as take part, and, where these are too few, points between two of them."""
    count = max(POINTS, POINTS_EACH * points.shape[1])
    chosen = rng.permutation(points)[:count]
    one, other = points[rng.integers(len(points), size=(2, count - len(chosen)))]
    share = rng.random((len(one), 1))
    return np.concatenate([chosen, share * one + (1.0 - share) * other])
