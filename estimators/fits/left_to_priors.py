"""Of which Greeks the rows tell next to nothing, so that the posterior is the prior: by its draws, or at a mode.

At a mode, with P the information of the priors as a density of the coordinates, and L that of the likelihood, a
direction u of ``L u = r P u`` with r near 0 is as wide as without rows. It is the prior's if rows do not move the mode
along it, too: of a slope that runs to infinity and is held by its prior they tell, though they hardly curve it there.
"""

from collections.abc import Mapping

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.special import ndtri

from estimators.contract import Density, Objective, log_jacobian, log_joint, log_prior
from estimators.fits.identifiability import OpenGroup, generalised_eigen, greek_slopes, open_groups
from estimators.fits.left_open import of_some_rows
from estimators.fits.mode_findings import groups_in_words
from estimators.fits.untold_ends import UNMOVED, all_entries, untold_at_ends
from estimators.modes.mode import Mode, mode_at
from estimators.optimise.arrays import Array, Mask
from estimators.optimise.curvature import Curvature, rough_curvature

# Draws are the prior's if their distribution function is within so much of its, and their interquartile range within
# so much of its own size.
DISTANCE, WIDTH = 0.08, 0.15
LEVELS = np.linspace(0.05, 0.95, 19)
QUARTILES = [4, -5]
# The same of a normal distribution: how many times as much as a prior the rows may tell, and by how many of its sds
# they may move it.
LEAST, MOST = (1.0 + WIDTH) ** -2.0 - 1.0, (1.0 - WIDTH) ** -2.0 - 1.0
MOVED = 2.0 * float(ndtri(0.5 * (1.0 + DISTANCE)))
# Differences of all rows' likelihood are of steps of so many of the prior's sds.
STEP = 0.05
# The share of its variance under the prior that an entry keeps where the prior answers for it: half, of two whose sum
# alone is told.
OWN = 0.45

PRIOR_ANSWERS = "Of some Greeks the rows hardly tell here, and a prior answers: {}."


def untold_entries(draws: Mapping[str, Array], of_prior: Mapping[str, Array]) -> list[str]:
    """The entries of Greeks whose draws [S, *shape] are distributed as the prior's [M, *shape] are."""
    return [
        f"{name}[{', '.join(map(str, index))}]" if index else name
        for name, value in draws.items()
        for index in np.ndindex(value.shape[1:])
        if _are_alike(value[:, *index], of_prior[name][:, *index])
    ]


def _are_alike(draws: Array, of_prior: Array) -> bool:
    """Whether draws [S] have the quantiles of others [M]; a constant is like nothing."""
    quantiles, expected = np.quantile(draws, LEVELS), np.quantile(of_prior, LEVELS)
    low, high = quantiles[QUARTILES]
    least, most = expected[QUARTILES]
    levels = np.searchsorted(np.sort(of_prior), quantiles) / len(of_prior)
    is_as_wide = abs((high - low) - (most - least)) < WIDTH * (most - least)
    return bool(is_as_wide) and float(np.abs(levels - LEVELS).max()) < DISTANCE


def prior_remarks(words: str, said: str = "") -> tuple[str, ...]:
    """A sentence where priors answer what these words say, but for what is ``said`` of the same entries elsewhere."""
    left = "; ".join(part for part in words.split("; ") if part not in said)
    return (PRIOR_ANSWERS.format(left),) if left else ()


@np.errstate(all="ignore")
def left_to_priors(density: Density, mode: Mode) -> str:
    """What of the Greeks priors answer at a mode of the joint density, in words.

    Nothing where a class is lost, whose Greeks are not the reason.
    """
    if density.at_boundary(mode.point):
        return ""
    inside = _inside_the_support(density, mode)
    named = {entry for group in inside for entry in group.entries}
    at_ends = [name for name in untold_at_ends(density, density.constrain(mode.point)) if name not in named]
    return groups_in_words([*inside, *(OpenGroup((name,), is_untold=True) for name in at_ends)])


