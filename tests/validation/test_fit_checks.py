"""`stat.recovers` and `stat.interventions`: wrong estimators fail and right ones do not; exact laws against SciPy."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from estimators import EM, MAP, CausalMixture, Data, Exact, Fit, GaussianMixture
from estimators.mechanisms import Bernoulli, Gaussian, LinearGaussian
from validation.statistics.check import Message, Requirement, Verdict
from validation.statistics.efficiency import SLACK, efficiency_check, fits_needed
from validation.statistics.likelihood_ratio import bartlett_factor, ratio_check
from validation.statistics.tails import tails_check
from validation.statistics.tolerances import binomial_bounds
from validation.testing import StatisticalFailure, Underpowered
from validation.testing.efficient import efficient_sds
from validation.testing.fits import Fits
from validation.testing.held import Held
from validation.testing.ledger import Ledger
from validation.testing.marker import TestBudget, marker_settings
from validation.testing.one_fit import drop_to
from validation.testing.quantities import GreekEntries, PredictedMeans
from validation.testing.stat import Stat

TRUTH = {"theta": [0.4, 0.6], "mu_X": [-2.0, 3.0]}
MIXTURE = GaussianMixture(2)
REQUIREMENT = Requirement(1e-3, 0.9, 3.0)


def make(*, alpha=1e-3, **marker):
    """The fixture's object of a test that has this much to spend on each check."""
    budget = TestBudget("tests/test_x.py::test_y", alpha, marker_settings((), {"checks": 10, **marker}), 0)
    return Stat(Ledger(budget, lambda record: None))


def fitted(count, num_rows=200, *, step=1, seed=0):
    rows = [MIXTURE.simulate(num_rows, TRUTH, seed + number)["X"][::step] for number in range(count)]
    return [EM(progress_bar=False).fit(MIXTURE, Data(X=column), seed=0, search=None) for column in rows]


@pytest.fixture(scope="module")
def fits():
    return fitted(12)


def by_coin_flip(fits, seed):
    rng = np.random.default_rng(seed)
    return [fit.relabel([1, 0]) if rng.random() < 0.5 else fit for fit in fits]


def shifted(fit, **by):
    draws = {name: value + torch.as_tensor(by.get(name, 0.0)) for name, value in fit.draws.items()}
    return replace(fit, draws=draws, found=None)


@pytest.fixture
def few_simulated(monkeypatch):
    """A rougher factor, which what is exact here does not hang on, and what is grossly wrong neither."""
    monkeypatch.setattr("validation.testing.one_fit.SIMULATED", 8)


# ---------------------------------------------------------------- several fits


def judged(errors, requirement=REQUIREMENT):
    names = tuple("abcdefg"[: errors.shape[1]])
    return efficiency_check("recovers", errors, np.ones_like(errors), names, requirement, subject="x", unit="sds")


def test_mean_and_mean_square_are_held_to_normal_and_chi_square_bounds():
    errors = np.random.default_rng(0).normal(0.2, 1.0, (20, 3))
    slack = SLACK * 3.0
    square = stats.chi2.sf((errors**2).sum(0) / (1 + slack**2), 20).min()
    mean = 2 * stats.norm.sf(max(0.0, (np.abs(errors.mean(0)).max() - slack) * math.sqrt(20 / (1 + slack**2))))
    assert judged(errors).p_value == pytest.approx(min(1.0, 6 * min(square, mean)))


@pytest.mark.parametrize(
    "count", [1, 12, pytest.param(4, marks=pytest.mark.slow), pytest.param(60, marks=pytest.mark.slow)]
)
def test_what_is_detectable_is_found_with_the_power_asked_for(count):
    """Either kind of effect: a mean error, and errors larger in quadrature; and both at least that often."""
    rng = np.random.default_rng(count)
    effect = judged(np.zeros((count, 2))).detectable
    for mean, sd in ((effect, 1.0), (0.0, math.sqrt(1 + effect**2)))[: 1 if count == 1 else 2]:
        errors = rng.normal([0.0, mean], [1.0, sd], (600, count, 2))
        found = sum(judged(each).verdict is Verdict.FAIL for each in errors)
        assert found >= binomial_bounds(600, 0.9, alpha=1e-6)[0]


