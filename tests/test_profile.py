"""Likelihood intervals against closed forms, brute force, and what must not move them."""

import pickle
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.stats import chi2, norm

from estimators import EM, MAP, CausalMixture, Data, EstimationError, Exact, Fit, GaussianMixture, PyroModel
from estimators.contract import Objective, log_likelihood
from estimators.fits.kind import Kind
from estimators.mechanisms import (
    Bernoulli,
    Categorical,
    Gaussian,
    LinearGaussian,
    Logistic,
    Mechanism,
    OrderedLogistic,
    Poisson,
)
from estimators.modes import farthest
from estimators.modes.profile import Interval, Maxima, profile
from estimators.optimise.ascent import ascend
from estimators.queries.estimate import Estimate
from estimators.queries.source import at_coordinates
from estimators.status import EstimationWarning, Status
from tests.models import TUTORIAL_ROWS, fit_quietly, quiet

ONE = CausalMixture(1, {"X": Gaussian()})
CONFOUNDER = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])}, concentration=2.0)
EFFECT: dict[str, Any] = {"do": {"T": 1}, "versus": {"T": 0}}
LEVELS = (0.5, 0.9, 0.99)
every_level = pytest.mark.parametrize("level", LEVELS)


def cut(level: float) -> float:
    return 0.5 * float(chi2.ppf(level, 1))


def roots(log_likelihood: Callable[[float], float], low: float, best: float, high: float, level: float) -> list[float]:
    """Where a function of one number is so much below its maximum; an end of the range where it never is."""
    bound = log_likelihood(best) - cut(level)
    ends = []
    for end in (low, high):
        ends.append(end if log_likelihood(end) > bound else brentq(lambda x: log_likelihood(x) - bound, end, best))
    return ends


def binomial(successes: float, trials: float) -> Callable[[float], float]:
    def log_likelihood(p: float) -> float:
        with np.errstate(divide="ignore"):
            logs = np.log([max(p, 1e-300), max(1.0 - p, 1e-300)])
        return float(successes * logs[0] + (trials - successes) * logs[1])

    return log_likelihood


def only(intervals: list[Interval]) -> Interval:
    (interval,) = intervals
    return interval


def mean_of(model: Any, columns: Any) -> Estimate:
    return EM().fit(model, columns, seed=0).do(Z=0).mean("X")


@every_level
def test_the_mean_of_a_gaussian_of_known_scale(level: float) -> None:
    x = np.random.default_rng(0).normal(3.0, 2.0, 30)
    half = norm.ppf(0.5 + level / 2) * 2.0 / np.sqrt(30)
    found = only(mean_of(CausalMixture(1, {"X": Gaussian(scale=2.0)}), {"X": x}).profile(level))
    np.testing.assert_allclose(found, [x.mean() - half, x.mean() + half], rtol=1e-6)


@every_level
def test_the_mean_of_a_gaussian_of_unknown_scale(level: float) -> None:
    x = np.random.default_rng(0).normal(3.0, 2.0, 12)
    half = x.std() * np.sqrt(np.exp(2.0 * cut(level) / 12) - 1.0)
    found = only(mean_of(ONE, {"X": x}).profile(level))
    np.testing.assert_allclose(found, [x.mean() - half, x.mean() + half], rtol=1e-6)


@every_level
@pytest.mark.parametrize("successes", [0, 1, 7, 10])
def test_a_probability(successes: int, level: float) -> None:
    """Also where the estimate is an end of the support: the interval then begins or ends there."""
    with quiet():
        mean = mean_of(CausalMixture(1, {"X": Bernoulli()}), {"X": [1.0] * successes + [0.0] * (10 - successes)})
    expected = roots(binomial(successes, 10), 0.0, successes / 10, 1.0, level)
    np.testing.assert_allclose(only(mean.profile(level)), expected, atol=1e-6)


