"""The small models and data sets that several test modules share."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyro.distributions as dist
import torch

from estimators import CausalMixture, Data, EstimationWarning, Fit, GaussianMixture
from estimators.algorithms.protocol import Estimator
from estimators.contract import Model
from estimators.mechanisms import Gaussian

TUTORIAL_ROWS = [0.0, 1.0, 10.0, 11.0, 12.0]


def two_columns() -> CausalMixture:
    """Two Gaussian columns, one of them with a scale shared by the components."""
    return CausalMixture(
        2,
        {"X": Gaussian(scale=dist.LogNormal(0.0, 0.5)), "Y": Gaussian(scale=dist.HalfNormal(3.0), shared=["scale"])},
        concentration=1.5,
    )


MODELS: dict[str, CausalMixture] = {
    "tutorial": GaussianMixture(K=2),
    "one component": GaussianMixture(K=1, concentration=1.0),
    "three components": GaussianMixture(K=3, concentration=2.0),
    "unknown scales": CausalMixture(2, {"X": Gaussian(scale=dist.Gamma(3.0, 2.0))}, concentration=2.0),
    "shared scale": CausalMixture(
        2, {"X": Gaussian(scale=dist.LogNormal(0.0, 1.0), shared=["scale"])}, concentration=2.0
    ),
    "unequal priors": CausalMixture(
        3,
        {"X": Gaussian(loc=dist.Normal(torch.tensor([-5.0, 0.0, 5.0]), 2.0), scale=torch.tensor([1.0, 0.5, 2.0]))},
        concentration=[0.5, 1.0, 2.0],
    ),
    "known means": CausalMixture(2, {"X": Gaussian(loc=[-1.0, 2.0], scale=dist.Exponential(1.0))}),
    "another prior": CausalMixture(
        2, {"X": Gaussian(loc=dist.StudentT(4.0, 0.0, 5.0), scale=dist.HalfCauchy(2.0))}, concentration=3.0
    ),
    "two columns": two_columns(),
}


def rows_of(model: CausalMixture, num_rows: int, seed: int = 0, separation: float = 6.0) -> Data:
    """Rows drawn from a model at Greeks whose components lie `separation` apart."""
    greeks = model.prior_greeks(seed)
    weights = torch.linspace(1.0, 2.0, model.K, dtype=torch.float64)
    greeks["theta"] = weights / weights.sum()
    for name in greeks:
        if name.startswith("mu"):
            greeks[name] = separation * (torch.arange(model.K, dtype=torch.float64) - (model.K - 1) / 2)
        if name.startswith("sigma"):
            greeks[name] = torch.ones_like(greeks[name])
    drawn = model.simulate(num_rows, greeks, seed)
    return Data(**{name: drawn[name] for name in model.mechanisms})


def mixed_rows(model: CausalMixture, num_rows: int = 24, seed: int = 0) -> Data:
    """Rows with Z hidden, seen and set, set entries of the first column, and whole-number weights."""
    generator = torch.Generator().manual_seed(seed)
    hidden = rows_of(model, num_rows, seed)
    latent = torch.randint(0, model.K, (num_rows,), generator=generator)
    kind = torch.arange(num_rows) % 3
    first = next(iter(model.mechanisms))
    intervened = {"Z": kind == 2, first: torch.arange(num_rows) % 5 == 4}
    weights = torch.randint(1, 4, (num_rows,), generator=generator)
    return Data(**dict(hidden.columns), Z=torch.where(kind == 0, -1, latent), intervened=intervened, weights=weights)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warning of a short run, whose R-hat exceeds 1.01 by chance; any other warning stays an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EstimationWarning)
        yield


def fit_quietly(estimator: Estimator, model: Model, data: object, seed: int = 0, **options: Any) -> Fit:
    with quiet():
        return estimator.fit(model, data, seed=seed, **options)
