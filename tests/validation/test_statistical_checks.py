"""The statistical checks as pure functions, and `stat`: exact against SciPy, clear where arguments are bad."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.signal import lfilter

from validation.statistics.check import Check, Requirement, Verdict
from validation.statistics.dependence import thinned
from validation.statistics.distribution import cdf_check, cdf_size, same_check
from validation.statistics.estimates import errors_of_fits
from validation.statistics.mean import mean_check
from validation.statistics.proportion import (
    GREATER,
    LESS,
    coverage_check,
    proportion_check,
    proportion_detectable,
    proportion_size,
)
from validation.statistics.ranks import ranks_check, ranks_size
from validation.statistics.search import in_words, smallest
from validation.statistics.student import (
    Skewness,
    critical_value,
    detectable_noncentrality,
    samples_needed,
    student_check,
    trusted_level,
)
from validation.statistics.tolerances import (
    binomial_bounds,
    binomial_detectable_high,
    binomial_detectable_low,
)
from validation.statistics.uniformity import detectable_shift, uniformity_p_value
from validation.testing import StatisticalFailure, Underpowered
from validation.testing.ledger import Ledger
from validation.testing.manifest import Entry
from validation.testing.marker import TestBudget, marker_settings
from validation.testing.message import odds
from validation.testing.stat import Stat

REQUIREMENT = Requirement(alpha=1e-3, power=0.9, min_effect=0.5)


def make(*, alpha=1e-3, keep=lambda record: None, **marker):
    """The fixture's object of a test that has this much to spend on each check."""
    marker = {"checks": 10, "min_effect": 0.5, **marker}
    budget = TestBudget("tests/test_x.py::test_y", alpha, marker_settings((), marker), 0)
    return Stat(Ledger(budget, keep))


def normals(n, mean=0.0, seed=0):
    return np.random.default_rng(seed).normal(mean, 1.0, n)


def autoregressive(rho, chains=4, draws=1000, seed=0):
    noise = np.random.default_rng(seed).normal(size=(chains, draws)) * math.sqrt(1 - rho**2)
    noise[:, 0] /= math.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], noise, axis=1)


# ---------------------------------------------------------------- verdicts


def test_verdicts():
    requirement = Requirement(0.01, 0.9, 2.0)
    by_p_value = {
        p: Check("x", requirement, 9, 5.0, 1.0, high=4.0, p_value=p).verdict for p in (0.0, 0.01, 0.02, math.nan)
    }
    assert by_p_value == {
        0.0: Verdict.FAIL,
        0.01: Verdict.FAIL,
        0.02: Verdict.PASS,
        math.nan: Verdict.FAIL,
    }
    for detectable, verdict in ((1.0, Verdict.PASS), (3.0, Verdict.UNDERPOWERED), (math.nan, Verdict.UNDERPOWERED)):
        assert Check("x", requirement, 9, 4.0, detectable, high=4.0).verdict is verdict
        assert Check("x", requirement, 9, 3.9, detectable, low=4.0).verdict is Verdict.FAIL
        assert Check("x", requirement, 9, math.nan, detectable, 4.0, 4.0).verdict is verdict


# ---------------------------------------------------------------- means


def test_mean_is_the_t_test_where_skewness_is_known_to_be_none():
    x = normals(50, 0.2)
    check = mean_check(x, 0.0, REQUIREMENT, skewness=0.0)
    assert check.p_value == pytest.approx(stats.ttest_1samp(x, 0.0).pvalue)
    error = x.std(ddof=1) / math.sqrt(50)
    assert check.bound == pytest.approx(stats.t.isf(5e-4, 49) * error)
    assert stats.nct.sf(stats.t.isf(5e-4, 49), 49, check.detectable / error) == pytest.approx(0.9)


def test_skewness_of_the_sample_costs_a_fifth_of_alpha_and_too_much_of_it_is_underpowered():
    x = normals(2000, 0.02)
    assert mean_check(x, 0.0, REQUIREMENT).p_value == pytest.approx(1.25 * stats.ttest_1samp(x, 0.0).pvalue)
    skewed = np.random.default_rng(0).exponential(size=300)
    check = mean_check(skewed, 0.0, REQUIREMENT)  # far from 1, yet not judged
    assert check.verdict is Verdict.UNDERPOWERED
    assert math.isnan(check.p_value) and check.detectable == math.inf and "skewness" in check.message.note
    enough = mean_check(np.random.default_rng(0).exponential(size=check.needed), 0.0, REQUIREMENT)
    assert enough.verdict is Verdict.FAIL


