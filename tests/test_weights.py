"""A weight is a count: weighted rows are repeated rows, and rows of weight zero are not there."""

import itertools
from dataclasses import replace

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch

from estimators import EM, MAP, NUTS, Data, Fit, GaussianMixture, PyroModel
from estimators.algorithms.protocol import Estimator
from tests.models import TUTORIAL_ROWS, fit_quietly

MODEL = GaussianMixture(K=2)
CLIMBERS: dict[str, Estimator] = {"EM": EM(num_starts=3), "MAP": MAP(num_starts=3, num_steps=5)}
SAMPLER = NUTS(num_samples=6, warmup_steps=10, num_chains=1)
# Both ends are stationary to this gradient, in units of the column's scale.
CLOSE = {"rtol": 1e-6, "atol": 1e-6}


def same(first: Fit, second: Fit) -> None:
    assert first.status is second.status
    for name, value in first.draws.items():
        torch.testing.assert_close(second.draws[name], value, **CLOSE)


@pytest.mark.parametrize("estimator", CLIMBERS.values(), ids=CLIMBERS)
def test_weighted_rows_are_repeated_rows(estimator: Estimator) -> None:
    """A component of 20 rows in 10020 is small and no boundary, also where four weighted rows stand for all."""
    column, weights = [-0.5, 0.5, 19.5, 20.5], [5000, 5000, 10, 10]
    weighted = estimator.fit(MODEL, Data(X=column, weights=weights), seed=0)
    repeated = estimator.fit(MODEL, Data(X=np.repeat(column, weights)), seed=0)
    same(weighted, repeated)


@pytest.mark.parametrize("zeros", [3, 20_000, 200_000])
@pytest.mark.parametrize("estimator", CLIMBERS.values(), ids=CLIMBERS)
def test_rows_of_weight_zero_are_not_there(estimator: Estimator, zeros: int) -> None:
    column = np.concatenate([np.linspace(-50.0, 50.0, zeros), TUTORIAL_ROWS])
    weights = [0.0] * zeros + [1.0] * 5
    same(
        estimator.fit(MODEL, Data(X=TUTORIAL_ROWS), seed=0),
        estimator.fit(MODEL, Data(X=column, weights=weights), seed=0),
    )


@pytest.mark.parametrize("zeros", [3, 200_000])
def test_few_of_many_rows_count_for_a_sampler(zeros: int) -> None:
    column = np.concatenate([np.linspace(-50.0, 50.0, zeros), TUTORIAL_ROWS])
    fit = fit_quietly(SAMPLER, MODEL, Data(X=column, weights=[0.0] * zeros + [1.0] * 5), seed=0)
    assert bool(torch.isfinite(fit.draws["mu_X"]).all())


def test_hidden_rows_of_weight_zero_leave_free_labels() -> None:
    """Components 1 and 2 are seen nowhere, and no row that counts is hidden."""
    data = Data(X=TUTORIAL_ROWS, Z=[-1, -1, 0, 0, 0], weights=[0, 0, 1, 1, 1])
    for estimator in (*CLIMBERS.values(), SAMPLER):
        fit = fit_quietly(estimator, GaussianMixture(K=3), data, seed=0)
        assert bool(torch.isfinite(fit.draws["mu_X"]).all())


# ------------------------------------------------------------------ one row that counts far more than the others

ROWS = np.array([0.0, 1.0, 3.0, 9.0, 10.0, 12.0])


