"""What classes share: pooled estimates, a Pyro program of the same, published fits, and a whole analysis."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch.distributions import constraints

from estimators import EM, MAP, NUTS, SMC, CausalMixture, Data, Exact, Fit, PyroModel, Status
from estimators.mechanisms import (
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    FullGaussian,
    Gaussian,
    LinearGaussian,
    Logistic,
    Mechanism,
    SphericalGaussian,
    StudentT,
)
from estimators.mechanisms.known_or_prior import KnownOrPrior
from tests.mechanism_models import MODELS, hidden_rows, random_greeks
from tests.objectives import by_differences
from tests.refusals import refused

FILES = Path(__file__).parents[1] / "examples" / "data"
# Z → T, Z → Y, T → Y: the effect of T is one number.
CONFOUNDER = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(["T"], shared=True)}, concentration=2.0)
TRUTH: dict[str, Any] = {
    "theta": [0.4, 0.6],
    "p_T": [0.2, 0.8],
    "beta_Y": [[0.0], [4.0]],
    "shared_beta_Y": [-1.0],
    "sigma_Y": 0.7,
}
SHARING = pytest.mark.parametrize(
    "name", [name for name in MODELS if "shared" in name or name in ("tied covariances", "spherical")]
)


def rows(num_rows: int = 400, seed: int = 0) -> Data:
    drawn = CONFOUNDER.simulate(num_rows, TRUTH, seed=seed)
    return Data(T=drawn["T"], Y=drawn["Y"])


def shapes(mechanism: Mechanism, **others: Mechanism) -> dict[str, tuple[int, ...]]:
    model = CausalMixture(2, {**others, "Y": mechanism})
    return {p.name.removesuffix("_Y"): p.shape for p in model.parameters if p.name.endswith("_Y")}


# ------------------------------------------------------------------ names and shapes


def test_a_shared_greek_has_no_axis_for_classes() -> None:
    T, C, X = Bernoulli(), Categorical(3), Gaussian()
    assert shapes(Gaussian(shared=["scale"])) == {"mu": (2,), "sigma": ()}
    assert shapes(Gaussian(parents=["T"], shared=True), T=T) == {"mu": (2, 2), "sigma": ()}
    assert shapes(DiagonalGaussian(3, shared=True)) == {"mu": (2, 3), "sigma": (3,)}
    assert shapes(FullGaussian(3, shared=["covariance"])) == {"mu": (2, 3), "sigma": (3,), "corr": (3, 3)}
    split = {"beta": (2, 2), "shared_beta": (2,), "sigma": (2,)}
    assert shapes(LinearGaussian(["C", "X"], shared=["C"]), C=C, X=X) == split
    assert shapes(StudentT(["X"], shared=True), X=X) == {"beta": (2, 1), "shared_beta": (1,), "sigma": ()}
    assert shapes(Logistic(["X", "T"], shared=False), X=X, T=T) == {"beta": (2, 3)}
    assert shapes(LinearGaussian(["X"], shared=["intercept"]), X=X) == {
        "beta": (2, 1),
        "shared_beta": (1,),
        "sigma": (2,),
    }
    # A whole line is one Greek.
    assert shapes(LinearGaussian(["X", "T"], shared=["intercept", "X", "T"]), X=X, T=T) == {"beta": (3,), "sigma": (2,)}
    # Known coefficients are no Greek, whoever shares them.
    assert shapes(LinearGaussian(["X"], [1.0, 2.0], shared=["X", "scale"]), X=X) == {"sigma": ()}


def test_coefficients_stand_in_the_order_of_the_causes() -> None:
    parts = {"C": Categorical(3), "X": Gaussian(), "Y": LinearGaussian(["X", "C"], scale=1.0, shared=["X"])}
    greeks: dict[str, Any] = {
        "theta": [0.5, 0.5],
        "p_C": [[0.2, 0.3, 0.5]] * 2,
        "mu_X": [0.0, 0.0],
        "sigma_X": [1.0, 1],
    }
    fit = Fit.from_greeks(
        CausalMixture(2, parts), greeks | {"beta_Y": [[1.0, 10.0, 100.0], [2.0, 20.0, 200.0]], "shared_beta_Y": [0.5]}
    )
    for k, c, expected in ((0, 0, 2.0), (0, 2, 102.0), (1, 1, 23.0)):
        assert float(fit.do(Z=k, C=c, X=2.0).mean("Y").value) == pytest.approx(expected)


# ------------------------------------------------------------------ estimates


@pytest.mark.parametrize("is_pooled", [True, False])
def test_with_z_seen_a_shared_slope_is_that_of_least_squares_with_an_intercept_for_each_class(is_pooled: bool) -> None:
    rng = np.random.default_rng(0)
    z, x = np.arange(90) % 3, rng.normal(50.0, 4.0, 90)
    y = np.array([0.0, 5.0, -3.0])[z] + 0.8 * x + np.array([0.5, 1.0, 3.0])[z] * rng.standard_normal(90)
    shared = ["X", "scale"] if is_pooled else ["X"]
    model = CausalMixture(3, {"X": Gaussian(caused_by_latent=False), "Y": LinearGaussian(["X"], shared=shared)})
    fit = EM().fit(model, Data(X=x, Y=y, Z=z), seed=0)
    sigma = np.broadcast_to(fit["sigma_Y"].numpy(), 3)
    design = np.column_stack([z == 0, z == 1, z == 2, x]) / sigma[z][:, None]
    best = np.linalg.lstsq(design, y / sigma[z], rcond=None)[0]
    np.testing.assert_allclose([*fit["beta_Y"][:, 0], *fit["shared_beta_Y"]], best, rtol=1e-8)
    left = (y - best[z] - best[3] * x) ** 2
    expected = left.mean() if is_pooled else [left[z == k].mean() for k in range(3)]
    np.testing.assert_allclose(fit["sigma_Y"], np.sqrt(expected), rtol=1e-8)


@pytest.mark.parametrize("is_whole", [True, False])
def test_with_z_seen_a_shared_intercept_is_that_of_least_squares(is_whole: bool) -> None:
    rng = np.random.default_rng(0)
    z, x = np.arange(90) % 3, rng.normal(5.0, 4.0, 90)
    slopes = np.array([0.8, 0.8, 0.8] if is_whole else [0.5, -1.0, 2.0])
    y = 2.0 + slopes[z] * x + np.array([0.5, 1.0, 3.0])[z] * rng.standard_normal(90)
    shared = ["intercept", "X"] if is_whole else ["intercept"]
    model = CausalMixture(3, {"X": Gaussian(caused_by_latent=False), "Y": LinearGaussian(["X"], shared=shared)})
    fit = EM().fit(model, Data(X=x, Y=y, Z=z), seed=0)
    columns = [np.ones(90), x] if is_whole else [np.ones(90), *(x * (z == k) for k in range(3))]
    design = np.column_stack(columns) / fit["sigma_Y"].numpy()[z][:, None]
    best = np.linalg.lstsq(design, y / fit["sigma_Y"].numpy()[z], rcond=None)[0]
    found = fit["beta_Y"] if is_whole else torch.cat([fit["shared_beta_Y"], fit["beta_Y"][:, 0]])
    np.testing.assert_allclose(found, best, rtol=1e-7)
    names = ["beta_Y[intercept]", "beta_Y[X]"] if is_whole else ["beta_Y[0, X]", "shared_beta_Y[intercept]"]
    assert {*names} <= {*fit.summary().index}


def test_a_variable_of_which_classes_share_all_is_refused() -> None:
    with refused(ValueError, "shared", "all of it", "caused_by_latent=False"):
        Logistic(["X"], shared=["intercept", "X"])
    with refused(ValueError, "shared", "no 'age'", "['X', 'scale', 'intercept']"):
        LinearGaussian(["X"], shared=["age"])
    with refused(ValueError, "shared", "no 'intercept'"):
        Gaussian(shared=["intercept"])


def test_with_z_seen_a_tied_covariance_is_that_within_classes() -> None:
    rng = np.random.default_rng(0)
    z = np.arange(60) % 2
    v = rng.standard_normal((60, 3)) @ rng.standard_normal((3, 3)) + 2.0 * z[:, None]
    within = v - np.stack([v[z == k].mean(0) for k in range(2)])[z]
    expected = within.T @ within / 60
    fit = EM().fit(CausalMixture(2, {"V": FullGaussian(3, shared=True)}), Data(V=v, Z=z), seed=0)
    factor = fit["sigma_V"][:, None] * fit["corr_V"]
    np.testing.assert_allclose(factor @ factor.T, expected, atol=1e-10)
    fit = EM().fit(CausalMixture(2, {"V": DiagonalGaussian(3, shared=True)}), Data(V=v, Z=z), seed=0)
    np.testing.assert_allclose(fit["sigma_V"] ** 2, np.diag(expected), atol=1e-10)
    fit = EM().fit(CausalMixture(2, {"V": SphericalGaussian(3, shared=True)}), Data(V=v, Z=z), seed=0)
    np.testing.assert_allclose(fit["sigma_V"] ** 2, np.diag(expected).mean(), atol=1e-10)
    fit = EM().fit(CausalMixture(2, {"V": SphericalGaussian(3)}), Data(V=v, Z=z), seed=0)
    expected = [(within[z == k] ** 2).mean() for k in range(2)]
    np.testing.assert_allclose(fit["sigma_V"] ** 2, expected, atol=1e-10)


def test_a_covariance_of_faithful_tied_over_three_classes_is_mclusts() -> None:
    """mclust 6.1's EEE, 3 components: -1126.326, where it stops; the maximum is a hundredth above."""
    data = Data(X=np.loadtxt(FILES / "faithful.csv", delimiter=",", skiprows=1))
    tied, free = (EM().fit(CausalMixture(3, {"X": FullGaussian(2, shared=s)}), data, seed=0) for s in (True, False))
    assert tied.status is Status.CONVERGED
    assert -1126.3265 < float(tied.log_density(data).sum()) < -1126.31
    # The control: with covariances of their own it is higher.
    assert float(free.log_density(data).sum()) > -1125.0