def test_trusted_level():
    z = stats.norm.isf(1e-3 / 1.25 / 2)
    worst = (z**3 / (3 * math.log(2))) ** 2  # n at which a skewness of 1 doubles a tail
    assert trusted_level(1.0, worst * 1.001, 1e-3, is_known=True) == pytest.approx(1e-3 / 1.25, rel=1e-3)
    assert math.isnan(trusted_level(1.0, worst * 0.999, 1e-3, is_known=True))
    assert trusted_level(0.0, 10, 1e-3, is_known=True) == 1e-3
    assert trusted_level(0.0, 10, 1e-3, is_known=False) == pytest.approx(1e-3 / 1.25)


def test_dependent_draws_are_worth_their_ess():
    chains = autoregressive(0.9)
    check = mean_check(chains, 0.0, REQUIREMENT, chains=True, skewness=0.0)
    assert 100 < check.ess < 400  # 4000·(1 - 0.9)/(1 + 0.9) = 211
    error = chains.std(ddof=1) / math.sqrt(check.ess)
    assert check.p_value == pytest.approx(2 * stats.t.sf(abs(chains.mean()) / error, check.ess / 4))
    assert mean_check(chains.reshape(-1), 0.0, REQUIREMENT, skewness=0.0).detectable < check.detectable / 3
    assert mean_check(autoregressive(-0.9), 0.0, REQUIREMENT, chains=True).ess == 4000


# ---------------------------------------------------------------- proportions


@pytest.mark.parametrize(("k", "n", "p"), [(3, 50, 0.2), (10, 50, 0.2), (50, 50, 0.2), (0, 9, 0.5), (1, 30, 0.0)])
def test_proportion_is_twice_the_smaller_tail(k, n, p):
    check = proportion_check(k, n, p, replace(REQUIREMENT, min_effect=0.3))
    assert check.p_value == pytest.approx(min(1, 2 * min(stats.binom.cdf(k, n, p), stats.binom.sf(k - 1, n, p))))


@pytest.mark.parametrize(("k", "n", "p"), [(3, 50, 0.2), (10, 50, 0.2), (28, 30, 0.9)])
def test_a_proportion_of_which_one_side_is_no_fault(k, n, p):
    for alternative, tail in ((LESS, stats.binom.cdf(k, n, p)), (GREATER, stats.binom.sf(k - 1, n, p))):
        check = proportion_check(k, n, p, replace(REQUIREMENT, min_effect=0.05), alternative)
        assert check.p_value == pytest.approx(tail)
        smallest = binomial_bounds(n, p, alpha=2e-3)
        if alternative is LESS:
            assert check.detectable == pytest.approx(p - binomial_detectable_low(n, smallest[0]))
        else:
            assert check.detectable == pytest.approx(binomial_detectable_high(n, smallest[1]) - p)
    with pytest.raises(ValueError, match=r"no probability is 0\.3 below 0\.2"):
        proportion_check(k, n, 0.2, replace(REQUIREMENT, min_effect=0.3), LESS)


@pytest.mark.parametrize(("n", "p"), [(60, 0.3), (60, 0.95), (300, 0.02)])
def test_what_a_proportion_detects_is_detected(n, p):
    """The power at the detectable effect, summed over every count the check rejects, is the power asked for."""
    requirement = replace(REQUIREMENT, min_effect=0.5)
    effect = proportion_detectable(n, p, requirement)
    rejected = [k for k in range(n + 1) if proportion_check(k, n, p, requirement).verdict is Verdict.FAIL]
    sides = [q for q in (p - effect, p + effect) if 0 <= q <= 1]
    assert min(stats.binom.pmf(rejected, n, q).sum() for q in sides) == pytest.approx(0.9, abs=1e-6)


