"""PyroModel on the tutorial's numbers, labels, seen and set rows, and storage."""

import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import config_enumerate
from pyro.nn import PyroModule
from scipy.stats import norm
from torch import Tensor

from estimators import EM, MAP, NUTS, Data, EstimationWarning, Exact, Fit, GaussianMixture, PyroModel, Status
from tests.expectations import log_likelihood_of
from tests.gallery import EXAMPLES, confounder, regressions, tutorial, zero_inflated
from tests.models import TUTORIAL_ROWS, fit_quietly
from validation.testing import Stat

MODEL = PyroModel(tutorial, order_by="μ")
ROWS = {"X": TUTORIAL_ROWS}
SEEN_ROWS = Data(X=[0.0, 1.0, 10.0, 11.0, 12.0], Z=[-1, 0, -1, 1, -1])


@cache
def fit_of_rows() -> Fit:
    return EM(num_starts=10).fit(MODEL, ROWS, seed=0)


@cache
def fit_of_seen_rows() -> Fit:
    return EM(num_starts=2).fit(MODEL, SEEN_ROWS, seed=0)


# ------------------------------------------------------------------ the tutorial's own function


def test_the_tutorials_function_has_the_reference_numbers() -> None:
    by_map, by_em = MAP(num_starts=10, num_steps=10).fit(MODEL, ROWS, seed=0), fit_of_rows()
    np.testing.assert_allclose(by_map["θ"], [0.375, 0.625], atol=1e-5)
    np.testing.assert_allclose(by_map["μ"], [0.497512, 10.963455], atol=1e-5)
    np.testing.assert_allclose(by_em["θ"], [0.4, 0.6], atol=1e-5)
    np.testing.assert_allclose(by_em["μ"], [0.5, 11.0], atol=1e-5)
    assert by_em.stats["log_likelihood"] == pytest.approx(-9.209751, abs=1e-5)
    assert by_map.status is by_em.status is Status.CONVERGED


