"""The test of uniform ranks: its recursion equals enumeration in fractions, its level and power equal simulation."""

import functools
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from validation.statistics.check import POWER
from validation.statistics.uniformity import (
    band,
    detectable_shift,
    escape_probability,
    gamma,
    shifted_rank_probabilities,
    uniformity_p_value,
)

REPEATS = 4000
ROUNDING = 1e-10  # relative; exponents of up to n·log n = 33,000 are rounded at n = 4000
TINY = [(1, 4), (2, 5), (3, 3), (4, 2), (5, 1)]  # (n, num_draws): at most a hundred rank vectors


def exactly(x):
    return pytest.approx(float(x), rel=ROUNDING, abs=0)


def uniform(num_draws):
    return np.full(num_draws + 1, 1 / (num_draws + 1))


def stretched_cells(num_draws, ratio):
    """P(rank = 0, …, L) if posteriors are normal and their sd is `ratio` times the right one."""
    x = np.linspace(-10, 10, 4001)
    weights = stats.norm.pdf(x)
    ranks = stats.binom.pmf(np.arange(num_draws + 1), num_draws, stats.norm.cdf(x / ratio)[:, None])
    return weights @ ranks / weights.sum()


def counts_up_to(cell_counts):
    """R_0, …, R_{L-1} [..., L] of counts per rank [..., L + 1]."""
    return np.cumsum(cell_counts, axis=-1)[..., :-1]


def leaves(edges, counts):
    low, high = edges
    return np.any((counts < low) | (counts > high), axis=-1)


def rejections(rng, n, cells, edges):
    """How many of REPEATS samples of n ranks leave the band."""
    return int(np.sum(leaves(edges, counts_up_to(rng.multinomial(n, cells, size=REPEATS)))))


@functools.cache
def smaller_tails(n, num_draws):
    """[L][n + 1]: the smaller of P(R_i ≤ k) and P(R_i ≥ k) in fractions, term by term."""
    rows = []
    for i in range(num_draws):
        z = Fraction(i + 1, num_draws + 1)
        mass = [math.comb(n, k) * z**k * (1 - z) ** (n - k) for k in range(n + 1)]
        rows.append([min(sum(mass[: k + 1]), sum(mass[k:])) for k in range(n + 1)])
    return rows


def fraction_gamma(counts, n):
    """Gamma of R_0, …, R_{L-1}, in fractions."""
    return 2 * min(row[count] for row, count in zip(smaller_tails(n, len(counts)), counts, strict=True))


def rank_vectors(n, num_draws):
    return list(itertools.product(range(num_draws + 1), repeat=n))


def count_vectors(n, num_draws):
    """Every (R_0, …, R_{L-1}) with its probability under uniform ranks."""
    for bars in itertools.combinations(range(n + num_draws), num_draws):
        edges = np.array([-1, *bars, n + num_draws])
        cell_counts = [int(c) for c in np.diff(edges) - 1]
        ways = math.factorial(n) // math.prod(math.factorial(c) for c in cell_counts)
        yield tuple(itertools.accumulate(cell_counts[:-1])), Fraction(ways, (num_draws + 1) ** n)


def tally(ranks, num_draws):
    return counts_up_to(np.bincount(ranks, minlength=num_draws + 1))


@pytest.mark.parametrize(("n", "num_draws"), [*TINY, (30, 7), pytest.param(100, 20, marks=pytest.mark.slow)])
def test_gamma_is_the_worst_binomial_tail(n, num_draws):
    rng = np.random.default_rng(1)
    for _ in range(5):
        ranks = rng.integers(0, num_draws + 1, size=n)
        counts = [int(np.sum(ranks <= i)) for i in range(num_draws)]
        assert gamma(ranks, num_draws) == exactly(fraction_gamma(counts, n))


@pytest.mark.parametrize(("n", "num_draws"), TINY)
def test_p_value_is_the_enumerated_one(n, num_draws):
    vectors = rank_vectors(n, num_draws)
    gammas = [fraction_gamma(tally(ranks, num_draws), n) for ranks in vectors]
    for ranks, own in zip(vectors, gammas, strict=True):
        enumerated = Fraction(sum(other <= own for other in gammas), len(vectors))
        assert uniformity_p_value(ranks, num_draws) == exactly(enumerated)