def test_an_effect_that_is_possible_on_one_side_is_judged_there():
    requirement = replace(REQUIREMENT, min_effect=0.1)
    assert proportion_detectable(400, 0.98, requirement) < 0.1  # towards 0.88; 1.08 is no probability
    assert proportion_detectable(20, 0.02, replace(requirement, min_effect=0.02)) == math.inf  # 0 of 20 is no surprise
    with pytest.raises(ValueError, match=r"no probability is 0\.6 away from 0\.5"):
        proportion_detectable(400, 0.5, replace(requirement, min_effect=0.6))


def test_coverage_counts_intervals_with_their_truth():
    intervals = [[-1.0, 1.0], [0.0, math.inf], [2.0, 3.0], [-1.0, 0.0]]
    check = coverage_check(intervals, [0.0, 0.0, 0.0, 0.0], 0.9, REQUIREMENT)
    assert (check.observed, check.expected, check.n) == (0.75, 0.9, 4)
    assert coverage_check(intervals, 0.0, 0.9, REQUIREMENT).observed == 0.75


# ---------------------------------------------------------------- ranks and distributions


def test_ranks_are_judged_by_the_exact_test():
    ranks = np.random.default_rng(1).integers(0, 20, 60)
    check = ranks_check(ranks, 19, REQUIREMENT)
    assert check.p_value == uniformity_p_value(ranks, 19)
    assert check.detectable == detectable_shift(60, 19, 1e-3, 0.9)
    assert check.verdict is Verdict.UNDERPOWERED
    enough = ranks_check(np.random.default_rng(1).integers(0, 20, check.needed), 19, REQUIREMENT)
    assert enough.verdict is Verdict.PASS
    assert ranks_check(np.full(60, 19), 19, REQUIREMENT).verdict is Verdict.FAIL


def test_cdf_distance_is_kolmogorovs_and_holds_for_jumps():
    x = normals(40)
    check = cdf_check(x, stats.norm.cdf, REQUIREMENT)
    assert check.observed == pytest.approx(stats.kstest(x, "norm").statistic)
    assert check.p_value == pytest.approx(min(1, 2 * math.exp(-80 * check.observed**2)))
    counts = np.array([0.0, 0.0, 1.0, 3.0])
    steps = np.arange(4)
    by_hand = max(abs(np.array([2, 3, 3, 4]) / 4 - stats.poisson.cdf(steps, 1.0)))
    assert cdf_check(counts, lambda t: stats.poisson.cdf(t, 1.0), REQUIREMENT).observed == pytest.approx(by_hand)


def test_same_distribution_is_the_two_sample_test():
    a, b = normals(200), normals(150, 0.1, seed=1)
    check = same_check(a, b, REQUIREMENT)
    assert check.p_value == pytest.approx(stats.ks_2samp(a, b).pvalue / 0.98)  # the rest looks for dependence
    assert same_check(a, b + 2, REQUIREMENT).verdict is Verdict.FAIL


@pytest.mark.parametrize(("m", "n"), [(30, 30), (100, 100), (70, 110), (1000, 1000), (333, 2000), (12_000, 15_000)])
@pytest.mark.parametrize("alpha", [0.05, 1e-3, 1e-6])
def test_the_distance_that_is_allowed_is_rejected_when_exceeded(m, n, alpha):
    """The two-sample bound behind `detectable` is proved for m = n; here SciPy's p-value is within alpha at it."""
    requirement = Requirement(alpha, 0.9, 0.5)
    bound = same_check(np.random.default_rng(0).random(m), np.random.default_rng(1).random(n), requirement).bound
    if bound >= 1:
        pytest.skip("so few samples that no distance is rejected")
    below = math.ceil(bound * m - 1e-9)  # as many of a below all of b: a distance of at least the bound
    order = np.linspace(0, 1, m - below + 2)[1:-1]
    a = np.concatenate([np.linspace(-2, -1, below), order])
    found = stats.ks_2samp(a, np.linspace(0, 1, n + 2)[1:-1] + 1e-9)
    assert found.statistic >= bound
    assert found.pvalue <= 0.98 * alpha


