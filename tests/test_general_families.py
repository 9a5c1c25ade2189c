"""Families that are not log-linear (`tests.general_families`), written outside the package: all that a family can do.

Logistic: Z → X → T and Z → T, with T yes or no. StudentT: Z → X with heavy tails, alone and with a cause of its own.
"""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import expit, log_expit, logsumexp
from torch import Tensor

from estimators import EM, MAP, NUTS, CausalMixture, Data, Fit
from estimators.contract import Combination, log_joint, log_likelihood
from estimators.mechanisms import Bernoulli, Gaussian, LinearGaussian
from estimators.mechanisms.defaults import General
from tests.expectations import MixtureExpectation, log_likelihood_of, q_of
from tests.general_families import GENERAL_MODELS, Logistic, StudentT
from tests.mechanism_models import random_greeks
from tests.objectives import objective_of

EVERY_MODEL = pytest.mark.parametrize("model", GENERAL_MODELS.values(), ids=GENERAL_MODELS)
TRUTH = {
    "theta": torch.tensor([0.4, 0.6], dtype=torch.float64),
    "mu_X": torch.tensor([-1.0, 3.0], dtype=torch.float64),
    "sigma_X": torch.tensor([1.0, 0.8], dtype=torch.float64),
    "beta_T": torch.tensor([[0.5, 1.0], [2.0, -1.0]], dtype=torch.float64),
}
LOGISTIC = GENERAL_MODELS["Logistic"]


def rows_of(model: CausalMixture, num_rows: int = 60, seed: int = 1) -> Data:
    """Rows with some Z seen, and weights."""
    columns = model.simulate(num_rows, random_greeks(model, seed), seed=seed)
    columns["Z"] = torch.where(torch.arange(num_rows) % 4 == 0, columns["Z"], -1)
    return Data(columns, weights=np.arange(num_rows) % 3 + 0.5)


def arrays(greeks: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in greeks.items()}


def scipy_log_density(model: CausalMixture, data: Data, greeks: dict[str, Tensor]) -> np.ndarray:
    """log p(X, T) of every row, written out with SciPy."""
    g = arrays(greeks)
    x, t = data.columns["X"].numpy()[:, None], data.columns["T"].numpy()[:, None]
    if model is LOGISTIC:
        eta = g["beta_T"][:, 0] + g["beta_T"][:, 1] * x
        own = stats.norm.logpdf(x, g["mu_X"], g["sigma_X"]) + log_expit((2.0 * t - 1.0) * eta)
    else:
        level = (t[:, 0].astype(int),) if g["mu_X"].ndim > 1 else ()
        mu, sigma = (np.moveaxis(g[name][(slice(None), *level)], 0, -1) for name in ("mu_X", "sigma_X"))
        own = stats.t.logpdf(x, 4.0, mu, sigma) + stats.bernoulli.logpmf(t, g["p_T"])
    return np.asarray(logsumexp(own + np.log(g["theta"]), axis=1))


@EVERY_MODEL
def test_the_log_density_is_scipys(model: CausalMixture) -> None:
    data, greeks = rows_of(model), random_greeks(model, 3)
    hidden = Data({name: data.columns[name] for name in model.mechanisms})
    expected = scipy_log_density(model, hidden, greeks)
    np.testing.assert_allclose(model.marginal(hidden).pointwise(greeks), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(Fit.from_greeks(model, greeks).log_density(hidden), expected, rtol=1e-12, atol=1e-12)


@EVERY_MODEL
def test_the_gradient_is_that_of_differences(model: CausalMixture) -> None:
    marginal, at = model.marginal(rows_of(model)), arrays(random_greeks(model, 3))
    slopes = marginal.gradient(at, marginal.statistics(at))
    for name, value in at.items():
        for place in np.ndindex(value.shape):
            ends = []
            for side in (1e-5, -1e-5):
                moved = value.copy()
                moved[place] += side
                ends.append(float(marginal.statistics({**at, name: moved}).log_likelihood))
            assert slopes[name][place] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-6, abs=1e-6)


