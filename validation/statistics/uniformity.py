"""Are ranks uniform? The simultaneous ECDF test of simulation-based calibration, its p-value and its power, exact.

The rank of the truth among L posterior draws is uniform on {0, …, L} if the posterior is right (Talts et al. 2018).
The test compares every ``R_i = #{ranks ≤ i}`` with its binomial law at once (Säilynoja, Bürkner & Vehtari 2022); its
statistic is the gamma of Modrák et al. (2023). Their null distribution is simulated; here it is summed by a recursion
over i, so levels of 1e-6 and below are as exact as 0.05, and so is the power against any law of the ranks.
"""

import math
from bisect import bisect_right

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from validation.statistics.arguments import as_count
from validation.statistics.check import POWER, check_probability
from validation.statistics.search import smallest_reaching

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def gamma(ranks: ArrayLike, num_draws: int) -> float:
    """Return how far the ECDF of the ranks is from uniform at its worst point; small is far, and 1 can be exceeded.

    ``2 min_i min{Bin(R_i | n, z_i), 1 - Bin(R_i - 1 | n, z_i)}`` with ``z_i = (i + 1)/(L + 1)``, i = 0, …, L - 1, and
    Bin the binomial distribution function (Modrák et al. 2023).
    """
    ranks = _checked_ranks(ranks, num_draws)
    n, counts = len(ranks), np.cumsum(np.bincount(ranks, minlength=num_draws + 1))[:-1]
    # n - R_i is Binomial(n, 1 - z_i), and 1 - z_i = z_{L-1-i}: both tails come from one function and tie exactly.
    tails = np.minimum(_lower_tail(counts, n, num_draws), _lower_tail(n - counts[::-1], n, num_draws)[::-1])
    return 2 * float(tails.min())


def uniformity_p_value(ranks: ArrayLike, num_draws: int) -> float:
    """Return P(`gamma` of as many uniform ranks ≤ the observed gamma), by recursion."""
    ranks = _checked_ranks(ranks, num_draws)
    return _false_alarm(gamma(ranks, num_draws) / 2, len(ranks), num_draws)


def band(n: int, num_draws: int, alpha: float) -> tuple[Counts, Counts]:
    """Return (low [L], high [L]): for n uniform ranks some R_i is outside [low_i, high_i] with probability ≤ alpha.

    The narrowest such band whose outside is ``{gamma ≤ level}``: some R_i is outside if and only if
    ``uniformity_p_value ≤ alpha``. If n is too small to reject at alpha, nothing is outside.
    """
    as_count("n", n)
    as_count("num_draws", num_draws, least=1)
    check_probability("alpha", alpha)
    # A tail t is left with probability ≥ t at its own i and ≤ 2·L·t at any: the level is in [alpha/(2L), alpha].
    first, last = (_tail_band(tail, n, num_draws)[0] for tail in (alpha / (2 * num_draws), alpha))
    tails = _lower_tail(first + np.arange(-1, np.max(last - first))[:, None], n, num_draws)
    attainable = np.unique(np.append(tails[tails <= alpha], 0.0))
    allowed = bisect_right(attainable, alpha, key=lambda tail: _false_alarm(tail, n, num_draws))
    return _tail_band(attainable[allowed - 1], n, num_draws)


def escape_probability(band: tuple[ArrayLike, ArrayLike], n: int, rank_probabilities: ArrayLike) -> float:
    """Return P(some R_i is outside the band) for n independent ranks of probabilities p [L + 1].

    At equal probabilities this is the size of the test, at others its power. The counts of the ranks are independent
    Poisson(n·p_r) given that their sum is n, so the law of R_i on the paths still inside is one convolution further at
    each i (Moscovich & Nadler 2017). What leaves at i is added up as it leaves, so small results are exact.
    """
    as_count("n", n)
    p, low, high = (np.asarray(x, dtype=np.float64) for x in (rank_probabilities, *band))
    if p.ndim != 1 or p.size < 2 or not np.all(p >= 0) or not math.isclose(p.sum(), 1, rel_tol=1e-9):
        raise ValueError(f"rank_probabilities: expected L + 1 ≥ 2 probabilities with sum 1, got {rank_probabilities!r}")
    if low.shape != (p.size - 1,) or high.shape != low.shape:
        raise ValueError(f"band: expected {p.size - 1} low and as many high counts, got {low.shape}, {high.shape}")
    p = p / p.sum()
    above = np.cumsum(p[::-1])[::-1][1:]  # P(rank > i)
    escaped, start, inside = 0.0, 0, np.ones(1)  # inside: P(R_i = start, start + 1, …, and no R_j, j ≤ i, was outside)
    for i in range(low.size):
        counts = np.arange(start, n + 1)
        reached = np.convolve(inside, _poisson(counts - start, n * p[i]))[: counts.size]
        kept = (low[i] <= counts) & (counts <= high[i])
        escaped += float(reached[~kept] @ _poisson(n - counts[~kept], n * above[i]))
        if not kept.any():
            break
        start, inside = int(counts[kept][0]), reached[kept]
    return min(1.0, escaped / float(_poisson(np.array(n), n)))


