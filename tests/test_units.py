"""Several rows a unit: the rows of one unit share one Z, and everything that is said of rows is said of units."""

from itertools import product
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy.special import logsumexp
from torch import Tensor

from estimators import EM, CausalMixture, Data
from estimators.estep.units import above_latent
from estimators.mechanisms import Bernoulli, Gate, Gaussian, LinearGaussian, Logistic, Poisson
from tests.mechanism_models import random_greeks

TREATED = {"T": Bernoulli(), "Y": LinearGaussian(parents=["T"])}
MODELS = {
    "theta": CausalMixture(2, TREATED),
    "a table of causes": CausalMixture(2, {"W": Bernoulli(), **TREATED}, latent_parents=["W"]),
    "a gate": CausalMixture(
        2,
        {"A": Gaussian(dist.Normal(0.0, 1.0), 1.0), "T": Logistic(["A", "B"]), "Y": Poisson(parents=["V"])},
        latent=Gate(["A"]),
        covariates={"B": None, "V": 2},
    ),
}


def visits(model: CausalMixture, num_units: int, seed: int, most: int = 4, **options: Any) -> Data:
    """Rows of units with up to so many each, in any order, under labels of text; causes of Z are one value a unit."""
    rng = np.random.default_rng(seed)
    unit = rng.permutation(np.repeat(np.arange(num_units), rng.integers(1, most + 1, num_units)))
    first = np.unique(unit, return_index=True)[1][unit]
    columns: dict[str, Any] = {}
    for name, mechanism in model.mechanisms.items():
        levels = mechanism.num_levels
        values = rng.normal(size=len(unit)) if levels is None else rng.integers(0, levels, len(unit)) * 1.0
        if isinstance(mechanism, Poisson | Logistic):
            values = rng.integers(0, 2, len(unit)) * 1.0
        columns[name] = values[first] if name in above_latent(model.weights, model.nodes) else values
    return Data(columns, unit=[f"patient {number}" for number in unit], **options)


def by_allocations(model: CausalMixture, data: Data, greeks: dict[str, Tensor]) -> float:
    """log p(rows | φ), the sum over every allocation of the units to classes; what is above Z counts once a unit."""
    given = model.check(data)
    assert given.unit is not None
    of_row, first = given.unit.of_row, given.unit.first
    columns = {name: given.columns[name] for name in model.nodes}
    above, latent = above_latent(model.weights, model.nodes), given.latent()
    logs = []
    for allocation in product(range(model.K), repeat=given.num_units):
        z = torch.tensor(allocation)
        if bool(((latent >= 0) & (latent != z[of_row])).any()):
            continue
        weights = model.weights.distribution(greeks, columns)
        chosen = weights.expand([given.num_rows]).log_prob(z[of_row])[first]
        total = float(chosen[~given.is_set("Z")[first]].sum())
        for name, node in model.nodes.items():
            if node.mechanism.is_covariate:
                continue
            by_row = node.distribution(greeks, z[of_row], columns).log_prob(columns[name])
            by_row = torch.where(given.is_set(name), 0.0, by_row)
            total += float((by_row[first] if name in above else by_row).sum())
        logs.append(total)
    return float(logsumexp(logs))


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_likelihood_is_the_sum_over_every_allocation_of_units(model: CausalMixture) -> None:
    data, greeks = visits(model, 6, 1), random_greeks(model, 2)
    found = float(model.marginal(data).log_likelihood(greeks))
    assert found == pytest.approx(by_allocations(model, data, greeks), rel=1e-12)
    # Not that of rows that have a Z each.
    apart = float(model.marginal(Data(dict(data.columns))).log_likelihood(greeks))
    assert abs(found - apart) > 0.1


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_so_it_is_where_z_is_seen_or_set_in_some_units(model: CausalMixture) -> None:
    data, greeks = visits(model, 6, 3), random_greeks(model, 4)
    assert data.unit is not None
    by_unit = torch.tensor([-1, 0, 1, 1, -1, 0])
    is_set = torch.tensor([False, False, True, False, False, True])
    known = data.replace(Z=data.spread(by_unit)).replace(intervened={"Z": data.spread(is_set)})
    found = float(model.marginal(known).log_likelihood(greeks))
    assert found == pytest.approx(by_allocations(model, known, greeks), rel=1e-12)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_responsibilities_are_of_units(model: CausalMixture) -> None:
    data, greeks = visits(model, 5, 5), random_greeks(model, 6)
    shares = model.marginal(data).responsibilities(greeks)
    assert shares.shape == (5, 2) and torch.allclose(shares.sum(1), torch.ones(5, dtype=torch.float64))
    rows = data.spread(shares)
    assert rows.shape == (data.num_rows, 2)
    assert data.unit is not None
    torch.testing.assert_close(rows, shares[data.unit.of_row])
    # Each unit by itself says the same of it, whatever else there is.
    for number in range(5):
        alone = data.units_at(torch.tensor([number]))
        torch.testing.assert_close(model.marginal(alone).responsibilities(greeks)[0], shares[number])


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_gradient_is_that_of_differences(model: CausalMixture) -> None:
    data = visits(model, 30, 7)
    density = model.density(data)
    at = np.random.default_rng(0).normal(size=density.size) * 0.3
    _, gradients = density.evaluate(at)
    steps = 1e-5 * np.eye(density.size)
    values = density.values(np.concatenate([at + steps, at - steps])).likelihood
    expected = (values[: density.size] - values[density.size :]) / 2e-5
    np.testing.assert_allclose(gradients.likelihood, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_em_never_falls_and_ends_where_the_gradient_is_nothing(model: CausalMixture) -> None:
    data = visits(model, 40, 8)
    density = model.density(data)
    point = density.draw_prior(3, np.random.default_rng(1)) * 0.3
    values = []
    for _ in range(60):
        value, point = density.em_steps(point)
        values.append(value)
    assert (np.diff(np.array(values), axis=0) > -1e-9).all()
    fit = EM(progress_bar=False).fit(model, data, seed=0)
    assert fit.stats["log_likelihood"] >= values[-1].max() - 1e-6
