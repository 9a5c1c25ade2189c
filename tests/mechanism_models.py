"""Small models with every mechanism, alone and with parents, their Greeks, and rows of every kind."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from pyro.infer import TraceEnum_ELBO, config_enumerate
from scipy import stats
from scipy.special import expit, log_expit, log_softmax, logsumexp
from torch import Tensor
from torch.distributions import constraints

from estimators import CausalMixture, Data
from estimators.data.data import LATENT
from estimators.estep.weights import WEIGHTS
from estimators.mechanisms import (
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    FullGaussian,
    Gate,
    Gaussian,
    LinearGaussian,
    Logistic,
    LogNormal,
    Mechanism,
    MultinomialLogit,
    NegativeBinomial,
    OrderedLogistic,
    Poisson,
    PoissonRegression,
    SphericalGaussian,
    StudentT,
)
from estimators.mixture.observed import blocks, observe

STANDARD = dist.Normal(0.0, 1.0)
# Every family without parents, under its defaults.
FAMILIES: dict[str, Mechanism] = {
    "Bernoulli": Bernoulli(),
    "Categorical": Categorical(3),
    "Poisson": Poisson(),
    "Gaussian": Gaussian(),
    "DiagonalGaussian": DiagonalGaussian(2),
    "FullGaussian": FullGaussian(2),
}


def _with_parent(family: str) -> CausalMixture:
    mechanism = {
        "Bernoulli": Bernoulli(parents=["T"]),
        "Categorical": Categorical(4, parents=["T"]),
        "Poisson": Poisson(parents=["T"]),
        "Gaussian": Gaussian(parents=["T"]),
        "DiagonalGaussian": DiagonalGaussian(2, parents=["T"]),
        "FullGaussian": FullGaussian(2, parents=["T"]),
    }[family]
    return CausalMixture(2, {"T": Categorical(3), "X": mechanism}, concentration=2.0)


MODELS: dict[str, CausalMixture] = {
    **{f"{family} alone": CausalMixture(2, {"X": mechanism}) for family, mechanism in FAMILIES.items()},
    **{f"{family} with a parent": _with_parent(family) for family in FAMILIES},
    "LinearGaussian": CausalMixture(
        2,
        {
            "T": Bernoulli(),
            "C": Categorical(3),
            "X": Gaussian(),
            "Y": LinearGaussian(parents=["T", "C", "X"]),
        },
    ),
    "Logistic": CausalMixture(
        2, {"C": Categorical(3), "X": Gaussian(), "T": Logistic(parents=["C", "X"]), "Y": LinearGaussian(parents=["T"])}
    ),
    "PoissonRegression": CausalMixture(
        3,
        {
            "T": Bernoulli(),
            "X": Gaussian(),
            "R": PoissonRegression(parents=["T", "X"], coefficients=dist.Normal(0.0, 0.5)),
            "Y": Logistic(parents=["T"], coefficients=[0.5, -1.0]),
        },
    ),
    "NegativeBinomial": CausalMixture(
        2, {"X": Gaussian(scale=1.0), "Y": NegativeBinomial(["X"], dist.Normal(0.0, 0.5), dist.LogNormal(0.0, 1.0))}
    ),
    "an exposure": CausalMixture(
        2,
        {
            "T": Bernoulli(),
            "days": LogNormal(coefficients=dist.Normal(2.0, 0.5), scale=0.5),
            "Y": PoissonRegression(["T"], dist.Normal(0.0, 0.5), exposure="days"),
        },
    ),
    "StudentT": CausalMixture(
        2,
        {
            "X": StudentT(scale=dist.HalfNormal(1.0)),
            "C": Categorical(3),
            "Y": StudentT(["X", "C"], dist.Normal(0.0, 0.5), df=dist.Gamma(4.0, 0.5)),
        },
    ),
    "LogNormal": CausalMixture(
        2, {"C": Categorical(3), "X": Gaussian(), "Y": LogNormal(["C", "X"], dist.Normal(0.0, 0.5), shared=["scale"])}
    ),
    "MultinomialLogit": CausalMixture(
        2, {"X": Gaussian(), "C": MultinomialLogit(3, ["X"]), "W": MultinomialLogit(4), "Y": Gaussian(parents=["C"])}
    ),
    "OrderedLogistic": CausalMixture(
        2, {"T": Bernoulli(), "X": OrderedLogistic(4, ["T"]), "W": OrderedLogistic(3), "Y": LinearGaussian(["X"])}
    ),
    "a line alone in its scale": CausalMixture(
        2, {"X": Gaussian(scale=1.0), "Y": LinearGaussian(parents=["X"], shared=["scale"])}
    ),
    "three components": CausalMixture(
        3,
        {
            "T": Bernoulli(prior=dist.Beta(2.0, 2.0)),
            "C": Categorical(3, parents=["T"]),
            "R": Poisson(prior=dist.LogNormal(1.0, 1.0), parents=["T", "C"]),
            "V": DiagonalGaussian(3, parents=["T"]),
        },
        concentration=2.0,
    ),
    "three dimensions": CausalMixture(3, {"X": FullGaussian(3, correlation=2.0)}, concentration=2.0),
    "one dimension": CausalMixture(2, {"X": FullGaussian(1), "Y": DiagonalGaussian(1)}),
    "a cause of Z": CausalMixture(
        2, {"W": Bernoulli(), "X": Gaussian(parents=["W"]), "C": Categorical(3)}, latent_parents=["W"]
    ),
    "two causes of Z": CausalMixture(
        3,
        {"W": Categorical(3), "T": Bernoulli(parents=["W"]), "R": Poisson(parents=["T"]), "V": FullGaussian(2)},
        latent_parents=["W", "T"],
    ),
    "a gate of Z": CausalMixture(
        3,
        {"A": Gaussian(STANDARD, 1.0), "W": Categorical(3), "X": Gaussian(parents=["W"]), "R": Poisson()},
        latent=Gate(["A", "W"], coefficients=STANDARD),
    ),
    "a gate with one scale for each input": CausalMixture(
        2,
        {"W": Bernoulli(), "T": Bernoulli(parents=["W"]), "C": Categorical(3)},
        latent=Gate(["T", "W"], coefficients=dist.Normal(0.0, torch.tensor([1.0, 2.0, 0.5]))),
    ),
    "a gate of known numbers": CausalMixture(
        2, {"A": Gaussian(STANDARD, 1.0), "X": Gaussian()}, latent=Gate(["A"], coefficients=[[0.5, 1.0], [0.0, -0.5]])
    ),
    "what Z does not cause": CausalMixture(
        2,
        {
            "V": Bernoulli(caused_by_latent=False),
            "W": Bernoulli(parents=["V"]),
            "X": FullGaussian(2, parents=["W"]),
            "T": Logistic(["V"]),
            "M": LinearGaussian(["T"], caused_by_latent=False),
            "R": NegativeBinomial(["M"], dist.Normal(0.0, 0.3), caused_by_latent=False),
            "C": Categorical(3, parents=["W"], caused_by_latent=False),
            "U": DiagonalGaussian(2, parents=["C"], caused_by_latent=False),
        },
        latent_parents=["W"],
    ),
    "tied covariances": CausalMixture(
        3,
        {
            "T": Bernoulli(),
            "V": FullGaussian(3, shared=True),
            "W": DiagonalGaussian(2, parents=["T"], shared=["scale"]),
        },
    ),
    "spherical": CausalMixture(
        2,
        {"T": Bernoulli(), "V": SphericalGaussian(3, parents=["T"]), "W": SphericalGaussian(2, shared=["scale"])},
    ),
    "shared slopes": CausalMixture(
        2,
        {
            "C": Categorical(3),
            "X": Gaussian(loc=dist.Normal(5.0, 1.0)),
            "Y": LinearGaussian(["C", "X"], shared=["X"]),
            "B": LinearGaussian(["X", "C"], shared=["intercept", "C"]),
            "D": LinearGaussian(["X"], shared=["intercept", "X"]),
            "U": LogNormal(["X", "C"], dist.Normal(0.0, 0.1), shared=["C", "scale"]),
            "M": LinearGaussian(["X"], dist.Normal(torch.tensor([0.0, 2.0]), 1.0), shared=True),
        },
    ),
    "shared slopes of odds": CausalMixture(
        2,
        {
            "C": Categorical(3),
            "X": Gaussian(loc=dist.Normal(0.0, 1.0), scale=1.0),
            "T": Logistic(["C", "X"], dist.Normal(0.0, 1.0), shared=["C"]),
            "L": Logistic(["X"], dist.Normal(0.0, 1.0), shared=["intercept"]),
            "M": MultinomialLogit(3, ["X", "T"], dist.Normal(0.0, 0.5), shared=["X"]),
            "O": OrderedLogistic(3, shared=["gaps"]),
        },
    ),
    "shared slopes of means": CausalMixture(
        2,
        {
            "T": Bernoulli(),
            "X": Gaussian(loc=dist.Normal(0.0, 1.0), scale=1.0),
            "days": LogNormal(coefficients=dist.Normal(2.0, 0.5), scale=0.5),
            "N": PoissonRegression(["T"], dist.Normal(0.0, 0.5), exposure="days", shared=True),
            "R": NegativeBinomial(["X", "T"], dist.Normal(0.0, 0.3), shared=["X", "dispersion"]),
            "S": StudentT(["X", "T"], df=dist.Gamma(4.0, 0.5), shared=["T", "df"]),
            "Q": StudentT(["X"], df=4.0, shared=["intercept", "X"]),
        },
    ),
    "covariates": CausalMixture(
        2,
        {"T": Logistic(["A"]), "X": Gaussian(parents=["S"]), "Y": LinearGaussian(["T", "A", "S"])},
        latent=Gate(["A"], STANDARD),
        covariates={"A": None, "S": 3},
    ),
    "levels below a covariate": CausalMixture(
        3, {"C": Categorical(3), "T": Bernoulli()}, latent=Gate(["A"], STANDARD), covariates=["A"]
    ),
    "interactions": CausalMixture(
        2,
        {
            "A": Gaussian(STANDARD, 1.0),
            "W": Categorical(3),
            "T": Bernoulli(),
            "X": LinearGaussian(["A", "W", "T", "A:W", "T:W"], dist.Normal(0.0, 1.0)),
            "U": LogNormal(["A", "T", "X", "T:A:X", "X:A"], dist.Normal(0.0, 0.02)),
            "S": StudentT(["T", "A", "A:T"]),
        },
        latent=Gate(["A", "W", "W:A"], STANDARD),
    ),
    "shared interactions of odds and counts": CausalMixture(
        2,
        {
            "C": Categorical(3),
            "X": Gaussian(loc=dist.Normal(0.0, 1.0), scale=1.0),
            "T": Logistic(["C", "X", "C:X"], dist.Normal(0.0, 0.5), shared=["C:X"]),
            "M": MultinomialLogit(3, ["X", "T", "T:X"], dist.Normal(0.0, 0.5), shared=["X"]),
            "O": OrderedLogistic(3, ["T", "X", "X:T"], dist.Normal(0.0, 0.5)),
            "days": LogNormal(coefficients=dist.Normal(2.0, 0.5), scale=0.5),
            "N": PoissonRegression(["T", "X", "T:X"], dist.Normal(0.0, 0.3), exposure="days", shared=["T", "T:X"]),
            "R": NegativeBinomial(["T", "C", "C:T"], dist.Normal(0.0, 0.3), shared=True),
        },
    ),
    "known numbers": CausalMixture(
        2,
        {
            "T": Bernoulli(prior=[0.3, 0.8]),
            "C": Categorical(3, prior=[0.2, 0.3, 0.5]),
            "R": Poisson(prior=[2.0, 9.0]),
            "V": DiagonalGaussian(2, loc=[0.0, 1.0], scale=[1.0, 2.0]),
            "Y": DiagonalGaussian(2, scale=[[1.0, 2.0], [3.0, 4.0]]),
        },
    ),
    "known scales": CausalMixture(2, {"X": FullGaussian(3, scale=[1.0, 2.0, 0.5])}),
    "known centres": CausalMixture(
        2, {"X": FullGaussian(2, loc=[[-2.0, 0.0], [2.0, 1.0]]), "Y": DiagonalGaussian(2, loc=0.5)}
    ),
    "one prior per column": CausalMixture(
        2,
        {
            "X": DiagonalGaussian(2, loc=dist.Normal(torch.tensor([0.0, 9.0]), 2.0), scale=dist.LogNormal(0.0, 0.5)),
            "Y": FullGaussian(3, scale=dist.HalfNormal(torch.tensor([1.0, 2.0, 3.0]))),
        },
    ),
    "one prior per component": CausalMixture(
        2,
        {
            "C": Categorical(3, prior=dist.Dirichlet(torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]))),
            "R": Poisson(prior=dist.Gamma(torch.tensor([1.0, 9.0]), 1.0)),
            "V": DiagonalGaussian(2, loc=dist.Normal(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), 1.0)),
        },
    ),
}


def random_greeks(model: CausalMixture, seed: int) -> dict[str, Tensor]:
    """Greeks from the prior, probabilities kept away from 0 and 1."""
    greeks = model.prior_greeks(seed)
    for parameter in model.parameters:
        if is_simplex(parameter.prior.support):
            shifted = greeks[parameter.name] + 0.1
            greeks[parameter.name] = shifted / shifted.sum(-1, keepdim=True)
        elif parameter.prior.support is constraints.unit_interval:
            greeks[parameter.name] = 0.1 + 0.8 * greeks[parameter.name]
        elif parameter.name.startswith("sigma"):
            greeks[parameter.name] = greeks[parameter.name] + 0.3
    return greeks


def is_simplex(support: object) -> bool:
    """Whether a Greek's last axis sums to 1."""
    return support is constraints.simplex