@pytest.mark.parametrize(("n", "num_draws"), TINY)
def test_p_value_is_super_uniform(n, num_draws):
    p_values = np.array([uniformity_p_value(ranks, num_draws) for ranks in rank_vectors(n, num_draws)])
    for p in np.unique(p_values):
        # at most at every p, and as often as stated at those that occur
        assert np.mean(p_values <= p * (1 + ROUNDING)) == exactly(p)


@pytest.mark.parametrize(
    ("ranks", "num_draws"),
    [([0] * 15 + [1], 3), ([3] * 14, 3), ([0] * 11 + [1, 4], 4), ([1] * 15 + [2], 3), ([2] * 12, 5)],
)
def test_small_p_values_are_exact(ranks, num_draws):
    n = len(ranks)
    own = fraction_gamma(tally(ranks, num_draws), n)
    enumerated = sum(p for counts, p in count_vectors(n, num_draws) if fraction_gamma(counts, n) <= own)
    assert uniformity_p_value(ranks, num_draws) == exactly(enumerated)
    assert enumerated < 1e-3


def test_reflected_ranks_have_the_same_p_value():
    rng = np.random.default_rng(2)
    for n, num_draws in [(5, 4), (60, 9), (400, 63)]:
        ranks = rng.integers(0, num_draws + 1, size=n)
        assert uniformity_p_value(ranks, num_draws) == uniformity_p_value(num_draws - ranks, num_draws)


@pytest.mark.parametrize(("n", "num_draws"), TINY)
def test_escape_is_the_enumerated_one_in_any_band_for_any_cells(n, num_draws):
    rng = np.random.default_rng(3)
    vectors = np.array(rank_vectors(n, num_draws))
    counts = np.sum(vectors[:, :, None] <= np.arange(num_draws), axis=1)
    for trial in range(20):
        cells = rng.dirichlet(np.full(num_draws + 1, 0.5))
        cells[trial % (num_draws + 1)] *= trial % 2  # an impossible rank every second time
        cells /= cells.sum()
        edges = np.sort(rng.integers(0, n + 1, size=(2, num_draws)), axis=0)
        enumerated = np.prod(cells[vectors], axis=1) @ leaves(edges, counts)
        assert escape_probability((edges[0], edges[1]), n, cells) == exactly(enumerated)