@pytest.mark.parametrize(
    "estimator",
    [
        pytest.param(EM(num_starts=2), id="EM"),
        pytest.param(MAP(num_starts=5, num_steps=5), id="MAP", marks=pytest.mark.slow),
    ],
)
def test_a_program_and_the_built_in_model_agree(estimator: EM | MAP) -> None:
    one = fit_of_seen_rows() if isinstance(estimator, EM) else estimator.fit(MODEL, SEEN_ROWS, seed=0)
    other = estimator.fit(GaussianMixture(K=2), SEEN_ROWS, seed=0)
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
    one, other = log_likelihood_of(model.marginal(data), greeks), PyroModel(model).marginal(data).log_likelihood(greeks)
    torch.testing.assert_close(one, other, rtol=1e-9, atol=0)
    slopes = [torch.autograd.grad(value, list(greeks.values())) for value in (one, other)]
    # theta lies on the simplex: its gradient is compared along it, since Pyro normalises the weights.
    along = [slope - (slope * greeks["theta"]).sum() if i == 0 else slope for s in slopes for i, slope in enumerate(s)]
    for a, b in zip(along[: len(greeks)], along[len(greeks) :], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


# A program has the density of the built-in model (tested exactly), and NUTS samples a density (in test_nuts.py).
@pytest.mark.slow
@pytest.mark.parametrize("engine", ["nutpie", "pyro"])
@pytest.mark.statistical(checks=3)
def test_nuts_on_a_program_agrees_with_the_exact_posterior(stat: Stat, engine: str) -> None:
    exact = Exact(num_draws=20_000).fit(GaussianMixture(K=2), ROWS, seed=stat.seed)
    settings = (
        {"num_samples": 400, "warmup_steps": 200} if engine == "nutpie" else {"num_samples": 150, "warmup_steps": 100}
    )
    fit = fit_quietly(NUTS(num_chains=2, engine=engine, **settings), MODEL, ROWS, seed=stat.seed)  # type: ignore[arg-type]
    effect = 0.3 if engine == "nutpie" else 0.5
    for name, of, k in (("θ", "theta", 0), ("μ", "mu_X", 0), ("μ", "mu_X", 1)):
        draws = stat.thinned(fit.draws[name][:, k].reshape(2, -1))
        stat.same_distribution(draws, exact.draws[of][:, k], min_effect=effect)
    with stat.control():
        stat.same_distribution(draws + exact.draws["mu_X"][:, 1].std().item() * 2, exact.draws["mu_X"][:, 1])


@pytest.mark.parametrize(
    "estimator",
    [
        pytest.param(EM(num_starts=2), id="EM"),
        pytest.param(MAP(num_starts=2, num_steps=2), id="MAP", marks=pytest.mark.slow),
        pytest.param(NUTS(num_samples=2, warmup_steps=2, num_chains=1), id="NUTS", marks=pytest.mark.slow),
    ],
)
def test_the_structure_is_found_once_per_fit(monkeypatch: pytest.MonkeyPatch, estimator: EM | MAP | NUTS) -> None:
    from estimators.programs import marginal as module

    calls: list[object] = []
    structure_of = module.structure_of
    monkeypatch.setattr(module, "structure_of", lambda *given: calls.append(given) or structure_of(*given))
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

    fit = EM(num_starts=2).fit(PyroModel(required, order_by="μ"), ROWS, seed=0)
    np.testing.assert_allclose(fit["μ"], [0.5, 11.0], atol=1e-6)
    for each in (fit, replace(fit, model=PyroModel(marked, order_by="μ"))):
        np.testing.assert_allclose(each.log_density(ROWS), fit_of_rows().log_density(ROWS), atol=1e-6)
        assert each.do(Z=1).sample(4, seed=0)["X"].shape == (4,)
    narrow = EM(num_starts=2).fit(PyroModel(marked, order_by="μ"), {**ROWS, "scale": 0.5}, seed=0)
    assert float(narrow.do(Z=1).quantile("X", 0.975)) == pytest.approx(11.0 + 0.5 * float(norm.isf(0.025)), abs=1e-5)


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
    one, other = (EM(num_starts=2).fit(model, mixed, seed=0) for model in (MODEL, GaussianMixture(K=2)))
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


@pytest.mark.parametrize(
    "estimator",
    [
        pytest.param(EM(num_starts=1), id="EM"),
        pytest.param(MAP(num_starts=1, num_steps=2), id="MAP"),
    ],
)
@pytest.mark.slow
def test_weights_count_rows_in_a_fit(estimator: EM | MAP) -> None:
    weighted = Data(X=TUTORIAL_ROWS, weights=[1, 2, 1, 3, 1])
    repeated = Data(X=[0.0, 1.0, 1.0, 10.0, 11.0, 11.0, 11.0, 12.0])
    one, other = estimator.fit(MODEL, weighted, seed=0), estimator.fit(MODEL, repeated, seed=0)
    for name in one.draws:
        np.testing.assert_allclose(one[name], other[name], atol=1e-7)


def test_weights_count_rows() -> None:
    """The likelihood that every estimator climbs, at any Greeks, with its gradient."""
    weighted = Data(X=TUTORIAL_ROWS, weights=[1, 2, 1, 3, 1])
    repeated = Data(X=[0.0, 1.0, 1.0, 10.0, 11.0, 11.0, 11.0, 12.0])
    found = []
    for data in (weighted, repeated):
        greeks = {"θ": torch.tensor([0.3, 0.7]).double(), "μ": torch.tensor([1.0, 9.0]).double()}
        value = MODEL.marginal(data).log_likelihood({name: each.requires_grad_() for name, each in greeks.items()})
        found.append((value.detach(), *torch.autograd.grad(value, list(greeks.values()))))
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)


# ------------------------------------------------------------------ labels


def test_components_are_ordered_by_the_named_greek_and_moved_together() -> None:
    fit = fit_of_rows()
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
        symmetry = PyroModel(example.fn, order_by=example.order_by).symmetry(example.data(10), example.truth)
        assert symmetry.axes == axes
        assert symmetry.sites == sites
        assert len(symmetry.groups) == 1


def test_an_observed_column_with_gaps_moves_with_the_labels_that_it_depends_on() -> None:
    """b is seen in some rows and depends on z: its table is an axis of the labels, b itself is not renamed."""
    example = EXAMPLES["parameters"]
    model, columns = PyroModel(example.fn, order_by="loc"), dict(example.data(12).columns)
    columns["b"] = torch.where(torch.arange(12) % 3 == 0, -1, columns["b"].long())
    symmetry = model.symmetry(Data(**columns), example.truth)
    assert symmetry.axes == {"loc": (0,), "weights": (0,), "p": (0,)}
    assert symmetry.sites == ("z",)


def test_rows_in_order_of_a_covariate_do_not_hide_an_axis() -> None:
    """Slopes play no part in the first rows, where the covariate is 0."""
    example = EXAMPLES["regressions"]
    data = Data(y=example.data(12).columns["y"], t=[0.0] * 6 + [1.0] * 6)
    symmetry = PyroModel(regressions, order_by="intercept").symmetry(data, example.truth)
    assert set(symmetry.axes) == {"intercept", "slope", "weights"}
    assert len(symmetry.groups) == 1


