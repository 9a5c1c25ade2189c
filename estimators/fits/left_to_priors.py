"""Of which Greeks the rows tell next to nothing, so that the posterior is the prior."""

from collections.abc import Mapping

import numpy as np

from estimators.optimise.arrays import Array

# Draws are the prior's if their distribution function is within so much of its, and their interquartile range within
# so much of its own size.
DISTANCE, WIDTH = 0.08, 0.15
LEVELS = np.linspace(0.05, 0.95, 19)
QUARTILES = [4, -5]


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