@pytest.mark.parametrize("n", [50, 1000, pytest.param(4000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("tail", [1e-12, 1e-6, 0.1])
def test_a_band_of_one_point_is_left_with_the_binomial_tails(n, tail):
    cells = np.random.default_rng(4).dirichlet(np.ones(64))
    for i in (3, 31, 59):
        below = float(cells[: i + 1].sum())
        low, high = np.zeros(63, dtype=np.int64), np.full(63, n)
        low[i], high[i] = stats.binom.ppf(tail, n, below), stats.binom.isf(tail, n, below)
        tails = stats.binom.cdf(low[i] - 1, n, below) + stats.binom.sf(high[i], n, below)
        assert escape_probability((low, high), n, cells) == exactly(tails)


@pytest.mark.parametrize(
    ("n", "num_draws"),
    [
        (1, 1),
        (2, 15),
        (7, 3),
        (50, 1),
        *(pytest.param(n, num_draws, marks=pytest.mark.slow) for n, num_draws in ((50, 15), (300, 63))),
    ],
)
def test_rejected_if_and_only_if_outside_the_band(n, num_draws):
    rng = np.random.default_rng(5)
    rejected = 0
    for trial in range(20):
        cells = shifted_rank_probabilities(num_draws, rng.normal()) if trial % 2 else uniform(num_draws)
        ranks = rng.choice(num_draws + 1, size=n, p=cells)
        p = uniformity_p_value(ranks, num_draws)
        for alpha in {0.7, 0.05, 1e-3, 1e-9, p, float(np.nextafter(p, 0))} - {0.0, 1.0}:
            if 1e-300 < alpha < 1:
                outside = bool(leaves(band(n, num_draws, alpha), tally(ranks, num_draws)))
                assert outside == (p <= alpha)
                rejected += outside
    # One rank of one draw has the p-value 1 (or next to it, by rounding), which no level below it rejects.
    assert rejected or n == num_draws == 1


@pytest.mark.parametrize("alpha", [0.05, 1e-6, 1e-9])
@pytest.mark.parametrize(("n", "num_draws"), [(1, 1), (40, 7), (1000, 63), (4000, 63)])
def test_band_spends_what_it_may(n, num_draws, alpha):
    low, high = band(n, num_draws, alpha)
    size = escape_probability((low, high), n, uniform(num_draws))
    assert np.array_equal(high, n - low[::-1])
    assert size <= alpha
    if n == 1:
        assert size == 0 and not low.any() and np.all(high == n)  # nothing can be rejected, so nothing is
    else:
        assert size > (0.4 if n == 40 else 0.95) * alpha


@pytest.mark.statistical(min_effect=0.03)
def test_false_alarms(stat):
    n, num_draws, alpha = 1000, 63, 0.05
    edges = band(n, num_draws, alpha)
    size = escape_probability(edges, n, uniform(num_draws))
    count = rejections(np.random.default_rng(stat.seed), n, uniform(num_draws), edges)
    stat.proportion(count, REPEATS, size)
    with stat.control():
        stat.proportion(count, REPEATS, 2 * size)


@pytest.mark.statistical(min_effect=0.05)
def test_a_pointwise_band_raises_false_alarms(stat):
    n, num_draws, alpha = 1000, 63, 0.05
    z = np.arange(1, num_draws + 1) / (num_draws + 1)
    pointwise = stats.binom.ppf(alpha / 2, n, z), stats.binom.isf(alpha / 2, n, z)
    count = rejections(np.random.default_rng(stat.seed), n, uniform(num_draws), pointwise)
    stat.proportion(count, REPEATS, escape_probability(pointwise, n, uniform(num_draws)))
    with stat.control():
        stat.proportion(count, REPEATS, alpha)


@pytest.mark.parametrize(
    "cells",
    [
        shifted_rank_probabilities(31, 0.3),
        shifted_rank_probabilities(31, -0.2),
        stretched_cells(31, 0.8),
        stretched_cells(31, 1.2),
    ],
)
@pytest.mark.statistical(min_effect=0.05)
def test_power_is_the_simulated_one(stat, cells):
    n, alpha = 200, 0.01
    edges = band(n, 31, alpha)
    power = escape_probability(edges, n, cells)
    count = rejections(np.random.default_rng(stat.seed), n, cells, edges)
    stat.proportion(count, REPEATS, power)
    with stat.control():
        stat.proportion(count, REPEATS, alpha)


def simulated_ranks(rng, num_draws, *, shift):
    """[REPEATS]: how many draws of posteriors of sd 1 are below a truth that is Normal(shift, 1) in them."""
    truth = rng.normal(shift, 1.0, size=(REPEATS, 1))
    return np.sum(rng.normal(size=(REPEATS, num_draws)) < truth, axis=1)


def cumulative(cells):
    """The distribution function of ranks in cells of these probabilities."""
    sums = np.concatenate([[0.0], np.minimum(np.cumsum(cells), 1.0)])
    return lambda x: sums[np.clip(np.floor(x).astype(int) + 1, 0, len(cells))]


@pytest.mark.parametrize("num_draws", [1, 2, 15, 63])
@pytest.mark.statistical(checks=2, min_effect=0.07)
def test_cells_are_those_of_simulated_posteriors(stat, num_draws):
    rng = np.random.default_rng(stat.seed)
    for shift in (0.7, -1.5):
        ranks = simulated_ranks(rng, num_draws, shift=shift)
        stat.cdf(ranks, cumulative(shifted_rank_probabilities(num_draws, shift)))
        with stat.control():
            stat.cdf(ranks, cumulative(shifted_rank_probabilities(num_draws, -shift)))


@pytest.mark.parametrize("num_draws", [1, 2, 15, 63, pytest.param(400, marks=pytest.mark.slow)])
def test_cells_are_probabilities_and_uniform_if_nothing_is_wrong(num_draws):
    assert shifted_rank_probabilities(num_draws, 0.0) == pytest.approx(uniform(num_draws), rel=ROUNDING, abs=0)
    for x in (0.03, 0.4, 3.0, 30.0):
        cells = shifted_rank_probabilities(num_draws, x)
        assert np.all(cells >= 0)
        assert cells.sum() == exactly(1)
        assert shifted_rank_probabilities(num_draws, -x)[::-1] == pytest.approx(
            shifted_rank_probabilities(num_draws, x), rel=ROUNDING
        )


def test_cells_of_few_draws_in_closed_form():
    for shift in (-0.5, 0.2, 3.0):
        assert shifted_rank_probabilities(1, shift)[1] == exactly(stats.norm.cdf(shift / math.sqrt(2)))


@pytest.mark.parametrize(("n", "num_draws", "alpha"), [(40, 7, 0.05), (1000, 63, 1e-5)])
def test_detectable_shift_is_detected(n, num_draws, alpha):
    edges = band(n, num_draws, alpha)
    for power in (0.5, POWER):
        shift = detectable_shift(n, num_draws, alpha, power)
        for sign in (-1, 1):
            assert escape_probability(edges, n, shifted_rank_probabilities(num_draws, sign * shift)) == pytest.approx(
                power
            )
        assert escape_probability(edges, n, shifted_rank_probabilities(num_draws, 0.9 * shift)) < power
    assert detectable_shift(n, num_draws, alpha) == shift


def test_detectable_shift_of_few_and_many_ranks():
    assert detectable_shift(0, 63, 0.05) == math.inf
    assert detectable_shift(1, 63, 1e-5) == math.inf
    assert detectable_shift(6, 3, 0.05, power=0.01) == 0.0  # the false alarms suffice
    shifts = [detectable_shift(n, 63, 1e-5) for n in (30, 100, 300, 1000)]
    assert shifts == sorted(shifts, reverse=True)
    assert math.inf > shifts[0] and shifts[-1] > 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gamma([], 3), r"ranks: .*one dimension, got \[\]"),
        (lambda: gamma([[1, 2]], 3), "ranks: .*one dimension"),
        (lambda: gamma(["a"], 3), "ranks: expected one whole number or more"),
        (lambda: uniformity_p_value([], 3), "ranks: expected one whole number or more"),
        (lambda: uniformity_p_value([1.5], 3), r"ranks: expected whole numbers from 0 to num_draws = 3, got 1\.5"),
        (lambda: uniformity_p_value([1, math.nan], 3), "ranks: .*got nan"),
        (lambda: uniformity_p_value([0, -1], 3), "ranks: .*got -1"),
        (lambda: uniformity_p_value([3, 4], 3), "ranks: .*got 4"),
        (lambda: uniformity_p_value([0], 0), "num_draws: expected 1 or more, got 0"),
        (lambda: uniformity_p_value([0], 2.5), r"num_draws: .*got 2\.5"),
        (lambda: band(10, 0, 0.05), "num_draws: .*got 0"),
        (lambda: band(-1, 3, 0.05), "n: expected 0 or more, got -1"),
        (lambda: band(10, 3, 0.0), r"alpha: expected a probability above 0 and below 1, got 0\.0"),
        (lambda: band(10, 3, 1.0), r"alpha: .*got 1\.0"),
        (lambda: band(10, 3, math.nan), "alpha: .*got nan"),
        (lambda: detectable_shift(10, 3, 2.0), r"alpha: .*got 2\.0"),
        (lambda: detectable_shift(10, 3, 0.1, power=1.0), r"power: .*got 1\.0"),
        (lambda: shifted_rank_probabilities(0, 0.1), "num_draws: .*got 0"),
        (lambda: shifted_rank_probabilities(3, math.inf), "shift: expected a finite number of posterior sds, got inf"),
        (lambda: escape_probability(([0], [3]), 3, [0.5, 0.6]), "rank_probabilities: .*sum 1, got"),
        (lambda: escape_probability(([0], [3]), 3, [1.5, -0.5]), "rank_probabilities: "),
        (lambda: escape_probability(([0], [3]), 3, [0.2, 0.3, 0.5]), "band: expected 2 low and as many high counts"),
        (lambda: escape_probability(([0], [3]), 1.5, [0.5, 0.5]), r"n: .*got 1\.5"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
