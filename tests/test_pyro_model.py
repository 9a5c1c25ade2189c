"""PyroModel through the whole of the interface: the tutorial's numbers, queries, labels, seen and set rows."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import config_enumerate
from scipy.stats import binom, binomtest, kstest, norm
from scipy.stats import t as student
from torch import Tensor

from estimators import EM, MAP, NUTS, Data, Estimate, EstimationWarning, Exact, Fit, GaussianMixture, PyroModel, Status
from estimators.labels import symmetry
from tests.gallery import EXAMPLES, chain, confounder, regressions, tutorial, zero_inflated
from tests.models import TUTORIAL_ROWS, fit_quietly

MODEL = PyroModel(tutorial, order_by="μ")
ROWS = {"X": TUTORIAL_ROWS}
# Chance that one test of this file fails on right code.
FALSE_ALARM = 1e-6
SEEN_ROWS = Data(X=[0.0, 1.0, 10.0, 11.0, 12.0], Z=[-1, 0, -1, 1, -1])


def within(comparisons: int) -> float:
    """How many standard errors all of some comparisons stay within, but for the false alarms."""
    return float(norm.isf(FALSE_ALARM / comparisons / 2))


# ------------------------------------------------------------------ the tutorial's own function


def test_the_tutorials_function_has_the_reference_numbers() -> None:
    by_map, by_em = MAP().fit(MODEL, ROWS, seed=0), EM().fit(MODEL, ROWS, seed=0)
    np.testing.assert_allclose(by_map["θ"], [0.375, 0.625], atol=1e-5)
    np.testing.assert_allclose(by_map["μ"], [0.497512, 10.963455], atol=1e-5)
    np.testing.assert_allclose(by_em["θ"], [0.4, 0.6], atol=1e-5)
    np.testing.assert_allclose(by_em["μ"], [0.5, 11.0], atol=1e-5)
    assert by_em.stats["log_likelihood"] == pytest.approx(-9.209751, abs=1e-5)
    assert by_map.status is by_em.status is Status.CONVERGED


@pytest.mark.parametrize("estimator", [EM(), MAP()], ids=["EM", "MAP"])
def test_a_program_and_the_built_in_model_agree(estimator: EM | MAP) -> None:
    one, other = estimator.fit(MODEL, SEEN_ROWS, seed=0), estimator.fit(GaussianMixture(K=2), SEEN_ROWS, seed=0)
    np.testing.assert_allclose(one["θ"], other["theta"], atol=1e-6)
    np.testing.assert_allclose(one["μ"], other["mu_X"], atol=1e-6)
    np.testing.assert_allclose(one.responsibilities(SEEN_ROWS), other.responsibilities(SEEN_ROWS), atol=1e-6)
    np.testing.assert_allclose(one.log_density(SEEN_ROWS), other.log_density(SEEN_ROWS), atol=1e-6)
    for level in (0.1, 0.5, 0.9):
        assert float(one.do(Z=1).quantile("X", level)) == pytest.approx(
            float(other.do(Z=1).quantile("X", level)), abs=1e-5
        )
    for points in ([9.0, 12.0],):
        np.testing.assert_allclose(
            one.given(X=5.0).log_density("Z", [0, 1]).exp(), one.responsibilities({"X": [5.0]})[0], atol=1e-9
        )
        np.testing.assert_allclose(one.do(Z=0).cdf("X", points), other.do(Z=0).cdf("X", points), atol=1e-6)
        np.testing.assert_allclose(
            one.do(Z=0).log_density("X", points), other.do(Z=0).log_density("X", points), atol=1e-5
        )


def test_a_built_in_model_is_a_program_too() -> None:
    """The same Pyro program by both routes, at the same Greeks."""
    model = GaussianMixture(K=3, scale=dist.LogNormal(0.0, 0.5))
    data = Data(X=[-1.0, 0.3, 4.0, 9.0])
    greeks = {name: value.requires_grad_() for name, value in model.prior_greeks(1).items()}
    one, other = model.marginal(data).log_likelihood(greeks), PyroModel(model).marginal(data).log_likelihood(greeks)
    torch.testing.assert_close(one, other, rtol=1e-9, atol=0)
    slopes = [torch.autograd.grad(value, list(greeks.values())) for value in (one, other)]
    # theta lies on the simplex: its gradient is compared along it, since Pyro normalises the weights.
    along = [slope - (slope * greeks["theta"]).sum() if i == 0 else slope for s in slopes for i, slope in enumerate(s)]
    for a, b in zip(along[: len(greeks)], along[len(greeks) :], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("engine", ["nutpie", "pyro"])
def test_nuts_on_a_program_agrees_with_the_exact_posterior(engine: str) -> None:
    exact = Exact(num_draws=20_000).fit(GaussianMixture(K=2), ROWS, seed=1)
    settings = (
        {"num_samples": 600, "warmup_steps": 300} if engine == "nutpie" else {"num_samples": 150, "warmup_steps": 100}
    )
    fit = fit_quietly(NUTS(num_chains=2, engine=engine, **settings), MODEL, ROWS, seed=3)  # type: ignore[arg-type]
    table = fit.summary()
    for name, of in (("θ", "theta"), ("μ", "mu_X")):
        for k in range(2):
            mean, sd, ess = (float(table.loc[f"{name}[{k}]", column]) for column in ("mean", "sd", "ess"))
            error = np.sqrt(sd**2 / ess + float(exact.draws[of][:, k].var()) / exact.num_draws)
            assert abs(mean - float(exact[of][k])) < within(8) * error


def test_the_structure_is_found_once_per_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    from estimators.programs import marginal as module

    calls: list[object] = []
    find = module.find
    monkeypatch.setattr(module, "find", lambda *arguments: calls.append(arguments) or find(*arguments))
    for estimator in (EM(num_starts=2), MAP(num_starts=2, num_steps=2), NUTS(num_samples=10, warmup_steps=10)):
        calls.clear()
        fit_quietly(estimator, PyroModel(tutorial, order_by="μ"), ROWS, seed=0)
        assert len(calls) == 1


def test_a_program_may_be_marked_by_the_user_and_take_its_column_for_obs() -> None:
    @config_enumerate
    def marked(X: Tensor | None = None, N: int = 3, *, scale: float = 1.0) -> None:
        θ = pyro.sample("θ", dist.Dirichlet(0.5 * torch.ones(2)))
        with pyro.plate("components", 2):
            μ = pyro.sample("μ", dist.Normal(0.0, 10.0))
        with pyro.plate("data", N if X is None else len(X)):
            Z = pyro.sample("Z", dist.Categorical(θ))
            pyro.sample("X", dist.Normal(μ[Z], scale), obs=X)

    def required(X: Tensor) -> None:
        marked(X)

    for fn in (marked, required):
        fit = EM(num_starts=5).fit(PyroModel(fn, order_by="μ"), ROWS, seed=0)
        np.testing.assert_allclose(fit["μ"], [0.5, 11.0], atol=1e-6)
        assert fit.do(Z=1).sample(4, seed=0)["X"].shape == (4,)
    narrow = EM(num_starts=5).fit(PyroModel(marked, order_by="μ"), {**ROWS, "scale": 0.5}, seed=0)
    assert float(narrow.do(Z=1).quantile("X", 0.975)) == pytest.approx(11.0 + 0.5 * float(norm.isf(0.025)), abs=1e-5)


# ------------------------------------------------------------------ the hidden confounder


def confounder_fit(kind: str) -> Fit:
    example = EXAMPLES["confounder"]
    model = PyroModel(confounder, order_by="a")
    estimators = {
        "EM": EM(num_starts=5),
        "MAP": MAP(num_starts=20, num_steps=20),
        "NUTS": NUTS(num_samples=100, warmup_steps=150, num_chains=2),
    }
    return fit_quietly(estimators[kind], model, example.data(400, seed=4), seed=1)


@pytest.mark.parametrize("kind", ["EM", "MAP", "NUTS"])
def test_do_is_the_adjustment_formula_and_not_conditioning(kind: str) -> None:
    """E[Y | do(T=t)] = Σ_z θ_z E[Y | t, z]; E[Y | T=t] weighs z by p(z | t) instead."""
    fit = confounder_fit(kind)
    theta, p, a, b = (fit.draws[name] for name in ("theta", "p", "a", "b"))
    for t in (0.0, 1.0):
        expected = (theta * (a + b[:, None] * t)).sum(1)
        np.testing.assert_allclose(fit.do(T=t).mean("Y").draws, expected, rtol=1e-9)
        weights = theta * (p if t else 1 - p)
        seen = (weights * (a + b[:, None] * t)).sum(1) / weights.sum(1)
        np.testing.assert_allclose(fit.given(T=t).mean("Y").draws, seen, rtol=1e-9)
        assert float((seen - expected).abs().min()) > 0.3
    effect = fit.contrast("Y", do={"T": 1}, versus={"T": 0})
    np.testing.assert_allclose(effect.draws, b, rtol=1e-9)
    np.testing.assert_allclose(fit.do(Z=1, T=0).mean("Y").draws, a[:, 1], rtol=1e-9)
    assert fit.do(T=1).mean("Y").error is None
    # Y is not above T: to set it changes nothing, to see it does.
    np.testing.assert_allclose(fit.do(Y=9.0).mean("T").draws, (theta * p).sum(1), rtol=1e-9)
    assert float((fit.given(Y=9.0).mean("T").draws - (theta * p).sum(1)).abs().min()) > 1e-3


@dataclass(frozen=True)
class Plan:
    """How an estimator's intervals are checked: its settings, replicates, and rows in each."""

    estimator: EM | MAP | NUTS
    replicates: int
    rows: int = 200


