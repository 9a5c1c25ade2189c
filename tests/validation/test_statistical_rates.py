"""The rates that the checks promise, by simulation: false alarms of whole suites, and power at `min_effect`.

Counts are held to exact binomial bounds. Each has a negative control: twice the tolerance's false-alarm probability is
seen to be too much, and a third of the samples to be too few.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

from validation.statistics.check import Check, Requirement, Verdict
from validation.statistics.distribution import cdf_check, cdf_size, same_check
from validation.statistics.estimates import errors_of_columns, errors_of_fits
from validation.statistics.mean import mean_check
from validation.statistics.proportion import LESS, coverage_check, proportion_check, proportion_size
from validation.statistics.ranks import ranks_check, ranks_size
from validation.statistics.student import Skewness, samples_needed, student_check, trusted_level
from validation.statistics.tolerances import binomial_bounds
from validation.statistics.uniformity import band, escape_probability
from validation.testing import StatisticalFailure
from validation.testing.ledger import Ledger
from validation.testing.manifest import Entry, Manifest
from validation.testing.marker import MarkerSettings, TestBudget
from validation.testing.stat import Stat

BUDGET = 0.05
SUITES = 2000
CHECK = 1e-6  # probability that a rate below rejects a right check (seeds are fixed, so never by chance)


def most(probability, n=SUITES):
    return binomial_bounds(n, probability, alpha=2 * CHECK)[1]


def least(probability, n=SUITES):
    return binomial_bounds(n, probability, alpha=2 * CHECK)[0]


# ---------------------------------------------------------------- suites under the null


ONCE = Entry()


@dataclass(frozen=True)
class Part:
    """A test of a suite: what it does on right data, its entry in the list, how often it fails at an alpha a check."""

    run: Callable[[Stat, np.random.Generator], object]
    attained: Callable[[float], float] = lambda alpha: alpha
    entry: Entry = ONCE


def margins(parts: dict[str, Part]) -> np.ndarray:
    """The smallest p/alpha of every simulated suite [SUITES]."""
    manifest = Manifest(BUDGET, {name: part.entry for name, part in parts.items()})
    found = np.full(SUITES, np.inf)
    for suite in range(SUITES):
        failed = False
        for name, part in parts.items():
            settings = MarkerSettings(part.entry, 9.0, 0.9)
            records: list[dict] = []
            stat = Stat(Ledger(TestBudget(name, manifest.alpha(name), settings, suite), records.append))
            try:
                part.run(stat, np.random.default_rng(stat.seed))
            except StatisticalFailure:
                failed = True
            found[suite] = min(found[suite], *(record["p_value"] / record["alpha"] for record in records))
        assert failed == (found[suite] <= 1)
    return found


def attained(parts: dict[str, Part]) -> float:
    manifest = Manifest(BUDGET, {name: part.entry for name, part in parts.items()})
    passes = 1.0
    for name, part in parts.items():
        passes *= (1 - part.attained(manifest.alpha(name))) ** part.entry.checks
    return 1 - passes


def by_mean(stat, rng):
    stat.mean(rng.normal(3.0, 2.0, 12), 3.0, skewness=0.0)


def by_two_means(stat, rng):
    by_mean(stat, rng)
    by_mean(stat, rng)


def by_proportion(stat, rng):
    stat.proportion(int(rng.binomial(500, 0.3)), 500, 0.3, min_effect=0.3)


def by_coverage(stat, rng):
    centre = rng.normal(size=400)
    half = stats.norm.isf(0.1)
    stat.coverage(np.stack([centre - half, centre + half], axis=1), 0.0, 0.8, min_effect=0.3)


def by_ranks(stat, rng):
    stat.uniform_ranks(rng.integers(0, 5, 40), 4)


def by_cdf(stat, rng):
    stat.cdf(rng.random(60), stats.uniform.cdf)


def by_same(stat, rng):
    stat.same_distribution(rng.normal(size=60), rng.normal(size=60))


def by_fits(stat, rng):
    requirement = stat.ledger.requirement(None)
    stat.ledger.judged(student_check("recovers", errors_of_fits(("a", "b", "c"), rng.normal(size=(9, 3))), requirement))


def by_columns(stat, rng):
    stat.means(rng.normal(1.0, 2.0, size=(9, 3)), 1.0, skewness=0.0)


def binomial_level(n: int, p: float) -> Callable[[float], float]:
    def level(alpha):
        low, high = binomial_bounds(n, p, alpha=alpha)
        return float(stats.binom.cdf(low - 1, n, p) + stats.binom.sf(high, n, p))

    return level


def ranks_level(alpha):
    return escape_probability(band(40, 4, alpha), 40, np.full(5, 0.2))


def cdf_level(alpha):
    return float(stats.kstwo.sf(math.sqrt(math.log(2 / alpha) / 120), 60))


def same_level(alpha):
    """The largest p-value within 0.98·alpha: that of two samples whose ECDFs are k/60 apart."""
    steps = [stats.ks_2samp(np.arange(60), np.arange(60) + k - 0.5).pvalue for k in range(5, 30)]
    return max(p for p in steps if p <= 0.98 * alpha)


def fits_level(alpha):
    return 1 - (1 - alpha / 3) ** 3


EXACT = {
    "means": {
        "light": Part(by_mean),
        "heavy": Part(by_mean, entry=Entry(weight=3.0)),
        "double": Part(by_two_means, entry=Entry(weight=2.0, checks=2)),
    },
    "counts": {
        "proportion": Part(by_proportion, binomial_level(500, 0.3)),
        "coverage": Part(by_coverage, binomial_level(400, 0.8)),
        "ranks": Part(by_ranks, ranks_level, Entry(weight=2.0)),
    },
    "distances": {"cdf": Part(by_cdf, cdf_level), "same": Part(by_same, same_level)},
    "fits": {
        "many": Part(by_fits, fits_level),
        "means": Part(by_columns, fits_level),
    },
}


# Two thousand suites of a kind take up to half a minute: the kinds left out run the same code around other checks.
LONG = ("means", "counts", "fits")


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind in LONG)) for kind in EXACT])
def test_false_alarms_of_a_suite_are_its_budget_and_not_far_under(kind):
    found = margins(EXACT[kind])
    expected = attained(EXACT[kind])
    assert 0.7 * BUDGET < expected <= BUDGET
    assert least(expected) <= np.sum(found <= 1) <= most(expected)
    assert np.sum(found <= 1) <= most(BUDGET)
    # Twice the false-alarm probability is more than chance allows.
    assert np.sum(found <= 2) > most(expected)


def autoregressive(rng, rho=0.8, chains=4, draws=200):
    noise = rng.normal(size=(chains, draws)) * math.sqrt(1 - rho**2)
    noise[:, 0] /= math.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], noise, axis=1)


def by_chains(stat, rng):
    stat.mean(autoregressive(rng), 0.0, chains=True, skewness=0.0)


def by_skewed_samples(stat, rng):
    stat.mean(rng.exponential(size=2500), 1.0)


APPROXIMATE = {"chains": Part(by_chains), "skewed": Part(by_skewed_samples)}


@pytest.mark.slow
def test_false_alarms_of_dependent_and_of_skewed_samples_are_within_the_budget():
    found = margins(APPROXIMATE)
    assert least(0.6 * BUDGET) <= np.sum(found <= 1) <= most(BUDGET)
    assert np.sum(found <= 2.5) > most(BUDGET)


def count(check: Callable[[np.random.Generator], Check], verdict: Verdict, repeats: int, seed: int = 0) -> int:
    rng = np.random.default_rng(seed)
    return sum(check(rng).verdict is verdict for _ in range(repeats))


def test_what_ess_and_skewness_protect_from():
    """Chains taken for independent samples, and skewed samples taken for symmetric ones, raise far more alarms."""
    requirement = Requirement(0.01, 0.9, 9.0)

    def taken_for_independent(rng):
        return mean_check(autoregressive(rng).reshape(-1), 0.0, requirement, skewness=0.0)

    def taken_for_symmetric(rng):
        return mean_check(rng.exponential(size=40), 1.0, requirement, skewness=0.0)

    assert count(taken_for_independent, Verdict.FAIL, 500) > most(0.1, 500)
    assert count(taken_for_symmetric, Verdict.FAIL, 2000) > most(0.01, 2000)
    assert math.isnan(trusted_level(2.0, 40, 0.01, is_known=True))  # so it would not be judged


# ---------------------------------------------------------------- power

REQUIREMENT = Requirement(alpha=1e-3, power=0.9, min_effect=0.2)


@dataclass(frozen=True)
class Powered:
    """A check whose data have an effect, a size that should do, and the requirement."""

    check: Callable[[np.random.Generator, int, float], Check]
    size: int
    requirement: Requirement = REQUIREMENT


def mean_of_normals(rng, n, effect):
    return mean_check(rng.normal(effect, 1.0, n), 0.0, REQUIREMENT, skewness=0.0)


def mean_of_unknown_skewness(rng, n, effect):
    return mean_check(rng.normal(effect, 1.0, n), 0.0, REQUIREMENT)


def mean_of_chains(rng, n, effect):
    return mean_check(effect + autoregressive(rng, 0.5, 4, n // 4), 0.0, REQUIREMENT, chains=True, skewness=0.0)


def means_of_columns(rng, n, effect):
    errors, skewness = errors_of_columns(rng.normal([0.0, effect], 1.0, (n, 2)), 0.0, None, None)
    return student_check("means", errors, REQUIREMENT, skewness)


def share_below_one_sided(rng, n, effect):
    return proportion_check(int(rng.binomial(n, 0.9 - effect)), n, 0.9, REQUIREMENT, LESS)


def share_above(rng, n, effect):
    return proportion_check(int(rng.binomial(n, 0.3 + effect)), n, 0.3, REQUIREMENT)


def share_below(rng, n, effect):
    return proportion_check(int(rng.binomial(n, 0.3 - effect)), n, 0.3, REQUIREMENT)


def intervals_too_narrow(rng, n, effect):
    held = rng.random(n) < 0.9 - effect
    return coverage_check(np.tile([-1.0, 1.0], (n, 1)), np.where(held, 0.0, 2.0), 0.9, REQUIREMENT)


SHIFT = Requirement(1e-3, 0.9, 0.6)


def shifted_ranks(rng, n, effect):
    return ranks_check(rng.binomial(9, stats.norm.cdf(rng.normal(effect, 1.0, n))), 9, SHIFT)


def moved(rng, n, effect):
    """Uniform on [effect, 1]: as far as `effect` from uniform on [0, 1]."""
    return rng.uniform(effect, 1.0, n)


def distant_cdf(rng, n, effect):
    return cdf_check(moved(rng, n, effect), stats.uniform.cdf, REQUIREMENT)


def distant_samples(rng, n, effect):
    return same_check(rng.random(n), moved(rng, n, effect), REQUIREMENT)


BIAS = Requirement(1e-3, 0.9, 1.0)


def biased_fits(rng, n, effect):
    return student_check("recovers", errors_of_fits(("a", "b"), rng.normal([0.0, effect], 1.0, (n, 2))), BIAS)


POWERED = {
    "mean": Powered(mean_of_normals, samples_needed(REQUIREMENT, sd=1.0)),
    "mean, skewness unknown": Powered(
        mean_of_unknown_skewness, samples_needed(REQUIREMENT, Skewness(is_known=False), sd=1.0)
    ),
    "mean of chains": Powered(mean_of_chains, 4 * 3 * samples_needed(REQUIREMENT, sd=1.0, is_dependent=True) // 4),
    # Enough for a sample whose skewness comes out high, too.
    "means": Powered(means_of_columns, 2 * samples_needed(REQUIREMENT, Skewness(is_known=False), sd=1.0)),
    "proportion, one side": Powered(share_below_one_sided, proportion_size(0.9, REQUIREMENT, LESS)),
    "proportion above": Powered(share_above, proportion_size(0.3, REQUIREMENT)),
    "proportion below": Powered(share_below, proportion_size(0.3, REQUIREMENT)),
    "coverage": Powered(intervals_too_narrow, proportion_size(0.9, REQUIREMENT)),
    "ranks": Powered(shifted_ranks, ranks_size(9, SHIFT), SHIFT),
    "cdf": Powered(distant_cdf, cdf_size(REQUIREMENT)),
    "same_distribution": Powered(distant_samples, same_check(range(9), range(9), REQUIREMENT).needed // 2),
    "fits": Powered(biased_fits, samples_needed(BIAS, num_entries=2), BIAS),
}
REPEATS = 800
# One of each engine stands for the others: Student's is asked in the next test, what is left are shares and distances.
LONG_POWERED = (
    "mean",
    "mean, skewness unknown",
    "mean of chains",
    "proportion below",
    "means",
    "fits",
    "ranks",
    "same_distribution",
    "proportion above",
    "proportion, one side",
)


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[pytest.mark.slow] * (kind in LONG_POWERED)) for kind in POWERED],
)
def test_power_at_min_effect_is_at_least_what_was_asked(kind):
    case = POWERED[kind]
    effect = case.requirement.min_effect
    assert count(lambda rng: case.check(rng, case.size, effect), Verdict.FAIL, REPEATS) >= least(0.9, REPEATS)
    assert count(lambda rng: case.check(rng, case.size, 0.0), Verdict.PASS, 50) >= 49
    # A third of the samples are too few to see it, and the check says so.
    few = case.size // 3
    assert count(lambda rng: case.check(rng, few, effect), Verdict.FAIL, REPEATS) < least(0.9, REPEATS)
    assert count(lambda rng: case.check(rng, few, 0.0), Verdict.UNDERPOWERED, 50) >= 49


# By default around the size at which chance decides whether a check is underpowered.
@pytest.mark.parametrize(
    "share", [0.9, *(pytest.param(share, marks=pytest.mark.slow) for share in (0.0, 0.01, 1 / 3, 0.8, 1.0))]
)
def test_an_effect_is_passed_no_more_often_than_the_power_allows_whatever_the_size(share):
    size = max(int(share * samples_needed(REQUIREMENT, sd=1.0)), 4)
    passed = count(lambda rng: mean_of_normals(rng, size, 0.2), Verdict.PASS, REPEATS)
    assert passed <= most(0.1, REPEATS)