def _inside_the_support(density: Density, mode: Mode) -> list[OpenGroup]:
    """The entries that priors answer and that are at no end."""
    whole = density
    if mode.curve is None:
        density = of_some_rows(density, np.random.default_rng(0))
        point = density.unconstrain(whole.constrain(mode.point))
        mode = mode_at(Objective(density, log_joint), density, point)
    if mode.curve is None:
        return []
    of_prior = rough_curvature(Objective(density, log_prior), mode.point)
    if not (np.isfinite(mode.curve.information).all() and np.isfinite(of_prior.information).all()):
        return []
    informed = _informed(of_prior) & mode.free
    if not informed.any():
        return []
    prior = of_prior.information[np.ix_(informed, informed)]
    of_coordinates = rough_curvature(Objective(density, log_jacobian), mode.point).information
    of_posterior = mode.curve.information + of_coordinates[np.ix_(mode.free, mode.free)]
    told = _of_some(of_posterior, informed[mode.free]) - prior
    ratios, ways = generalised_eigen(told, prior)
    slope = density.evaluate(mode.point)[1].prior[informed]
    untold = _unmoved(ways[:, (ratios > LEAST) & (ratios < MOST)], slope)
    if whole is not density:
        untold = untold[:, _tell_little(whole, density, mode.point, informed, untold)]
    if not untold.shape[1]:
        return []
    # Others are steep, whatever they are: at right angles to these in the prior's own units.
    inverse = np.linalg.cholesky(np.linalg.inv(prior))
    others = inverse @ np.linalg.svd(np.linalg.solve(inverse, untold))[0][:, untold.shape[1] :]
    every = np.concatenate([untold, others], axis=1)
    slopes = greek_slopes(density, mode.point)
    moves = slopes[:, informed] @ every
    told_of_each = np.maximum(np.einsum("da,de,ea->a", every, told, every), LEAST)
    # An entry may be uncertain along these directions most of all, and told well for all that.
    own = (moves**2 / (1.0 + told_of_each)).sum(1) / np.maximum((moves**2).sum(1), 1e-300)
    is_of_these = np.abs(slopes[:, ~informed & mode.free]).max(1, initial=0.0) < UNMOVED
    is_of_these &= own > OWN
    if not is_of_these.any():
        return []
    moves *= is_of_these[:, None]
    is_untold = np.arange(every.shape[1]) < untold.shape[1]
    names = all_entries(density.constrain(mode.point), density.names)
    ratios = np.where(is_untold, 0.0, np.maximum(told_of_each, 1.0))
    return open_groups(ratios, moves, names)


def _tell_little(every: Density, density: Density, point: Array, informed: Mask, ways: Array) -> Mask:
    """In which directions [D, A] all rows tell as little as some of them do: a rare level may be of the others."""
    steps = np.zeros((ways.shape[1], len(point)))
    steps[:, informed] = STEP * ways.T
    around = np.concatenate([point[None], point + steps, point - steps])
    centre, *others = every.values(every.unconstrain(density.constrain(around))).likelihood
    bends = (2.0 * centre - np.reshape(others, (2, -1)).sum(0)) / STEP**2
    return np.asarray((bends > LEAST) & (bends < MOST))


def _informed(of_prior: Curvature) -> Mask:
    """The coordinates [D] of which priors have a curvature downwards in every direction, with all that hang on them."""
    is_linked = np.abs(of_prior.information) > of_prior.error
    _, block_of = connected_components(is_linked, directed=False)
    informed = np.zeros(len(block_of), dtype=bool)
    for number in range(block_of.max(initial=-1) + 1):
        block = np.flatnonzero(block_of == number)
        part, error = of_prior.information[np.ix_(block, block)], of_prior.error[np.ix_(block, block)]
        informed[block] = np.linalg.eigvalsh(part)[0] > np.linalg.norm(error)
    return informed


def _of_some(information: Array, some: Mask) -> Array:
    """The information [D, D] about some coordinates, others unknown: ``I_aa - I_ab I_bb⁻¹ I_ba``."""
    across, others = information[np.ix_(some, ~some)], information[np.ix_(~some, ~some)]
    return np.asarray(information[np.ix_(some, some)] - across @ np.linalg.pinv(others, hermitian=True) @ across.T)


def _unmoved(ways: Array, slope: Array) -> Array:
    """Directions [D, A], orthonormal in the prior's units, without the one in which a mode is beside the prior's."""
    along = ways.T @ slope
    if np.linalg.norm(along) <= MOVED:
        return ways
    return np.asarray(ways @ np.linalg.svd(along[None])[2][1:].T)