@every_level
def test_a_difference_of_probabilities(level: float) -> None:
    """Against the largest and smallest difference by one-dimensional searches along the edge of the region."""
    model = CausalMixture(1, {"T": Bernoulli(), "Y": Bernoulli(parents=["T"])})
    cells = {"T": [0.0, 0.0, 1.0, 1.0], "Y": [0.0, 1.0, 0.0, 1.0]}
    fit = EM().fit(model, Data(**cells, weights=[13.0, 4.0, 6.0, 9.0]), seed=0)
    control, treated = binomial(4, 17), binomial(9, 15)
    bound = control(4 / 17) + treated(9 / 15) - cut(level)

    def farthest(p: float, side: int) -> float:
        """The end of the region in the treated's probability, at a probability of the others."""
        end = (1e-9, 1.0 - 1e-9)[side]
        room = bound - control(p)
        return brentq(lambda q: treated(q) - room, 9 / 15, end) - p if treated(9 / 15) > room else 0.0

    expected = []
    for side, sign in ((0, 1.0), (1, -1.0)):
        within = (4 / 17, roots(control, 1e-9, 4 / 17, 1.0 - 1e-9, level)[1 - side])
        found = minimize_scalar(
            lambda p, side=side, sign=sign: sign * farthest(p, side), bounds=sorted(within), method="bounded"
        )
        expected.append(sign * found.fun)
    np.testing.assert_allclose(only(fit.contrast("Y", **EFFECT).profile(level)), expected, atol=1e-6)


MIXED = np.random.default_rng(4).normal(np.repeat([0.0, 2.5], [25, 35]), 1.0)


@every_level
def test_a_mean_of_a_mixture(level: float) -> None:
    """Against the density written out, the weight and the other mean maximised anew at every value of the mean."""

    def negative(greeks: Any, mu: float) -> float:
        share = 1.0 / (1.0 + np.exp(-greeks[0]))
        one, other = norm.pdf(MIXED, greeks[1], 1.0), norm.pdf(MIXED, mu, 1.0)
        return -float(np.log((1.0 - share) * one + share * other).sum())

    def profiled(mu: float) -> float:
        return -min(minimize(negative, start, args=(mu,), tol=1e-10).fun for start in ([0.0, 0.0], [1.0, 0.5]))

    fit = EM().fit(GaussianMixture(K=2), {"X": MIXED}, seed=0)
    best = float(fit["mu_X"][1])
    expected = roots(profiled, best - 1.5, best, best + 2.0, level)
    np.testing.assert_allclose(only(fit.do(Z=1).mean("X").profile(level)), expected, rtol=1e-5)


@every_level
def test_of_a_fit_with_a_prior_it_is_that_of_the_joint_density(level: float) -> None:
    """Of a normal mean under a normal prior: the posterior mean, and as many posterior sds to either side."""
    x = np.random.default_rng(1).normal(1.0, 1.0, 5)
    model = CausalMixture(1, {"X": Gaussian(loc=dist.Normal(0.0, 0.5), scale=1.0)})
    precision = 5.0 + 4.0
    half = norm.ppf(0.5 + level / 2) / np.sqrt(precision)
    found = only(MAP().fit(model, {"X": x}, seed=0).do(Z=0).mean("X").profile(level))
    np.testing.assert_allclose(found, [x.sum() / precision - half, x.sum() / precision + half], rtol=1e-6)


def confounded(fit: Fit, level: float = 0.9) -> Interval:
    return only(fit.contrast("Y", **EFFECT).profile(level))


TRUTH = {"theta": [0.4, 0.6], "p_T": [0.2, 0.8], "beta_Y": [[0.0, -1.0], [3.0, -1.0]], "sigma_Y": [0.5, 1.0]}


@pytest.fixture(scope="module")
def rows() -> dict[str, torch.Tensor]:
    simulated = CONFOUNDER.simulate(300, TRUTH, seed=0)
    return {name: simulated[name] for name in ("T", "Y")}


