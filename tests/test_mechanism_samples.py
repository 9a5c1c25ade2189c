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
from estimators.isolation import isolated
from estimators.mechanisms import (
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    FullGaussian,
    Gaussian,
    Mechanism,
    Poisson,
)
from estimators.parameters.distributions import CountingNegativeBinomial, CountingPoisson
from tests.mechanism_models import (
    FAMILIES,
    MODELS,
    hidden_rows,
    random_greeks,
)
from tests.models import fit_quietly
from validation.testing import Stat

EVERY_FAMILY = pytest.mark.parametrize("mechanism", FAMILIES.values(), ids=FAMILIES)
CONJUGATE: dict[str, Mechanism] = {
    "Bernoulli": Bernoulli(prior=dist.Beta(1.5, 0.7)),
    "Categorical": Categorical(3, prior=dist.Dirichlet(torch.tensor([0.6, 1.0, 2.0]))),
    "Poisson": Poisson(prior=dist.Gamma(2.0, 0.5)),
    "Gaussian": Gaussian(loc=dist.Normal(1.0, 2.0), scale=1.5),
}


# ------------------------------------------------------------------------------------------------ samples

DRAWS = 20_000


def sampled(
    model: CausalMixture, greeks: dict[str, torch.Tensor], k: int, seed: int, draws: int = DRAWS
) -> torch.Tensor:
    """Samples of p(X | Z = k)."""
    with isolated(seed + k):
        return model.nodes["X"].distribution(greeks, torch.full((draws,), k), {}).sample().double()


def mean_of(law: Any) -> torch.Tensor:
    """The mean of a distribution; of levels, for which torch says none, the expected level."""
    if isinstance(law, dist.Categorical):
        return (law.probs * torch.arange(law.probs.shape[-1])).sum(-1)
    mean: torch.Tensor = law.mean
    return mean


@EVERY_FAMILY
@pytest.mark.statistical(checks=2, min_effect=0.1)
def test_samples_have_the_mean(stat: Stat, mechanism: Mechanism) -> None:
    model = CausalMixture(2, {"X": mechanism})
    greeks, local = random_greeks(model, 8), model.nodes["X"].local
    wrong = {name: value if name == "theta" else 1.3 * value for name, value in greeks.items()}
    for k in range(2):
        sample = sampled(model, greeks, k, stat.seed)
        laws = (mechanism.distribution(local(at), torch.tensor(k), torch.zeros(0)) for at in (greeks, wrong))
        mean, other = map(mean_of, laws)
        stat.means(sample.reshape(DRAWS, -1), mean.reshape(-1))
        if not isinstance(mechanism, Categorical) and float((other - mean).abs().max()) > 0.2 * float(sample.std()):
            with stat.control():
                stat.means(sample.reshape(DRAWS, -1), other.reshape(-1))


@pytest.mark.parametrize("family", ["Gaussian", "Poisson"])
@pytest.mark.statistical(checks=2, min_effect=0.03)
def test_samples_have_the_cdf(stat: Stat, family: str) -> None:
    model = CausalMixture(2, {"X": FAMILIES[family]})
    greeks = random_greeks(model, 9)
    for k in range(2):
        sample, one = sampled(model, greeks, k, stat.seed), torch.tensor([k])

        def cdf(x: np.ndarray, one: torch.Tensor = one) -> torch.Tensor:
            found: torch.Tensor = model.nodes["X"].distribution(greeks, one, {}).cdf(torch.from_numpy(x))
            return found

        stat.cdf(sample, cdf)
        with stat.control():
            stat.cdf(sample + 1.0, cdf)


@pytest.mark.parametrize("family", ["Bernoulli", "Categorical"])
@pytest.mark.statistical(checks=9, min_effect=0.03)
def test_samples_have_the_masses(stat: Stat, family: str) -> None:
    model = CausalMixture(3, {"X": FAMILIES[family]})
    node, greeks = model.nodes["X"], random_greeks(model, 10)
    masses = node.mechanism.log_masses(node.local(greeks)).exp()  # type: ignore[attr-defined]
    torch.testing.assert_close(masses.sum(-1), torch.ones(3).double(), rtol=1e-12, atol=0)
    for k in range(3):
        sample = sampled(model, greeks, k, stat.seed)
        counts = [int((sample == value).sum()) for value in range(masses.shape[-1])]
        for value, count in enumerate(counts):
            stat.proportion(count, DRAWS, float(masses[k, value]))
        with stat.control():
            worst = int((masses[(k + 1) % 3] - masses[k]).abs().argmax())
            stat.proportion(counts[worst], DRAWS, float(masses[(k + 1) % 3, worst]))


