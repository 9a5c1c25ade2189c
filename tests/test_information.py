"""The observed information: it is the Hessian of the marginal, not of the E-step's J, and Laplace draws follow it."""

import math
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy.stats import norm

from estimators import EM, MAP, CausalMixture, Data, EstimationError, EstimationWarning, GaussianMixture, PyroModel
from estimators.contract import Objective, log_joint, log_likelihood
from estimators.mechanisms import Gaussian, LinearGaussian
from estimators.modes.student import Student
from estimators.optimise.curvature import Curvature, curvature, observed_information, rough_curvature
from estimators.programs.density import ProgramDensity
from tests.models import MODELS, mixed_rows, rows_of
from tests.objectives import objective_of
from validation.testing import Stat


def test_one_gaussian_has_the_textbook_information() -> None:
    model = GaussianMixture(K=1, scale=2.0, loc_scale=10.0)
    data = Data(X=[1.0, 2.0, 6.0])
    objective = objective_of(model, data)
    spread = float(data.columns["X"].std(correction=0))
    found = observed_information(objective, np.zeros(1))
    assert found[0, 0] == pytest.approx((3 / 4 + 1 / 100) * spread**2, rel=1e-6)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_it_is_minus_the_hessian_by_differences_of_the_value(model: CausalMixture) -> None:
    objective = objective_of(model, mixed_rows(model))
    point = np.random.default_rng(0).standard_normal(objective.size) * 0.3
    found = observed_information(objective, point)
    step = 1e-3
    eye = step * np.eye(objective.size)
    for i in range(objective.size):
        for j in range(objective.size):
            corners = [objective.value((point + a * eye[i] + b * eye[j])[None])[0] for a in (1, -1) for b in (1, -1)]
            by_value = -(corners[0] - corners[1] - corners[2] + corners[3]) / (4 * step**2)
            assert found[i, j] == pytest.approx(by_value, rel=1e-3, abs=1e-3 * np.abs(found).max())


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("size", [1.0, 1e-4])
def test_one_difference_ahead_has_it_to_a_hundredth(model: CausalMixture, size: float) -> None:
    """In units of each coordinate's own sd, also where a difference has to be much shorter than elsewhere."""
    rows = mixed_rows(model)
    objective = objective_of(model, rows.replace(weights=torch.full((rows.num_rows,), size**-2, dtype=torch.float64)))
    point = np.random.default_rng(0).standard_normal(objective.size) * 0.3
    exact, rough = (measured(objective, point) for measured in (curvature, rough_curvature))
    unit = np.outer(exact.unit, exact.unit)
    np.testing.assert_allclose(rough.information * unit, exact.information * unit, rtol=0, atol=1e-2)
    assert rough.is_flat.sum() == exact.is_flat.sum()


def test_missing_labels_cost_information() -> None:
    """With overlapping components the observed information is below the complete-data one, and sds are larger."""
    model = GaussianMixture(K=2, concentration=2.0)
    drawn = model.simulate(400, {"theta": [0.5, 0.5], "mu_X": [-1.0, 1.0]}, seed=0)
    hidden, seen = Data(X=drawn["X"]), Data(X=drawn["X"], Z=drawn["Z"])
    fit = MAP(num_starts=10, num_steps=20).fit(model, hidden, seed=0)
    at = {name: fit[name].numpy() for name in fit.draws}
    sds = []
    for data in (hidden, seen):
        objective = objective_of(model, data)
        information = observed_information(objective, objective.density.unconstrain(at))
        sds.append(np.sqrt(np.diag(np.linalg.inv(information))))
    assert (sds[0] > 1.5 * sds[1]).all()


EQUAL = CausalMixture(2, {"X": Gaussian(loc=[0.0, 0.0], scale=1.0)})
TWICE = CausalMixture(1, {"T": Gaussian(), "U": Gaussian(), "Y": LinearGaussian(parents=["T", "U"])})


def columns(num_rows: int, seed: int) -> dict[str, np.ndarray]:
    """Y depends on T and on U, which are next to the same thing, and X is pure noise."""
    T, U, X, noise = np.random.default_rng(seed).normal(size=(4, num_rows))
    return {"T": T, "U": 2.0 * T + 1e-3 * U, "X": X, "Y": 3.0 * T + noise}


def flat_directions(model: CausalMixture, greeks: dict[str, object], data: Data, measured: Any = curvature) -> int:
    objective = objective_of(model, data, log_likelihood)
    point = objective.density.unconstrain({name: value.numpy() for name, value in model.check_greeks(greeks).items()})
    return int(measured(objective, point).is_flat.sum())


@pytest.mark.parametrize("num_rows", [2, 3, 8, 50, 1000, 100_000])
def test_flatness_is_judged_against_rounding_not_zero(num_rows: int) -> None:
    """Equal components: the likelihood does not depend on theta, but its computed differences are seldom exactly 0."""
    for seed in range(3 if num_rows > 1000 else 12):
        data = Data(X=columns(num_rows, seed)["X"] * 10.0**seed)
        greeks = {"theta": [0.3 + 0.04 * seed, 0.7 - 0.04 * seed]}
        assert [flat_directions(EQUAL, greeks, data, way) for way in (curvature, rough_curvature)] == [1, 1]