def test_dependent_draws_are_an_error_until_they_are_thinned():
    chains = autoregressive(0.9, draws=4000)
    reference = normals(1000, seed=5)
    with pytest.raises(ValueError, match=r"b: expected independent samples.*stat\.thinned"):
        same_check(reference, chains.reshape(-1), REQUIREMENT)
    with pytest.raises(
        ValueError, match=r"a: expected independent samples \[n\], got shape \(4, 4000\).*stat\.thinned"
    ):
        same_check(chains, reference, REQUIREMENT)
    with pytest.raises(ValueError, match="neighbours are correlated"):
        same_check(np.sort(reference), reference, REQUIREMENT)
    kept = thinned(chains)
    assert 200 < kept.size < 842  # 16000 draws are worth 842
    assert same_check(reference, kept, REQUIREMENT).verdict is Verdict.PASS


def test_thinning_leaves_neighbours_near_independent():
    for rho in (0.5, 0.9):
        step = 40_000 / thinned(autoregressive(rho, draws=10_000)).size
        assert rho ** (0.8 * step) < 0.1
    assert thinned(normals(2000)).size > 600


# ---------------------------------------------------------------- fits


def test_errors_of_many_fits_are_t_tested_entry_by_entry():
    errors = np.random.default_rng(0).normal(0.3, 1.0, size=(20, 3))
    check = student_check("recovers", errors_of_fits(("a", "b", "c"), errors), REQUIREMENT)
    by_entry = stats.ttest_1samp(errors, 0.0).pvalue
    assert check.p_value == pytest.approx(min(1, 3 * by_entry.min()))
    assert check.message.got.startswith("abc"[int(by_entry.argmin())])


def test_what_errors_detect_solves_the_noncentral_t():
    check = student_check("recovers", errors_of_fits(("a", "b"), normals(40).reshape(20, 2)), REQUIREMENT)
    critical = stats.t.isf(1e-3 / 4, 19)
    assert stats.nct.sf(critical, 19, check.detectable * math.sqrt(20)) == pytest.approx(0.9)


def test_bounds_that_are_none():
    assert detectable_noncentrality(math.inf, 9, 0.9) == math.inf
    assert detectable_noncentrality(-9.0, 9, 0.5) == 0.0
    assert critical_value(0.01, 0) == detectable_noncentrality(math.inf, 0, 0.9) == math.inf  # the mean of one


@pytest.mark.parametrize("df", [1, 2, 3])
def test_where_scipys_noncentral_t_fails_the_numerator_no_longer_matters(df):
    just_below, beyond = (detectable_noncentrality(critical, df, 0.9) for critical in (9999.0, 10001.0))
    assert just_below / 9999.0 == pytest.approx(beyond / 10001.0, rel=1e-4)


def test_skewed_estimates_need_more_fits():
    errors = errors_of_fits(("a",), normals(20)[:, None])
    check = student_check("recovers", errors, replace(REQUIREMENT, min_effect=2.0), Skewness(1.0))
    assert check.verdict is Verdict.UNDERPOWERED
    assert check.needed > 200
    assert student_check("recovers", errors, replace(REQUIREMENT, min_effect=2.0)).verdict is Verdict.PASS


def test_means_are_t_tested_column_by_column():
    x = np.stack([normals(4000, 0.0, seed) for seed in range(3)], axis=1)
    check = make(min_effect=0.2).means(x, [0.0, 0.0, 0.0], names=["a", "b", "c"], skewness=0.0)
    assert check.p_value == pytest.approx(min(1.0, 3 * min(stats.ttest_1samp(x, 0.0).pvalue)))
    assert make(min_effect=0.2).means(x, 0.0).detectable > check.detectable  # the skewness is not known
    with pytest.raises(StatisticalFailure, match=r"b off by -0\.\d+ in 4,000 rows"):
        make(min_effect=0.2).means(x, [0.0, 0.3, 0.0], names=["a", "b", "c"])


def test_an_estimate_is_held_against_its_standard_error():
    check = make(min_effect=6.0).estimate(1.3, 0.5, 1.0)
    assert check.p_value == pytest.approx(2 * stats.norm.sf(0.6), rel=1e-6)
    assert check.detectable == pytest.approx(stats.norm.isf(5e-4) + stats.norm.isf(0.1), rel=1e-6)
    with pytest.raises(StatisticalFailure, match="4 standard errors"):
        make(min_effect=6.0).estimate(3.0, 0.5, 1.0)


# ---------------------------------------------------------------- underpowered, sizes

