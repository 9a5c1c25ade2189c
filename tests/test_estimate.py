"""An estimate: value, sd, Monte Carlo error and interval are those of its draws, chain by chain."""

import arviz
import numpy as np
import pytest
import torch

from estimators import Estimate, Exact, GaussianMixture
from tests.models import TUTORIAL_ROWS


def mcse_of(draws: torch.Tensor) -> float:
    """ArviZ's, of two chains; with numba installed it is an array of one number."""
    return float(np.ravel(arviz.mcse(draws.numpy().reshape(2, -1), method="mean"))[0])


def test_an_estimate_is_its_draws() -> None:
    draws = torch.from_numpy(np.random.default_rng(0).standard_normal(200))
    estimate = Estimate(draws, num_chains=2)
    assert estimate.value.item() == pytest.approx(draws.numpy().mean(), rel=1e-12)
    assert estimate.sd.item() == pytest.approx(draws.numpy().std(ddof=1), rel=1e-12)
    assert estimate.mcse == pytest.approx(mcse_of(draws), rel=1e-12)
    skewed = torch.from_numpy(np.random.default_rng(1).exponential(size=200) ** 3).cumsum(0) % 7.0
    assert Estimate(skewed, num_chains=2).mcse == pytest.approx(mcse_of(skewed), rel=1e-12)
    assert Estimate(torch.ones(10).double()).mcse == 0.0
    for level in (0.5, 0.9, 0.99):
        low, high = estimate.interval(level)
        expected = np.quantile(draws.numpy(), [(1 - level) / 2, (1 + level) / 2])
        np.testing.assert_allclose([low.item(), high.item()], expected, rtol=1e-12)
    assert "200 draws" in repr(estimate)


def test_one_quantity_is_a_number_where_one_is_asked() -> None:
    estimate = Estimate(torch.tensor([1.0, 2.0]).double())
    assert float(estimate) == 1.5 and f"{estimate:.2f}" == "1.50" and f"{estimate}" == str(estimate)
    with pytest.raises(TypeError, match=r"one quantity for a float, got values of shape \(3,\); its .value"):
        float(Estimate(torch.ones(5, 3)))


def test_an_estimate_per_row() -> None:
    draws = torch.from_numpy(np.random.default_rng(0).standard_normal((50, 3)))
    estimate = Estimate(draws)
    assert estimate.value.shape == estimate.sd.shape == (3,)
    low, high = estimate.interval()
    np.testing.assert_allclose(low, np.quantile(draws.numpy(), 0.05, axis=0), rtol=1e-12)
    np.testing.assert_allclose(high, np.quantile(draws.numpy(), 0.95, axis=0), rtol=1e-12)


def test_the_spread_of_a_fit_is_that_of_its_draws() -> None:
    fit = Exact(num_draws=500).fit(GaussianMixture(K=2), {"X": TUTORIAL_ROWS}, seed=0)
    mean = fit.do(Z=1).mean("X")
    table = fit.summary(level=0.9)
    assert mean.value.item() == pytest.approx(table.loc["mu_X[1]", "mean"], rel=1e-12)
    assert mean.sd.item() == pytest.approx(table.loc["mu_X[1]", "sd"], rel=1e-12)
    bounds = [bound.item() for bound in mean.interval(0.9)]
    np.testing.assert_allclose(bounds, table.loc["mu_X[1]", ["lower", "upper"]].to_numpy(float), rtol=1e-12)