@pytest.fixture(scope="module")
def fit(rows: dict[str, torch.Tensor]) -> Fit:
    return EM().fit(CONFOUNDER, rows, seed=0)


def test_other_units_give_the_same_interval_in_them(rows: dict[str, torch.Tensor], fit: Fit) -> None:
    scaled = EM().fit(CONFOUNDER, {"T": rows["T"], "Y": 1e6 * rows["Y"] + 3e7}, seed=0)
    np.testing.assert_allclose(np.array(confounded(scaled)) / 1e6, confounded(fit), rtol=1e-4)


def test_other_labels_change_nothing_where_the_class_is_not_asked(fit: Fit) -> None:
    np.testing.assert_allclose(confounded(fit.relabel([1, 0])), confounded(fit), rtol=1e-5)


def test_it_holds_the_estimate_and_grows_with_the_level(fit: Fit) -> None:
    value = float(fit.contrast("Y", **EFFECT).value)
    found = [confounded(fit, level) for level in LEVELS]
    assert all(low < value < high for low, high in found)
    assert all(outer.low < inner.low and inner.high < outer.high for inner, outer in pairwise(found))


def test_what_was_set_is_known(fit: Fit) -> None:
    assert fit.do(T=1).mean("T").profile() == [(1.0, 1.0)]


def test_a_program_has_the_same() -> None:
    def program(N: int) -> None:
        theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
        with pyro.plate("classes", 2):
            mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
        with pyro.plate("rows", N):
            Z = pyro.sample("Z", dist.Categorical(theta))
            pyro.sample("X", dist.Normal(mu[Z], 1.0))

    models = PyroModel(program, order_by="mu"), GaussianMixture(K=2)
    found, expected = (only(EM().fit(model, {"X": MIXED}, seed=0).do(Z=1).mean("X").profile()) for model in models)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_where_something_is_seen_it_is_seen_at_other_greeks_too(fit: Fit) -> None:
    """That of p(Z = 1 | T = 1), which the rows tell by themselves, is not that of the weight."""
    seen = only(fit.given(T=1).mean("Z").profile())
    assert seen.low < float(fit.given(T=1).mean("Z").value) < seen.high
    assert abs(seen.low - only(fit.do(T=1).mean("Z").profile()).low) > 0.05


RIVALS = {
    "truth": {**TRUTH, "sigma_Y": [0.7, 0.7]},
    "rival": {"theta": [0.8, 0.2], "p_T": [0.6, 0.4], "beta_Y": [[0.0, 2.0], [3.0, -4.0]], "sigma_Y": [0.7, 0.7]},
}


def test_two_modes_have_an_interval_each() -> None:
    """Equal spreads: the effect -1 and the effect .8 have the same law of the rows."""
    simulated = CONFOUNDER.simulate(2000, RIVALS["truth"], seed=0)
    fit = EM().fit(CONFOUNDER, {"T": simulated["T"], "Y": simulated["Y"]}, seed=0, search=None)
    density = CONFOUNDER.density(fit.data).beyond_priors()  # type: ignore[arg-type]
    objective = Objective(density, log_likelihood)
    starts = [density.unconstrain({k: np.array(v) for k, v in greeks.items()}) for greeks in RIVALS.values()]
    summits = [ascend(objective, start, 1e-8) for start in starts]
    effect = fit.contrast("Y", **EFFECT)
    assert effect.source is not None
    quantity = partial(at_coordinates, effect.source.values, density, False)
    points, values = np.array([s.coordinates for s in summits]), np.array([s.value for s in summits])
    found = profile(Maxima(objective, points, values), quantity, 0.9)
    assert len(found) == 2
    assert found[0].low < -1.0 < found[0].high < found[1].low < 0.8 < found[1].high
    # Each from its own maximum: as the one alone.
    for mode, interval in enumerate(sorted(range(2), key=lambda m: quantity(points)[m])):
        alone = only(profile(Maxima(objective, points[[interval]], values[[interval]]), quantity, 0.9))
        np.testing.assert_allclose(alone, found[mode], rtol=1e-9)