CHECKS = {
    "mean": lambda requirement: mean_check(normals(500), 0.0, requirement),
    "chains": lambda requirement: mean_check(autoregressive(0.5), 0.0, requirement, chains=True),
    "proportion": lambda requirement: proportion_check(30, 100, 0.3, requirement),
    "coverage": lambda requirement: coverage_check(
        np.tile([-1.0, 1.0], (90, 1)), [0.0] * 80 + [2.0] * 10, 0.9, requirement
    ),
    "ranks": lambda requirement: ranks_check(np.arange(60) % 20, 19, requirement),
    "cdf": lambda requirement: cdf_check(normals(100), stats.norm.cdf, requirement),
    "same": lambda requirement: same_check(normals(100), normals(100, seed=1), requirement),
    "recovers": lambda requirement: student_check(
        "recovers", errors_of_fits(("a",), normals(20)[:, None]), requirement
    ),
}


@pytest.mark.parametrize("kind", CHECKS)
def test_underpowered_is_what_cannot_see_the_effect(kind):
    """Flagged exactly where the detectable effect exceeds `min_effect`, and not a whisker later."""
    requirement = Requirement(1e-3, 0.9, 0.08)
    detectable = CHECKS[kind](requirement).detectable
    if kind == "coverage":
        detectable = CHECKS[kind](replace(requirement, min_effect=detectable)).detectable  # judged on one side by now
    assert CHECKS[kind](replace(requirement, min_effect=detectable)).verdict is Verdict.PASS
    low = CHECKS[kind](replace(requirement, min_effect=detectable * (1 - 1e-9)))
    assert low.verdict is Verdict.UNDERPOWERED
    assert low.needed > 0
    assert CHECKS[kind](replace(requirement, min_effect=detectable)).needed is None


