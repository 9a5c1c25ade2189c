"""Regressions with compiled functions: alone they are what everybody computes, and effects are by the g-formula."""

from itertools import pairwise

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import integrate, optimize, special, stats

from estimators import EM, MAP, NUTS, CausalMixture, Data, Fit, Status
from estimators.data.columns import LARGEST
from estimators.mechanisms import (
    Bernoulli,
    Categorical,
    Gaussian,
    LinearGaussian,
    Logistic,
    MultinomialLogit,
    NegativeBinomial,
    OrderedLogistic,
    PoissonRegression,
)

TRUTH = {
    "theta": [0.4, 0.6],
    "mu_A": [-1.0, 1.5],
    "sigma_A": [1.0, 0.8],
    "beta_T": [[1.5, 0.3], [-1.5, 0.3]],
    "beta_Y": [[0.2, 0.5, 0.3], [1.5, 0.5, 0.1]],
}
GREEKS = {name: torch.tensor(value, dtype=torch.float64) for name, value in TRUTH.items()}
CLINIC = CausalMixture(
    2,
    {"A": Gaussian(), "T": Logistic(parents=["A"]), "Y": PoissonRegression(parents=["T", "A"])},
    concentration=2.0,
)
FAMILIES = {"Logistic": Logistic, "PoissonRegression": PoissonRegression}


def rows(num_rows, seed=0):
    return Data({name: column for name, column in CLINIC.simulate(num_rows, GREEKS, seed=seed).items() if name != "Z"})


def log_density(family, y, eta):
    if family == "Logistic":
        return special.log_expit((2 * y - 1) * eta)
    return stats.poisson.logpmf(y, np.exp(eta))


@pytest.mark.parametrize("family", list(FAMILIES))
def test_of_one_class_the_line_is_that_of_a_regression(family):
    """SciPy's maximum of the same likelihood, with inputs far from 0 and in units of their own."""
    rng = np.random.default_rng(0)
    age, kind = rng.normal(60.0, 9.0, 400), rng.integers(0, 3, 400)
    design = np.column_stack([np.ones(400), age, kind == 1, kind == 2])
    eta = design @ [-2.4, 0.05, 0.5, -0.5]
    y = rng.poisson(np.exp(eta)) if family == "PoissonRegression" else rng.random(400) < special.expit(eta)
    y = y.astype(float)
    model = CausalMixture(1, {"age": Gaussian(), "kind": Categorical(3), "Y": FAMILIES[family](["age", "kind"])})
    fit = EM().fit(model, Data(age=age, kind=kind, Y=y), seed=0)
    units = np.array([1.0, 0.02, 1.0, 1.0])
    best = optimize.minimize(lambda b: -log_density(family, y, design @ (units * b)).sum(), np.zeros(4), tol=1e-12)
    assert fit.status is Status.CONVERGED
    found = fit["beta_Y"][0].numpy()
    assert log_density(family, y, design @ found).sum() >= -best.fun - 1e-8
    np.testing.assert_allclose(found, units * best.x, rtol=2e-3, atol=1e-4)


def test_effects_are_averages_over_classes_and_covariates():
    fit, g = Fit.from_greeks(CLINIC, GREEKS), {name: np.array(value) for name, value in TRUTH.items()}
    # Of a Gaussian covariate the mean rate is that of a log-normal.
    own = g["beta_Y"]
    line = own[:, 0] + own[:, 1] + own[:, 2] * g["mu_A"] + 0.5 * (own[:, 2] * g["sigma_A"]) ** 2
    average = fit.do(T=1).mean("Y")
    assert average.error is None
    assert float(average.value) == pytest.approx(float(g["theta"] @ np.exp(line)), rel=1e-12)
    assert float(fit.do(T=1, A=2.0, Z=0).mean("Y").value) == pytest.approx(np.exp(0.2 + 0.5 + 0.6), rel=1e-12)

    def treated(a, k):
        chance = special.expit(g["beta_T"][k] @ [1.0, a])
        return chance * stats.norm.pdf(a, g["mu_A"][k], g["sigma_A"][k])

    found = fit.do(Z=1).mean("T")
    assert float(found.value) == pytest.approx(integrate.quad(treated, -12, 12, args=(1,), epsabs=1e-14)[0], rel=1e-10)


