"""The observed information: it is the Hessian of the marginal, not of the E-step's J, and Laplace draws follow it."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from estimators import EM, MAP, CausalMixture, Data, EstimationError, EstimationWarning, GaussianMixture
from estimators.density import Density
from estimators.information import observed_information
from tests.models import MODELS, mixed_rows, rows_of
from validation.statistical import Stat


def test_one_gaussian_has_the_textbook_information() -> None:
    model = GaussianMixture(K=1, scale=2.0, loc_scale=10.0)
    data = Data(X=[1.0, 2.0, 6.0])
    density = Density(model, model.marginal(data))
    spread = float(data.columns["X"].std(correction=0))
    found = observed_information(density, np.zeros(1))
    assert found[0, 0] == pytest.approx((3 / 4 + 1 / 100) * spread**2, rel=1e-6)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_it_is_minus_the_hessian_by_differences_of_the_value(model: CausalMixture) -> None:
    density = Density(model, model.marginal(mixed_rows(model)))
    point = np.random.default_rng(0).standard_normal(density.size) * 0.3
    found = observed_information(density, point)
    step = 1e-3
    eye = step * np.eye(density.size)
    for i in range(density.size):
        for j in range(density.size):
            corners = [density.value((point + a * eye[i] + b * eye[j])[None])[0] for a in (1, -1) for b in (1, -1)]
            by_value = -(corners[0] - corners[1] - corners[2] + corners[3]) / (4 * step**2)
            assert found[i, j] == pytest.approx(by_value, rel=1e-3, abs=1e-3 * np.abs(found).max())


def test_missing_labels_cost_information() -> None:
    """With overlapping components the observed information is below the complete-data one, and sds are larger."""
    model = GaussianMixture(K=2, concentration=2.0)
    drawn = model.simulate(400, {"theta": [0.5, 0.5], "mu_X": [-1.0, 1.0]}, seed=0)
    hidden, seen = Data(X=drawn["X"]), Data(X=drawn["X"], Z=drawn["Z"])
    fit = MAP(num_starts=10, num_steps=20).fit(model, hidden, seed=0)
    at = {name: fit[name].numpy() for name in fit.draws}
    sds = []
    for data in (hidden, seen):
        density = Density(model, model.marginal(data))
        sds.append(np.sqrt(np.diag(np.linalg.inv(observed_information(density, density.unconstrain(at))))))
    assert (sds[0] > 1.5 * sds[1]).all()


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
    fit = EM().fit(model, Data(X=[0.0, 1.0, 10.0], Z=[0, 0, 1], intervened={"Z": True}), seed=0)
    with pytest.raises(EstimationError, match="not positive definite"):
        fit.laplace()


def test_the_mode_is_not_among_the_draws_and_the_seed_decides() -> None:
    model = GaussianMixture(K=2)
    fit = EM().fit(model, {"X": [0.0, 1.0, 10.0, 11.0, 12.0]}, seed=0)
    first, second = fit.laplace(50, seed=3), fit.laplace(50, seed=3)
    assert torch.equal(first.draws["mu_X"], second.draws["mu_X"])
    assert not bool((first.draws["mu_X"] == fit["mu_X"]).all(1).any())
    assert math.isfinite(float(first.do(Z=1).mean("X").interval(0.9)[0]))