SIZES = {
    "mean": lambda requirement: samples_needed(requirement, Skewness(is_known=False), sd=1.0),
    "mean, skewness known": lambda requirement: samples_needed(requirement, sd=1.0),
    "proportion": lambda requirement: proportion_size(0.3, requirement),
    "cdf": cdf_size,
    "ranks": lambda requirement: ranks_size(9, requirement),
}


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("alpha", [0.01, 1e-5])
def test_the_number_needed_is_enough_and_half_of_it_is_not(kind, alpha):
    requirement = Requirement(alpha, 0.9, 0.2)
    n = SIZES[kind](requirement)

    def detectable(n):
        # At the sd and skewness that chance allows a normal sample once in 1/alpha runs.
        sd, score = math.sqrt(stats.chi2.isf(alpha, n - 1) / (n - 1)), stats.norm.isf(alpha / 2)
        is_known = kind == "mean, skewness known"
        level = trusted_level(0.0 if is_known else score * math.sqrt(6 / n), n, alpha, is_known=is_known)
        noncentrality = detectable_noncentrality(critical_value(level, n - 1), n - 1, 0.9)
        by_mean = noncentrality * sd / math.sqrt(n)
        return {
            "mean": lambda: by_mean,
            "mean, skewness known": lambda: by_mean,
            "proportion": lambda: proportion_detectable(n, 0.3, requirement),
            "cdf": lambda: math.sqrt(math.log(2 / alpha) / (2 * n)) + math.sqrt(math.log(10) / (2 * n)),
            "ranks": lambda: detectable_shift(n, 9, alpha),
        }[kind]()

    assert detectable(n) <= 0.2
    assert detectable(n // 2) > 0.2


def test_the_number_that_would_do_does():
    for shift in (0.0, 0.01):
        check = mean_check(normals(300, shift), 0.0, replace(REQUIREMENT, min_effect=0.1))
        assert check.verdict is Verdict.UNDERPOWERED
        assert mean_check(normals(check.needed), 0.0, replace(REQUIREMENT, min_effect=0.1)).verdict is Verdict.PASS
    assert samples_needed(Requirement(1e-6, 0.9, 1e-6), sd=1.0) is None


def test_search():
    assert smallest(lambda n: n >= 37) == 37
    assert smallest(lambda n: n >= 2) == 2
    assert smallest(lambda n: True, least=1) == 1
    assert smallest(lambda n: False) is None
    assert [in_words(n) for n in (7, 99, 101, 76_109, None)] == ["7", "99", "110", "77,000", "no number"]


# ---------------------------------------------------------------- the object


def test_two_checks_that_were_said_to_be_one_are_an_error():
    stat = make(checks=1)
    stat.mean(normals(500), 0.0)
    with pytest.raises(ValueError, match=r"says checks=1 and makes check 2.*--statistical-update"):
        stat.mean(normals(500), 0.0)


def test_controls_must_fail_and_spend_nothing():
    records = []
    stat = make(keep=records.append)
    stat.mean(normals(4000), 0.0, min_effect=0.2)
    with stat.control():  # with the effect of the check before
        stat.mean(normals(4000), 1.0)
        stat.proportion(40, 400, 0.5)
    assert [(each["outcome"], each["control"]) for each in records] == [
        ("passed", False),
        ("failed", True),
        ("failed", True),
    ]
    assert {each["alpha"] for each in records} == {stat.alpha} == {1e-3}
    for wrong, message in ((0.0, "a negative control passed"), (0.01, "blind to it")):
        with pytest.raises(AssertionError, match=message), stat.control():
            stat.mean(normals(4000), wrong)
    with pytest.raises(ValueError, match="at least one check in the block"), stat.control():
        pass
    with pytest.raises(ValueError, match="no block within another"), stat.control(), stat.control():
        pass
    stat.ledger.require_check()
    alone = make(min_effect=0.2)
    with alone.control():
        alone.mean(normals(4000), 1.0)
    alone.ledger.require_check()  # controls can fail, too


def test_outcomes_are_raised():
    with pytest.raises(StatisticalFailure):
        make().mean(normals(2000, 1.0), 0.0)
    with pytest.raises(Underpowered):
        make().mean(normals(2000), 0.0, min_effect=0.01)
    assert make().mean(normals(2000), torch.tensor(0.0)).verdict is Verdict.PASS


def test_a_test_without_a_check_is_an_error():
    with pytest.raises(ValueError, match="made no check"):
        make().ledger.require_check()


def test_seeds_are_stable_and_distinct():
    budget = TestBudget("tests/test_x.py::test_y", 1e-3, marker_settings((), {}), 0)
    assert budget.seed() == 2110651527  # the first four bytes of sha256("0:tests/test_x.py::test_y")
    seeds = {
        budget.seed(),
        budget.seed("laplace", 0),
        replace(budget, root_seed=1).seed(),
        replace(budget, test="b").seed(),
    }
    assert len(seeds) == 4 and all(0 <= seed < 2**32 for seed in seeds)


def test_the_markers_arguments_are_checked():
    assert marker_settings((), {"weight": 2, "checks": 3, "min_effect": 1}).entry == Entry(2.0, 3)
    for kwargs, message in [
        ({"weight": 0}, "weight: expected a positive number, got 0"),
        ({"weight": math.inf}, "weight"),
        ({"checks": 0}, "checks: expected a whole number, 1 or more"),
        ({"checks": 1.5}, "checks"),
        ({"power": 1.0}, "power: expected a probability above 0 and below 1"),
        ({"min_effect": -1.0}, "min_effect: expected a positive number"),
        ({"wieght": 2}, "expected keywords among"),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            marker_settings((), kwargs)
    with pytest.raises(TypeError, match="expected keywords"):
        marker_settings((2,), {})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.mean([], 0.0), "samples: expected at least 2, got 0"),
        (lambda s: s.mean([1.0], 0.0), "samples: expected at least 2, got 1"),
        (lambda s: s.mean([1.0, math.nan, 2.0], 0.0), r"samples: expected finite numbers, got \[nan\] at \[1\]"),
        (lambda s: s.mean([1.0, math.inf], 0.0), "samples: expected finite numbers"),
        (lambda s: s.mean(["a", "b"], 0.0), "samples: expected numbers"),
        (lambda s: s.mean([0.3, 0.1 + 0.2], 0.0), r"samples: all 2 are 0\.3; without spread"),
        (lambda s: s.mean(np.zeros((2, 9)), 0.0), r"samples: expected one dimension.*chains=True"),
        (lambda s: s.mean(normals(9), 0.0, chains=True), "samples: expected chains by draws"),
        (lambda s: s.mean(normals(9), "0"), "expected: expected a number, got '0'"),
        (lambda s: s.mean(normals(9), math.nan), "expected: expected a finite number"),
        (lambda s: s.mean(normals(9), 0.0, min_effect=-0.1), "min_effect: expected a positive number"),
        (lambda s: s.mean(normals(9), 0.0, min_effect=0), "min_effect: expected a positive number"),
        (lambda s: s.mean(normals(9), 0.0, min_effect=math.inf), "min_effect: expected a positive number"),
        (lambda s: s.mean(np.stack([normals(8), np.zeros(8)])[:, :3], 0.0, chains=True), "at least 4 draws"),
        (lambda s: s.means(normals(9), 0.0), "samples: expected chains by draws"),
        (lambda s: s.means(np.ones((9, 2)), 0.0), "samples: all 9 are 1; without spread"),
        (lambda s: s.means(normals(18).reshape(9, 2), [0.0, 1.0, 2.0]), "expected: expected one number, or 2, got 3"),
        (lambda s: s.means(normals(18).reshape(9, 2), 0.0, names=["a"]), "names: expected 2, one for each column"),
        (lambda s: s.means(normals(2).reshape(1, 2), 0.0), "expected at least 2 rows"),
        (lambda s: s.estimate(1.0, 0.0, 1.0), "error: expected a positive number, got 0.0"),
        (lambda s: s.estimate(math.nan, 1.0, 1.0), "value: expected a finite estimate"),
        (lambda s: s.proportion(1, 4, 0.5, alternative="more"), 'alternative: expected "two-sided", "less" or'),
        (lambda s: s.proportion(5, 4, 0.5), "successes: expected at most trials = 4, got 5"),
        (lambda s: s.proportion(-1, 4, 0.5), "successes: expected 0 or more, got -1"),
        (lambda s: s.proportion(1.0, 4, 0.5), "successes: expected a whole number"),
        (lambda s: s.proportion(1, 0, 0.5), "trials: expected 1 or more, got 0"),
        (lambda s: s.proportion(1, 4, 1.5), "expected: expected a probability from 0 to 1"),
        (lambda s: s.proportion(1, 4, 0.5, min_effect=0.7), r"no probability is 0\.7 away from 0\.5"),
        (lambda s: s.coverage([[1.0, 0.0]], 0.5, 0.9), "no lower end above"),
        (lambda s: s.coverage([[0.0, 1.0, 2.0]], 0.5, 0.9), "one lower and one upper end"),
        (lambda s: s.coverage([[0.0, math.nan]], 0.5, 0.9), "intervals: expected numbers"),
        (lambda s: s.coverage([[0.0, 1.0]], [0.5, 0.5], 0.9), "truths: expected 1, one for each interval, got 2"),
        (lambda s: s.coverage([[0.0, 1.0]], 0.5, 1.0), "level: expected a probability"),
        (lambda s: s.uniform_ranks([0, 10], 9), "ranks: expected whole numbers from 0 to num_draws = 9, got 10"),
        (lambda s: s.uniform_ranks([], 9), "ranks: expected at least 1, got 0"),
        (lambda s: s.cdf(normals(9), 0.5), "cdf: expected a function"),
        (lambda s: s.cdf(normals(9), lambda x: x), "cdf: expected a probability"),
        (lambda s: s.cdf(normals(9), lambda x: stats.norm.sf(x)), "cdf: expected a function that does not fall"),
        (lambda s: s.cdf([], stats.norm.cdf), "samples: expected at least 1, got 0"),
        (lambda s: s.same_distribution(normals(9), []), "b: expected at least 1, got 0"),
        (lambda s: s.same_distribution(normals(9), [math.nan]), "b: expected finite numbers"),
    ],
)
def test_bad_arguments_are_named_at_the_call(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(make())


def test_an_effect_must_be_said():
    with pytest.raises(ValueError, match="min_effect: say the smallest effect that matters"):
        make(min_effect=None).mean(normals(9), 0.0)


def test_odds():
    assert odds(0.5) == "this or worse in 50 % of runs"
    assert odds(3e-5) == "this or worse once in 33,000 runs (p = 3e-05)"
    assert odds(0.0) == "this or worse once in 1e300 or more runs (p = 0)"
    assert odds(math.nan).endswith("cannot be said")