# ------------------------------------------------------------------ identities


def program(N: int) -> None:
    one = torch.ones(2, dtype=torch.float64)
    theta = pyro.sample("theta", dist.Dirichlet(2.0 * one))
    with pyro.plate("components", 2):
        p = pyro.sample("p_T", dist.Beta(one, one))
        beta = pyro.sample("beta_Y", dist.Normal(torch.zeros(1), 10.0).to_event(1))
    slope = pyro.sample("shared_beta_Y", dist.Normal(torch.zeros(1), 10.0).to_event(1))
    sigma = pyro.sample("sigma_Y", dist.HalfNormal(5.0))
    with pyro.plate("rows", N):
        z = pyro.sample("Z", dist.Categorical(theta))
        t = pyro.sample("T", dist.Bernoulli(p[z]))
        pyro.sample("Y", dist.Normal(beta[z][..., 0] + slope[..., 0] * t, sigma))


def test_a_program_of_the_same_says_the_same() -> None:
    mixture, data = Fit.from_greeks(CONFOUNDER, TRUTH), rows(50)
    other = Fit(PyroModel(program), "posterior", mixture.draws, 1, Status.CONVERGED, {})
    np.testing.assert_allclose(mixture.log_density(data), other.log_density(data), rtol=1e-9)
    np.testing.assert_allclose(mixture.do(T=1).mean("Y").draws, other.do(T=1).mean("Y").draws, rtol=1e-9)
    np.testing.assert_allclose(mixture.given(Y=1.0).mean("T").draws, other.given(Y=1.0).mean("T").draws, rtol=1e-9)


