"""Draws of chains, and of importance sampling where chains have too few, in the proportion of the modes' masses."""

from dataclasses import dataclass

import numpy as np

from estimators.modes.weighed import Weighed
from estimators.optimise.arrays import Array
from estimators.parameters.symmetry import Indices

Rng = np.random.Generator
# Chains stand for a mode where they have this share of the draws that it takes; else importance sampling does.
ENOUGH = 0.25


@dataclass(frozen=True, eq=False)
class Resampled:
    """Places [S] among the chains' draws and, after these, the sampler's points; and modes of the sampler alone."""

    places: Indices
    num_of_sampler: int


def resampled(at: Indices, found: Weighed, masses: Array, num_chains: int, rng: Rng) -> Resampled:
    """Of draws whose modes are ``at`` [S] (-1: of none), as many of each mode as its mass says.

    Every new chain has each mode in proportion, in an order at random, and takes a stretch of that mode's draws, one
    after the other. So the new chains' R-hat is that of stretches of chains within modes, and their autocorrelation
    that of the chains; a draw that comes up twice is next to itself.
    """
    counts = _whole(masses, len(at))
    labels = np.repeat(np.arange(len(masses)), counts)
    order = np.array([rng.permutation(labels[chain::num_chains]) for chain in range(num_chains)])
    places, num_of_sampler = order.copy(), 0
    for mode, count in enumerate(counts):
        pool = np.flatnonzero(at == mode)
        if count and len(pool) < max(ENOUGH * count, num_chains):
            places[order == mode] = len(at) + found.resampled(int(count), rng, mode)
            num_of_sampler += 1
            continue
        for chain, own in enumerate(order):
            stretch = pool[len(pool) * chain // num_chains : len(pool) * (chain + 1) // num_chains]
            places[chain, own == mode] = _evenly(stretch, int((own == mode).sum()), rng)
    return Resampled(places.reshape(-1), num_of_sampler)


def _evenly(stretch: Indices, count: int, rng: Rng) -> Indices:
    """So many [count] of a stretch, one after the other, as far apart as they can be."""
    steps = (np.arange(count) + rng.random()) / max(count, 1) * len(stretch)
    return np.asarray(stretch[np.minimum(steps.astype(int), len(stretch) - 1)])


def _whole(masses: Array, total: int) -> Indices:
    """Counts [M] that add up to the total, each next to its share of it."""
    exact = masses / masses.sum() * total
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: total - counts.sum()]] += 1
    return np.asarray(counts)
