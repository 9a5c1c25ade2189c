"""Exact: the evidence by quadrature, the posterior by conjugacy, and draws that follow it."""

import math

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import stats

from estimators import CausalMixture, Data, Exact, GaussianMixture
from estimators.mechanisms import Gaussian
from tests.models import TUTORIAL_ROWS
from validation.testing import Stat

# Distances of CDFs that matter, and that 20,000 draws show.
DISTANCE = 0.03


def test_the_evidence_is_the_integral_of_likelihood_times_prior() -> None:
    """Three rows, K = 2, by Gauss quadrature over theta and both means: the integrand is smooth in all three."""
    model = GaussianMixture(K=2, concentration=2.0, scale=1.5, loc_scale=2.0)
    rows = [0.3, 2.0, -1.0]
    nodes, weights = np.polynomial.hermite_e.hermegauss(140)
    weights, means = weights / weights.sum(), 2.0 * nodes
    points, point_weights = np.polynomial.legendre.leggauss(20)
    theta, theta_weights = (points + 1) / 2, point_weights / 2 * stats.beta.pdf((points + 1) / 2, 2, 2)
    likelihood = np.ones((20, 140, 140))
    for x in rows:
        density = stats.norm.pdf(x, means, 1.5)
        likelihood *= theta[:, None, None] * density[:, None] + (1 - theta[:, None, None]) * density[None, :]
    expected = np.einsum("tij,t,i,j->", likelihood, theta_weights, weights, weights)
    found = Exact(num_draws=2).fit(model, {"X": rows}, seed=0).stats["log_evidence"]
    assert found == pytest.approx(math.log(expected), abs=1e-10)


def test_set_and_seen_rows_enter_the_evidence_as_they_should() -> None:
    """One component known in all rows: a seen row adds E[theta_k] to the evidence, a set row does not."""
    model = GaussianMixture(K=2, concentration=1.0, loc_scale=2.0)
    seen = Exact(num_draws=2).fit(model, Data(X=[0.7], Z=[0]), seed=0).stats["log_evidence"]
    chosen = Exact(num_draws=2).fit(model, Data(X=[0.7], Z=[0], intervened={"Z": True}), seed=0).stats["log_evidence"]
    alone = stats.norm.logpdf(0.7, 0.0, math.hypot(1.0, 2.0))
    assert chosen == pytest.approx(alone, abs=1e-12)
    assert seen == pytest.approx(alone + math.log(0.5), abs=1e-12)


@pytest.mark.statistical(min_effect=DISTANCE)
def test_one_component_is_the_conjugate_posterior(stat: Stat) -> None:
    model = CausalMixture(1, {"X": Gaussian(scale=2.0)}, concentration=1.0)
    fit = Exact(num_draws=20_000).fit(model, {"X": [1.0, 3.0, 5.5]}, seed=stat.seed)
    precision = 1 / 100 + 3 / 4
    mean, sd = (9.5 / 4) / precision, precision**-0.5
    stat.cdf(fit.draws["mu_X"][:, 0], stats.norm(mean, sd).cdf)
    with stat.control():  # shifted by a tenth of its sd
        stat.cdf(fit.draws["mu_X"][:, 0], stats.norm(mean + 0.1 * sd, sd).cdf)


@pytest.mark.statistical(min_effect=DISTANCE)
def test_theta_follows_its_marginal_posterior(stat: Stat) -> None:
    """p(theta | x) of K = 2 by quadrature over the means' closed form, against the draws' CDF."""
    model = GaussianMixture(K=2, concentration=[1.0, 3.0], loc_scale=2.0)
    rows = np.array([0.0, 2.5])

    def joint(z: tuple[int, int]) -> tuple[float, tuple[float, float]]:
        value, counts = 0.0, [0, 0]
        for k in (0, 1):
            mine = rows[[n for n in (0, 1) if z[n] == k]]
            counts[k] = len(mine)
            if len(mine):
                value += stats.multivariate_normal.logpdf(mine, np.zeros(len(mine)), np.eye(len(mine)) + 4.0)
        a, b = 1.0 + counts[0], 3.0 + counts[1]
        return value + math.lgamma(a) + math.lgamma(b), (a, b)

    parts = [joint((i, j)) for i in (0, 1) for j in (0, 1)]
    weights = np.exp([value for value, _ in parts])
    weights /= weights.sum()

    def cdf(x: np.ndarray) -> np.ndarray:
        return sum(w * stats.beta.cdf(x, a, b) for w, (_, (a, b)) in zip(weights, parts, strict=True))

    fit = Exact(num_draws=20_000).fit(model, {"X": rows}, seed=stat.seed)
    stat.cdf(fit.draws["theta"][:, 0], cdf)
    with stat.control():  # the prior
        stat.cdf(fit.draws["theta"][:, 0], stats.beta(1, 3).cdf)


def test_draws_are_independent_of_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    from estimators.algorithms import exact as module

    model = GaussianMixture(K=2)
    first = Exact(num_draws=50).fit(model, {"X": TUTORIAL_ROWS}, seed=3)
    monkeypatch.setattr(module, "CHUNK", 7)
    second = Exact(num_draws=50).fit(model, {"X": TUTORIAL_ROWS}, seed=3)
    assert second.stats["log_evidence"] == pytest.approx(first.stats["log_evidence"], rel=1e-13)
    for name in first.draws:
        torch.testing.assert_close(first.draws[name], second.draws[name], rtol=1e-12, atol=1e-12)


@pytest.mark.statistical(min_effect=DISTANCE)
def test_the_posterior_weights_of_labels_are_bayes_rule(stat: Stat) -> None:
    """With means known to lie far apart, p(theta) is a Beta with the counts of the rows."""
    loc = dist.Normal(torch.tensor([-50.0, 50.0]), 1.0)
    model = CausalMixture(2, {"X": Gaussian(loc=loc, scale=1.0)}, concentration=1.0)
    fit = Exact(num_draws=20_000).fit(model, {"X": [-50.0, -51.0, 50.0]}, seed=stat.seed)
    stat.cdf(fit.draws["theta"][:, 0], stats.beta(3, 2).cdf)
    with stat.control():
        stat.cdf(fit.draws["theta"][:, 0], stats.beta(2, 2).cdf)