@pytest.mark.parametrize("alpha", [0.05, pytest.param(1e-3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["efficient", "the mean error allowed", "the variance allowed"])
def test_no_more_false_alarms_than_its_share_on_what_it_does_not_hold_against_an_estimator(kind, alpha):
    slack = SLACK * 1.5
    mean, sd = {"efficient": (0, 1), "the mean error allowed": (slack, 1)}.get(kind, (0, math.sqrt(1 + slack**2)))
    requirement = Requirement(alpha, 0.9, 1.5)
    errors = np.random.default_rng(1).normal(mean, sd, (2000, 16, 2))
    found = sum(judged(each, requirement).verdict is Verdict.FAIL for each in errors)
    assert found <= binomial_bounds(2000, alpha, alpha=1e-6)[1]
    if kind == "the variance allowed" and alpha == 0.05:  # half the budget is the mean square's, of which none is lost
        assert found >= binomial_bounds(2000, 0.02, alpha=1e-6)[0]


def test_an_error_of_what_is_known_fails():
    check = efficiency_check(
        "x", np.array([[0.0, 1e-3]] * 3), np.array([[1.0, 0.0]] * 3), ("a", "b"), REQUIREMENT, subject="x", unit="sds"
    )
    assert check.verdict is Verdict.FAIL and check.message.got.startswith("b off by")


def test_too_few_fits_are_underpowered_and_say_how_many_would_do(fits):
    with pytest.raises(Underpowered, match="would do"):
        make(min_effect=3.0).recovers(fits[:3], TRUTH, rows=200)
    needed = fits_needed(REQUIREMENT, 4)
    assert judged(np.zeros((needed, 4))).verdict is Verdict.PASS
    assert judged(np.zeros((needed - 1, 4))).verdict is Verdict.UNDERPOWERED


def test_right_fits_pass(fits):
    stat = make(min_effect=3.0)
    check = stat.recovers(fits, TRUTH, rows=200)
    assert check.n == 12
    stat.recovers(fits, [TRUTH] * len(fits), names=["mu_X"], rows=[fit.data for fit in fits])
    stat.recovers(fits, TRUTH, unit={"mu_X": 0.15, "theta": 0.05})
    stat.recovers(fits, TRUTH, ["mu_X"], unit=0.15)
    stat.interventions(fits, TRUTH, do={"Z": 1}, rows=200)
    stat.interventions(fits, TRUTH, do={"Z": 1}, unit={"X": 0.15})


@pytest.mark.parametrize("seed", range(2))
def test_labels_by_coin_flip_fail(fits, seed):
    flipped = by_coin_flip(fits, seed)
    for how in ({"rows": 200}, {"unit": {"theta": 0.05, "mu_X": 0.15}}):
        with pytest.raises(StatisticalFailure):
            make(min_effect=3.0).recovers(flipped, TRUTH, **how)
    with pytest.raises(StatisticalFailure, match=r"E\[X \| do\(Z=1\)\] off by"):
        make(min_effect=3.0).interventions(flipped, TRUTH, do={"Z": 1}, rows=200)


def test_one_row_in_25_is_held_to_the_rows_that_the_test_means():
    few = fitted(12, 500, step=25)
    with pytest.raises(StatisticalFailure, match="root mean squared error"):
        make(min_effect=3.0).recovers(few, TRUTH, rows=500)
    make(min_effect=3.0).recovers(few, TRUTH, rows=20)  # as twenty rows allow


def test_a_bias_of_min_effect_fails(fits):
    sd = efficient_sds(fits[:1], [TRUTH], GreekEntries(["mu_X"]), 200, 0)[0, 1]
    off = [shifted(fit, mu_X=np.array([0.0, 3.0 * sd])) for fit in fits]
    with pytest.raises(StatisticalFailure, match=r"mu_X\[1\] off by \+0\.\d+ in 12 fits"):
        make(min_effect=3.0).recovers(off, TRUTH, rows=200)


def test_several_fits_need_rows_or_a_unit(fits):
    with pytest.raises(ValueError, match=r"rows: expected what each of the 12 fits was to be made of.*1 row in 25"):
        make(min_effect=3.0).recovers(fits, TRUTH)
    with pytest.raises(ValueError, match="expected rows or a unit"):
        make(min_effect=3.0).recovers(fits, TRUTH, rows=200, unit=1.0)
    with pytest.raises(ValueError, match=r"unit: expected a number for theta\[0\], theta\[1\] as well"):
        make(min_effect=3.0).recovers(fits, TRUTH, unit={"mu_X": 0.1})
    with pytest.raises(ValueError, match="unit: expected names among theta, mu_X"):
        make(min_effect=3.0).recovers(fits, TRUTH, unit={"mu": 0.1})
    with pytest.raises(ValueError, match="one for each of 12 fits, got 2"):
        make(min_effect=3.0).recovers(fits, TRUTH, rows=[fits[0].data] * 2)


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ({"theta": [0.0, 1.0], "mu_X": [-2.0, 3.0]}, "truth: theta is at an end of its support.*unit="),
        ({"theta": [0.4, 0.6], "mu_X": [1.0, 1.0]}, "truth: rows do not identify .*mu_X.*singular.*unit="),
        ({"mu_X": [1.0, 2.0]}, "truth: expected theta as well"),
    ],
)
def test_where_no_estimator_is_efficient_the_error_says_what_to_do(truth, message, fits):
    with pytest.raises(ValueError, match=message):
        make(min_effect=3.0).recovers(fits, truth, rows=200)