# B → A → (T, Y, X), T → (Y, X): A is the one Gaussian cause of what is not Gaussian, and has one itself.
DEEP = CausalMixture(
    2,
    {
        "B": Gaussian(),
        "A": LinearGaussian(["B"]),
        "T": Logistic(["A"]),
        "Y": PoissonRegression(["T", "A"]),
        "X": LinearGaussian(["A", "T"]),
    },
)
STEEP = {
    "theta": [0.4, 0.6],
    "mu_B": [-1.0, 1.5],
    "sigma_B": [1.0, 0.8],
    "beta_A": [[0.0, 0.5], [1.0, -0.5]],
    "sigma_A": [1.0, 2.0],
    "beta_T": [[1.5, 30.0], [-1.5, 0.9]],
    "beta_Y": [[0.2, 0.5, 1.0], [1.0, 2.0, -0.8]],
    "beta_X": [[0.0, 1.0, 2.0], [1.0, -1.0, 0.5]],
    "sigma_X": [0.5, 0.2],
}


def integral(function):
    """Σ_k theta_k ∫ function(a, k) p(A = a | Z = k) da, B integrated out by hand."""
    total = 0.0
    for k, share in enumerate(STEEP["theta"]):
        (constant, slope), own, above = STEEP["beta_A"][k], STEEP["sigma_A"][k], STEEP["sigma_B"][k]
        law = stats.norm(constant + slope * STEEP["mu_B"][k], np.hypot(own, slope * above))
        turn = -STEEP["beta_T"][k][0] / STEEP["beta_T"][k][1]
        ends = np.unique([*(law.mean() + law.std() * np.linspace(-13, 13, 53)), turn, turn - 0.3, turn + 0.3])
        parts = [
            integrate.quad(lambda a, k=k, law=law: function(a, k) * law.pdf(a), *part, epsabs=0, epsrel=1e-12)[0]
            for part in pairwise(ends)
        ]
        total += share * sum(parts)
    return total


def rows_density(a, k, t, y=None, x=None):
    chance = special.expit((2 * t - 1) * np.dot(STEEP["beta_T"][k], [1.0, a]))
    count = 1.0 if y is None else stats.poisson.pmf(y, np.exp(np.dot(STEEP["beta_Y"][k], [1.0, t, a])))
    line = np.dot(STEEP["beta_X"][k], [1.0, a, t])
    return chance * count * (1.0 if x is None else stats.norm.pdf(x, line, STEEP["sigma_X"][k]))


def test_one_gaussian_cause_is_integrated_to_the_digits_of_scipys_quadrature():
    fit = Fit.from_greeks(DEEP, STEEP)
    seen = fit.given(Y=40, X=3.0)
    of_both = integral(lambda a, k: rows_density(a, k, 0, 40, 3.0) + rows_density(a, k, 1, 40, 3.0))
    treated = integral(lambda a, k: rows_density(a, k, 1, 40, 3.0))
    assert float(seen.mean("T").value) == pytest.approx(treated / of_both, rel=1e-10)
    weighed = integral(lambda a, k: a * (rows_density(a, k, 0, 40, 3.0) + rows_density(a, k, 1, 40, 3.0)))
    assert float(seen.mean("A").value) == pytest.approx(weighed / of_both, rel=1e-10)
    chance = integral(lambda a, k: rows_density(a, k, 1))
    given = fit.given(T=1)
    below = integral(lambda a, k: rows_density(a, k, 1) * (a <= -0.05))
    assert float(given.cdf("A", -0.05)) == pytest.approx(below / chance, rel=1e-6)
    mass = integral(lambda a, k: rows_density(a, k, 1, y=25)) / chance
    assert float(given.log_density("Y", 25.0)) == pytest.approx(np.log(mass), rel=1e-10)
    density = integral(lambda a, k: rows_density(a, k, 1, x=1.3)) / chance
    assert float(given.log_density("X", 1.3)) == pytest.approx(np.log(density), rel=1e-10)
    assert given.mean("B").error is None


