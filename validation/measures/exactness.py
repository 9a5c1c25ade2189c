"""Distance of a sampler's draws to independent draws from the exact posterior, one Greek entry at a time."""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]
LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)


def distribution_gap(draws: Array, reference: Array, levels: tuple[float, ...] = LEVELS) -> Array:
    """Return, at the reference's own quantiles, how far the draws' distribution function is off: [len(levels)].

    With the k-th smallest of n reference draws at each level, ``gap = mean(draws ≤ reference_(k)) - k/(n+1)``, which
    has mean exactly 0 over repetitions if both come from one continuous distribution, autocorrelated draws included.
    """
    n = len(reference)
    rank = np.clip(np.rint(np.asarray(levels) * (n + 1)).astype(int), 1, n)
    at = np.sort(reference)[rank - 1]
    below = np.searchsorted(np.sort(draws), at, side="right") / len(draws)
    return np.asarray(below - rank / (n + 1), dtype=np.float64)


def sample_wasserstein(draws: Array, reference: Array) -> float:
    """Return the Wasserstein-1 distance between two samples, in units of the reference's standard deviation."""
    spread = float(np.std(reference))
    distance = float(stats.wasserstein_distance(draws, reference))
    return distance / spread if spread > 0 else distance