@pytest.mark.slow
def test_rows_with_classes_that_are_seen_are_given_as_they_are():
    columns = [MIXTURE.simulate(200, TRUTH, seed) for seed in range(12)]
    seen = [EM().fit(MIXTURE, Data(X=each["X"], Z=each["Z"]), seed=0) for each in columns]
    with pytest.raises(ValueError, match="rows: expected the data sets themselves, got 200"):
        make(min_effect=3.0).recovers(seen, TRUTH, rows=200)
    make(min_effect=3.0).recovers(seen, TRUTH, rows=[fit.data for fit in seen])
    known = efficient_sds(seen[:1], [TRUTH], GreekEntries(["theta", "mu_X"]), seen[0].data, 0)[0]
    expected = np.sqrt([0.24 / 200, 0.24 / 200, 1 / 80, 1 / 120])  # a share, and means of 80 and 120 rows
    assert known == pytest.approx(expected, rel=0.05)


def test_efficient_sds_of_predicted_means_are_those_of_the_greeks_they_are(fits):
    greeks = efficient_sds(fits[:1], [TRUTH], GreekEntries(["mu_X"]), 200, 0)
    means = efficient_sds(fits[:1], [TRUTH], PredictedMeans({"Z": 1}, ["X"]), 200, 0)
    assert means[0, 0] == pytest.approx(greeks[0, 1], rel=1e-6)


# ---------------------------------------------------------------- one point fit


def test_the_ratio_is_wilks_test():
    check = ratio_check("x", 8.0, 3, 1.1, REQUIREMENT, Message(), num_entries=4)
    assert check.p_value == pytest.approx(stats.chi2.sf(16 / 1.1, 3))
    critical = stats.chi2.isf(1e-3, 3)
    assert stats.ncx2.sf(critical, 3, check.detectable**2 / 1.1) == pytest.approx(0.9)