PLANS = [
    pytest.param(Plan(MAP(num_starts=10, num_steps=5), 16), id="MAP"),
    pytest.param(Plan(MAP(num_starts=10, num_steps=5), 150), id="MAP, in full", marks=pytest.mark.slow),
    pytest.param(Plan(EM(num_starts=3), 80), id="EM, in full", marks=pytest.mark.slow),
    pytest.param(
        Plan(NUTS(num_samples=150, warmup_steps=150, num_chains=2), 40), id="NUTS, in full", marks=pytest.mark.slow
    ),
]


@pytest.mark.parametrize("plan", PLANS)
def test_the_effect_of_t_is_recovered_and_its_intervals_cover_the_truth(plan: Plan) -> None:
    """Replicated data at one truth: 90% intervals of E[Y | do(T=1)] - E[Y | do(T=0)] by exact binomial bounds, and the
    mean of the estimates by their standard error. The negative control: E[Y | T=1] - E[Y | T=0], another number.
    """
    example, model = EXAMPLES["confounder"], PyroModel(confounder, order_by="a")
    covered, covered_by_seeing, estimates = 0, 0, []
    for seed in range(plan.replicates):
        fit = fit_quietly(plan.estimator, model, example.data(plan.rows, seed=100 + seed), seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", EstimationWarning)
            draws = fit if fit.num_draws > 1 else fit.laplace(num_draws=400, seed=seed)
        effect = draws.contrast("Y", do={"T": 1}, versus={"T": 0})
        seen = Estimate(draws.given(T=1).mean("Y").draws - draws.given(T=0).mean("Y").draws)
        low, high = effect.interval(0.9)
        covered += bool(low <= -1.0 <= high)
        low, high = seen.interval(0.9)
        covered_by_seeing += bool(low <= -1.0 <= high)
        estimates.append(float(effect.value))
    lowest = int(binom.ppf(FALSE_ALARM / 2, plan.replicates, 0.9))
    assert covered >= lowest
    assert covered_by_seeing < lowest
    error = np.std(estimates, ddof=1) / np.sqrt(plan.replicates)
    quantile = float(student.isf(FALSE_ALARM / 2, plan.replicates - 1))
    assert abs(np.mean(estimates) + 1.0) < quantile * error


def test_per_row_settings_give_an_answer_per_row() -> None:
    fit = confounder_fit("EM")
    found = fit.do(T=[0.0, 1.0, 1.0]).mean("Y").draws
    np.testing.assert_allclose(found[0], [fit.do(T=t).mean("Y").value for t in (0, 1, 1)], rtol=1e-12)
    drawn = fit.do(T=[0.0, 1.0, 1.0]).sample(3, seed=0)
    assert drawn["T"].tolist() == [0.0, 1.0, 1.0]


def test_samples_have_the_distribution_that_is_asked_for() -> None:
    """Kolmogorov-Smirnov against the CDF in closed form, under do and given a value seen."""
    fit = confounder_fit("EM")
    for query in (fit.do(T=1), fit.do(Z=0), fit.given(T=1)):
        drawn = query.sample(3000, seed=5)["Y"]
        assert kstest(drawn.numpy(), lambda y, q=query: q.cdf("Y", y).numpy()).pvalue > FALSE_ALARM
    # The negative control: what is set is not what is seen.
    drawn = fit.given(T=1).sample(3000, seed=5)["Y"]
    assert kstest(drawn.numpy(), lambda y: fit.do(T=1).cdf("Y", y).numpy()).pvalue < FALSE_ALARM


def test_a_hidden_site_given_data_has_its_posterior() -> None:
    """Z in a sample is from p(Z | x, φ), not from p(Z | φ): an exact binomial bound."""
    fit = EM().fit(MODEL, {"X": [0.0, 1.0, 2.0, 3.5]}, seed=0)
    at = float(fit["μ"].mean()) + 0.1
    share = float(fit.responsibilities({"X": [at]})[0, 1])
    drawn = fit.given(X=at).sample(2000, seed=1)
    assert bool((drawn["X"] == at).all())
    count = int(drawn["Z"].sum())
    assert binomtest(count, 2000, share).pvalue > FALSE_ALARM
    assert abs(share - float(fit["θ"][1])) > 0.02


def test_a_simulated_answer_states_its_error() -> None:
    """X → W → Y with X, W continuous and unset: E[Y | do(Z)] is simulated; set W, and it is exact."""

    def program(N: int) -> None:
        theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
        with pyro.plate("classes", 2):
            a = pyro.sample("a", dist.Normal(0.0, 5.0))
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Categorical(theta))
            w = pyro.sample("w", dist.Normal(a[z], 1.0))
            pyro.sample("y", dist.Normal(w**2, 0.5))

    model = PyroModel(program, order_by="a")
    fit = Fit.from_greeks(model, {"theta": [0.3, 0.7], "a": [-1.0, 2.0]})
    answer = fit.do(z=1).mean("y")
    assert answer.error is not None
    assert 0.0 < float(answer.error) < 0.05
    assert abs(float(answer.value) - 5.0) < within(1) * float(answer.error)
    both = fit.given(w=2.0).mean("y")
    assert both.error is None
    assert float(both.value) == pytest.approx(4.0, abs=1e-12)
    # Something below the target is seen: importance weights, with their error.
    below = fit.given(y=4.0).mean("w")
    grid = torch.linspace(-9, 9, 20001).double()
    density = (
        sum(t * dist.Normal(m, 1.0).log_prob(grid).exp() for t, m in ((0.3, -1.0), (0.7, 2.0)))
        * dist.Normal(grid**2, 0.5).log_prob(torch.tensor(4.0)).exp()
    )
    expected = float((density * grid).sum() / density.sum())
    assert below.error is not None
    assert abs(float(below.value) - expected) < within(1) * float(below.error)
    with pytest.raises(NotImplementedError, match="mean"):
        fit.given(y=4.0).cdf("w", 0.0)