def test_seen_rows_break_the_symmetry_of_their_labels_alone() -> None:
    example = EXAMPLES["two causes"]
    data = example.data(12)
    seen = torch.full((12,), -1)
    seen[3] = 1
    symmetry = PyroModel(example.fn, order_by="right").symmetry(data.replace(v=seen), example.truth)
    assert sorted(map(sorted, symmetry.groups)) == [[0, 2], [1]]
    assert "[1]" in symmetry.rule


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
        fit = EM(num_starts=1).fit(PyroModel(beta, order_by=order_by), {"x": TUTORIAL_ROWS}, seed=0)
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
        EM(num_starts=1).fit(PyroModel(zero_inflated), EXAMPLES["zero-inflated"].data(20), seed=0).do(count=1)


def test_a_program_may_call_the_number_of_rows_as_it_likes() -> None:
    def program(rows: int) -> None:
        weight = pyro.sample("weight", dist.Beta(2.0, 2.0))
        with pyro.plate("data", rows):
            Z = pyro.sample("Z", dist.Bernoulli(weight))
            pyro.sample("X", dist.Normal(Z, 1.0))

    model = PyroModel(program)
    assert float(Fit.from_greeks(model, {"weight": 0.3}).do(Z=1).mean("X").draws) == 1.0
    assert model.simulate(3, {"weight": 0.3}, seed=0)["X"].shape == (3,)


def test_a_module_is_called_by_the_parameters_of_its_forward() -> None:
    class Mixture(PyroModule):  # type: ignore[misc]
        def forward(self, N: int) -> None:
            tutorial(N)

    fit = EM(num_starts=2).fit(PyroModel(Mixture(), order_by="μ"), ROWS, seed=0)
    np.testing.assert_allclose(fit["μ"], [0.5, 11.0], atol=1e-5)


# ------------------------------------------------------------------ export


def wider(N: int) -> None:
    """The tutorial's Greeks and sites, another likelihood."""
    θ = pyro.sample("θ", dist.Dirichlet(0.5 * torch.ones(2)))
    with pyro.plate("components", 2):
        μ = pyro.sample("μ", dist.Normal(0.0, 10.0))
    with pyro.plate("data", N):
        pyro.sample("X", dist.Normal(μ[pyro.sample("Z", dist.Categorical(θ))], 2.0))


def test_a_fit_is_loaded_with_its_program(tmp_path: Path) -> None:
    fit = fit_of_seen_rows()
    fit.save(tmp_path / "fit.npz")
    loaded = Fit.load(tmp_path / "fit.npz", model=MODEL)
    assert torch.equal(loaded["μ"], fit["μ"])
    torch.testing.assert_close(loaded.log_density(SEEN_ROWS), fit.log_density(SEEN_ROWS), rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"Fit.load\(path, model=PyroModel\(tutorial\)\)"):
        Fit.load(tmp_path / "fit.npz")
    with pytest.raises(ValueError, match="order_by"):
        Fit.load(tmp_path / "fit.npz", model=PyroModel(tutorial))
    with pytest.raises(ValueError, match="not the same program: its Greeks are"):
        Fit.load(tmp_path / "fit.npz", model=PyroModel(confounder, order_by="μ"))
    with pytest.raises(ValueError, match="not the same program: at the first draw the saved rows have log-likelihood"):
        Fit.load(tmp_path / "fit.npz", model=PyroModel(wider, order_by="μ"))
    with pytest.raises(TypeError, match="PyroModel"):
        Fit.load(tmp_path / "fit.npz", model=GaussianMixture(K=2))  # type: ignore[arg-type]


def test_scalars_and_covariates_survive_storage(tmp_path: Path) -> None:
    data, truth = EXAMPLES["regressions"].data(20), EXAMPLES["regressions"].truth
    draws = {name: value[None] for name, value in truth.items()}
    fit = Fit(PyroModel(regressions, order_by="slope"), "ml", draws, 1, Status.CONVERGED, {"seed": 0}, data=data)
    fit.save(tmp_path / "fit.npz")
    loaded = Fit.load(tmp_path / "fit.npz", model=PyroModel(regressions, order_by="slope"))
    assert loaded.data is not None
    assert dict(loaded.data.scalars) == {"power": 1}
    torch.testing.assert_close(loaded.log_density(data), fit.log_density(data), rtol=0, atol=0)
