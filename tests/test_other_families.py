"""Families of one's own, neither Gaussian nor discrete, or not linear: answered as what their distribution says."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from pyro.ops.indexing import Vindex
from scipy import stats
from torch import Tensor

from estimators import CausalMixture, Data, Fit
from estimators.mechanisms import Gaussian, LinearGaussian, Poisson
from estimators.parameters.distributions import CountingPoisson


class Waiting(Poisson):
    """``x | Z = k ~ Exponential(rate_k)``: the Greeks of a Poisson, and a continuous variable."""

    def distribution(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> Any:
        return dist.Exponential(Vindex(greeks["rate"])[..., cell])

    def check(self, name: str, column: Tensor) -> Tensor:
        return column.double()


class CountRegression(LinearGaussian):
    """``x | Z = k, t ~ Poisson(exp(beta_k · (1, t)))``: a regression that is not Gaussian."""

    is_gaussian = False

    def distribution(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> Any:
        return CountingPoisson(self.mean(greeks, cell, inputs).exp())  # type: ignore[no-untyped-call]


WAITING = CausalMixture(2, {"W": Waiting(), "Y": LinearGaussian(parents=["W"], scale=0.5), "X": Gaussian(scale=1.0)})
GREEKS = {"theta": [0.4, 0.6], "rate_W": [0.5, 2.0], "beta_Y": [[0.0, 1.0], [1.0, -1.0]], "mu_X": [0.0, 3.0]}
COUNTS = CausalMixture(2, {"T": Gaussian(), "N": CountRegression(parents=["T"], scale=1.0)})
COUNT_GREEKS = {
    "theta": [0.4, 0.6],
    "mu_T": [0.0, 1.0],
    "sigma_T": [0.5, 0.3],
    "beta_N": [[0.5, -1.0], [1.0, -0.5]],
}


def test_a_continuous_family_has_quantiles_between_whole_numbers() -> None:
    query = Fit.from_greeks(WAITING, GREEKS).do(Z=0)
    levels = [0.1, 0.5, 0.9]
    np.testing.assert_allclose(query.quantile("W", levels), stats.expon.ppf(levels, scale=2.0), rtol=1e-9)
    assert float(query.mean("W").value) == pytest.approx(2.0, rel=1e-12)
    assert query.cdf("W", [-1.0, 0.0]).tolist() == [0.0, 0.0]
    assert float(query.log_density("W", -1.0)) == -np.inf
    both = Fit.from_greeks(WAITING, GREEKS).do(X=0.0)
    below = 0.4 * stats.expon.cdf(1.2, scale=2.0) + 0.6 * stats.expon.cdf(1.2, scale=0.5)
    assert float(both.cdf("W", 1.2)) == pytest.approx(below, rel=1e-12)
    assert float(both.quantile("W", below)) == pytest.approx(1.2, rel=1e-9)


def test_a_continuous_cause_is_integrated_not_summed() -> None:
    fit = Fit.from_greeks(WAITING, GREEKS)
    found = fit.do(X=0.0).mean("Y")
    expected = 0.4 * 2.0 + 0.6 * (1.0 - 0.5)
    assert found.error is not None and float(found.error) < 0.05
    assert abs(float(found.value) - expected) < 5.0 * float(found.error)
    grid = 0.001 * (np.arange(40_000) + 0.5)
    joint = np.array(
        [
            0.4 * stats.expon.pdf(grid, scale=2.0) * stats.norm.pdf(0.7, grid, 0.5),
            0.6 * stats.expon.pdf(grid, scale=0.5) * stats.norm.pdf(0.7, 1.0 - grid, 0.5),
        ]
    )
    given = fit.given(Y=0.7)
    for name, right in {"W": (joint * grid).sum(), "X": 3.0 * joint[1].sum()}.items():
        answer = given.mean(name)
        assert answer.error is not None
        assert abs(float(answer.value) - right / joint.sum()) < 5.0 * float(answer.error)
    density = given.log_density("W", 0.4)
    assert density.error is not None
    right = joint[:, 399:401].mean(1).sum() / (0.001 * joint.sum())
    assert abs(float(density) - np.log(right)) < 5.0 * float(density.error) + 1e-5
    rows = given.sample(2000, seed=0)
    assert float(rows["W"].mean()) == pytest.approx(float(given.mean("W").value), abs=0.05)


def test_a_gaussian_cause_of_another_family_is_integrated() -> None:
    fit = Fit.from_greeks(COUNTS, COUNT_GREEKS)
    found = fit.do(Z=0).mean("N")
    assert found.error is None
    assert float(found.value) == pytest.approx(np.exp(0.5 + 0.125), rel=1e-9)
    # A setting is integrated by quadrature: E exp(-T) of an exponential of rate λ is λ/(λ + 1).
    law = dist.Exponential(torch.tensor(2.0, dtype=torch.float64))
    set_at_random = fit.do(Z=0, T=law).mean("N")
    assert set_at_random.error is None
    assert float(set_at_random.value) == pytest.approx(np.exp(0.5) * 2.0 / 3.0, rel=1e-9)
    assert float(fit.do(Z=0, T=1.0).quantile("N", 0.5)) == stats.poisson.ppf(0.5, np.exp(-0.5))


def test_counterfactuals_of_a_continuous_family_keep_its_probability() -> None:
    model = CausalMixture(1, {"T": Poisson(), "W": Waiting(), "X": Gaussian(scale=1.0)})
    fit = Fit.from_greeks(model, {"theta": [1.0], "rate_T": [1.0], "rate_W": [2.0], "mu_X": [0.0]})
    same = fit.counterfactual(Data(T=[1.0], W=[0.3], X=[0.0]), do={"X": 1.0}).mean("W")
    assert same.value.tolist() == [0.3]
    two = Fit.from_greeks(WAITING, GREEKS)
    moved = two.counterfactual(Data(W=[0.3], Y=[0.1], X=[0.2], Z=[0]), do={"Z": 1}).mean("W")
    assert moved.error is None
    assert float(moved.value) == pytest.approx(0.3 * 0.5 / 2.0, rel=1e-9)
