"""Causes of Z that are numbers: a gate is a multinomial logit of Z, in the fit and in every question.

A (age) and W (three levels) cause Z; Z → X, Z → T, T → Y.
"""

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import integrate, special, stats

from estimators import EM, MAP, NUTS, SMC, CausalMixture, Data, Exact, Fit, PyroModel, Status
from estimators.contract import log_joint
from estimators.mechanisms import Bernoulli, Categorical, Gate, Gaussian, LinearGaussian, Logistic
from estimators.parameters.zero_sum import Contrasts, ZeroSumNormal, biject_to, contrasts
from tests.mechanism_models import any_rows
from tests.models import fit_quietly
from tests.objectives import objective_of

TRUTH = {
    "beta_Z": [[0.7, 1.0], [-0.2, -1.5], [-0.5, 0.5]],
    "mu_A": 0.4,
    "sigma_A": 1.2,
    "mu_X": [-3.0, 0.0, 3.0],
    "sigma_X": [0.8, 0.8, 0.8],
    "p_T": [0.2, 0.5, 0.9],
    "beta_Y": [[0.0, 1.0], [1.0, 2.0], [3.0, -1.0]],
    "sigma_Y": [0.7, 0.7, 0.7],
}
MODEL = CausalMixture(
    3,
    {"A": Gaussian(), "X": Gaussian(), "T": Bernoulli(), "Y": LinearGaussian(["T"])},
    latent_parents=["A"],
)
BETA = np.array(TRUTH["beta_Z"])


def rows(num_rows, seed=0, model=MODEL, greeks=TRUTH):
    return Data({k: v for k, v in model.simulate(num_rows, greeks, seed=seed).items() if k != "Z"})


def weights(a):
    return special.softmax(BETA @ [1.0, a])


def over_age(function):
    """∫ function(a) p(a) da."""
    law = stats.norm(TRUTH["mu_A"], TRUTH["sigma_A"])
    return integrate.quad(lambda a: function(a) * law.pdf(a), -12, 13, epsabs=1e-13, epsrel=1e-13)[0]