def whole_range(num_levels: int, counts: list[float], seed: int, outcome: Mechanism | None = None) -> None:
    """The effect's range, of T with levels and binary Y: all rows but those that speak against an effect of 1 or -1.

    Manski (1990), "Nonparametric bounds on treatment effects", American Economic Review 80. Both ends are proportions,
    which as many classes as T has levels attain.
    """
    treatment = Bernoulli() if num_levels == 2 else Categorical(num_levels)
    model = CausalMixture(num_levels, {"T": treatment, "Y": outcome or Bernoulli(parents=["T"])})
    cells = {"T": np.repeat(np.arange(num_levels), 2), "Y": np.tile([0.0, 1.0], num_levels)}
    # The last digit of a weight moves where a fit ends on its ridge.
    weights = np.array(counts) * (1.0 + 1e-15 * np.random.default_rng(seed).normal(size=len(counts)))
    with pytest.warns(EstimationWarning, match="NOT_IDENTIFIED"):
        fit = EM().fit(model, Data(**cells, weights=weights), seed=seed, search=None)
    (none_0, some_0), (none_1, some_1) = (counts[2 * level : 2 * level + 2] for level in (0, 1))
    ends = []
    for against in (none_0 + some_1, none_1 + some_0):
        share = 1.0 - against / sum(counts)
        ends.append(roots(binomial(sum(counts) - against, sum(counts)), 1e-9, share, 1.0 - 1e-9, 0.9)[1])
    np.testing.assert_allclose(confounded(fit), [-ends[0], ends[1]], atol=1e-3)


# A search alone ended at another corner from some of these: at -.27 in the first, at -.86 in the second.
@pytest.mark.parametrize(
    ("num_levels", "counts", "seed"),
    [
        (2, [50.0, 20.0, 30.0, 40.0], 10),
        (3, [84.0, 74.0, 60.0, 8.0, 438.0, 165.0], 0),
        pytest.param(2, [700.0, 300.0, 400.0, 600.0], 8, marks=pytest.mark.slow),
        pytest.param(2, [5.0, 500.0, 20.0, 300.0], 5, marks=pytest.mark.slow),
        pytest.param(2, [300.0, 300.0, 300.0, 300.0], 9, marks=pytest.mark.slow),
    ],
)
def test_what_is_not_identified_has_its_whole_range(num_levels: int, counts: list[float], seed: int) -> None:
    whole_range(num_levels, counts, seed)


