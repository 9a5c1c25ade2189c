"""Intervals of what is measured miss the truth as rarely as they say, whatever the tails; a naive one does not."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from validation.statistics.check import Verdict
from validation.statistics.measured import LEAST_WORTH, Mean, Measured, Square, SumOfSquares, worth

N = 150
# Of mean 0 and variance 1.
LAWS = {
    "normal": lambda rng, size: rng.standard_normal(size),
    "gamma": lambda rng, size: (rng.standard_gamma(4.0, size) - 4) / 2,
    "Student's": lambda rng, size: rng.standard_t(8, size) * math.sqrt(6 / 8),
    "exponential": lambda rng, size: rng.standard_exponential(size) - 1,
}
REPEATS = 4000


def misses(law, truth, measure, alpha, seed=0):
    """How often an interval of N numbers leaves the truth out."""
    rng, missed = np.random.default_rng(seed), 0
    for _ in range(REPEATS):
        low, high = measure(law(rng, N), alpha)
        missed += not low <= truth <= high
    return missed


def of_a_mean(values, alpha):
    return Mean.of(values).interval(float(values.mean()), len(values), alpha)


def of_squares(values, alpha, is_naive=False):
    squares = values**2
    law = Square() if is_naive else Square(worth(squares))
    return law.interval(float(squares.mean()), len(squares), alpha)


@pytest.mark.parametrize(
    "name", ["exponential", *(pytest.param(n, marks=pytest.mark.slow) for n in LAWS if n != "exponential")]
)
@pytest.mark.statistical(checks=2, min_effect=0.02)
def test_intervals_miss_as_rarely_as_they_say(stat, name):
    """At most twice the level of 1 %: skewness is the sample's own, and so is how heavy tails are."""
    for measure, truth in ((of_a_mean, 0.0), (of_squares, 1.0)):
        missed = misses(LAWS[name], truth, measure, 0.01)
        stat.proportion(missed, REPEATS, 0.02, alternative="greater")


@pytest.mark.parametrize("name", ["gamma", "Student's"])
def test_squares_that_are_taken_for_normal_ones_miss_more_often(name):
    missed = misses(LAWS[name], 1.0, lambda values, alpha: of_squares(values, alpha, is_naive=True), 0.01)
    assert binom.sf(missed - 1, REPEATS, 0.03) < 1e-6


def test_normal_squares_are_worth_nearly_what_they_are():
    rng = np.random.default_rng(0)
    worths = [worth(rng.standard_normal(300) ** 2) for _ in range(200)]
    assert 0.75 < np.mean(worths) < 1.0
    weights = (1.0, 0.5, 0.1)
    sums = [worth(rng.standard_normal((300, 3)) ** 2 @ weights, weights) for _ in range(200)]
    assert 0.75 < np.mean(sums) < 1.0


def test_of_tails_too_heavy_nothing_is_known():
    squares = np.array([1.0] * 99 + [900.0])
    assert worth(squares) == 0.0 < LEAST_WORTH
    for law in (Square(0.0), SumOfSquares((1.0,), 0.0)):
        assert law.interval(10.0, 100, 1e-3) == (0.0, math.inf) and law.error(10.0, 100) == math.inf
        measured = Measured("", 10.0, 100, law, 1e-3, (-math.inf, 2.0), 1.0)
        assert measured.verdict is Verdict.UNDERPOWERED and measured.needed is None


@pytest.mark.parametrize(("shape", "count"), [(1.0, 150), pytest.param(0.5, 300, marks=pytest.mark.slow)])
def test_a_mean_of_skewed_numbers_is_missed_as_rarely_far_out_in_the_tail(shape, count):
    """At the level of one in ten million, where a study's claims are judged: importance sampling, exactly tilted."""
    alpha, most, draws = 1e-7, 5.0, 10_000
    rng = np.random.default_rng(0)
    for scale in np.arange(0.95, 0.3, -0.05):  # at which the truth is missed as often as not
        if np.mean(_is_below_one(rng.standard_gamma(shape, (200, count)) / shape * scale, alpha)) > 0.4:
            break
    values = rng.standard_gamma(shape, (draws, count)) / shape * scale
    log_ratio = count * shape * math.log(scale) - shape * values.sum(1) * (1 - 1 / scale)
    missed = np.exp(log_ratio) * _is_below_one(values, alpha)
    probability, error = float(missed.mean()), float(missed.std()) / math.sqrt(draws)
    assert error < 0.3 * probability
    assert probability / alpha < most, probability
    # Student's own interval misses far more often.
    naive = [Mean(float(of.std(ddof=1))).interval(float(of.mean()), count, alpha)[1] < 1.0 for of in values[:2000]]
    assert float((np.exp(log_ratio[:2000]) * naive).mean()) / alpha > 3 * most


def _is_below_one(samples, alpha):
    return [Mean.of(values).interval(float(values.mean()), len(values), alpha)[1] < 1.0 for values in samples]


def test_more_replicates_are_asked_what_is_claimed_of_them():
    def allows(n):
        most = max(0.25, 5 / math.sqrt(n))
        return -most, most

    measured = Measured("", 0.2, 300, Mean(1.0), 1e-6, allows(300), allows=allows)
    assert measured.verdict is Verdict.UNDERPOWERED
    highs = [Mean(1.0).interval(0.2, n, 1e-6)[1] for n in (measured.needed - 1, measured.needed)]
    assert highs[1] <= 0.25 < highs[0]
    beyond = Measured("", 0.26, 300, Mean(1.0), 1e-6, allows(300), allows=allows)
    assert beyond.verdict is Verdict.UNDERPOWERED and beyond.needed is None