@pytest.mark.parametrize("num_rows", [20, 1000, 100_000])
def test_what_is_not_flat_is_not_taken_for_it(num_rows: int) -> None:
    """The control: components a hundredth of an sd apart tell the weights, if no more than a hundred rows' worth."""
    for distance in (2.0, 0.01):
        model = CausalMixture(2, {"X": Gaussian(loc=[0.0, distance], scale=1.0)})
        data = Data(X=model.simulate(num_rows, {"theta": [0.4, 0.6]}, seed=3)["X"])
        greeks = {"theta": [0.5, 0.5]}
        assert [flat_directions(model, greeks, data, way) for way in (curvature, rough_curvature)] == [0, 0]


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_next_to_collinear_causes_are_not_flat_and_collinear_ones_are(offset: float) -> None:
    """Two slopes correlated to within 1e-7 are still told apart from the rounding of their information."""
    found = columns(500, seed=0)
    greeks = {"theta": [1.0], "mu_T": [offset], "sigma_T": [1.0], "mu_U": [0.0], "sigma_U": [2.0], "sigma_Y": [1.0]}
    rows = {"T": found["T"] + offset, "Y": found["Y"]}
    for U, expected in ((found["U"], 0), (2.0 * found["T"], 1)):
        slopes = [-3.0 * offset, 3.0, 0.0]
        assert flat_directions(TWICE, {**greeks, "beta_Y": [slopes]}, Data(U=U, **rows)) == expected


@pytest.mark.parametrize("size", [1e-3, *(pytest.param(size, marks=pytest.mark.slow) for size in (1.0, 1e6))])
def test_a_program_is_judged_as_a_mixture_is(size: float) -> None:
    """Neither of two numbers of which only the sum matters is told, in whatever unit the column is."""

    def together(N: int) -> None:
        first = pyro.sample("first", dist.Normal(0.0, 10.0 * size))
        second = pyro.sample("second", dist.Normal(0.0, 10.0 * size))
        with pyro.plate("rows", N):
            Z = pyro.sample("Z", dist.Bernoulli(0.5))
            pyro.sample("X", dist.Normal(first + second + size * Z, size))

    model = PyroModel(together)
    marginal = model.marginal(Data(X=size * columns(60, seed=1)["X"]))
    for combination, expected in ((log_likelihood, 1), (log_joint, 0)):
        objective = Objective(ProgramDensity(marginal), combination)
        assert int(curvature(objective, np.array([0.1, -0.3]) * size).is_flat.sum()) == expected


def test_newton_leaves_a_flat_direction_alone() -> None:
    """The answer along it would be rounding over rounding: another one on another processor."""
    objective = objective_of(EQUAL, Data(X=columns(50, seed=0)["X"]), log_likelihood)
    found = curvature(objective, np.array([0.3]))
    assert found.is_flat.all()
    assert found.newton_step(np.array([1e-15])).tolist() == [0.0]
    assert found.way_up() is None


@pytest.mark.statistical(checks=2, min_effect=0.06)
def test_laplace_draws_have_the_covariance_they_should(stat: Stat) -> None:
    model = GaussianMixture(K=2, concentration=2.0)
    data = rows_of(model, 300, separation=8.0)
    point = EM(num_starts=4).fit(model, data, seed=0)
    fit = point.laplace(num_draws=4000, seed=stat.seed)
    assert (fit.kind, fit.num_draws, fit.stats["seed"]) == ("laplace", 4000, stat.seed)
    rows = 300 * fit.model.marginal(data).responsibilities({n: v[:1] for n, v in point.draws.items()})[0].mean(0)
    for k in (0, 1):
        # Separated classes of known sd 1: mu_k ~ Normal(estimate, 1/n_k).
        scores = (fit.draws["mu_X"][:, k] - point["mu_X"][k]) * rows[k].sqrt()
        stat.cdf(scores, norm.cdf)
        with stat.control():
            stat.cdf(scores * 1.5**0.5, norm.cdf)


def test_laplace_needs_an_interior_mode_and_a_point_fit() -> None:
    with pytest.warns(EstimationWarning):
        fit = MAP(num_starts=10, num_steps=10).fit(GaussianMixture(K=2), {"X": [3.0] * 5}, seed=0)
    with pytest.raises(EstimationError, match="interior"):
        fit.laplace()
    good = EM().fit(GaussianMixture(K=2), {"X": [0.0, 1.0, 10.0]}, seed=0).laplace(10, seed=0)
    with pytest.raises(ValueError, match="point fit"):
        good.laplace()


def test_a_flat_direction_is_an_error_that_says_so() -> None:
    """Only set rows: nothing informs theta under maximum likelihood."""
    model = GaussianMixture(K=2)
    rows = Data(X=[0.0, 1.0, 10.0], Z=[0, 0, 1], intervened={"Z": True})
    with pytest.warns(EstimationWarning, match="NOT_IDENTIFIED: .*theta"):
        fit = EM().fit(model, rows, seed=0)
    with pytest.raises(EstimationError, match="not positive definite"):
        fit.laplace()


def test_the_direction_that_is_refused_is_the_one_that_is_named() -> None:
    """The smallest curvature is well known here, and a larger one is not."""
    curve = Curvature(np.eye(2), np.zeros((2, 2)), np.ones(2), np.array([0.5, 1.5]), np.eye(2), np.array([1e-9, 0.4]))
    assert curve.is_flat.tolist() == [False, True]
    with pytest.raises(EstimationError, match=r"eigenvalue 1\.5, rounding error 0\.4"):
        Student.about(np.zeros(2), curve)


def test_the_mode_is_not_among_the_draws_and_the_seed_decides() -> None:
    model = GaussianMixture(K=2)
    fit = EM().fit(model, {"X": [0.0, 1.0, 10.0, 11.0, 12.0]}, seed=0)
    first, second = fit.laplace(50, seed=3), fit.laplace(50, seed=3)
    assert torch.equal(first.draws["mu_X"], second.draws["mu_X"])
    assert not bool((first.draws["mu_X"] == fit["mu_X"]).all(1).any())
    assert math.isfinite(float(first.do(Z=1).mean("X").interval(0.9)[0]))