@SHARING
def test_coordinates_are_of_all_greeks_and_slopes_are_those_of_differences(name: str) -> None:
    model = MODELS[name]
    density = model.density(hidden_rows(model, 60, seed=1))
    at = density.unconstrain({name: value.numpy() for name, value in random_greeks(model, 1).items()})
    greeks = density.constrain(at)
    assert {name: value.shape for name, value in greeks.items()} == {p.name: p.shape for p in model.parameters}
    np.testing.assert_allclose(density.unconstrain(greeks), at, rtol=1e-7, atol=1e-8)
    for gradient, expected in zip(density.evaluate(at)[1], by_differences(density, at), strict=True):
        assert gradient == pytest.approx(expected, rel=1e-5, abs=1e-4)


@SHARING
def test_labels_permute_by_indexing(name: str) -> None:
    model, greeks = MODELS[name], random_greeks(MODELS[name], 2)
    order = list(range(model.K))[::-1]
    moved = {n: v.flip(model.component_axes[n][0]) if n in model.component_axes else v for n, v in greeks.items()}
    data = hidden_rows(model, 40)
    marginal = model.marginal(data)
    np.testing.assert_allclose(marginal.pointwise(moved), marginal.pointwise(greeks), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(
        marginal.responsibilities(moved)[:, order], marginal.responsibilities(greeks), rtol=1e-9, atol=1e-11
    )


def test_a_cause_far_from_0_costs_a_shared_slope_nothing() -> None:
    rng = np.random.default_rng(0)
    z, year = np.arange(200) % 2, rng.integers(1990, 2020, 200).astype(float)
    y = 3.0 * z + 0.1 * (year - 2000.0) + 0.4 * rng.standard_normal(200)
    model = CausalMixture(2, {"X": Gaussian(caused_by_latent=False), "Y": LinearGaussian(["X"], shared=True)})
    near, far = (
        NUTS(num_samples=200, warmup_steps=300).fit(
            model.scaled_to(Data(X=year - at, Y=y)), Data(X=year - at, Y=y), seed=0
        )
        for at in (2000.0, 0.0)
    )
    for fit in (near, far):
        assert fit.status is Status.CONVERGED
    # What the intercepts of two lines far away are, less the slope times the distance, is what they are near.
    moved = far["beta_Y"][:, 0] + 2000.0 * far["shared_beta_Y"]
    np.testing.assert_allclose(moved, near["beta_Y"][:, 0], atol=0.15)


def test_a_covariate_may_have_one_slope_for_all_classes() -> None:
    rng = np.random.default_rng(0)
    z, age = np.arange(120) % 2, rng.normal(40.0, 5.0, 120)
    y = 6.0 * z + 0.3 * age + rng.standard_normal(120)
    model = CausalMixture(2, {"Y": LinearGaussian(["age"], shared=True)}, covariates=["age"])
    fit = EM().fit(model, Data(age=age, Y=y, Z=z), seed=0)
    best = np.linalg.lstsq(np.column_stack([z == 0, z == 1, age]), y, rcond=None)[0]
    np.testing.assert_allclose([*fit["beta_Y"][:, 0], *fit["shared_beta_Y"]], best, rtol=1e-8)
    assert float(fit.contrast("Y", do={"age": 50.0}, versus={"age": 40.0}).value) == pytest.approx(10.0 * best[2])


# ------------------------------------------------------------------ a whole analysis


@pytest.mark.parametrize(
    "estimator", [EM(), MAP(), NUTS(num_samples=200, warmup_steps=200), pytest.param(SMC(), marks=pytest.mark.slow)]
)
def test_every_estimator_finds_the_effect_that_classes_share(estimator: Any, tmp_path: Path) -> None:
    data = rows(800)
    fit = estimator.fit(CONFOUNDER, data, seed=0)
    effect = fit.contrast("Y", do={"T": 1}, versus={"T": 0})
    assert float(effect.value) == pytest.approx(-1.0, abs=0.25)
    np.testing.assert_allclose(effect.draws, fit.draws["shared_beta_Y"][:, 0], atol=1e-12)
    again = (fit.save(tmp_path / "fit"), Fit.load(tmp_path / "fit"))[1]
    assert again.model.mechanisms["Y"].shared is True
    np.testing.assert_array_equal(again["shared_beta_Y"], fit["shared_beta_Y"])
    np.testing.assert_allclose(
        fit.relabel([1, 0]).do(T=1).mean("Y").draws, fit.do(T=1).mean("Y").draws, rtol=1e-12, atol=1e-12
    )
    some = Data(T=[0, 1], Y=[0.5, 2.0])
    changed = fit.counterfactual(some, do={"T": [1, 0]}).mean("Y").draws
    expected = torch.tensor([0.5, 2.0]) + torch.tensor([1.0, -1.0]) * fit.draws["shared_beta_Y"]
    np.testing.assert_allclose(changed, expected, atol=1e-9)


def test_a_point_fit_has_intervals_of_a_shared_slope() -> None:
    fit = EM().fit(CONFOUNDER, rows(800), seed=0)
    ((low, high),) = fit.contrast("Y", do={"T": 1}, versus={"T": 0}).profile(0.9)
    draws = fit.laplace(num_draws=500, seed=0)["shared_beta_Y"]
    assert low < float(draws) < high and high - low < 0.6


@pytest.mark.parametrize(
    "prior", [dist.Uniform(-5.0, 5.0), dist.Laplace(0.0, 2.0), dist.Uniform(torch.tensor([-9.0, -2.0]), 9.0)]
)
def test_a_prior_with_ends_holds_own_and_shared_coefficients(prior: dist.Distribution) -> None:
    model = CausalMixture(2, {"T": Bernoulli(), "Y": LinearGaussian(["T"], prior, scale=1.0, shared=["T"])})
    data = Data(T=rows(60).columns["T"], Y=rows(60).columns["Y"])
    fit = MAP().fit(model, data, seed=0)
    laws = {p.name: p.prior for p in model.parameters}
    assert all(bool(laws[n].support.check(fit[n]).all()) for n in ("beta_Y", "shared_beta_Y"))
    density = model.density(data)
    at = density.unconstrain({name: value.numpy()[0] for name, value in fit.draws.items()})
    slopes = sum(density.evaluate(at)[1])
    ahead, behind = (density.values(at + side * 1e-5 * np.eye(density.size)) for side in (1.0, -1.0))
    np.testing.assert_allclose(slopes, (sum(ahead) - sum(behind)) / 2e-5, atol=1e-4)
    expected = sum(float(laws[n].log_prob(fit[n]).sum()) for n in laws)
    assert float(density.values(at).prior) == pytest.approx(expected, rel=1e-9)


def test_one_class_and_a_law_without_classes_are_what_they_are_alone() -> None:
    x, y = torch.linspace(0.0, 9.0, 40), torch.linspace(1.0, 3.0, 40) + torch.sin(torch.arange(40.0))
    one = CausalMixture(1, {"X": Gaussian(), "Y": LinearGaussian(["X"], shared=True)})
    apart = CausalMixture(1, {"X": Gaussian(), "Y": LinearGaussian(["X"], caused_by_latent=False)})
    fits = [EM().fit(model, Data(X=x, Y=y), seed=0) for model in (one, apart)]
    line = torch.cat([fits[0]["beta_Y"][0], fits[0]["shared_beta_Y"]])
    np.testing.assert_allclose(line, fits[1]["beta_Y"], rtol=1e-8)


def test_exact_integrates_what_has_no_classes_and_refuses_what_it_cannot() -> None:
    parts = {"A": Bernoulli(caused_by_latent=False), "X": Gaussian(scale=1.0)}
    data = Data(A=[0, 1, 1, 1, 0, 1], X=[-3.0, -2.5, 3.0, 2.0, -2.0, 2.5])
    fit = Exact(num_draws=4000).fit(CausalMixture(2, parts, concentration=2.0), data, seed=0)
    assert float(fit["p_A"]) == pytest.approx(5.0 / 8.0, abs=5 * 0.16 / np.sqrt(4000))
    with refused(ValueError, "Exact", "Y", "scale is unknown"):
        Exact().fit(CausalMixture(2, {"Y": Gaussian(shared=True)}), Data(Y=data.columns["X"]), seed=0)


@dataclass(frozen=True, eq=False)
class Hasty(Bernoulli):
    """A family that keeps what it is given by itself."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "parents", ())
        object.__setattr__(self, "given", {"p": KnownOrPrior("prior", self.prior, constraints.unit_interval)})


def test_a_family_of_ones_own_that_does_not_heed_what_is_shared_is_refused() -> None:
    assert [p.name for p in CausalMixture(2, {"T": Hasty()}).parameters] == ["theta", "p_T"]
    with refused(ValueError, "mechanisms['T']", "shared=True is not heeded by Hasty", "self.take"):
        CausalMixture(2, {"T": Hasty(shared=True)})


def test_what_next_to_no_rows_say_is_not_the_rounding_of_the_others():
    """A class of 1e-160 rows, fewer than its numbers: these fit its rows, and what is shared is the other class's."""
    rng = np.random.default_rng(0)
    causes = [f"X{number}" for number in range(6)]
    x, y = rng.normal(size=(6, 60)) + 3.0, rng.normal(size=60)
    model = CausalMixture(2, {**dict.fromkeys(causes, Gaussian()), "Y": LinearGaussian(causes, shared=["X5"])})
    marginal = model.marginal(Data(dict(zip(causes, x, strict=True)) | {"Y": y}))
    at = {name: value.numpy() for name, value in random_greeks(model, 0).items()}
    shares = np.stack([np.where(np.arange(60) < 3, 1e-160, 0.0), np.ones(60)])
    best = marginal.argmax(at, marginal.statistics_given(shares))
    design = np.stack([np.ones(60), *x], 1)
    expected = np.linalg.lstsq(design, y)[0]
    np.testing.assert_allclose([*best["beta_Y"][1], *best["shared_beta_Y"]], expected, rtol=1e-9)
    few = design @ np.append(best["beta_Y"][0], expected[-1])
    np.testing.assert_allclose(few[:3], y[:3], atol=1e-9)
