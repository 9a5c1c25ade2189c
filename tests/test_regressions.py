"""Regressions with compiled functions: alone they are what everybody computes, and effects are by the g-formula."""

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, special, stats

from estimators import EM, MAP, NUTS, CausalMixture, Data, Fit, Status
from estimators.data.columns import LARGEST
from estimators.mechanisms import Categorical, Gaussian, Logistic, PoissonRegression

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
    # The covariate is drawn where what it causes is no Gaussian; how far that may be off is said.
    assert 0 < float(average.error) < 0.02
    assert float(average.value) == pytest.approx(float(g["theta"] @ np.exp(line)), abs=4 * float(average.error))
    assert float(fit.do(T=1, A=2.0, Z=0).mean("Y").value) == pytest.approx(np.exp(0.2 + 0.5 + 0.6), rel=1e-12)

    def treated(a, k):
        chance = special.expit(g["beta_T"][k] @ [1.0, a])
        return chance * stats.norm.pdf(a, g["mu_A"][k], g["sigma_A"][k])

    found = fit.do(Z=1).mean("T")
    expected = integrate.quad(treated, -12, 12, args=(1,))[0]
    assert float(found.value) == pytest.approx(expected, abs=4 * float(found.error) + 1e-9)


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
    with pytest.warns(match="beta_T"):
        fit = EM().fit(model, data, seed=0)
    assert fit.status is not Status.CONVERGED and bool(torch.isfinite(fit["beta_T"]).all())
    settled = MAP().fit(model.scaled_to(data), data, seed=0)
    assert settled.status is Status.CONVERGED and 0.5 < float(settled["beta_T"][0, 1]) < 10.0


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