def test_the_factor_of_small_samples_is_the_mean_on_the_safe_side():
    rng = np.random.default_rng(0)
    scores = rng.chisquare(4, 200)
    ratios = 1.2 * scores + rng.normal(0, 0.1, 200)
    assert 1.2 < bartlett_factor(ratios, scores, 4) < 1.35  # 1.2, and two standard errors
    assert bartlett_factor(0.5 * scores, scores, 4) == 1.0
    assert bartlett_factor(ratios, np.full(200, np.nan), 4) == pytest.approx(
        (ratios.mean() + 2 * ratios.std(ddof=1) / math.sqrt(200)) / 4
    )


def test_one_normal_has_the_likelihood_ratio_in_closed_form(few_simulated):
    model = CausalMixture(1, {"X": Gaussian()})
    x = np.random.default_rng(0).normal(0.1, 1.0, 30)
    fit = EM().fit(model, {"X": x}, seed=0)
    truth = {"theta": [1.0], "mu_X": [0.0], "sigma_X": [1.0]}
    drop = drop_to(fit, truth, GreekEntries.chosen(fit, truth, None), 0)
    expected = 15 * (x.var() + x.mean() ** 2 - 1 - math.log(x.var()))
    assert (drop.nats, drop.freedom) == (pytest.approx(expected, rel=1e-4), 2)
    of_mean = drop_to(fit, truth, GreekEntries.chosen(fit, truth, ["mu_X"]), 0)  # the spread at its best
    assert of_mean.nats == pytest.approx(15 * math.log1p(x.mean() ** 2 / x.var()), rel=1e-3)
    assert of_mean.freedom == 1
    predicted = drop_to(fit, truth, PredictedMeans({"Z": 0}, ["X"]), 0)
    assert predicted.nats == pytest.approx(of_mean.nats, rel=1e-3)


def test_where_a_predicted_mean_is_held_the_rest_is_at_its_best(fits):
    fit = fits[0]
    density = fit.model.density(fit.data).beyond_priors()
    held = Held.of(fit, TRUTH, PredictedMeans({"Z": 1}, ["X"]), density)
    assert (held.freedom, Held.of(fit, TRUTH, GreekEntries(["theta", "mu_X"]), density).freedom) == (1, 3)


def test_a_right_point_fit_passes_and_wrong_ones_fail(fits, few_simulated):
    stat, fit = make(min_effect=6.0), fits[0]
    check = stat.recovers(fit, TRUTH)
    assert check.detectable < 6.0
    stat.interventions(fit, TRUTH, do={"Z": 1})
    for wrong in (fit.relabel([1, 0]), shifted(fit, mu_X=0.6)):
        with pytest.raises(StatisticalFailure, match="a fall of the log-likelihood by"):
            make(min_effect=6.0).recovers(wrong, TRUTH)
    with pytest.raises(StatisticalFailure, match=r"mu_X\[1\] off by -0\.\d+ in one fit"):
        make(min_effect=6.0).recovers(fit, {**TRUTH, "mu_X": [-2.0, 3.8]})


@pytest.mark.slow
def test_names_of_classes_count_only_where_the_quantities_change():
    model = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(["T"], scale=1.0)}, concentration=2.0)
    truth = {"theta": [0.5, 0.5], "p_T": [0.2, 0.8], "beta_Y": [[0.0, 1.0], [6.0, 2.0]]}
    columns = model.simulate(400, truth, 3)
    fit = MAP(num_starts=10).fit(model, {"T": columns["T"], "Y": columns["Y"], "Z": columns["Z"]}, seed=0, search=None)
    check = make(min_effect=7.0).interventions(fit, truth, do={"T": 1})
    assert check.message.got.startswith("E[Y | do(T=1)]")
    make(min_effect=7.0).interventions(fit.relabel([1, 0]), truth, do={"T": 1})
    with pytest.raises(StatisticalFailure, match="log joint density"):
        make(min_effect=7.0).recovers(fit.relabel([1, 0]), truth)
    with pytest.raises(ValueError, match="no scalar variable is left"):
        make(min_effect=7.0).interventions(fit, truth, do={"T": 1, "Y": 0.0})