def test_the_prior_is_that_of_contrasts_and_its_coordinates_are_those_of_standardised_inputs():
    scale = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    prior = ZeroSumNormal(scale.expand(4, 3))
    drawn, Q = prior.sample(torch.Size([50_000])), contrasts(4)
    np.testing.assert_allclose(Q.T @ Q, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(Q.sum(0), 0.0, atol=1e-14)
    g = Q.T @ drawn[0].numpy()
    expected = stats.norm.logpdf(g, scale=scale.numpy()).sum()
    assert float(prior.log_prob(drawn[0])) == pytest.approx(expected, rel=1e-13)
    assert float(prior.log_prob(drawn[0][[2, 0, 3, 1]])) == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(biject_to(prior.support).inv(drawn[0]), g, atol=1e-14)
    # Normal(0, s) of each class given that they sum to zero has the variance s² (K - 1) / K.
    np.testing.assert_allclose(drawn.std(0), (0.75**0.5 * scale).expand(4, 3), rtol=0.03)
    assert not bool(prior.support.check(drawn[0] + 0.01))
    map_to, v = Contrasts(np.array([[1.0, -3.0, 0.5], [0.0, 2.0, 0.0], [0.0, 0.0, 0.1]]), 4), np.arange(9.0)
    np.testing.assert_allclose(map_to.inverse(map_to.forward(v)), v, atol=1e-12)
    plain = np.stack([Q.T @ map_to.forward(row).reshape(4, 3) for row in np.eye(9)]).reshape(9, 9)
    assert float(map_to.log_jacobian(v)) == pytest.approx(np.linalg.slogdet(plain)[1], rel=1e-12)


def test_a_table_of_two_levels_is_a_gate_of_one_indicator():
    mechanisms = {"W": Bernoulli(), "X": Gaussian()}
    table = CausalMixture(2, mechanisms, latent_parents=["W"])
    gate = CausalMixture(2, mechanisms, latent=Gate(["W"]))
    greeks = {"theta": [[0.3, 0.7], [0.8, 0.2]], "p_W": 0.4, "mu_X": [0.0, 4.0], "sigma_X": [1.0, 1.5]}
    data = rows(400, model=table, greeks=greeks)
    logs = np.log(greeks["theta"])
    beta = np.stack([logs[0], logs[1] - logs[0]], 1)
    same = {**{k: v for k, v in greeks.items() if k != "theta"}, "beta_Z": beta - beta.mean(0)}
    of_table, of_gate = (m.marginal(data).pointwise(m.check_greeks(g)) for m, g in ((table, greeks), (gate, same)))
    torch.testing.assert_close(of_gate, of_table, rtol=1e-12, atol=1e-12)
    one, other = (EM().fit(model, data, seed=0) for model in (table, gate))
    assert float(one.log_density(data).sum()) == pytest.approx(float(other.log_density(data).sum()), abs=1e-6)
    found = special.softmax(other["beta_Z"].numpy() @ [[1.0, 1.0], [0.0, 1.0]], axis=0).T
    np.testing.assert_allclose(found, one["theta"], atol=1e-3)


def test_a_program_is_the_same_model():
    data = rows(60)
    program, fast = PyroModel(MODEL, order_by="mu_X"), objective_of(MODEL, data, log_joint)
    slow = objective_of(program, data, log_joint)
    greeks = {name: np.asarray(value, dtype=np.float64) for name, value in TRUTH.items()}
    at, there = fast.density.unconstrain(greeks), slow.density.unconstrain(greeks)
    assert float(fast.value(at)) == pytest.approx(float(slow.value(there)), rel=1e-9)
    # The gradients along Greeks that are moved alike.
    rng = np.random.default_rng(0)
    for _ in range(5):
        step = 1e-6 * rng.standard_normal(fast.size)
        ahead, behind = (slow.density.unconstrain(fast.density.constrain(at + side * step)) for side in (1.0, -1.0))
        slope = slow.value_and_gradient(there)[1] @ (ahead - behind) / 2.0
        assert fast.value_and_gradient(at)[1] @ step == pytest.approx(slope, rel=1e-6)


def test_setting_a_cause_moves_z_and_what_is_unset_is_integrated():
    fit = Fit.from_greeks(MODEL, TRUTH)
    line = np.array(TRUTH["beta_Y"])
    for a in (-2.0, 3.0):
        assert float(fit.do(A=a, T=1).mean("Y").value) == pytest.approx(weights(a) @ line.sum(1), rel=1e-12)
        assert float(fit.given(A=a).mean("X").value) == pytest.approx(weights(a) @ TRUTH["mu_X"], rel=1e-12)
    average = fit.do(T=1).mean("Y")
    assert average.error is None
    assert float(average.value) == pytest.approx(over_age(lambda a: weights(a) @ line.sum(1)), rel=1e-10)
    own = stats.norm.pdf(2.0, TRUTH["mu_X"], TRUTH["sigma_X"])
    seen = over_age(lambda a: weights(a) @ own)
    assert float(fit.given(X=2.0).mean("A").value) == pytest.approx(over_age(lambda a: a * weights(a) @ own) / seen)
    assert float(fit.log_density({"A": [0.0], "X": [2.0], "T": [1], "Y": [1.0]})) == pytest.approx(
        np.log(weights(0.0) @ (own * TRUTH["p_T"] * stats.norm.pdf(1.0, line.sum(1), TRUTH["sigma_Y"])))
        + stats.norm.logpdf(0.0, TRUTH["mu_A"], TRUTH["sigma_A"])
    )
    # Z is caused: seeing is not setting, and a sample follows.
    assert float(fit.do(Z=2).mean("A").value) == pytest.approx(0.4, rel=1e-12)
    older = over_age(lambda a: a * weights(a)[2]) / over_age(lambda a: weights(a)[2])
    assert float(fit.given(Z=2).mean("A").value) == pytest.approx(older, rel=1e-10)
    drawn = fit.given(Z=0).sample(20_000, seed=1)["A"]
    expected = over_age(lambda a: a * weights(a)[0]) / over_age(lambda a: weights(a)[0])
    assert abs(float(drawn.mean()) - expected) < 5 * float(drawn.std()) / 20_000**0.5


def test_two_numbers_above_z_are_simulated_with_an_error_and_a_logistic_cause_of_both_levels_is_summed():
    mechanisms = {"A": Gaussian(), "B": Gaussian(), "L": Logistic(["A"]), "X": Gaussian()}
    model = CausalMixture(2, mechanisms, latent_parents=["A", "B", "L"])
    greeks = {
        "beta_Z": [[0.5, 1.0, -1.0, 0.3], [-0.5, -1.0, 1.0, -0.3]],
        **{"mu_A": 0.0, "sigma_A": 1.0, "mu_B": 1.0, "sigma_B": 1.0, "beta_L": [0.5, 1.0]},
        **{"mu_X": [0.0, 4.0], "sigma_X": [1.0, 1.0]},
    }
    fit = Fit.from_greeks(model, greeks)

    def second(a, b, level):
        return 4.0 * special.expit(-2.0 * (0.5 + a - b + 0.3 * level))

    def of_levels(a):
        chance = special.expit(0.5 + a)
        return ((1.0 - chance) * second(a, 1.5, 0) + chance * second(a, 1.5, 1)) * stats.norm.pdf(a)

    one = fit.do(B=1.5).mean("X")
    assert one.error is None
    assert float(one.value) == pytest.approx(integrate.quad(of_levels, -12, 12, epsabs=1e-13)[0], rel=1e-10)

    def of_both(b, a):
        return second(a, b, 1) * stats.norm.pdf(a) * stats.norm.pdf(b, 1.0)

    both = fit.do(L=1).mean("X")
    assert abs(float(both.value) - integrate.dblquad(of_both, -8, 8, -8, 9, epsabs=1e-9)[0]) < 5 * float(both.error)


def test_below_a_cause_that_is_set_z_is_computed_anew():
    fit, data = Fit.from_greeks(MODEL, TRUTH), rows(40)
    held = fit.counterfactual(data, do={"X": 0.0}).mean("Y")
    torch.testing.assert_close(held.draws[0], data.columns["Y"], rtol=1e-12, atol=1e-12)
    moved = fit.counterfactual(data, do={"A": 50.0}).mean("X")
    # At 50 everybody is in the first class; the residual, of the class that the row is in, stays.
    share = fit.responsibilities(data).double().reshape(-1, 3).numpy()
    x = data.columns["X"].numpy()[:, None]
    expected = (share * (TRUTH["mu_X"][0] + (x - TRUTH["mu_X"]))).sum(1)
    np.testing.assert_allclose(moved.draws[0], expected, atol=1e-9)


def test_missing_levels_of_causes_are_summed_and_numbers_are_refused_unless_z_is_set():
    model = CausalMixture(2, {"A": Gaussian(), "W": Categorical(3), "X": Gaussian()}, latent_parents=["A", "W"])
    greeks = model.prior_greeks(1)
    data = rows(6, model=model, greeks=greeks)
    columns = {name: column.clone() for name, column in data.columns.items()}
    columns["W"] = torch.tensor([torch.nan, 1.0, 2.0, 0.0, 1.0, 1.0], dtype=torch.float64)
    found = model.marginal(Data(columns, missing="marginalize")).pointwise(greeks)
    levels = [model.marginal(Data({**columns, "W": torch.full((6,), w)})).pointwise(greeks) for w in (0.0, 1.0, 2.0)]
    assert float(found[0]) == pytest.approx(float(torch.stack(levels)[:, 0].logsumexp(0)), rel=1e-12)
    columns["A"][2] = torch.nan
    with pytest.raises(ValueError, match="column A: missing in row 2, which causes Z; a gate is not integrated"):
        model.marginal(Data(columns, missing="marginalize"))
    z_set = Data(columns, Z=[0] * 6, intervened={"Z": True}, missing="marginalize")
    assert bool(torch.isfinite(model.marginal(z_set).pointwise(greeks)).all())


def test_rows_with_gaps_have_the_gradient_of_differences_and_em_never_falls():
    model = CausalMixture(2, {"W": Categorical(3), "A": Gaussian(), "X": Gaussian()}, latent=Gate(["W", "A"]))
    data = rows(80, model=model, greeks=model.prior_greeks(2))
    columns = {name: column.double().clone() for name, column in data.columns.items()}
    columns["W"][::3] = torch.nan
    columns["X"][1::4] = torch.nan
    marginal = model.marginal(Data(columns, weights=np.arange(80) % 3 + 1.0, missing="marginalize"))
    at = {name: value.numpy() for name, value in model.prior_greeks(3).items()}
    statistics = marginal.statistics(at)
    slopes = marginal.gradient(at, statistics)["beta_Z"]
    for place in np.ndindex(2, 4):
        ends = []
        for side in (1e-5, -1e-5):
            moved = at["beta_Z"].copy()
            moved[place] += side
            ends.append(float(marginal.statistics({**at, "beta_Z": moved}).log_likelihood))
        assert slopes[place] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-5)
    values = []
    for _ in range(15):
        statistics = marginal.statistics(at)
        values.append(float(statistics.log_likelihood))
        at = marginal.argmax(at, statistics)
    assert np.diff(values).min() > -1e-9 * abs(values[-1]) and values[-1] > values[0] + 1.0


