"""Every mechanism's samples, CDF and exact evidence, against SciPy and brute force."""

import itertools
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import stats
from scipy.integrate import dblquad, quad
from scipy.special import gammaln, logsumexp

from estimators import CausalMixture, Data, Exact
from estimators.mechanisms import (
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    FullGaussian,
    Gaussian,
    Mechanism,
    Poisson,
)
from estimators.mechanisms.poisson import CountingPoisson
from tests.mechanism_models import (
    FAMILIES,
    MODELS,
    hidden_rows,
    random_greeks,
)
from tests.models import FALSE_ALARM, within

EVERY_FAMILY = pytest.mark.parametrize("mechanism", FAMILIES.values(), ids=FAMILIES)
CONJUGATE: dict[str, Mechanism] = {
    "Bernoulli": Bernoulli(prior=dist.Beta(1.5, 0.7)),
    "Categorical": Categorical(3, prior=dist.Dirichlet(torch.tensor([0.6, 1.0, 2.0]))),
    "Poisson": Poisson(prior=dist.Gamma(2.0, 0.5)),
    "Gaussian": Gaussian(loc=dist.Normal(1.0, 2.0), scale=1.5),
}


# ------------------------------------------------------------------------------------------------ samples

DRAWS = 20_000


def standard_errors(mechanism: Mechanism, scale: float = 1.0) -> np.ndarray:
    """(mean of the samples - the mechanism's mean at sigma scaled) in standard errors, for every cell."""
    model = CausalMixture(2, {"X": mechanism})
    greeks = random_greeks(model, 8)
    moved = {name: value + (scale - 1.0) * value for name, value in greeks.items() if name != "theta"}
    found = []
    for k in range(2):
        latent = torch.full((DRAWS,), k)
        drawn = model.nodes["X"].distribution(greeks, latent, {})
        with torch.random.fork_rng():
            torch.manual_seed(k)
            sample = drawn.sample().double()
        local = model.nodes["X"].local({**greeks, **moved})
        mean = mechanism.mean(local, torch.tensor(k), torch.zeros(0))
        found.append((sample.mean(0) - mean) / (sample.std(0) / DRAWS**0.5))
    return np.concatenate([np.atleast_1d(part.numpy()) for part in found])


@EVERY_FAMILY
def test_samples_have_the_mean(mechanism: Mechanism) -> None:
    errors = standard_errors(mechanism)
    assert np.abs(errors).max() < within(errors.size)
    control = standard_errors(mechanism, 1.3)
    if not isinstance(mechanism, Categorical):
        assert np.abs(control).max() > within(errors.size)


def misses_of_cdf(mechanism: Mechanism, move: float) -> int:
    """How many counts of samples below a point are in the tails of their binomial distribution."""
    model = CausalMixture(2, {"X": mechanism})
    greeks, misses = random_greeks(model, 9), 0
    for k in range(2):
        given: Any = model.nodes["X"].distribution(greeks, torch.full((DRAWS,), k), {})
        with torch.random.fork_rng():
            torch.manual_seed(k)
            sample = given.sample().double()
        for place in sample.quantile(torch.tensor([0.1, 0.5, 0.9]).double()).round(decimals=3):
            below, probability = int((sample <= place).sum()), float(given.cdf(place + move)[0])
            ends = stats.binom.interval(1.0 - FALSE_ALARM / 6, DRAWS, probability)
            misses += not ends[0] <= below <= ends[1]
    return misses


@pytest.mark.parametrize("family", ["Gaussian", "Poisson"])
def test_samples_have_the_cdf(family: str) -> None:
    assert misses_of_cdf(FAMILIES[family], 0.0) == 0
    assert misses_of_cdf(FAMILIES[family], 1.0) > 0


@pytest.mark.parametrize("family", ["Bernoulli", "Categorical"])
def test_samples_have_the_masses(family: str) -> None:
    model = CausalMixture(3, {"X": FAMILIES[family]})
    node, greeks = model.nodes["X"], random_greeks(model, 10)
    masses = node.mechanism.log_masses(node.local(greeks)).exp()  # type: ignore[attr-defined]
    torch.testing.assert_close(masses.sum(-1), torch.ones(3).double(), rtol=1e-12, atol=0)
    level, misses = 1.0 - FALSE_ALARM / masses.numel(), [0, 0]
    for k in range(3):
        with torch.random.fork_rng():
            torch.manual_seed(k)
            sample = node.distribution(greeks, torch.full((DRAWS,), k), {}).sample()
        for value in range(masses.shape[-1]):
            for control in (0, 1):
                ends = stats.binom.interval(level, DRAWS, float(masses[(k + control) % 3, value]))
                misses[control] += not ends[0] <= int((sample == value).sum()) <= ends[1]
    assert misses[0] == 0
    assert misses[1] > 0


