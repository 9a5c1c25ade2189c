"""Covariates: columns that rows are conditioned on. A (age) and S (three sites) cause Z and Y, T → Y is a treatment."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import special, stats

from estimators import EM, MAP, NUTS, SMC, CausalMixture, Data, Fit, PyroModel, identifiability
from estimators.contract import log_joint
from estimators.mechanisms import (
    Bernoulli,
    Categorical,
    Covariate,
    Gate,
    Gaussian,
    LinearGaussian,
    Logistic,
    PoissonRegression,
)
from estimators.modes.law_rows import design_of
from tests.mechanism_models import enumerated
from tests.models import fit_quietly
from tests.objectives import objective_of
from validation import Scenario
from validation.scenarios.base import Seeds

MODEL = CausalMixture(
    2,
    {"T": Logistic(["A"]), "X": Gaussian(parents=["S"]), "Y": LinearGaussian(["T", "A", "S"])},
    latent_parents=["A"],
    covariates={"A": None, "S": 3},
)
TRUTH = {
    "beta_Z": [[0.3, 0.8], [-0.3, -0.8]],
    "beta_T": [[0.5, 1.0], [-0.5, -1.0]],
    "mu_X": [[-3.0, -2.0, -2.5], [3.0, 2.0, 2.5]],
    "sigma_X": [[0.8, 1.0, 0.9], [0.8, 1.0, 0.9]],
    "beta_Y": [[0.0, 1.0, 0.5, 0.2, -0.2], [1.0, 2.0, -0.5, 0.4, 0.1]],
    "sigma_Y": [0.7, 0.9],
}
GREEKS = {name: np.array(value) for name, value in TRUTH.items()}


def given_columns(num_rows, seed=0):
    rng = np.random.default_rng(seed)
    return {"A": rng.normal(0.5, 1.0, num_rows).round(1), "S": rng.integers(0, 3, num_rows).astype(float)}


def rows(num_rows, seed=0, **options):
    drawn = MODEL.simulate(num_rows, TRUTH, seed=seed, covariates=given_columns(num_rows, seed))
    return Data({name: column for name, column in drawn.items() if name != "Z"}, **options)


def fitted(data):
    """The truth as a fit to some rows."""
    known = Fit.from_greeks(MODEL, TRUTH)
    return type(known)(**{**vars(known), "data": MODEL.check(data)})


def outcome(t, a, s, k):
    """E[Y | Z = k, T = t, covariates]."""
    return GREEKS["beta_Y"][k] @ [1.0, t, a, s == 1, s == 2]


def means(t, a, s):
    return np.array([outcome(t, a, s, k) for k in (0, 1)])


def weights(a):
    return special.softmax(GREEKS["beta_Z"] @ [1.0, a])


def test_the_density_is_that_of_the_rest_given_them():
    data, g = rows(12), GREEKS
    expected = []
    for x, y, t, a, s in zip(*(data.columns[name].numpy() for name in "XYTAS"), strict=True):
        of_class = [
            np.log(weights(a)[k])
            + stats.norm.logpdf(x, g["mu_X"][k, int(s)], g["sigma_X"][k, int(s)])
            + special.log_expit((2 * t - 1) * (g["beta_T"][k] @ [1.0, a]))
            + stats.norm.logpdf(y, outcome(t, a, s, k), g["sigma_Y"][k])
            for k in (0, 1)
        ]
        expected.append(special.logsumexp(of_class))
    greeks = MODEL.check_greeks(TRUTH)
    np.testing.assert_allclose(MODEL.marginal(data).pointwise(greeks), expected, rtol=1e-12)
    differentiable = {name: value.requires_grad_() for name, value in MODEL.check_greeks(TRUTH).items()}
    assert float(enumerated(MODEL, MODEL.check(data), differentiable).detach()) == pytest.approx(
        sum(expected), rel=1e-10
    )
    assert set(greeks) == set(TRUTH) == {parameter.name for parameter in MODEL.parameters}


def test_a_program_is_the_same_model():
    data = rows(30)

    def fn(A, S):
        return MODEL(len(A), {"A": A, "S": S})

    program = PyroModel(fn, order_by="mu_X")
    fast, slow = objective_of(MODEL, data, log_joint), objective_of(program, data, log_joint)
    at, there = (one.density.unconstrain(GREEKS) for one in (fast, slow))
    assert float(fast.value(at)) == pytest.approx(float(slow.value(there)), rel=1e-9)


def test_answers_are_averages_over_the_rows():
    data = rows(40, weights=np.arange(40) % 3)
    fit = fitted(data)
    a, s = (data.columns[name].numpy() for name in "AS")
    w = (data.weights / data.weights.sum()).numpy()
    by_row = np.array([weights(x) @ means(1.0, x, y) for x, y in zip(a, s, strict=True)])
    assert float(fit.do(T=1).mean("Y").value) == pytest.approx(w @ by_row, rel=1e-12)
    for query in (fit.do(T=1, A=2.0), fit.do(T=1).given(A=2.0)):
        moved = np.array([weights(2.0) @ means(1.0, 2.0, y) for y in s])
        assert float(query.mean("Y").value) == pytest.approx(w @ moved, rel=1e-12)
    # Values for each row are these rows'.
    np.testing.assert_allclose(fit.do(T=1, A=a, S=s).mean("Y").draws[0], by_row, rtol=1e-12)
    # What is seen weighs the rows by how likely they make it.
    laws = [stats.norm(GREEKS["mu_X"][:, int(y)], GREEKS["sigma_X"][:, int(y)]) for y in s]
    joint = np.array([share * weights(x) * law.pdf(2.0) for share, x, law in zip(w, a, laws, strict=True)])
    untreated = np.array([means(0.0, x, y) for x, y in zip(a, s, strict=True)])
    assert float(fit.do(T=0).given(X=2.0).mean("Y").value) == pytest.approx(
        (joint * untreated).sum() / joint.sum(), rel=1e-12
    )
    assert float(fit.do(T=0).log_density("X", 2.0)) == pytest.approx(np.log(joint.sum()), rel=1e-12)
    effect = fit.contrast("Y", do={"T": 1}, versus={"T": 0})
    assert float(effect.value) == pytest.approx(w @ [weights(one) @ [1.0, 2.0] for one in a], rel=1e-12)


def test_given_a_level_the_average_is_over_the_rows_that_have_it():
    data = rows(40, weights=np.arange(40) % 3)
    fit = fitted(data)
    a, s = (data.columns[name].numpy() for name in "AS")
    w, has = (data.weights / data.weights.sum()).numpy(), s == 1
    under = np.array([weights(x) @ means(1.0, x, 1.0) for x in a])
    seen, was_set = w[has] @ under[has] / w[has].sum(), w @ under
    assert float(fit.do(T=1).given(S=1).mean("Y").value) == pytest.approx(seen, rel=1e-12)
    # Set, it is that of everyone.
    assert float(fit.do(T=1, S=1).mean("Y").value) == pytest.approx(was_set, rel=1e-12)
    assert abs(seen - was_set) > 0.02
    effects = [weights(x) @ [1.0, 2.0] for x in a[has]]
    table = fit.effect("Y", of="T", within="S")
    assert float(table.value[1]) == pytest.approx(w[has] @ effects / w[has].sum(), rel=1e-12)
    with pytest.raises(ValueError, match="given: S expects one value"):
        fit.do(T=1).given(S=[0, 1])
    only = fitted(rows(30).rows(torch.from_numpy(np.flatnonzero(rows(30).columns["S"].numpy() < 2))))
    with pytest.raises(ValueError, match="no fitted row has S = 2"):
        only.do(T=1).given(S=2)


def test_samples_are_of_fitted_rows():
    data = rows(25)
    fit = fitted(data)
    drawn = fit.do(T=1).sample(4_000, seed=0)
    pairs = {(float(a), float(s)) for a, s in zip(data.columns["A"], data.columns["S"], strict=True)}
    assert {(float(a), float(s)) for a, s in zip(drawn["A"], drawn["S"], strict=True)} == pairs
    mean, error = float(drawn["Y"].mean()), float(drawn["Y"].std()) / 4_000**0.5
    assert abs(mean - float(fit.do(T=1).mean("Y").value)) < 5 * error
    seen = fit.given(X=2.0).sample(4_000, seed=0)
    assert {(float(a), float(s)) for a, s in zip(seen["A"], seen["S"], strict=True)} <= pairs
    error = float(seen["Y"].std()) / 4_000**0.5
    assert abs(float(seen["Y"].mean()) - float(fit.given(X=2.0).mean("Y").value)) < 5 * error
    assert float(fit.do(A=3.0).sample(5, seed=0)["A"].min()) == 3.0
    world = fit.counterfactual(data, do={"T": 1}).sample(seed=0)
    torch.testing.assert_close(world["A"], data.columns["A"])


def test_counterfactuals_keep_them_unless_they_are_set():
    data = rows(30)
    fit = fitted(data)
    share = fit.responsibilities(data).numpy()
    t, y = data.columns["T"].numpy(), data.columns["Y"].numpy()
    expected = y + (1.0 - t) * (share @ [1.0, 2.0])
    np.testing.assert_allclose(fit.counterfactual(data, do={"T": 1}).mean("Y").draws[0], expected, atol=1e-12)
    far = fit.counterfactual(data, do={"A": 60.0}).mean("X").draws[0].numpy()
    assert (far < 0.0).mean() > 0.9


def test_the_truth_is_recovered_and_files_keep_them(tmp_path):
    data = rows(800, seed=1)
    fit = EM().fit(MODEL, data, seed=0)
    assert float(fit.log_density(data).sum()) > float(Fit.from_greeks(MODEL, TRUTH).log_density(data).sum())
    order = fit["mu_X"][:, 0].argsort().tolist()
    for name in ("beta_Y", "beta_Z", "mu_X"):
        np.testing.assert_allclose(fit[name][order], GREEKS[name], atol=0.4)
    effect = fit.contrast("Y", do={"T": 1}, versus={"T": 0})
    ((low, high),) = effect.profile(0.9)
    assert low < float(effect.value) < high
    fit.save(tmp_path / "fit.npz")
    again = Fit.load(tmp_path / "fit.npz")
    assert again.model.covariates == ("A", "S")
    again_effect = again.contrast("Y", do={"T": 1}, versus={"T": 0})
    assert float(again_effect.value) == pytest.approx(float(effect.value), rel=1e-12)
    assert fit.laplace(num_draws=200, seed=0).num_draws == 200
    assert MAP().fit(MODEL.scaled_to(data), data, seed=0)["beta_Z"].shape == (2, 2)
    graph = MODEL.graph
    assert graph.nodes["A"]["family"] == "Covariate" and ("Z", "A") not in graph.edges and ("A", "Z") in graph.edges
    # Rows of the law are under the covariates of fitted rows.
    design = design_of(MODEL, {name: value[:1] for name, value in fit.draws.items()}, fit.data)
    law = design.rows(0)
    assert set(law.data.columns["A"].tolist()) <= set(data.columns["A"].tolist())


@pytest.mark.slow
def test_samplers_and_studies_take_them():
    data = rows(150, seed=1)
    chains = fit_quietly(NUTS(num_samples=200, warmup_steps=200, num_chains=2), MODEL, data, 0)
    particles = fit_quietly(SMC(num_particles=500), MODEL, data, 0)
    effects = [one.contrast("Y", do={"T": 1}, versus={"T": 0}) for one in (chains, particles)]
    assert abs(float(effects[0].value - effects[1].value)) < float(effects[0].draws.std())
    scenario = Scenario.from_fit(EM().fit(MODEL, data, seed=0))
    drawn = scenario.source.draw(scenario, Seeds(*range(6)))
    assert torch.equal(drawn.data.columns["A"].double(), data.columns["A"])


def test_the_election_of_polca_is_reproduced():
    """12 items of 1,300 rows, the class caused by party identification (Linzer & Lewis 2011, section 5.3)."""
    source = Path(__file__).with_name("files") / "election.txt"
    _, names, *lines = source.read_text(encoding="utf-8").splitlines()
    names, whole = names.removeprefix("# ").split(","), np.array([list(map(float, line)) for line in lines])
    columns = {name: whole[:, j] - (name != "PARTY") for j, name in enumerate(names)}
    items = {name: Categorical(4) for name in names[:-1]}
    model = CausalMixture(3, items, latent_parents=["PARTY"], covariates=["PARTY"])
    fit = fit_quietly(EM(num_starts=20), model, Data(columns), 0)
    assert float(fit.log_density(fit.data).sum()) == pytest.approx(-16222.323, abs=1e-3)
    # Of three classes poLCA's reference is any: its contrasts are there against one of them.
    beta = fit["beta_Z"].numpy()
    published = [[-3.818, 0.793], [1.162, -0.574]]
    contrasts = [sorted(np.delete(beta - beta[k], k, 0).tolist()) for k in range(3)]
    assert min(np.abs(np.subtract(found, published)).max() for found in contrasts) < 1e-3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: fitted(rows(9)).do(T=1).mean("A"), "A is a covariate: rows are conditioned on it"),
        (lambda: fitted(rows(9)).do(T=1).quantile("A", 0.5), "A is a covariate: rows are conditioned on it"),
        (lambda: Fit.from_greeks(MODEL, TRUTH).do(T=1).mean("Y"), r"no rows to average over .*do\(A=...\)"),
        (
            lambda: MODEL.simulate(3, TRUTH),
            r"A is a covariate, which has no law .*covariates={'A'.*do\(A=...\)",
        ),
        (lambda: identifiability(MODEL, TRUTH), r"conditioned on A, S, .*identifiability\(model, greeks, data=rows"),
        (lambda: MODEL.simulate(3, TRUTH, covariates={"A": [1.0], "S": 0}), "expected 3 values of A"),
        (lambda: MODEL.simulate(3, TRUTH, covariates={"T": 1.0}), "expected some of"),
        (lambda: CausalMixture(2, {"A": Gaussian()}, covariates=["A"]), "'A' has a mechanism too"),
        (lambda: CausalMixture(2, {"X": Gaussian()}, covariates="A"), 'covariates: expected a list.*"A"'),
        (lambda: MODEL.density(rows(5).replace(S=[0, 1, 2, 3, 0])), "column S: expected whole numbers from 0 to 2"),
        (lambda: MODEL.density(Data({k: v for k, v in rows(5).columns.items() if k != "A"})), "column 'A' is missing"),
        (lambda: MODEL.density(gap(rows(5))), "column A: missing in row 2"),
    ],
)
def test_what_is_wrong_is_said(make, words):
    with pytest.raises((TypeError, ValueError), match=words):
        make()


def test_a_page_says_of_no_covariate_that_somebody_set_it():
    assert "intervened" not in str(fitted(rows(9)))
    assert "intervened T" in str(fitted(rows(9).replace(intervened={"T": True})))


def gap(data):
    column = data.columns["A"].clone()
    column[2] = torch.nan
    return Data({**data.columns, "A": column}, missing="marginalize")


def test_a_mechanism_may_say_that_it_is_one():
    plain = {"A": Covariate(), "X": PoissonRegression(["A"]), "T": Bernoulli()}
    model = CausalMixture(2, plain, latent=Gate(["A"]))
    assert model.covariates == ("A",) and list(model.mechanisms) == ["A", "X", "T"]