@EVERY_MODEL
def test_the_curvature_is_that_of_differences(model: CausalMixture) -> None:
    rng = np.random.default_rng(0)
    for node in model.nodes.values():
        if isinstance(node.mechanism, General):
            inputs = rng.normal(size=(20, node.num_inputs))
            numbers = rng.normal(size=(2, 3, node.mechanism.num_numbers(node.num_inputs)))
            rows = (rng.integers(0, 2, 20) * 1.0, inputs, rng.random((2, 3, 20)))
            expected = General.curvature(node.mechanism, numbers, *rows)
            np.testing.assert_allclose(node.mechanism.curvature(numbers, *rows), expected, rtol=1e-6, atol=1e-6)


@EVERY_MODEL
def test_an_m_step_lowers_neither_q_nor_the_likelihood(model: CausalMixture) -> None:
    marginal, at = model.marginal(rows_of(model)), arrays(random_greeks(model, 5))
    values = []
    for _ in range(30):
        statistics = marginal.statistics(at)
        better = marginal.argmax(at, statistics)
        assert float(q_of(marginal, better, statistics)) >= float(q_of(marginal, at, statistics)) - 1e-9
        values.append(float(statistics.log_likelihood))
        at = better
    assert np.diff(values).min() > -1e-9 and values[-1] > values[0] + 1.0


@EVERY_MODEL
def test_q_has_the_gradient_of_the_likelihood_where_it_was_made(model: CausalMixture) -> None:
    marginal, greeks = model.marginal(rows_of(model)), random_greeks(model, 3)
    given = {name: value.clone().requires_grad_() for name, value in greeks.items()}
    slopes = torch.autograd.grad(MixtureExpectation(marginal, greeks).q(given), list(given.values()))
    expected = torch.autograd.grad(log_likelihood_of(marginal, given), list(given.values()))
    for one, two in zip(slopes, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10)


def test_all_sets_of_a_batch_step_as_each_does_alone() -> None:
    model = GENERAL_MODELS["StudentT with a parent"]
    marginal = model.marginal(rows_of(model))
    sets = [arrays(random_greeks(model, seed)) for seed in range(3)]
    both = {name: np.stack([one[name] for one in sets]) for name in sets[0]}
    together = marginal.argmax(both, marginal.statistics(both))
    for s, one in enumerate(sets):
        for name, value in marginal.argmax(one, marginal.statistics(one)).items():
            np.testing.assert_allclose(together[name][s], value, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("estimator", "combination"),
    [(EM(num_starts=3), log_likelihood), (MAP(num_starts=5, num_steps=20), log_joint)],
    ids=["EM", "MAP"],
)
def test_em_and_map_end_above_the_truth_where_the_gradient_vanishes(
    estimator: EM | MAP, combination: Combination
) -> None:
    rows = LOGISTIC.simulate(300, TRUTH, seed=0)
    data = Data(X=rows["X"], T=rows["T"])
    fit = estimator.fit(LOGISTIC, data, seed=0)
    objective = objective_of(LOGISTIC, data, combination)
    unconstrain = objective.density.unconstrain
    at, truth = (unconstrain(arrays(greeks)) for greeks in ({n: v[0] for n, v in fit.draws.items()}, TRUTH))
    value, gradient = objective.value_and_gradient(at)
    assert value > float(objective.value(truth))
    assert np.abs(gradient).max() < 1e-2
    np.testing.assert_allclose(fit.responsibilities(data).sum(-1), 1.0, rtol=1e-12)


def test_nuts_draws() -> None:
    data = Data({k: v for k, v in LOGISTIC.simulate(40, TRUTH, seed=0).items() if k != "Z"})
    with pytest.warns(match=r".*"):
        fit = NUTS(num_samples=30, warmup_steps=40, num_chains=1).fit(LOGISTIC, data, seed=0, search=None)
    assert bool(torch.isfinite(fit.draws["beta_T"]).all())
    assert len(fit.draws["beta_T"][:, 0, 0].unique()) > 15


def test_rows_are_simulated_by_the_law() -> None:
    """Lines so steep that T is certain: X > 0 in the first class, X < 0 in the second."""
    steep = {**TRUTH, "beta_T": torch.tensor([[0.0, 1e9], [0.0, -1e9]], dtype=torch.float64)}
    rows = LOGISTIC.simulate(1000, steep, seed=2)
    assert torch.equal(rows["T"], ((rows["X"] > 0) == (rows["Z"] == 0)).double())


