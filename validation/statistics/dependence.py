"""Draws that depend on their neighbours: what they are worth, how to thin them, how to notice them."""

import math
import warnings
from typing import Any

import numpy as np
from scipy import stats

from validation.statistics.arguments import Array, as_array

# Thinned so far, the variance of a mean is (1 + r)/(1 - r) ≤ 1.02 times that of as many independent draws.
NEARLY_INDEPENDENT = 0.01


def effective_size(chains: Array, method: str = "mean") -> float:
    """Return the ESS of chains [C, S] by ArviZ; above C·S where neighbours are negatively correlated."""
    if chains.shape[1] < 4:
        raise ValueError(f"chains: expected at least 4 draws in each, got shape {chains.shape}")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)  # arviz 0.23 announces its 1.0 at import
        import arviz
    with np.errstate(all="ignore"):
        ess = float(arviz.ess(chains, method=method))
    if not math.isfinite(ess):
        raise ValueError("chains: their effective sample size cannot be computed (is a chain constant?)")
    return ess


def thinned(draws: Any) -> Array:
    """Return evenly thinned draws, near independent, of one chain [S] or of chains [C, S], as one array.

    Every k-th draw, where an AR(1) process of the same ESS has correlation ``|ρ|ᵏ ≤ 0.01``, ρ = (τ-1)/(τ+1),
    τ = draws/ESS: about ESS/2.3 draws of slow chains. Plain thinning to ESS draws would leave ρᵏ = 0.14.
    """
    dims = 2 if getattr(draws, "ndim", None) == 2 or np.ndim(draws) == 2 else 1
    array = np.atleast_2d(as_array("draws", draws, ndim=dims, least=4))
    taus = [array.size / effective_size(array, method) for method in ("mean", "bulk")]
    rho = max(abs((tau - 1) / (tau + 1)) for tau in taus)
    step = 1 if rho <= NEARLY_INDEPENDENT else math.ceil(math.log(NEARLY_INDEPENDENT) / math.log(rho))
    return np.asarray(array[:, ::step].reshape(-1), dtype=np.float64)


def check_independent(name: str, samples: Array, *, alpha: float) -> None:
    """Raise a ValueError if neighbours are correlated beyond what chance allows at level alpha.

    The lag-1 correlation r of the ranks of n independent samples is near normal of mean -1/n and sd 1/√n.
    """
    if samples.size < 4 or np.ptp(samples) == 0:
        return
    ranks = stats.rankdata(samples)
    ranks = (ranks - ranks.mean()) / ranks.std()
    correlation = float(ranks[:-1] @ ranks[1:]) / samples.size
    score = (correlation + 1 / samples.size) * math.sqrt(samples.size)
    if abs(score) > stats.norm.isf(alpha / 2):
        raise ValueError(
            f"{name}: expected independent samples, but neighbours are correlated: {correlation:.2g}, {score:.1f} "
            f"standard errors. Thin draws of a chain with stat.thinned(...); give samples in the order they were drawn"
        )