def test_answers_average_over_the_columns_that_a_program_takes() -> None:
    example = EXAMPLES["regressions"]
    data = example.data(30)
    fit = fit_quietly(EM(num_starts=5), PyroModel(regressions, order_by="intercept"), data, seed=0)
    expected = fit["intercept"][1] + fit["slope"][1] * data.columns["t"].mean()
    assert float(fit.do(z=1).mean("y").value) == pytest.approx(float(expected), rel=1e-9)
    assert fit.program(5)["y"].shape == (5,)


def test_a_greek_fixed_by_a_number_is_fixed_in_answers_too() -> None:
    def program(N: int) -> None:
        shift = pyro.sample("shift", dist.Normal(0.0, 10.0))
        theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
        with pyro.plate("classes", 2):
            mu = pyro.sample("mu", dist.Normal(0.0, 10.0))
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Categorical(theta))
            pyro.sample("x", dist.Normal(mu[z] + shift, 1.0))

    fit = EM().fit(PyroModel(program, order_by="mu"), Data(x=TUTORIAL_ROWS, shift=5.0), seed=0)
    assert set(fit.draws) == {"theta", "mu"}
    np.testing.assert_allclose(fit["mu"], [-4.5, 6.0], atol=1e-6)
    assert float(fit.do(z=1).mean("x").value) == pytest.approx(11.0, abs=1e-6)
    drawn = fit.do(z=1).sample(500, seed=0)["x"]
    assert abs(float(drawn.mean()) - 11.0) < within(1) / np.sqrt(500)