@pytest.mark.parametrize("name", ["T", "C"])
def test_a_missing_level_of_a_regression_or_of_its_cause_is_summed(name):
    """T → Y and T → W with T a Logistic, and C → T with C a Bernoulli, against both levels written out."""
    model = CausalMixture(
        2,
        {
            "C": Bernoulli(),
            "A": Gaussian(),
            "T": Logistic(["A", "C"]),
            "Y": LinearGaussian(["T"]),
            "W": Bernoulli(parents=["T"]),
        },
        concentration=2.0,
    )
    greeks = model.check_greeks(
        {
            "theta": [0.4, 0.6],
            "p_C": [0.3, 0.6],
            "mu_A": [-1.0, 1.0],
            "sigma_A": [1.0, 0.8],
            "beta_T": [[0.5, 1.0, -1.0], [-1.0, 0.5, 1.0]],
            "beta_Y": [[0.0, 1.0], [2.0, -1.0]],
            "sigma_Y": [0.7, 1.0],
            "p_W": [[0.2, 0.7], [0.5, 0.9]],
        }
    )
    drawn = {key: value.double() for key, value in model.simulate(40, greeks, seed=0).items() if key != "Z"}
    gone = torch.arange(40) % 3 == 0
    data = Data({**drawn, name: torch.where(gone, torch.nan, drawn[name])}, missing="marginalize")
    marginal = model.marginal(data)
    both = [model.marginal(Data({**drawn, name: torch.where(gone, level, drawn[name])})) for level in (0.0, 1.0)]
    levels = torch.stack([one.pointwise(greeks) for one in both])
    expected = torch.where(gone, levels.logsumexp(0), levels[0])
    torch.testing.assert_close(marginal.pointwise(greeks), expected, rtol=1e-12, atol=1e-12)
    at = {key: value.numpy() for key, value in greeks.items()}
    slopes = marginal.gradient(at, marginal.statistics(at))["beta_T"]
    for place in np.ndindex(slopes.shape):
        ends = []
        for side in (1e-5, -1e-5):
            moved = at["beta_T"].copy()
            moved[place] += side
            ends.append(float(marginal.statistics({**at, "beta_T": moved}).log_likelihood))
        assert slopes[place] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6, abs=1e-6)
    values = []
    for _ in range(60):
        statistics = marginal.statistics(at)
        values.append(float(statistics.log_likelihood))
        at = marginal.argmax(at, statistics)
    assert np.diff(values).min() > -1e-9 and values[-1] > values[0] + 1.0
    # Where EM goes the sum over levels is stationary, as it is not where it began.
    left = np.abs(marginal.gradient(at, marginal.statistics(at))["beta_T"]).max()
    assert left < 0.05 * np.abs(slopes).max()


def test_a_logistic_variable_has_two_levels_everywhere():
    model = CausalMixture(2, {"A": Gaussian(), "T": Logistic(["A"]), "W": Bernoulli(parents=["T"])})
    assert model.variables["T"].num_levels == 2
    fit = Fit.from_greeks(model, model.prior_greeks(seed=1))
    assert fit.do(A=0.5).predictive.levels("T").tolist() == [0.0, 1.0]
    with pytest.raises(ValueError, match="T expects a distribution over 0 to 1"):
        fit.do(T=dist.Poisson(1.0))
    with pytest.raises(ValueError, match=r"T in do\(...\): expected whole numbers from 0 to 1"):
        fit.do(T=2)


def test_the_truth_is_recovered_and_the_naive_regression_is_not():
    data = rows(3000)
    fit = EM().fit(CLINIC, data, seed=0)
    sds = {name: draws.std(0) for name, draws in fit.laplace(num_draws=400, seed=0).draws.items()}
    for name, value in GREEKS.items():
        assert bool((torch.abs(fit[name] - value) < 5 * sds[name]).all()), name
    effect = fit.contrast("Y", do={"T": 1}, versus={"T": 0})
    true = Fit.from_greeks(CLINIC, GREEKS).contrast("Y", do={"T": 1}, versus={"T": 0})
    naive = data.columns["Y"][data.columns["T"] == 1].mean() - data.columns["Y"][data.columns["T"] == 0].mean()
    (interval,) = effect.profile(0.999)
    assert interval.low < float(true.value) < interval.high
    assert not interval.low < float(naive) < interval.high


def test_chains_and_maxima_agree():
    data = rows(300)
    model = CLINIC.scaled_to(data)
    draws = NUTS(num_samples=300, warmup_steps=300, num_chains=2).fit(model, data, seed=0)
    best = MAP().fit(model, data, seed=0)
    for name in GREEKS:
        spread = draws.draws[name].std(0)
        assert bool((torch.abs(draws[name] - best[name]) < 1.5 * spread + 0.02).all()), name
    assert draws.stats["num_divergences"] == 0