def test_a_range_on_which_too_few_searches_agree_is_said_to_reach_at_least_so_far(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(farthest, "TIMES", farthest.AGREE - 2)
    with pytest.warns(EstimationWarning, match="the interval reaches at least to"):
        whole_range(2, [50.0, 20.0, 30.0, 40.0], 10)


@pytest.mark.parametrize(
    ("counts", "seed"),
    [([17.0, 13.0, 4.0, 34.0], 0), pytest.param([17.0, 13.0, 4.0, 34.0], 1014, marks=pytest.mark.slow)],
)
def test_the_whole_range_is_found_where_a_ridge_runs_through_coefficients(counts: list[float], seed: int) -> None:
    whole_range(2, counts, seed, Logistic(parents=["T"]))


@pytest.mark.slow
@pytest.mark.parametrize(("num_levels", "seed", "ends"), [(4, 3, (-1.381, 1.830)), (5, 4, (-1.818, 2.446))])
def test_the_range_of_an_ordered_outcome(num_levels: int, seed: int, ends: tuple[float, float]) -> None:
    """Against the ends of a search of its own, over the chances of the cells, from sixty starts."""
    rng = np.random.default_rng(seed)
    z = rng.random(200) < 0.4
    t = (rng.random(200) < np.where(z, 0.7, 0.3)) * 1.0
    y = np.clip(np.round(rng.normal(1 + 0.8 * z + 0.3 * t, 0.9)), 0, num_levels - 1)
    model = CausalMixture(2, {"T": Bernoulli(), "Y": OrderedLogistic(num_levels, parents=["T"])})
    with pytest.warns(EstimationWarning):
        fit = EM().fit(model, {"T": t, "Y": y}, seed=0, search=None)
    np.testing.assert_allclose(confounded(fit), ends, atol=2e-3)


def test_a_quantity_that_nothing_moves_and_four_rows_have_a_profile() -> None:
    """No coordinate of two binary variables is without bounds, and no direction of four equal cells rises."""
    model = CausalMixture(2, {"T": Bernoulli(), "Y": Bernoulli(parents=["T"])})
    with pytest.warns(EstimationWarning):
        fit = EM().fit(model, {"T": [0.0, 0.0, 0.0, 1.0], "Y": [0.0, 0.0, 0.0, 1.0]}, seed=0, search=None)
    assert only(fit.given(T=1).mean("Y").profile(0.9)).high == pytest.approx(1.0, abs=1e-9)


def test_the_mean_of_counts_in_a_class_that_may_never_be_treated_has_no_end() -> None:
    """It ended at e^30 in place of infinity, the limit of the log of a rate."""
    rng = np.random.default_rng(0)
    z = rng.random(60) < 0.4
    t = (rng.random(60) < np.where(z, 0.7, 0.3)) * 1.0
    y = rng.poisson(np.exp(0.5 + 0.8 * z + 0.2 * t))
    model = CausalMixture(2, {"T": Bernoulli(), "Y": Poisson(parents=["T"])})
    interval = confounded(EM().fit(model, {"T": t, "Y": y}, seed=0, search=None))
    assert interval.low == -np.inf and 1.0 < interval.high < 100.0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_the_whole_range_is_found_from_any_end_of_a_ridge(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_levels = int(rng.integers(2, 4))
    counts = 1.0 + np.round(rng.dirichlet(np.ones(2 * num_levels)) * 10.0 ** rng.uniform(1.3, 3.5))
    whole_range(num_levels, counts.tolist(), seed)


def test_the_mean_of_a_class_that_may_be_empty_has_no_end() -> None:
    """Where one class is nearly as good as two, the other may have no weight, and its mean may be anything."""
    x = np.random.default_rng(3).normal(0.0, 1.0, 40)
    fit = EM().fit(GaussianMixture(K=2), {"X": x}, seed=0, search=None)
    apart = fit.stats["log_likelihood"] - norm.logpdf(x, x.mean(), 1.0).sum()
    assert cut(0.9) < apart < cut(0.95)
    rare = int(fit["theta"].argmin())
    assert only(fit.do(Z=rare).mean("X").profile(0.9)).high < 10.0
    assert only(fit.do(Z=rare).mean("X").profile(0.95)).high == np.inf


@pytest.mark.parametrize("seed", range(4))
def test_a_difference_of_classes_each_of_which_may_be_empty_has_no_end(seed: int) -> None:
    """On either side, without a warning: where one class has no weight the likelihood is that of the other alone."""
    x = np.random.default_rng(seed).normal(0.0, 1.0, 8)
    with quiet():
        fit = EM().fit(GaussianMixture(K=2), {"X": x}, seed=0, search=None)
        asked = fit.contrast("X", do={"Z": 1}, versus={"Z": 0})
    assert fit.stats["log_likelihood"] - norm.logpdf(x, x.mean(), 1.0).sum() < cut(0.999)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        difference = only(asked.profile(0.999))
    assert difference == (-np.inf, np.inf)


@pytest.mark.parametrize("width", [1e1, 1e5])
def test_a_wide_prior_ends_what_the_rows_do_not(width: float) -> None:
    """No class needs to have rows: then its mean is as far out as the prior lets it be, which is not without end."""
    x = np.random.default_rng(2).normal(0.0, 1.0, 8)
    model = GaussianMixture(K=2, concentration=1.0, loc_scale=width)
    with quiet():
        fit = MAP().fit(model, {"X": x}, seed=0, search=None)
        found = only(fit.contrast("X", do={"Z": 1}, versus={"Z": 0}).profile(0.999))
    assert width < -found.low < 10.0 * width and width < found.high < 10.0 * width


def test_where_a_prior_is_infinite_at_an_empty_class_the_interval_does_not_settle() -> None:
    """With a concentration below 1 the density of weights grows without end, and any mean of that class with it."""
    x = np.random.default_rng(0).normal(0.0, 1.0, 8)
    with pytest.warns(EstimationWarning):
        fit = MAP().fit(GaussianMixture(K=2), {"X": x}, seed=0, search=None)
    with pytest.warns(EstimationWarning, match="reaches at least to -.* and "):
        fit.contrast("X", do={"Z": 1}, versus={"Z": 0}).profile(0.999)


def test_what_is_simulated_has_the_same_random_numbers_at_all_greeks() -> None:
    """Without jumps from one point to the next, along which no search would find its way."""
    standard = Gaussian(loc=0.0, scale=1.0)
    line = LinearGaussian(parents=["S", "R"], scale=1.0)
    model = CausalMixture(1, {"S": standard, "R": standard, "Y": line})
    simulated = model.simulate(200, {"theta": [1.0], "beta_Y": [[1.0, 2.0, 1.0]]}, seed=0)
    fit = EM().fit(model, {name: simulated[name] for name in "SRY"}, seed=0)
    laws = {name: dist.Exponential(torch.tensor(1.0).double()) for name in "SR"}
    simulated_mean = fit.do(**laws).given(Y=4.0).mean("S")
    assert simulated_mean.error is not None
    low, high = only(simulated_mean.profile())
    assert low < float(simulated_mean.value) < high < low + 1.0


def test_an_estimate_survives_pickling_with_its_interval(fit: Fit) -> None:
    effect = fit.contrast("Y", **EFFECT)
    assert pickle.loads(pickle.dumps(effect)).profile() == effect.profile()


def refused(estimate: Callable[[], Estimate], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        estimate().profile()


def test_what_has_no_likelihood_interval_says_what_to_ask_instead(rows: dict[str, torch.Tensor], fit: Fit) -> None:
    exact = Exact(num_draws=50).fit(GaussianMixture(K=2), {"X": TUTORIAL_ROWS}, seed=0)
    refused(lambda: exact.do(Z=1).mean("X"), ValueError, r"kind 'exact'.* use \.interval\(level\)")
    refused(lambda: fit.laplace(50, seed=0).do(T=1).mean("Y"), ValueError, r"kind 'laplace'")
    known = Fit.from_greeks(CONFOUNDER, TRUTH)
    refused(lambda: known.do(T=1).mean("Y"), ValueError, "holds no data")
    refused(lambda: fit.do(T=[0.0, 1.0]).mean("Y"), ValueError, r"expected one quantity, got values of shape \(2,\)")
    refused(lambda: Estimate(torch.ones(1)), ValueError, "does not know what it is at other Greeks")
    with pytest.raises(ValueError, match="level: expected a number strictly between 0 and 1"):
        fit.contrast("Y", **EFFECT).profile(1.0)


def test_around_a_spike_there_is_none(fit: Fit) -> None:
    collapsed = replace(fit, status=Status.COMPONENT_COLLAPSED)
    assert collapsed.kind is Kind.ML
    refused(lambda: collapsed.do(T=1).mean("Y"), EstimationError, "no maximum to compare with")


def test_a_fit_that_was_ended_early_is_climbed_on_from(rows: dict[str, torch.Tensor], fit: Fit) -> None:
    early = fit_quietly(EM(max_iterations=3), CONFOUNDER, rows, seed=0, search=None)
    assert early.status is Status.MAX_ITERATIONS
    np.testing.assert_allclose(confounded(early), confounded(fit), rtol=1e-5)