def test_a_fit_without_rows_says_so():
    with pytest.raises(ValueError, match=r"expected a fit to rows.*got kind 'known'.*unit="):
        make(min_effect=6.0).recovers(Fit.from_greeks(MIXTURE, TRUTH), TRUTH)
    make(min_effect=10.0).recovers(Fit.from_greeks(MIXTURE, TRUTH), TRUTH, unit=0.1)


def test_known_greeks_are_nothing_to_judge_but_must_be_right():
    model = CausalMixture(1, {"X": Gaussian()})
    fit = EM().fit(model, {"X": np.random.default_rng(0).normal(size=30)}, seed=0)
    with pytest.raises(ValueError, match=r"theta\[0\] do not vary"):
        make(min_effect=6.0).recovers(fit, {"theta": [1.0]}, "theta")
    with pytest.raises(StatisticalFailure):
        make(min_effect=6.0).recovers(fit, {"theta": [0.9]}, "theta")


# ---------------------------------------------------------------- one fit with draws


def tails(draws, truth, ess, requirement=REQUIREMENT):
    return tails_check("recovers", {"a": draws}, {"a": truth}, {"a": ess}, requirement, subject="Greeks")


def test_tails_are_shares_of_draws_and_exponential_beyond_them():
    draws = np.random.default_rng(0).normal(size=4000)
    assert tails(draws, 1.0, 4000).p_value == pytest.approx(2 * (draws >= 1.0).mean())
    start = np.quantile(draws, 0.9)
    excess = (draws[draws >= start] - start).mean() * 1.05  # a standard error of the mean of 400 draws
    assert tails(draws, 4.0, 4000).p_value == pytest.approx(0.2 * math.exp(-(4.0 - start) / excess))
    assert tails(draws, 4.0, 4000).p_value > 2 * stats.norm.sf(4.0)


@pytest.mark.slow
def test_what_is_detectable_in_draws_is_found_with_the_power_asked_for():
    rng = np.random.default_rng(0)
    found, alarms = 0, 0
    effect = tails(rng.normal(size=1000), 0.0, 1000).detectable
    for _ in range(2000):
        draws = rng.normal(size=1000)
        found += tails(draws, rng.normal() + effect, 1000).verdict is Verdict.FAIL
        alarms += tails(draws, rng.normal(), 1000).verdict is Verdict.FAIL
    assert found >= binomial_bounds(2000, 0.9, alpha=1e-6)[0]
    assert alarms <= binomial_bounds(2000, 1e-3, alpha=1e-6)[1]