def by_brute_force(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best end of plain EM in extended precision from every pair of rows, ascending: means and weights."""
    x, w = ROWS.astype(np.longdouble), weights.astype(np.longdouble)
    ends = []
    for pair in itertools.combinations(x, 2):
        mu, theta = np.array(pair), np.full(2, 0.5, dtype=np.longdouble)
        for _ in range(2000):
            log = np.log(theta) - 0.5 * (x[:, None] - mu) ** 2
            shares = np.exp(log - log.max(1, keepdims=True))
            value = (w * (log.max(1) + np.log(shares.sum(1)))).sum()
            sums = w[:, None] * shares / shares.sum(1, keepdims=True)
            before, mu, theta = mu, (sums * x[:, None]).sum(0) / sums.sum(0), sums.sum(0) / w.sum()
            if np.abs(mu - before).max() < 1e-17:
                break
        ends.append((value, mu, theta))
    _, mu, theta = max(ends, key=lambda end: end[0])
    return mu.astype(float), theta.astype(float)


@pytest.mark.parametrize("heavy", [0, 2, 5])
@pytest.mark.parametrize("weight", [1e3, 1e9, 1e15])
def test_one_heavy_row_does_not_take_every_component(weight: float, heavy: int) -> None:
    weights = np.where(np.arange(6) == heavy, weight, 1.0)
    fit = EM().fit(MODEL, Data(X=ROWS, weights=weights), seed=0, search=None)
    mu, theta = by_brute_force(weights)
    np.testing.assert_allclose(fit["mu_X"], mu, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(fit["theta"], theta, rtol=1e-6)
    assert fit.status.name == "CONVERGED"
    one = EM().fit(GaussianMixture(1), Data(X=ROWS, weights=weights), seed=0, search=None)
    assert float(one["mu_X"]) == pytest.approx(float((weights * ROWS).sum() / weights.sum()), rel=1e-12, abs=1e-14)


# ------------------------------------------------------------------ programs


def shifted(x: torch.Tensor, N: int) -> None:
    theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
    with pyro.plate("components", 2):
        mu = pyro.sample("mu", dist.Normal(0.0, 10.0))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        pyro.sample("y", dist.Normal(mu[z] + 0.5 * x, 1.0))


def alone(N: int) -> None:
    shifted(torch.zeros(N, dtype=torch.float64), N)


@pytest.mark.parametrize(
    ("takes_columns", "zeros"),
    [
        (True, 1),
        *(pytest.param(takes, zeros, marks=pytest.mark.slow) for takes in (True, False) for zeros in (2, 5)),
    ],
)
def test_a_program_whose_first_rows_have_weight_zero(takes_columns: bool, zeros: int) -> None:
    """Its structure is found on a few rows, be they of weight zero; answers are of the rows that count."""
    y, x = [0.0, 0.5, -0.5, 10.0, 11.0, 9.5], [1.0, 2.0, 0.0, 1.0, 3.0, 2.0]
    columns = {"y": y, "x": x} if takes_columns else {"y": y}
    front = {name: [99.0] * zeros + column for name, column in columns.items()}
    model = PyroModel(shifted if takes_columns else alone, order_by="mu")
    estimator, weights = EM(num_starts=1), [0.0] * zeros + [1.0] * 6
    weighted = estimator.fit(model, Data(**front, weights=weights), seed=0)
    plain = estimator.fit(model, Data(**columns), seed=0)
    same(weighted, plain)
    # The same Greeks on rows that a fit had not left out: an average over x is of those that count.
    given = Data(**front, weights=weights)
    known = replace(plain, data=given)
    y_mean, z_mean = plain.do(z=1).mean("y").draws, plain.given(y=5.0).mean("z").draws
    shares, densities = plain.responsibilities(columns), plain.log_density(columns)
    for fit in (weighted, known):
        np.testing.assert_allclose(fit.do(z=1).mean("y").draws, y_mean, rtol=1e-9)
        np.testing.assert_allclose(fit.given(y=5.0).mean("z").draws, z_mean, rtol=1e-9)
        assert max(fit.do(z=1).sample(50, seed=0)["y"].tolist()) < 30.0
        assert fit.program(3)["y"].shape == (3,)
        np.testing.assert_allclose(fit.responsibilities(given)[zeros:], shares, rtol=1e-9)
        np.testing.assert_allclose(fit.log_density(given)[zeros:], densities, rtol=1e-9)