def drawn_rows(model: CausalMixture, num_rows: int, greeks: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Simulated rows, covariates of all levels, or standard normal."""
    rng, covariates = np.random.default_rng(seed), {}
    for name in model.covariates:
        levels = model.mechanisms[name].num_levels
        covariates[name] = rng.normal(size=num_rows) if levels is None else rng.integers(0, levels, num_rows)
    return model.simulate(num_rows, greeks, seed, covariates)


def any_rows(model: CausalMixture, num_rows: int = 30, seed: int = 0) -> Data:
    """Rows with Z hidden, seen and set, with set entries in two columns, and with whole-number weights."""
    generator = torch.Generator().manual_seed(seed)
    drawn = drawn_rows(model, num_rows, random_greeks(model, seed), seed)
    latent = torch.randint(0, model.K, (num_rows,), generator=generator)
    row = torch.arange(num_rows)
    names = list(model.mechanisms)
    intervened = {names[-1]: row % 7 == 3, names[0]: row % 5 == 4, LATENT: row % 3 == 2}
    weights = torch.randint(1, 4, (num_rows,), generator=generator)
    columns = {name: drawn[name] for name in names}
    return Data(**columns, Z=torch.where(row % 3 == 0, -1, latent), intervened=intervened, weights=weights)


def hidden_rows(model: CausalMixture, num_rows: int, seed: int = 0) -> Data:
    """Rows with Z hidden and nothing set."""
    drawn = drawn_rows(model, num_rows, random_greeks(model, seed), seed)
    return Data(**{name: drawn[name] for name in model.mechanisms})


def enumerated(model: CausalMixture, data: Data, greeks: dict[str, Tensor]) -> Tensor:
    """log p(data | φ) by Pyro's own enumeration of Z, weights by repeating rows."""
    weights = torch.ones(data.num_rows) if data.weights is None else data.weights
    repeated = data.replace(weights=None).rows(torch.arange(data.num_rows).repeat_interleave(weights.long()))
    total = torch.zeros((), dtype=torch.float64)
    for number, rows in enumerate(blocks(model, repeated)):

        def program(rows: Data = rows, number: int = number) -> None:
            observe(model, greeks, rows, str(number))

        elbo = TraceEnum_ELBO(max_plate_nesting=1, strict_enumeration_warning=False)
        total = total - elbo.differentiable_loss(config_enumerate(program), lambda: None)
    return total


def by_hand(model: CausalMixture, data: Data, greeks: dict[str, Tensor]) -> np.ndarray:
    """The truncated factorisation of every row, written out with SciPy's densities."""
    arrays = {name: value.numpy() for name, value in greeks.items()}
    latent, z_is_set = data.latent().tolist(), data.is_set(LATENT)
    rows = []
    for n in range(data.num_rows):
        row = {name: data.columns[name][n].numpy() for name in model.mechanisms}
        weights = log_weights_by_hand(model, arrays, row)
        apart = {name for name, one in model.mechanisms.items() if not one.caused_by_latent} | {*model.latent_parents}
        above = sum(log_density_by_hand(model, name, arrays, row, None) for name in apart if not data.is_set(name)[n])
        terms = []
        for k in range(model.K) if latent[n] < 0 else [latent[n]]:
            value = above + (0.0 if z_is_set[n] else weights[k])
            for name in model.mechanisms:
                if name not in apart and not data.is_set(name)[n]:
                    value += log_density_by_hand(model, name, arrays, row, k)
            terms.append(value)
        rows.append(logsumexp(terms))
    return np.array(rows)


def log_weights_by_hand(model: CausalMixture, greeks: dict[str, np.ndarray], row: dict[str, np.ndarray]) -> np.ndarray:
    """log p(Z = k | its causes) of every class."""
    if model.latent is None:
        return np.log(greeks[WEIGHTS][tuple(int(row[parent]) for parent in model.latent_parents)])
    beta = np.asarray(greeks.get("beta_Z", model.latent.coefficients))
    return log_softmax(beta @ inputs_by_hand(model, model.latent.parents, row))


def inputs_by_hand(model: CausalMixture, parents: Sequence[str], row: dict[str, np.ndarray]) -> np.ndarray:
    """(1, parents), of a parent with levels the indicators of all but the first, of ``T:A`` all products."""
    inputs = [np.ones(1)]
    for parent in parents:
        term = np.ones(1)
        for name in parent.split(":"):
            levels = model.mechanisms[name].num_levels
            own = [float(row[name])] if not levels else [float(row[name] == i) for i in range(1, levels)]
            term = np.kron(term, own)
        inputs.append(term)
    return np.concatenate(inputs)


def log_density_by_hand(
    model: CausalMixture, name: str, greeks: dict[str, np.ndarray], row: dict[str, np.ndarray], k: int | None
) -> float:
    """log p(row[name] | Z = k, its parents) by SciPy; k is None where Z does not cause it."""
    mechanism, x = model.mechanisms[name], row[name]
    if mechanism.is_covariate:
        return 0.0
    cell = (() if k is None else (k,)) + tuple(
        int(row[parent]) for parent in mechanism.parents if not mechanism.is_regression
    )

    def of(symbol: str, known: object, event: int = 0) -> np.ndarray:
        value = greeks.get(f"{symbol}_{name}")
        value = np.asarray(known) if value is None else value
        own = value[cell] if value.ndim > event and value.ndim >= len(cell) + event else value
        common = greeks.get(f"shared_{symbol}_{name}")
        if common is None:
            return own
        # The coefficients in the order of the parents, those of classes and those of all in turn.
        own, common, parts = np.moveaxis(own, -1, 0), np.moveaxis(common, -1, 0), []
        sources = {False: iter(own), True: iter(common)}
        for parent in (None, *mechanism.parents):
            if parent is None or parent != mechanism.exposure:
                width = len(inputs_by_hand(model, [] if parent is None else [parent], row)) - (parent is not None)
                parts += [next(sources[(parent or "intercept") in mechanism.shared_terms]) for _ in range(width)]
        return np.stack(parts, -1)

    if isinstance(mechanism, Bernoulli):
        return float(stats.bernoulli.logpmf(x, of("p", mechanism.prior)))
    if isinstance(mechanism, Categorical):
        return float(np.log(of("p", mechanism.prior, 1)[int(x)]))
    if isinstance(mechanism, Poisson):
        return float(stats.poisson.logpmf(x, of("rate", mechanism.prior)))
    if mechanism.is_regression:
        inputs = inputs_by_hand(model, [p for p in mechanism.parents if p != mechanism.exposure], row)
        eta = of("beta", mechanism.coefficients, 2 if isinstance(mechanism, MultinomialLogit) else 1) @ inputs
        if mechanism.exposure is not None:
            eta = eta + np.log(row[mechanism.exposure])
        return float(log_density_of_line(mechanism, of, x, eta))
    if isinstance(mechanism, Gaussian):
        return float(stats.norm.logpdf(x, of("mu", mechanism.loc), of("sigma", mechanism.scale)))
    is_one = isinstance(mechanism, SphericalGaussian)
    mu, sigma = of("mu", mechanism.loc, 1), of("sigma", mechanism.scale, 0 if is_one else 1)
    factor = np.eye(len(x)) if f"corr_{name}" not in greeks else of("corr", None, 2)
    scaled = np.broadcast_to(sigma, x.shape)[:, None] * factor
    return float(stats.multivariate_normal.logpdf(x, np.broadcast_to(mu, x.shape), scaled @ scaled.T))


def log_density_of_line(mechanism: Mechanism, of: Any, x: np.ndarray, eta: np.ndarray) -> float:
    """log p of a regression by SciPy, of its predictor and its other Greeks."""
    if isinstance(mechanism, Logistic):
        return log_expit((2.0 * x - 1.0) * eta)
    if isinstance(mechanism, PoissonRegression):
        return stats.poisson.logpmf(x, np.exp(eta))
    if isinstance(mechanism, NegativeBinomial):
        alpha = of("alpha", mechanism.dispersion)
        return stats.nbinom.logpmf(x, 1.0 / alpha, 1.0 / (1.0 + alpha * np.exp(eta)))
    if isinstance(mechanism, StudentT):
        return stats.t.logpdf(x, of("df", mechanism.df), eta, of("sigma", mechanism.scale))
    if isinstance(mechanism, LogNormal):
        return stats.lognorm.logpdf(x, of("sigma", mechanism.scale), scale=np.exp(eta))
    if isinstance(mechanism, MultinomialLogit):
        return log_softmax(np.array([0.0, *eta]))[int(x)]
    if isinstance(mechanism, OrderedLogistic):
        cuts = [-np.inf, 0.0, *np.cumsum(of("gap", mechanism.gaps, 1)), np.inf]
        low, high = cuts[int(x)] - eta, cuts[int(x) + 1] - eta
        # In the tail that both are in, where differences keep their digits.
        return np.log(expit(high) - expit(low) if low < 0 else expit(-low) - expit(-high))
    return stats.norm.logpdf(x, eta, of("sigma", mechanism.scale))
