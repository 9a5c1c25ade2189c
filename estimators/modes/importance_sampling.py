"""The mass of each mode, and draws of all in proportion: importance sampling from t's that are refitted in turns.

A turn draws from t's about modes (`proposals`) and weighs what it has drawn (`weighed`). The next draws from t's about
clusters of that as well (population Monte Carlo: Cappe et al. 2004, JCGS 13), and about the neighbours of the points of
the greatest weight, where the proposals are too thin (incremental mixtures: Raftery & Bao 2010, Biometrics 66). A tenth
of the draws are the prior's, so that what no mode is near is met too.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from estimators.contract import Combination, Density
from estimators.modes.clusters import clusters as clusters_of
from estimators.modes.labelling import Labelling
from estimators.modes.proposals import Proposals, Regions
from estimators.modes.student import Student
from estimators.modes.weighed import LEAST_EFFECTIVE, Weighed, affordable, weighed
from estimators.optimise.arrays import Array
from estimators.parameters.symmetry import Indices

Rng = np.random.Generator
# A share of the t's is dealt over modes evenly, whatever their weights; the least share of any.
EVENLY, LEAST_SHARE = 0.2, 1e-3
# The share of the prior, where it is one, in the first turn too; and of the modes' own t's after that.
OF_PRIOR, OF_PRIOR_AT_FIRST, OF_MODES = 0.1, 0.5, 0.2
# Draws that are clustered, the least of one cluster by coordinate, and what of all their covariance is added to it.
CLUSTERED, LEAST_DRAWS, WIDENED = 2000, 5, 0.03
# The share of a mode's own covariance that is added to that of all.
LEAST_COVARIANCE = 1e-6
# With more labels than so many images, points are drawn and weighed in one labelling, and none from the prior.
MOST_IMAGES = 24
# Draws that are effective in a fit, by coordinate, and halvings by which the power of their weights is found.
EVEN_DRAWS, HALVINGS = 20, 12
# Points about whose neighbours a t is fitted, at most, and how many times the average their weight is, at least.
HEAVIEST, HEAVY = 8, 5.0
# Turns end at this share of effective points where none has so much more than an effective one's weight: more turns
# were measured to make weights no more even.
EVEN_SHARE, FAR_ABOVE = 0.3, 5.0


class Effort(NamedTuple):
    """Turns, the points of the last (and of the first, where some are the prior's), half as many in the others.

    ``clusters`` are those of each region.
    """

    turns: int = 6
    points: int = 8_000
    clusters: int = 8


# What is tried where the weights of a first try cannot be trusted.
MORE = Effort(turns=8, points=30_000, clusters=8)
# Turns after which too few effective points are given up: of many Greeks, more turns find no more.
PATIENCE = 3
# Points are enough if so many are effective; else there are more, and by this factor more than seem needed.
ENOUGH, BEYOND = 2_000.0, 1.3


def mode_proposals(
    density: Density, labelling: Labelling | None, parts: Sequence[Student], weights: Array
) -> tuple[Proposals, Regions]:
    """Proposals of modes with a t and a weight each, none from the prior, and the regions of the modes."""
    shares = (1.0 - EVENLY) * weights / weights.sum() + EVENLY / len(weights)
    log_weights = np.log(np.maximum(weights / weights.sum(), 1e-12))
    return (
        Proposals(density, parts, shares / shares.sum()),
        Regions(density, labelling, parts, log_weights),
    )


def fitted_to(first: Proposals, regions: Regions, modes: Indices, images: Array, rng: Rng) -> Proposals:
    """Proposals of modes, fitted as well to draws that somebody has made near them: the mode of each, and its image.

    What each mode weighs is as it was: draws may be any number of each. A mode without draws stays as it is. A chain
    that stood still has one draw.
    """
    images, different = np.unique(images, axis=0, return_index=True)
    modes = modes[different]
    counts = np.bincount(modes, minlength=len(regions.parts))
    without = np.flatnonzero(counts == 0)
    at = np.concatenate([modes, without])
    near = np.concatenate([images, *(regions.parts[int(mode)].location[None] for mode in without)])
    weights = first.shares[at] / np.maximum(counts, 1)[at]
    drawn = Weighed(near, np.log(weights), at, near, weights, 0.0, 1.0 / float((weights**2).sum()))
    return _refitted(first, regions, drawn, (), Effort().clusters, rng)


def weighed_in_turns(
    combination: Combination, first: Proposals, regions: Regions, rng: Rng, effort: Effort | None = None
) -> Weighed:
    """Points of the last turn, and more of the same where few are effective.

    Where their weights cannot be trusted, once more with more turns and points.
    """
    effort = effort or Effort()
    proposals, thin = first, list[tuple[Student, float]]()
    if first.of_prior:
        # What is far from every mode has to be met once before it can be refitted to.
        proposals = replace(first, of_prior=OF_PRIOR_AT_FIRST)
    for turn in range(effort.turns):
        is_last = turn == effort.turns - 1
        is_whole = is_last or (turn == 0 and first.of_prior > 0.0)
        count = affordable(first.density.row_size, effort.points if is_whole else effort.points // 2)
        found = weighed(combination, proposals, regions, count, rng)
        # One heavy point may be the only one of a part that the proposals are too thin in.
        is_even = float(found.weights.max()) * found.ess < FAR_ABOVE
        is_even = is_even and found.ess > EVEN_SHARE * (1.0 - proposals.of_prior) * count
        is_in_vain = turn + 1 >= PATIENCE and found.ess < LEAST_EFFECTIVE
        if is_last or is_in_vain or (is_even and found.is_trusted):
            break
        # What has been found to be thin once stays: it may be too light for a cluster of its own.
        thin += _about_heaviest(found)
        proposals = _refitted(proposals, regions, found, thin, effort.clusters, rng)
    is_far_off = found.ess < LEAST_EFFECTIVE
    needed = affordable(first.density.row_size, min(int(BEYOND * ENOUGH / found.ess * count), MORE.points))
    if found.is_trusted and found.ess < ENOUGH and needed > count:
        found = found.with_more(weighed(combination, proposals, regions, needed - count, rng))
    if found.is_trusted or is_far_off or effort == MORE:
        return found
    return weighed_in_turns(combination, proposals, regions, rng, MORE)


def _refitted(
    proposals: Proposals,
    regions: Regions,
    last: Weighed,
    thin: Sequence[tuple[Student, float]],
    clusters: int,
    rng: Rng,
) -> Proposals:
    """Proposals of the next turn: t's of the modes, of clusters of the draws in each region, and where it was thin."""
    parts, size = list(regions.parts), last.points.shape[1]
    masses, _ = last.masses(len(parts))
    shares = list(OF_MODES * masses)
    for mode, mass in enumerate(masses):
        # A point at infinity, which a prior's draw may be, leaves no scale to the others.
        own = np.flatnonzero((last.modes == mode) & (last.weights > 0.0) & np.isfinite(last.images).all(1))
        if mass < 1e-6 or len(own) < LEAST_DRAWS * size:
            shares[mode] = mass
            continue
        even = _evened(last.weights[own], EVEN_DRAWS * size)
        drawn = last.images[own[rng.choice(len(own), CLUSTERED, p=even)]]
        for part, share in _clustered(drawn, regions.parts[mode], clusters, rng):
            parts.append(part)
            shares.append(0.5 * mass * share)
    for part, share in thin:
        parts.append(part)
        shares.append(share)
    floored = np.maximum(shares, LEAST_SHARE)
    of_prior = OF_PRIOR if proposals.of_prior else 0.0
    return Proposals(proposals.density, parts, floored / floored.sum(), of_prior)


def _about_heaviest(last: Weighed) -> list[tuple[Student, float]]:
    """t's about points of the greatest weights and their neighbours, and the weight of these.

    Where the proposals are too thin by far, few points have large weights: too few for a cluster of their own.
    """
    size, fitted = last.points.shape[1], list[tuple[Student, float]]()
    # Points at infinity have no weight, and would leave no scale to the others.
    spread = last.images[np.isfinite(last.images).all(1)].std(0)
    number, scaled = EVEN_DRAWS * size, last.images / spread
    left = np.ones(len(scaled), dtype=bool)
    for _ in range(HEAVIEST):
        heaviest = int(np.argmax(np.where(left, last.weights, 0.0)))
        if not left[heaviest] or last.weights[heaviest] < HEAVY / len(scaled):
            break
        near = np.argsort(((scaled - scaled[heaviest]) ** 2).sum(1))[:number]
        left[near] = False
        own = last.weights[near]
        away = last.images[near] - last.images[heaviest]
        weights = 0.5 * (own / own.sum() + 1.0 / len(near))
        fitted.append((Student.of(last.images[heaviest], (away * weights[:, None]).T @ away), float(own.sum())))
    return fitted


def _evened(weights: Array, least: float) -> Array:
    """Weights [S] to the power, at most 1, at which as many as ``least`` draws are effective; normalised.

    The first proposals may be so far off that a handful of draws has all the weight.
    """
    logs, low, power = np.log(weights / weights.max()), 0.0, 1.0
    evened = weights / weights.sum()
    for halving in 0.5 ** np.arange(1, HALVINGS + 1):
        is_even = 1.0 / (evened**2).sum() >= least
        if is_even and power == 1.0:
            break
        low = power if is_even else low
        power = low + halving
        evened = np.exp(power * logs)
        evened /= evened.sum()
    return np.asarray(evened)


def _clustered(drawn: Array, part: Student, count: int, rng: Rng) -> list[tuple[Student, float]]:
    """t's about all draws [S, D] of a region and about clusters of them, and the share of the draws in each."""
    fewest = LEAST_DRAWS * drawn.shape[1]
    spread = np.atleast_2d(np.cov(drawn.T)) + LEAST_COVARIANCE * part.scale @ part.scale.T
    groups = [np.full(len(drawn), True), *clusters_of(drawn, count, fewest, rng)]
    fitted = []
    for inside in groups:
        if inside.sum() > fewest:
            own = np.atleast_2d(np.cov(drawn[inside].T)) + WIDENED * spread
            fitted.append((Student.of(drawn[inside].mean(0), own), float(inside.mean())))
    return fitted