def shifted_rank_probabilities(num_draws: int, shift: float) -> Floats:
    """Return P(rank = 0, …, L) [L + 1] if posteriors are normal with the right sd and off by `shift` of their sds.

    The truth is then at the posterior quantile ``u = Φ(x)``, x ~ Normal(shift, 1), and its rank is Binomial(L, u): the
    integral over x by the trapezoidal rule, whose error for peaks of width w at steps h is of order ``exp(-2π²w²/h²)``.
    """
    as_count("num_draws", num_draws, least=1)
    if not math.isfinite(shift):
        raise ValueError(f"shift: expected a finite number of posterior sds, got {shift}")
    step = 1 / math.sqrt(num_draws) / 4  # the binomial probability is a peak in x no narrower than about 1/√L
    z = step * np.arange(-math.ceil(12 / step), math.ceil(12 / step) + 1)
    x, weights, r = shift + z, np.exp(-(z**2) / 2), np.arange(num_draws + 1)
    log_choose = -special.betaln(r + 1, num_draws - r + 1) - math.log(num_draws + 1)
    log_binomial = log_choose + np.outer(special.log_ndtr(x), r) + np.outer(special.log_ndtr(-x), num_draws - r)
    return np.asarray(weights @ np.exp(log_binomial) / weights.sum(), dtype=np.float64)


def detectable_shift(n: int, num_draws: int, alpha: float, power: float = POWER) -> float:
    """Return the smallest shift, in posterior sds, seen at level alpha with probability `power`; inf if none is."""
    check_probability("power", power)
    edges = band(n, num_draws, alpha)
    if not edges[0].any():  # not even n ranks of L are outside
        return math.inf

    def power_at(shift: float) -> float:
        return escape_probability(edges, n, shifted_rank_probabilities(num_draws, shift))

    return smallest_reaching(power_at, power, beyond=1 / math.sqrt(n))


def _lower_tail(counts: Counts, n: int, num_draws: int) -> Floats:
    """Return Bin(counts [..., L] | n, z_i)."""
    return np.asarray(stats.binom.cdf(counts, n, np.arange(1, num_draws + 1) / (num_draws + 1)), dtype=np.float64)


def _tail_band(tail: float, n: int, num_draws: int) -> tuple[Counts, Counts]:
    """Return the counts both of whose tails are above `tail`, which are the counts with gamma above 2·tail."""
    low, high = np.zeros(num_draws, dtype=np.int64), np.full(num_draws, n, dtype=np.int64)
    for _ in range(n.bit_length()):  # bisection for the first count whose lower tail is above
        middle = (low + high) // 2
        is_above = _lower_tail(middle, n, num_draws) > tail
        low, high = np.where(is_above, low, middle + 1), np.where(is_above, middle, high)
    return low, n - low[::-1]


def _false_alarm(tail: float, n: int, num_draws: int) -> float:
    uniform = np.full(num_draws + 1, 1 / (num_draws + 1))
    return escape_probability(_tail_band(tail, n, num_draws), n, uniform)


def _poisson(counts: Counts, mean: float) -> Floats:
    return np.asarray(np.exp(special.xlogy(counts, mean) - mean - special.gammaln(counts + 1.0)), dtype=np.float64)


def _checked_ranks(ranks: ArrayLike, num_draws: int) -> Counts:
    as_count("num_draws", num_draws, least=1)
    array = np.asarray(ranks)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iuf":
        raise ValueError(f"ranks: expected one whole number or more, in one dimension, got {ranks!r}")
    wrong = array[~((array >= 0) & (array <= num_draws) & (array == np.floor(array)))]
    if wrong.size:
        raise ValueError(f"ranks: expected whole numbers from 0 to num_draws = {num_draws}, got {wrong[0]}")
    return array.astype(np.int64)