def test_full_gaussian_samples_have_the_covariance() -> None:
    model = MODELS["three dimensions"]
    greeks = random_greeks(model, 11)
    factor = greeks["sigma_X"][1][:, None] * greeks["corr_X"][1]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sample = model.nodes["X"].distribution(greeks, torch.full((DRAWS,), 1), {}).sample()
    products = (sample - greeks["mu_X"][1])[:, :, None] * (sample - greeks["mu_X"][1])[:, None, :]
    error = (products.mean(0) - factor @ factor.T) / (products.std(0) / DRAWS**0.5)
    assert float(error.abs().max()) < within(6)
    wrong = (products.mean(0) - factor.T @ factor) / (products.std(0) / DRAWS**0.5)
    assert float(wrong.abs().max()) > within(6)


@pytest.mark.parametrize("rate", [1e-3, 0.7, 12.0, 3e4, 1e8])
def test_the_poisson_cdf_and_quantiles_are_scipys(rate: float) -> None:
    given, expected = CountingPoisson(torch.tensor(rate, dtype=torch.float64)), stats.poisson(rate)
    middle = np.floor(rate + np.sqrt(rate) * np.arange(-3.0, 4.0))
    points = np.concatenate([[-5.0, -0.5, 0.0, 0.4, 1.0, 2.5], middle, middle + 0.5])
    np.testing.assert_allclose(given.cdf(torch.from_numpy(points)).numpy(), expected.cdf(points), rtol=1e-9, atol=1e-12)
    levels = np.array([0.0, 1e-9, 0.05, 0.31, 0.5, 0.77, 0.999, 1 - 1e-12])
    found = given.icdf(torch.from_numpy(levels))
    assert bool((given.cdf(found) >= torch.from_numpy(levels)).all())
    assert bool(((given.cdf(found - 1) < torch.from_numpy(levels)) | (found == 0)).all())
    assert float(given.icdf(torch.tensor(1.0))) == np.inf
    assert given.expand((3,)).icdf(torch.tensor(0.5)).shape == (3,)


# ------------------------------------------------------------------------------------------------ exact evidence


def cell_evidence(mechanism: Any, values: np.ndarray) -> float:
    """∫ p(φ) Π p(x_n | φ) dφ by quadrature."""
    if isinstance(mechanism, Categorical):
        counts = np.bincount(values.astype(int), minlength=3)
        prior = stats.dirichlet(mechanism.prior.concentration.numpy())

        def over_simplex(b: float, a: float) -> float:
            p = np.array([a, b * (1 - a)])
            p = np.append(p, 1 - p.sum())
            return float(prior.pdf(p) * np.prod(p**counts) * (1 - a)) if p.min() > 0 else 0.0

        return float(dblquad(over_simplex, 0, 1, 0, 1, epsabs=0, epsrel=1e-8)[0])
    prior = mechanism.prior if hasattr(mechanism, "prior") else mechanism.loc
    if isinstance(mechanism, Bernoulli):
        ends, frozen = (0.0, 1.0), stats.beta(float(prior.concentration1), float(prior.concentration0))
        density: Any = stats.bernoulli.pmf
    elif isinstance(mechanism, Poisson):
        ends, frozen = (0.0, 60.0), stats.gamma(float(prior.concentration), scale=1 / float(prior.rate))
        density = stats.poisson.pmf
    else:
        ends, frozen = (-30.0, 30.0), stats.norm(float(prior.loc), float(prior.scale))

        def density(x: np.ndarray, mu: float) -> np.ndarray:
            return np.asarray(stats.norm.pdf(x, mu, float(mechanism.scale)))

    return float(
        quad(
            lambda value: frozen.pdf(value) * np.prod(density(values, value)), *ends, epsabs=0, epsrel=1e-11, limit=400
        )[0]
    )