def test_what_the_rows_leave_open_is_said():
    model = CausalMixture(2, {"X": Gaussian()}, latent_parents=["A"], covariates=["A"])
    x = np.r_[np.linspace(0.0, 1.0, 30), np.linspace(8.0, 9.0, 30)]
    for a, words in ((np.ones(60), "Z has an input A that is 1 in every row"), (x - 4.5, "NOT_IDENTIFIED")):
        with pytest.warns(match=r"beta_Z\[0, A\]"):
            fit = EM().fit(model, Data(A=a, X=x), seed=0)
        assert fit.status is Status.NOT_IDENTIFIED and any(words in sentence for sentence in fit.advice)
    one = CausalMixture(1, {"X": Gaussian()}, latent_parents=["A"], covariates=["A"])
    assert EM().fit(one, Data(A=x, X=x), seed=0)["beta_Z"].tolist() == [[0.0, 0.0]]


def test_the_truth_is_recovered_by_every_estimator():
    data = rows(1500, seed=3)
    em = EM().fit(MODEL, data, seed=0)
    assert em.status is Status.CONVERGED
    assert float(em.log_density(data).sum()) > float(Fit.from_greeks(MODEL, TRUTH).log_density(data).sum())
    np.testing.assert_allclose(em["beta_Z"], BETA, atol=0.35)
    np.testing.assert_allclose(em["beta_Z"].sum(0), 0.0, atol=1e-12)
    MAP().fit(MODEL, data, seed=0)
    laplace = em.laplace(num_draws=400, seed=0)
    near = MAP().fit(MODEL, data, seed=0)
    torch.testing.assert_close(laplace["beta_Z"], near["beta_Z"], atol=0.1, rtol=0)
    ((low, high),) = em.do(A=1.0, T=1).mean("Y").profile(0.9)
    assert low < float(em.do(A=1.0, T=1).mean("Y").value) < high