def test_interventions_are_answered() -> None:
    fit = Fit.from_greeks(LOGISTIC, TRUTH)
    beta, theta = TRUTH["beta_T"].numpy(), TRUTH["theta"].numpy()
    expected = theta @ expit(beta[:, 0] + beta[:, 1] * 0.5)
    assert float(fit.do(X=0.5).mean("T").value) == pytest.approx(expected, rel=1e-12)
    assert float(fit.do(X=0.5, Z=1).mean("T").value) == pytest.approx(float(expit(2.0 - 0.5)), rel=1e-12)
    heavy = GENERAL_MODELS["StudentT"]
    greeks = random_greeks(heavy, 4)
    assert float(Fit.from_greeks(heavy, greeks).do(Z=2).mean("X").value) == pytest.approx(float(greeks["mu_X"][2]))


def test_a_gap_that_would_have_to_be_summed_is_refused() -> None:
    model = CausalMixture(2, {"X": Gaussian(), "T": Logistic(parents=["X"]), "Y": LinearGaussian(parents=["T"])})
    rows = {k: v for k, v in model.simulate(20, seed=0).items() if k != "Z"}
    for name, words in (
        ("T", "column T: missing in row 3.*its own values.*drop"),
        ("X", "column X: .*where T is known"),
    ):
        column = rows[name].clone()
        column[3] = torch.nan
        with pytest.raises(ValueError, match=words):
            model.marginal(Data({**rows, name: column}, missing="marginalize"))
    heavy = CausalMixture(2, {"X": StudentT(), "Y": LinearGaussian(parents=["X"])})
    with pytest.raises(ValueError, match="column X: missing in row 0, where what it causes is known; a StudentT"):
        heavy.marginal(Data(X=[np.nan, 1.0, 2.0], Y=[1.0, 2.0, 3.0], missing="marginalize"))


def test_gaps_elsewhere_are_summed_and_one_without_effects_drops_out() -> None:
    """X and T of some rows are missing: a StudentT that causes nothing, and a Bernoulli that is summed over."""
    mechanisms = {"T": Bernoulli(), "Y": Gaussian(parents=["T"]), "X": StudentT()}
    model = CausalMixture(2, mechanisms, concentration=2.0)
    greeks = random_greeks(model, 1)
    rows = {k: v for k, v in model.simulate(12, greeks, seed=0).items() if k != "Z"}
    gaps = {name: column.clone() for name, column in rows.items()}
    gaps["T"][:4] = torch.nan
    gaps["X"][2:6] = torch.nan
    g, expected = arrays(greeks), []
    for n in range(12):
        joint = np.log(g["theta"])
        if not gaps["X"][n].isnan():
            joint = joint + stats.t.logpdf(float(rows["X"][n]), 4.0, g["mu_X"], g["sigma_X"])
        levels = []
        for level in (0, 1) if gaps["T"][n].isnan() else (int(rows["T"][n]),):
            own = stats.norm.logpdf(float(rows["Y"][n]), g["mu_Y"][:, level], g["sigma_Y"][:, level])
            levels.append(own + stats.bernoulli.logpmf(level, g["p_T"]))
        expected.append(logsumexp(joint + logsumexp(levels, axis=0)))
    data = Data(gaps, missing="marginalize")
    marginal = model.marginal(data)
    np.testing.assert_allclose(marginal.pointwise(greeks), expected, rtol=1e-10)
    at = arrays(greeks)
    slopes, moved = marginal.gradient(at, marginal.statistics(at))["mu_X"], at["mu_X"].copy()
    moved[0] += 1e-5
    step = float(marginal.statistics({**at, "mu_X": moved}).log_likelihood - marginal.statistics(at).log_likelihood)
    assert slopes[0] == pytest.approx(step / 1e-5, rel=1e-3)
    before = float(marginal.statistics(at).log_likelihood)
    assert float(marginal.statistics(marginal.argmax(at, marginal.statistics(at))).log_likelihood) > before