@pytest.mark.slow
def test_a_fit_with_draws_of_its_own():
    model = GaussianMixture(1, concentration=1.0)
    x = np.random.default_rng(0).normal(2.0, 1.0, 50)
    fit = Exact(num_draws=800).fit(model, {"X": x}, seed=0)
    check = make(min_effect=7.0).recovers(fit, {"theta": [1.0], "mu_X": [2.0]})
    assert check.message.got.startswith("mu_X[0]")  # theta is known, and as it should be
    with pytest.raises(ValueError, match=r"theta\[0\] do not vary"):
        make(min_effect=7.0).recovers(fit, {"theta": [1.0], "mu_X": [2.0]}, names="theta")
    with pytest.raises(StatisticalFailure):
        make(min_effect=7.0).recovers(fit, {"theta": [0.9], "mu_X": [2.0]}, names="theta")
    with pytest.raises(StatisticalFailure, match=r"mu_X\[0\] off by .* in one fit"):
        make(min_effect=7.0).recovers(fit, {"theta": [1.0], "mu_X": [4.0]})


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.recovers("fit", TRUTH), "expected a fit, or a list of fits"),
        (lambda s: s.recovers([], TRUTH), "expected a fit, or a list of fits"),
        (lambda s: s.recovers(Fit.from_greeks(MIXTURE, TRUTH), {"mu_X": [0.0, 1.0]}), "truth: expected theta as well"),
        (lambda s: s.recovers(Fit.from_greeks(MIXTURE, TRUTH), 3.0), "truth: expected Greeks by name"),
        (lambda s: s.recovers(Fit.from_greeks(MIXTURE, TRUTH), TRUTH, ["nu"]), "names: expected Greeks among"),
        (lambda s: s.recovers(Fit.from_greeks(MIXTURE, TRUTH), TRUTH, rows=0), "rows: expected 1 or more"),
        (lambda s: s.recovers(Fit.from_greeks(MIXTURE, TRUTH), TRUTH, rows="many"), "rows: expected a whole number"),
        (lambda s: s.recovers(Fit.from_greeks(MIXTURE, TRUTH), TRUTH, unit=-1.0), "unit: expected a positive number"),
        (lambda s: s.interventions(Fit.from_greeks(MIXTURE, TRUTH), TRUTH, do={}), "do: expected settings"),
        (
            lambda s: s.recovers([Fit.from_greeks(MIXTURE, TRUTH)] * 2, {**TRUTH, "mu_X": [0.0]}, rows=9),
            r"expected shape \(2,\)",
        ),
    ],
)
def test_bad_arguments_are_named_at_the_call(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(make(min_effect=3.0))


# ---------------------------------------------------------------- at every root seed


@pytest.mark.slow
@pytest.mark.parametrize("root", range(20))
def test_wrong_estimators_fail_and_right_ones_pass_at_every_root_seed(root):
    fits = fitted(12, 500, seed=1000 * root)
    make(min_effect=3.0, alpha=1e-4).recovers(fits, TRUTH, rows=500)
    for wrong in (by_coin_flip(fits, root), fitted(12, 500, step=25, seed=1000 * root)):
        with pytest.raises(StatisticalFailure):
            make(min_effect=3.0, alpha=1e-4).recovers(wrong, TRUTH, rows=500)


SPREADS = CausalMixture(2, {"X": Gaussian()})
WORLDS = {
    "well apart": {"theta": [0.4, 0.6], "mu_X": [-2.0, 3.0], "sigma_X": [1.0, 1.0]},
    "overlapping": {"theta": [0.4, 0.6], "mu_X": [-1.5, 1.5], "sigma_X": [1.0, 1.0]},
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::estimators.EstimationWarning")  # of rivals, which such rows have
@pytest.mark.parametrize("world", WORLDS)
def test_false_alarms_of_one_fit_of_a_hundred_rows_with_unknown_spreads(world, monkeypatch):
    """Of 1,000 right fits, at .01 and at .001; the factor is simulated three times, not a thousand."""
    truth = WORLDS[world]
    fits = []
    for seed in range(1000):
        rows = SPREADS.simulate(100, truth, 5000 + seed)["X"]
        fit = EM(progress_bar=False).fit(SPREADS, Data(X=rows), seed=0)
        # As the truth is: where means hardly differ a fit may be named by its spreads, which are equal in truth.
        fits.append(fit.relabel(np.argsort(fit["mu_X"].numpy()).tolist()))
    asked = Fits(fits[0], truth).entries(None)
    factors = [drop_to(fits[0], truth, asked, seed).factor for seed in range(3)]
    monkeypatch.setattr("validation.testing.one_fit._factor", lambda *_: 1.0)
    drops = [drop_to(fit, truth, asked, 0) for fit in fits]
    factor = np.random.default_rng(0).choice(factors, 1000)
    tail = stats.chi2.sf(2 * np.array([drop.nats for drop in drops]) / factor, drops[0].freedom)
    for alpha in (0.01, 1e-3):
        assert (tail <= alpha).sum() <= binomial_bounds(1000, alpha, alpha=1e-3)[1]