@pytest.mark.slow
def test_chains_and_particles_agree():
    model = CausalMixture(2, {"A": Gaussian(), "X": Gaussian()}, latent=Gate(["A"], dist.Normal(0.0, 1.0)))
    greeks = {
        "beta_Z": [[0.3, 0.8], [-0.3, -0.8]],
        "mu_A": 0.0,
        "sigma_A": 1.0,
        "mu_X": [0.0, 4.0],
        "sigma_X": [1.0, 1.0],
    }
    data = rows(200, model=model, greeks=greeks)
    chains = fit_quietly(NUTS(num_samples=400, warmup_steps=300, num_chains=2), model, data, 0)
    particles = fit_quietly(SMC(num_particles=1000), model, data, 0)
    spread = chains.draws["beta_Z"].std(0)
    assert bool(((chains["beta_Z"] - particles["beta_Z"]).abs() < 0.35 * spread).all())


def test_labels_permute_by_indexing_alone(tmp_path):
    data, fit = rows(300), Fit.from_greeks(MODEL, TRUTH)
    other = fit.relabel([2, 0, 1])
    torch.testing.assert_close(other["beta_Z"], fit["beta_Z"][[2, 0, 1]])
    torch.testing.assert_close(other.log_density(data), fit.log_density(data), rtol=1e-12, atol=1e-12)
    assert [list(group) for group in MODEL.symmetry(data).groups] == [[0, 1, 2]]
    known = CausalMixture(
        2, {"A": Gaussian(), "X": Gaussian()}, latent=Gate(["A"], coefficients=[[0.0, 1.0], [0.5, 0.0]])
    )
    assert [list(group) for group in known.symmetry(None).groups] == [[0], [1]]
    assert known.permuted([1, 0]).latent.coefficients.tolist() == [[0.5, 0.0], [0.0, 1.0]]
    for model, saved in ((MODEL, fit), (known, Fit.from_greeks(known, known.prior_greeks(0)))):
        saved.save(tmp_path / "fit.npz")
        again = Fit.load(tmp_path / "fit.npz")
        torch.testing.assert_close(again.do(A=1.0).mean("X").value, saved.do(A=1.0).mean("X").value)
        assert again.model.latent_parents == ("A",) == model.latent_parents