def test_complete_separation_is_said_and_a_prior_settles_it():
    data = Data(A=np.r_[np.linspace(-3, -1, 50), np.linspace(1, 3, 50)], T=np.r_[np.zeros(50), np.ones(50)])
    model = CausalMixture(1, {"A": Gaussian(), "T": Logistic(parents=["A"])})
    with pytest.warns(match=r"beta_T\[0, A\] at infinity \(no finite value is best.*complete separation"):
        fit = EM().fit(model, data, seed=0)
    assert fit.status is Status.BOUNDARY and bool(torch.isfinite(fit["beta_T"]).all())
    # T is certain: what is left of the likelihood at its supremum is that of A.
    a = data.columns["A"].numpy()
    assert fit.stats["log_likelihood"] == pytest.approx(stats.norm.logpdf(a, a.mean(), a.std()).sum(), abs=1e-6)
    with pytest.warns(match="complete separation"):
        plain = EM(num_starts=3).fit(model, data, seed=0, search=None)
    assert plain.stats["evaluations"] < 200
    assert plain.stats["log_likelihood"] == pytest.approx(fit.stats["log_likelihood"], abs=1e-6)
    settled = MAP().fit(model.scaled_to(data), data, seed=0)
    assert settled.status is Status.CONVERGED and 0.5 < float(settled["beta_T"][0, 1]) < 10.0


@pytest.mark.parametrize(
    ("mechanism", "all_alike", "words"),
    [
        (Logistic(["C"]), 1.0, "beta_Y[0, 2] at infinity"),
        (PoissonRegression(["C"]), 0.0, "beta_Y[0, 2] at -infinity"),
        (NegativeBinomial(["C"]), 0.0, "beta_Y[0, 2] at -infinity"),
        (MultinomialLogit(2, ["C"]), 1.0, "beta_Y[0, 0, 2] at infinity"),
        (OrderedLogistic(3, ["C"]), 2.0, "beta_Y[0, 2] at infinity"),
    ],
)
def test_one_level_that_tells_the_outcome_is_named_alone(mechanism, all_alike, words):
    rng = np.random.default_rng(0)
    c, y = rng.integers(0, 3, 300), rng.integers(0, 2, 300).astype(float)
    y[:100] += y[:100] * (all_alike == 2.0)
    model = CausalMixture(1, {"C": Categorical(3), "Y": mechanism})
    with pytest.warns(match="complete separation"):
        fit = EM().fit(model, Data(C=c, Y=np.where(c == 2, all_alike, y)), seed=0)
    assert words in fit.findings[Status.BOUNDARY]
    assert "[0, 1] at" not in fit.findings[Status.BOUNDARY] and "[0, 0] at" not in fit.findings[Status.BOUNDARY]
    # The control: one row that says otherwise.
    y = np.where(c == 2, all_alike, y)
    y[np.flatnonzero(c == 2)[:5]] = 1.0 - min(all_alike, 1.0)
    assert Status.BOUNDARY not in EM().fit(model, Data(C=c, Y=y), seed=0).findings


@pytest.mark.parametrize("family", list(FAMILIES))
def test_rates_and_chances_far_out_are_numbers(family):
    model = CausalMixture(2, {"A": Gaussian(), "Y": FAMILIES[family](parents=["A"])})
    data = Data(A=[-5.0, 0.0, 5.0, 1.0], Y=[0.0, 1.0, 1.0, 0.0])
    steep = {
        "theta": torch.tensor([0.5, 0.5], dtype=torch.float64),
        "mu_A": torch.tensor([0.0, 1.0], dtype=torch.float64),
        "sigma_A": torch.tensor([1.0, 1.0], dtype=torch.float64),
        "beta_Y": torch.tensor([[0.0, 300.0], [0.0, -1.0]], dtype=torch.float64),
    }
    marginal, arrays = model.marginal(data), {name: value.numpy() for name, value in steep.items()}
    statistics = marginal.statistics(arrays)
    assert np.isfinite(statistics.log_likelihood)
    assert all(np.isfinite(slope).all() for slope in marginal.gradient(arrays, statistics).values())


