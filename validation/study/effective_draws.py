"""How many independent draws those of a fit are worth."""

import numpy as np
from numpy.typing import NDArray

from estimators import Fit
from estimators.diagnostics import bulk_and_tail_sizes

Array = NDArray[np.float64]


def effective_sizes(fit: Fit, draws: list[Array]) -> list[float]:
    """Return the effective sample size of each quantity's draws [S], the smaller of bulk and tail.

    Draws of the exact posterior are independent; those that were resampled by their weights are worth what the weights
    are.
    """
    if fit.kind != "posterior":
        return [min(float(fit.num_draws), float(fit.stats.get("importance_ess", np.inf)))] * len(draws)
    sizes = np.minimum(*bulk_and_tail_sizes(np.stack(draws).reshape(len(draws), fit.num_chains, -1)))
    return [float(ess) if np.isfinite(ess) else 1.0 for ess in sizes]
