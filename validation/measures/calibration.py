"""The rank of a truth among draws, exactly uniform where draws and truth come from one posterior."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def rank_among(draws: Array, truth: float, *, num_ranked: int, ess: float, generator: np.random.Generator) -> int:
    """Return the rank of a truth in 0..`num_ranked` among draws thinned by their own effective sample size.

    ``m = min(num_ranked, ess)`` evenly spaced draws are kept, near independent, and r of them lie below the truth, ties
    broken at random. With fewer than `num_ranked`, ``⌊(num_ranked + 1)(r + U)/(m + 1)⌋`` with U uniform has the same
    uniform law if r has, so ranks of fits that mixed well and badly can be pooled. Source: Talts et al. 2018.
    """
    kept = int(min(num_ranked, max(1.0, np.floor(ess)), len(draws)))
    thinned = draws[np.floor((np.arange(kept) + 0.5) * len(draws) / kept).astype(int)]
    ties = int(np.sum(thinned == truth))
    rank = int(np.sum(thinned < truth)) + (int(generator.integers(ties + 1)) if ties else 0)
    if kept == num_ranked:
        return rank
    return int((num_ranked + 1) * (rank + generator.random()) / (kept + 1))