def test_priors_are_scaled_to_the_units_of_causes_and_remarks_name_them():
    model = CausalMixture(2, {"A": Gaussian(), "B": Gaussian(), "X": Gaussian()}, latent_parents=["A", "B"])
    a = np.random.default_rng(0).normal(60.0, 8.0, 200)
    data = Data(A=a, B=2.0 * a, X=a % 1.0)
    scaled = model.scaled_to(data).latent.coefficients.scale
    np.testing.assert_allclose(scaled[1:], [2.5 / a.std(), 1.25 / a.std()], rtol=1e-9)
    assert float(scaled[0]) > 15.0
    assert any("Z has collinear inputs, A, B" in remark.what for remark in model.density(data).remarks())
    assert model.density(any_rows(model)).remarks() == []


def test_a_class_that_no_row_needs_is_said():
    model = CausalMixture(2, {"A": Gaussian(), "X": Gaussian(loc=[0.0, 50.0], scale=1.0)}, latent_parents=["A"])
    rng = np.random.default_rng(0)
    with pytest.warns(match=r"beta_Z\[1, intercept\] at -∞ \(the data support fewer components"):
        fit = EM().fit(model, Data(A=rng.normal(size=50), X=rng.normal(size=50)), seed=0)
    assert fit.status is Status.BOUNDARY


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Gate([]), "parents: expected at least one"),
        (lambda: Gate("A"), "parents: expected a list"),
        (lambda: Gate(["A"], coefficients=dist.Normal(1.0, 1.0)), "which tells no class from another"),
        (lambda: Gate(["A"], coefficients=dist.Cauchy(0.0, 1.0)), "which tells no class from another"),
        (lambda: model_with(Gate(["A"], coefficients=[[0.0], [1.0]])), r"coefficients: expected shape \(2, 2\)"),
        (lambda: model_with(Gate(["A"], dist.Normal(torch.zeros(3), 1.0))), "expected one scale, or shape"),
        (lambda: model_with(Gate(["B"])), "latent_parents: 'B' has no mechanism"),
        (lambda: model_with(Gate(["A"]), concentration=2.0), "concentration: is of theta"),
        (lambda: model_with(Gate(["A"]), latent_parents=["X"]), "latent_parents: the gate names them"),
        (lambda: model_with("A"), "latent: expected Gate"),
        (lambda: MODEL.simulate(3, {**TRUTH, "beta_Z": BETA + 1.0}), "sum to zero over classes"),
        (lambda: Exact().fit(MODEL, rows(4)), "a gate of .* has no closed form"),
    ],
)
def test_what_is_wrong_is_said(make, words):
    with pytest.raises((TypeError, ValueError), match=words):
        make()


def model_with(gate, **others):
    return CausalMixture(2, {"A": Gaussian(), "X": Gaussian()}, latent=gate, **others)