def test_what_a_program_makes_of_its_column_is_what_it_observes() -> None:
    def logs(X: Tensor) -> None:
        theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
        with pyro.plate("classes", 2):
            mu = pyro.sample("mu", dist.Normal(0.0, 10.0))
        with pyro.plate("rows", len(X)):
            z = pyro.sample("z", dist.Categorical(theta))
            pyro.sample("X", dist.Normal(mu[z], 1.0), obs=X.log())

    rows = torch.tensor(TUTORIAL_ROWS, dtype=torch.float64).exp()
    fit = EM().fit(PyroModel(logs, order_by="mu"), {"X": rows}, seed=0)
    np.testing.assert_allclose(fit["mu"], [0.5, 11.0], atol=1e-6)


# ------------------------------------------------------------------ hidden Markov chains


def test_a_long_chain_is_summed_in_linear_time() -> None:
    """Twenty steps have 2^20 paths; no intermediate tensor is larger than rows × K × K."""

    def long_chain(x: Tensor) -> None:
        move = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
        level = pyro.sample("level", dist.Normal(torch.zeros(2), 3.0).to_event(1))
        with pyro.plate("sequences", len(x)):
            z = None
            for t in pyro.markov(range(x.shape[1])):
                z = pyro.sample(f"z_{t}", dist.Categorical(torch.full((2,), 0.5) if z is None else move[z]))
                pyro.sample(f"x_{t}", dist.Normal(level[z], 1.0), obs=x[:, t])

    x = torch.randn(3, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    marginal = PyroModel(long_chain).marginal(Data(x=x))
    level = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    found = marginal.pointwise({"level": level})
    # The forward algorithm, written out.
    move, forward = torch.tensor([[0.9, 0.1], [0.2, 0.8]]).double(), torch.full((3, 2), 0.5).double()
    total = torch.zeros(3).double()
    for t in range(60):
        forward = (forward if t == 0 else forward @ move) * dist.Normal(level, 1.0).log_prob(x[:, t, None]).exp()
        total += forward.sum(1).log()
        forward = forward / forward.sum(1, keepdim=True)
    torch.testing.assert_close(found, total, rtol=1e-7, atol=0)
    assert marginal.row_size <= 4 * 3 * 60 * (4 + 2)


def test_three_ways_to_give_a_chain_its_rows_agree() -> None:
    """Columns x_0 ... x_3, one column [N, 4] for them, and one column [N, 4] that the program takes."""
    example, other = EXAMPLES["chain"], EXAMPLES["chain of a column"]
    separate = example.data(6)
    together = Data(x=torch.stack([separate.columns[f"x_{t}"] for t in range(4)], 1))
    expected = PyroModel(chain).marginal(separate).pointwise(example.truth)
    torch.testing.assert_close(
        PyroModel(chain).marginal(together).pointwise(example.truth), expected, rtol=1e-12, atol=0
    )
    taken = PyroModel(other.fn).marginal(together).pointwise(example.truth)
    torch.testing.assert_close(taken, expected, rtol=1e-12, atol=0)


def test_do_on_a_chain() -> None:
    example = EXAMPLES["chain"]
    fit = Fit.from_greeks(PyroModel(chain, order_by="level"), example.greeks)
    move, level = example.truth["move"], example.truth["level"]
    for steps in (1, 3):
        weights = torch.linalg.matrix_power(move, steps)[1]
        assert float(fit.do(z_0=1).mean(f"x_{steps}").value) == pytest.approx(float(weights @ level), rel=1e-9)
    drawn = fit.do(z_0=1).sample(5, seed=0)
    assert set(drawn) == {f"{name}_{t}" for name in "zx" for t in range(4)}


# ------------------------------------------------------------------ seen and set


def test_set_rows_say_nothing_of_the_weights() -> None:
    """Rows whose Z an experimenter chose: zero gradient of theirs with respect to θ, exactly."""
    set_rows = Data(X=[0.0, 9.0, 10.0], Z=[0, 1, 1], intervened={"Z": True})
    θ = torch.tensor([0.3, 0.7], dtype=torch.float64, requires_grad=True)
    μ = torch.tensor([1.0, 9.0], dtype=torch.float64, requires_grad=True)
    value = PyroModel(tutorial).marginal(set_rows).log_likelihood({"θ": θ, "μ": μ})
    expected = dist.Normal(μ[[0, 1, 1]], 1.0).log_prob(set_rows.columns["X"]).sum()
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
    slopes = torch.autograd.grad(value, [θ, μ], allow_unused=True)
    assert slopes[0] is None or bool((slopes[0] == 0).all())
    mixed = Data.concat([Data(X=[0.0, 1.0, 10.0, 11.0, 12.0]), set_rows])
    one, other = EM().fit(MODEL, mixed, seed=0), EM().fit(GaussianMixture(K=2), mixed, seed=0)
    np.testing.assert_allclose(one["θ"], other["theta"], atol=1e-6)
    np.testing.assert_allclose(one["μ"], other["mu_X"], atol=1e-6)
    assert "known" in one.stats["labels"]


def test_a_set_observed_column_says_nothing_of_its_own_mechanism() -> None:
    """T set in every row: p(T | Z) plays no part, and the others are as if T were an argument."""
    example = EXAMPLES["confounder"]
    base = example.data(6)
    data = Data(**dict(base.columns), intervened={"T": True})
    marginal = PyroModel(confounder).marginal(data)
    greeks = {name: value.requires_grad_() for name, value in example.truth.items()}
    value = marginal.log_likelihood(greeks)
    a, b, sigma = greeks["a"], greeks["b"], greeks["sigma"]
    t, y = base.columns["T"].double(), base.columns["Y"]
    by_class = greeks["theta"].log() + dist.Normal(a + b * t[:, None], sigma).log_prob(y[:, None])
    torch.testing.assert_close(value, torch.logsumexp(by_class, 1).sum(), rtol=1e-12, atol=0)


def test_weights_count_rows() -> None:
    weighted = Data(X=TUTORIAL_ROWS, weights=[1, 2, 1, 3, 1])
    repeated = Data(X=[0.0, 1.0, 1.0, 10.0, 11.0, 11.0, 11.0, 12.0])
    for estimator in (EM(), MAP()):
        one, other = estimator.fit(MODEL, weighted, seed=0), estimator.fit(MODEL, repeated, seed=0)
        for name in one.draws:
            np.testing.assert_allclose(one[name], other[name], atol=1e-7)


# ------------------------------------------------------------------ labels


def test_components_are_ordered_by_the_named_greek_and_moved_together() -> None:
    fit = EM().fit(MODEL, ROWS, seed=0)
    assert bool((fit["μ"].diff() > 0).all())
    swapped = fit.relabel([1, 0])
    np.testing.assert_allclose(swapped["θ"], fit["θ"].flip(0))
    np.testing.assert_allclose(swapped["μ"], fit["μ"].flip(0))
    np.testing.assert_allclose(swapped.log_density(ROWS), fit.log_density(ROWS), rtol=1e-12)


def test_only_the_named_causes_labels_move() -> None:
    """Two independent causes: ordering the second leaves the first alone, whose Greeks have other axes."""
    for name, axes, sites in (
        ("two causes", {"right": (0,), "v_weights": (0,)}, ("v",)),
        ("cause of a cause", {"rate": (0,), "table": (1,)}, ("v",)),
        ("chain", {"level": (0,), "start": (0,), "move": (0, 1)}, tuple(f"z_{t}" for t in range(4))),
    ):
        example = EXAMPLES[name]
        draws = {key: value[None] for key, value in example.truth.items()}
        found = symmetry(PyroModel(example.fn, order_by=example.order_by), example.data(10), draws)
        assert found.axes == axes
        assert found.sites == sites
        assert len(found.groups) == 1


def test_rows_in_order_of_a_covariate_do_not_hide_an_axis() -> None:
    """Slopes play no part in the first rows, where the covariate is 0."""
    example = EXAMPLES["regressions"]
    data = Data(y=example.data(12).columns["y"], t=[0.0] * 6 + [1.0] * 6)
    found = symmetry(PyroModel(regressions, order_by="intercept"), data, {k: v[None] for k, v in example.truth.items()})
    assert set(found.axes) == {"intercept", "slope", "weights"}
    assert len(found.groups) == 1


def test_seen_rows_break_the_symmetry_of_their_labels_alone() -> None:
    example = EXAMPLES["two causes"]
    data = example.data(12)
    seen = torch.full((12,), -1)
    seen[3] = 1
    draws = {key: value[None] for key, value in example.truth.items()}
    found = symmetry(PyroModel(example.fn, order_by="right"), data.replace(v=seen), draws)
    assert sorted(map(sorted, found.groups)) == [[0, 2], [1]]
    assert "[1]" in found.rule


def test_labels_that_mean_nothing_are_warned_about_once() -> None:
    """A scalar Beta weight: its mirror image is no permutation of an axis, so labels stay."""

    def beta(N: int) -> None:
        weight = pyro.sample("weight", dist.Beta(2.0, 2.0))
        with pyro.plate("classes", 2):
            mean = pyro.sample("mean", dist.Normal(0.0, 10.0))
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Bernoulli(weight))
            pyro.sample("x", dist.Normal(mean[z.long()], 1.0))

    for order_by, message in (("mean", "Dirichlet"), (None, "order_by")):
        fit = EM(num_starts=5).fit(PyroModel(beta, order_by=order_by), {"x": TUTORIAL_ROWS}, seed=0)
        assert "as the estimator found them" in fit.stats["labels"]
        with pytest.warns(EstimationWarning, match=message):
            fit.do(z=1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fit.do(z=1)
        with pytest.raises(ValueError, match="relabel"):
            fit.relabel([1, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Questions that do not name the hidden site need no labels.
        EM(num_starts=5).fit(PyroModel(zero_inflated), EXAMPLES["zero-inflated"].data(20), seed=0).do(count=1)


# ------------------------------------------------------------------ export


def test_a_fit_is_loaded_with_its_program(tmp_path: Path) -> None:
    fit = EM().fit(MODEL, SEEN_ROWS, seed=0)
    fit.save(tmp_path / "fit.npz")
    loaded = Fit.load(tmp_path / "fit.npz", model=MODEL)
    assert torch.equal(loaded["μ"], fit["μ"])
    torch.testing.assert_close(loaded.log_density(SEEN_ROWS), fit.log_density(SEEN_ROWS), rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"Fit.load\(path, model=PyroModel\(tutorial\)\)"):
        Fit.load(tmp_path / "fit.npz")
    with pytest.raises(ValueError, match="order_by"):
        Fit.load(tmp_path / "fit.npz", model=PyroModel(tutorial))
    with pytest.raises(ValueError, match="draws of"):
        Fit.load(tmp_path / "fit.npz", model=PyroModel(confounder, order_by="μ"))
    with pytest.raises(TypeError, match="PyroModel"):
        Fit.load(tmp_path / "fit.npz", model=GaussianMixture(K=2))  # type: ignore[arg-type]


def test_scalars_and_covariates_survive_storage(tmp_path: Path) -> None:
    data = EXAMPLES["regressions"].data(20)
    fit = fit_quietly(EM(num_starts=2), PyroModel(regressions, order_by="slope"), data, seed=0)
    fit.save(tmp_path / "fit.npz")
    loaded = Fit.load(tmp_path / "fit.npz", model=PyroModel(regressions, order_by="slope"))
    assert loaded.data is not None
    assert dict(loaded.data.scalars) == {"power": 1}
    torch.testing.assert_close(loaded.log_density(data), fit.log_density(data), rtol=0, atol=0)
