"""Tolerances that are computed, never typed: from exact binomial tails and chi-squared sums.

Every function takes the false-alarm probability `alpha` that one comparison may spend, and every tolerance has a
companion that says which effect a test at this tolerance would have found with probability `power`.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from validation.statistics.check import POWER
from validation.statistics.search import smallest_reaching


def binomial_bounds(n: int, p: float, *, alpha: float) -> tuple[int, int]:
    """Return (low, high): a Binomial(n, p) count falls outside [low, high] with probability at most alpha (exact)."""
    low = int(stats.binom.ppf(alpha / 2, n, p))
    while low > 0 and stats.binom.cdf(low - 1, n, p) > alpha / 2:
        low -= 1
    high = int(stats.binom.isf(alpha / 2, n, p))
    while high < n and stats.binom.sf(high, n, p) > alpha / 2:
        high += 1
    return low, high


def binomial_detectable_low(n: int, low: int, *, power: float = POWER) -> float:
    """Return the largest p whose count is below `low` with probability at least `power` (0 if there is none)."""
    if low < 1:
        return 0.0
    return float(stats.beta.isf(power, low, n - low + 1))  # P(K < low) = P(Beta(low, n - low + 1) > p)


def binomial_detectable_high(n: int, high: int, *, power: float = POWER) -> float:
    """Return the smallest p whose count is above `high` with probability at least `power` (inf if there is none)."""
    if high >= n:
        return math.inf
    return float(stats.beta.ppf(power, high + 1, n - high))  # P(K > high) = P(Beta(high + 1, n - high) < p)


def proportion_interval(successes: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the exact (Clopper-Pearson) interval of a proportion; (0, 1) for n = 0."""
    tail = (1 - level) / 2
    low = float(special.betaincinv(successes, n - successes + 1, tail)) if successes > 0 else 0.0
    high = float(special.betainccinv(successes + 1, n - successes, tail)) if successes < n else 1.0
    return low, high


def chi_square_mean_above(weights: tuple[float, ...], n: float, *, alpha: float) -> float:
    """Return a bound that the mean of n independent draws of ``Σ_i weights_i · χ²_1`` exceeds with P ≤ alpha.

    Chernoff's bound: with ``t(s) = Σ w_i/(1-2 s w_i)`` and ``rate(s) = s·t(s) + ½ Σ log(1-2 s w_i)``, s > 0, the mean
    exceeds t(s) with probability at most ``exp(-n·rate(s))``. No central limit is involved, so it holds at 1e-6 tails.
    """
    w = _positive(weights)
    if n < 1:
        return math.inf
    scaled = 1 / (2 * w.max())
    u = smallest_reaching(lambda u: n * _rate(w, scaled * -math.expm1(-u)), -math.log(alpha), beyond=1.0)
    s = scaled * -math.expm1(-u)
    return float(np.sum(w / (1 - 2 * s * w)))


def chi_square_mean_below(weights: tuple[float, ...], n: float, *, alpha: float) -> float:
    """Return a bound that the mean of n independent draws of ``Σ_i weights_i · χ²_1`` falls below with P ≤ alpha."""
    w = _positive(weights)
    if n < 1:
        return 0.0
    u = smallest_reaching(lambda u: n * _rate(w, -math.expm1(u) / w.max()), -math.log(alpha), beyond=1.0)
    s = -math.expm1(u) / w.max()
    return float(np.sum(w / (1 - 2 * s * w)))


def _positive(weights: tuple[float, ...]) -> NDArray[np.float64]:
    w = np.asarray([weight for weight in weights if weight > 0], dtype=np.float64)
    if w.size == 0:
        raise ValueError(f"weights: expected at least one positive weight, got {weights}")
    return w


def _rate(w: NDArray[np.float64], s: float) -> float:
    factor = 1 - 2 * s * w
    return float(s * np.sum(w / factor) + 0.5 * np.sum(np.log(factor)))