def test_counts_of_rates_far_out_are_counts_that_a_column_may_hold():
    """Torch's counts overflow beyond 2^63, to negative ones."""
    eta = torch.tensor([0.0, 40.0, 44.0, 100.0, 1e3], dtype=torch.float64)
    torch.manual_seed(0)
    drawn = PoissonRegression(parents=["A"]).law_at(eta).sample((4,))
    assert bool((drawn == drawn.floor()).all()) and float(drawn.max()) < LARGEST
    np.testing.assert_allclose(drawn[:, 1:4], eta[1:4].exp().expand(4, 3), rtol=1e-7)
    model = CausalMixture(2, {"A": Gaussian(), "Y": PoissonRegression(parents=["A"])})
    # One row leaves lines to their priors, of which rates have no end.
    with pytest.warns(match="COMPONENT_COLLAPSED"):
        MAP().fit(model, Data(A=[1.0], Y=[1.0]), seed=0)


def test_a_fit_is_saved_and_read(tmp_path):
    fit = Fit.from_greeks(CLINIC, GREEKS)
    fit.save(tmp_path / "fit")
    again = Fit.load(tmp_path / "fit")
    assert torch.equal(again.log_density(rows(20)), fit.log_density(rows(20)))


@pytest.mark.parametrize("family", list(FAMILIES))
def test_what_is_wrong_is_said(family):
    make = FAMILIES[family]
    with pytest.raises(ValueError, match=r"parents: expected at least one; a .* without observed causes is"):
        make(parents=[])
    with pytest.raises(ValueError, match="coefficients: expected one value, or shape"):
        CausalMixture(2, {"A": Gaussian(), "Y": make(parents=["A"], coefficients=[1.0, 2.0, 3.0])})
    model = CausalMixture(2, {"A": Gaussian(), "Y": make(parents=["A"])})
    with pytest.raises(ValueError, match=r"column Y: expected whole numbers from 0.*got \[1.5\] in row\(s\) \[1\]"):
        EM().fit(model, Data(A=[0.0, 1.0, 2.0], Y=[0.0, 1.5, 1.0]))


def brute_force(setting, at):
    """P(Y <= at) and E[Y] under do(A=1) and a setting of T, or its own law."""
    below = mean = 0.0
    for k, share in enumerate(TRUTH["theta"]):
        chance = special.expit(np.dot(TRUTH["beta_T"][k], [1.0, 1.0]))
        for t, weight in ((1, chance), (0, 1 - chance)) if setting is None else ((setting, 1.0),):
            rate = np.exp(np.dot(TRUTH["beta_Y"][k], [1.0, t, 1.0]))
            below += share * weight * stats.poisson.cdf(at, rate)
            mean += share * weight * rate
    return below, mean


@pytest.mark.parametrize("setting", [None, 0, 1])
def test_a_treatment_that_is_not_set_is_summed_over_what_it_can_be(setting):
    """Torch's Bernoulli gives a number to 2 as well, and a treatment of 2 is none."""
    query = Fit.from_greeks(CLINIC, GREEKS).do(A=1.0, **({} if setting is None else {"T": setting}))
    below, mean = brute_force(setting, 2.0)
    assert float(query.cdf("Y", 2.0)) == pytest.approx(below, rel=1e-9)
    assert float(query.mean("Y").value) == pytest.approx(mean, rel=1e-9)


def test_what_is_seen_of_a_count_is_weighed_by_the_treatments_that_there_are():
    """p(Z = 1 | A, Y) by Bayes' rule, T summed over."""
    query = Fit.from_greeks(CLINIC, GREEKS).given(A=1.0, Y=3)
    joint = []
    for k, share in enumerate(TRUTH["theta"]):
        own = share * stats.norm.pdf(1.0, TRUTH["mu_A"][k], TRUTH["sigma_A"][k])
        chance = special.expit(np.dot(TRUTH["beta_T"][k], [1.0, 1.0]))
        rates = np.exp([np.dot(TRUTH["beta_Y"][k], [1.0, t, 1.0]) for t in (0, 1)])
        joint.append(own * stats.poisson.pmf(3, rates) * [1 - chance, chance])
    expected = np.sum(joint, 0)[1] / np.sum(joint)
    assert float(query.mean("T").value) == pytest.approx(expected, rel=1e-9)