@pytest.mark.statistical(min_effect=0.1)
def test_full_gaussian_samples_have_the_covariance(stat: Stat) -> None:
    model = MODELS["three dimensions"]
    greeks = random_greeks(model, 11)
    factor = greeks["sigma_X"][1][:, None] * greeks["corr_X"][1]
    draws = 5 * DRAWS  # products are skewed
    sample = sampled(model, greeks, 1, stat.seed, draws)
    products = (sample - greeks["mu_X"][1])[:, :, None] * (sample - greeks["mu_X"][1])[:, None, :]
    stat.means(products.reshape(draws, -1), (factor @ factor.T).reshape(-1))
    with stat.control():
        stat.means(products.reshape(draws, -1), (factor.T @ factor).reshape(-1))


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


def test_draws_of_a_far_negative_binomial_are_counts_of_its_mean() -> None:
    size, logits = torch.tensor(2.0, dtype=torch.float64), torch.tensor(60.0, dtype=torch.float64)
    law = CountingNegativeBinomial(size, logits=logits, validate_args=False)
    with isolated(0):
        drawn = law.sample((10_000,))
    assert bool((drawn >= 0).all())
    assert float(drawn.mean() / law.mean) == pytest.approx(1.0, abs=5.0 * float(law.stddev / law.mean) / 100.0)


# ------------------------------------------------------------------------------------------------ exact evidence


def cell_evidence(mechanism: Any, values: np.ndarray) -> float:
    """∫ p(φ) Π p(x_n | φ) dφ by quadrature."""
    if isinstance(mechanism, Categorical):
        counts = np.bincount(values.astype(int), minlength=3)
        concentration = mechanism.prior.concentration.numpy()
        constant = float(np.exp(gammaln(concentration.sum()) - gammaln(concentration).sum()))
        first, second, third = (concentration - 1.0 + counts).tolist()

        def over_simplex(b: float, a: float) -> float:
            p, q, r = a, b * (1 - a), (1 - b) * (1 - a)
            return float(constant * p**first * q**second * r**third * (1 - a)) if min(p, q, r) > 0 else 0.0

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
    # One column of levels leaves two classes open, and the fit says so.
    fit = fit_quietly(Exact(num_draws=10), model, data, 0)
    assert fit.stats["log_evidence"] == pytest.approx(evidence_by_brute_force(model, data), rel=1e-7)


@pytest.mark.parametrize(
    "family", ["Poisson", *(pytest.param(family, marks=pytest.mark.slow) for family in ("Bernoulli", "Gaussian"))]
)
def test_exact_evidence_with_a_table(family: str) -> None:
    child = {
        "Bernoulli": Bernoulli(prior=dist.Beta(1.5, 0.7), parents=["T"]),
        "Poisson": Poisson(prior=dist.Gamma(2.0, 0.5), parents=["T"]),
        "Gaussian": Gaussian(loc=dist.Normal(1.0, 2.0), scale=1.5, parents=["T"]),
    }[family]
    model = CausalMixture(2, {"T": Bernoulli(prior=dist.Beta(0.8, 1.2)), "X": child})
    data = Data(T=[0, 1, 1, 0], X=[1.0, 0.0, 1.0, 1.0])
    # Two columns of levels leave two classes open, too.
    fit = fit_quietly(Exact(num_draws=10), model, data, 0)
    assert fit.stats["log_evidence"] == pytest.approx(evidence_by_brute_force(model, data), rel=1e-7)


@pytest.mark.statistical(checks=2, min_effect=0.15)
def test_exact_draws_have_the_posterior_mean_of_one_component(stat: Stat) -> None:
    counts, rows = np.array([5.0, 0.0, 2.0]), torch.tensor([0.0] * 5 + [2.0] * 2)
    exact = Exact(num_draws=20_000)
    draws = exact.fit(CausalMixture(1, {"X": CONJUGATE["Categorical"]}), Data(X=rows), seed=stat.seed).draws["p_X"]
    powers = np.array([0.6, 1.0, 2.0]) + counts
    stat.means(draws[:, 0], powers / powers.sum())
    with stat.control():
        stat.means(draws[:, 0], counts / counts.sum())
    fit = exact.fit(CausalMixture(1, {"X": CONJUGATE["Poisson"]}), Data(X=[3.0, 4.0, 9.0]), seed=stat.seed)
    rates = fit.draws["rate_X"][:, 0]
    stat.mean(rates, 18.0 / 3.5)
    with stat.control():
        stat.mean(rates, 16.0 / 3.0)


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