def evidence_by_brute_force(model: CausalMixture, data: Data) -> float:
    """log Σ_z p(z) Π_cells ∫, over all allocations of the rows, each cell's integral by quadrature."""
    concentration, terms = model.concentration.numpy(), []
    known: dict[tuple[str, tuple[float, ...]], float] = {}
    for allocation in itertools.product(range(model.K), repeat=data.num_rows):
        counts = np.bincount(allocation, minlength=model.K)
        value = gammaln(concentration.sum()) - gammaln(concentration.sum() + data.num_rows)
        value += (gammaln(concentration + counts) - gammaln(concentration)).sum()
        for name, mechanism in model.mechanisms.items():
            cells: dict[tuple[int, ...], list[float]] = {}
            for n, k in enumerate(allocation):
                place = (k, *(int(data.columns[parent][n]) for parent in mechanism.parents))
                cells.setdefault(place, []).append(float(data.columns[name][n]))
            for values in cells.values():
                key = (name, tuple(sorted(values)))
                if key not in known:
                    known[key] = cell_evidence(mechanism, np.array(key[1]))
                value += np.log(known[key])
        terms.append(value)
    return float(logsumexp(terms))


@pytest.mark.parametrize("family", CONJUGATE)
def test_exact_evidence_of_one_column(family: str) -> None:
    model = CausalMixture(2, {"X": CONJUGATE[family]}, concentration=[0.7, 1.4])
    data = Data(X=[1.0, 0.0, 1.0, 1.0] if family == "Bernoulli" else [2.0, 0.0, 1.0, 2.0])
    fit = Exact(num_draws=10).fit(model, data, seed=0)
    assert fit.stats["log_evidence"] == pytest.approx(evidence_by_brute_force(model, data), rel=1e-7)


@pytest.mark.parametrize("family", ["Bernoulli", "Poisson", "Gaussian"])
def test_exact_evidence_with_a_table(family: str) -> None:
    child = {
        "Bernoulli": Bernoulli(prior=dist.Beta(1.5, 0.7), parents=["T"]),
        "Poisson": Poisson(prior=dist.Gamma(2.0, 0.5), parents=["T"]),
        "Gaussian": Gaussian(loc=dist.Normal(1.0, 2.0), scale=1.5, parents=["T"]),
    }[family]
    model = CausalMixture(2, {"T": Bernoulli(prior=dist.Beta(0.8, 1.2)), "X": child})
    data = Data(T=[0, 1, 1, 0], X=[1.0, 0.0, 1.0, 1.0])
    fit = Exact(num_draws=10).fit(model, data, seed=0)
    assert fit.stats["log_evidence"] == pytest.approx(evidence_by_brute_force(model, data), rel=1e-7)


def test_exact_draws_have_the_posterior_mean_of_one_component() -> None:
    counts, rows = np.array([5.0, 0.0, 2.0]), torch.tensor([0.0] * 5 + [2.0] * 2)
    fit = Exact(num_draws=4000).fit(CausalMixture(1, {"X": CONJUGATE["Categorical"]}), Data(X=rows), seed=1)
    powers = np.array([0.6, 1.0, 2.0]) + counts
    draws = fit.draws["p_X"][:, 0].numpy()
    errors = (draws.mean(0) - powers / powers.sum()) / (draws.std(0) / 4000**0.5)
    assert np.abs(errors).max() < within(3)
    assert np.abs((draws.mean(0) - counts / counts.sum()) / (draws.std(0) / 4000**0.5)).max() > within(3)
    fit = Exact(num_draws=4000).fit(CausalMixture(1, {"X": CONJUGATE["Poisson"]}), Data(X=[3.0, 4.0, 9.0]), seed=1)
    rates = fit.draws["rate_X"][:, 0].numpy()
    assert abs(rates.mean() - 18.0 / 3.5) < within(1) * rates.std() / 4000**0.5
    assert abs(rates.mean() - 16.0 / 3.0) > within(1) * rates.std() / 4000**0.5


def test_tiny_dirichlet_powers_have_draws() -> None:
    model = CausalMixture(1, {"X": Categorical(3, prior=dist.Dirichlet(torch.full((3,), 1e-4)))})
    draws = Exact(num_draws=2000).fit(model, Data(X=[0.0]), seed=0).draws["p_X"]
    assert bool(torch.isfinite(draws).all())
    torch.testing.assert_close(draws.sum(-1), torch.ones(2000, 1).double(), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("mechanism", "reason"),
    [
        (Categorical(3, prior=[0.2, 0.3, 0.5]), "not a Dirichlet"),
        (Poisson(prior=dist.LogNormal(0.0, 1.0)), "not a Gamma"),
        (Bernoulli(prior=0.3), "not a Beta"),
        (DiagonalGaussian(2), "no closed form"),
        (FullGaussian(2), "no closed form"),
    ],
    ids=str,
)
def test_exact_says_what_is_not_conjugate(mechanism: Mechanism, reason: str) -> None:
    model = CausalMixture(2, {"X": mechanism})
    with pytest.raises(ValueError, match=f"X is not one: .*{reason}"):
        Exact().fit(model, hidden_rows(model, 4), seed=0)
