"""Tolerances hold the false-alarm probability they state, and detect the effect they state, by simulation."""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from validation.statistics.check import POWER
from validation.statistics.student import critical_value, detectable_noncentrality
from validation.statistics.tolerances import (
    binomial_bounds,
    binomial_detectable_high,
    binomial_detectable_low,
    chi_square_mean_above,
    chi_square_mean_below,
    proportion_interval,
)
from validation.testing import Stat

REPEATS = 4000


def at_most(stat: Stat, count: int, probability: float) -> None:
    """A count out of REPEATS is that of a probability of at most this."""
    stat.proportion(count, REPEATS, probability, alternative="greater")


def at_least(stat: Stat, count: int, probability: float) -> None:
    stat.proportion(count, REPEATS, probability, alternative="less")


def means_outside(rng, *, shift, tolerance_of, n=12):
    """How many of REPEATS means of n normals of sd 2 lie outside their tolerance, a function of the sample sd."""
    x = rng.normal(shift, 2.0, size=(REPEATS, n))
    tolerance = np.array([tolerance_of(sd) for sd in x.std(axis=1, ddof=1)])
    return int(np.sum(np.abs(x.mean(axis=1)) > tolerance))


def by_sample(sd):
    return critical_value(0.01, 11) * sd / math.sqrt(12)


@pytest.mark.statistical(min_effect=0.015)
def test_false_alarms(stat):
    def outside(tolerance_of):
        return means_outside(np.random.default_rng(stat.seed), shift=0.0, tolerance_of=tolerance_of)

    at_most(stat, outside(by_sample), 0.01)
    with stat.control():  # as if the sd were known
        at_most(stat, outside(lambda sd: stats.norm.isf(0.005) * sd / math.sqrt(12)), 0.01)


@pytest.mark.statistical(min_effect=0.05)
def test_what_is_detectable_is_detected(stat):
    def outside(shift):
        return means_outside(np.random.default_rng(stat.seed), shift=shift, tolerance_of=by_sample)

    shift = detectable_noncentrality(critical_value(0.01, 11), 11, POWER) * 2.0 / math.sqrt(12)

    at_least(stat, outside(shift), POWER)
    with stat.control():
        at_least(stat, outside(0.6 * shift), POWER)


@pytest.mark.parametrize(
    ("n", "p", "alpha"), [(24, 0.9, 1e-3), (60, 0.9, 1e-5), (24, 0.05, 1e-5), (5, 0.5, 0.5), (3, 0.9, 1e-9)]
)
def test_binomial_bounds_are_exact_and_tight(n, p, alpha):
    low, high = binomial_bounds(n, p, alpha=alpha)
    assert stats.binom.cdf(low - 1, n, p) <= alpha / 2
    assert low == n or stats.binom.cdf(low, n, p) > alpha / 2
    assert stats.binom.sf(high, n, p) <= alpha / 2
    assert high == 0 or stats.binom.sf(high - 1, n, p) > alpha / 2


def test_binomial_detectable():
    low, _ = binomial_bounds(60, 0.9, alpha=1e-5)
    assert stats.binom.cdf(low - 1, 60, binomial_detectable_low(60, low)) == pytest.approx(POWER)
    _, high = binomial_bounds(24, 0.05, alpha=1e-5)
    assert stats.binom.sf(high, 24, binomial_detectable_high(24, high)) == pytest.approx(POWER)
    assert binomial_detectable_low(3, 0) == 0.0
    assert binomial_detectable_high(3, 3) == math.inf


def test_proportion_interval():
    assert proportion_interval(0, 10) == pytest.approx((0.0, 1 - 0.025**0.1))
    assert proportion_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("weights", [(1.0,), (0.5, 0.5), (0.7, 0.2, 0.1)])
@pytest.mark.statistical(checks=2, min_effect=0.015)
def test_chi_square_mean_bounds(stat, weights):
    n, alpha = 8, 0.01
    x = (np.random.default_rng(stat.seed).chisquare(1, size=(REPEATS, n, len(weights))) @ np.array(weights)).mean(
        axis=1
    )
    above, below = chi_square_mean_above(weights, n, alpha=alpha), chi_square_mean_below(weights, n, alpha=alpha)
    assert below < sum(weights) < above
    at_most(stat, int(np.sum(x > above)), alpha)
    at_most(stat, int(np.sum(x < below)), alpha)
    with stat.control():  # bounds half as far from the mean
        at_most(stat, int(np.sum(x > (above + sum(weights)) / 2)), alpha)


def test_chi_square_mean_bound_against_the_exact_tail():
    # One weight: the sum is chi-squared with n degrees of freedom. A Chernoff bound holds, and is not far off.
    bound = chi_square_mean_above((2.0,), 24, alpha=1e-6)
    tail = stats.chi2.sf(24 * bound / 2.0, 24)
    assert 1e-8 < tail <= 1e-6


def test_chi_square_weights_must_be_positive():
    with pytest.raises(ValueError, match="at least one positive weight"):
        chi_square_mean_above((0.0,), 5, alpha=0.1)


def test_the_statistics_load_no_torch():
    code = (
        "import importlib, pkgutil, sys, validation.statistics as package\n"
        "for module in pkgutil.iter_modules(package.__path__):\n"
        "    importlib.import_module(f'{package.__name__}.{module.name}')\n"
        "assert not {'torch', 'pyro', 'arviz', 'pandas'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
