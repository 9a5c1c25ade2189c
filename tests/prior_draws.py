"""Data sets drawn from the tutorial's prior, and how far a fit of one is from `Exact`'s, in standard errors."""

import math
from dataclasses import replace

import numpy as np
import torch

from estimators import Data, Exact, Fit, GaussianMixture
from estimators.diagnostics import mean_error
from tests.posteriors import entries


def drawn_from_prior(model: GaussianMixture, num_rows: int, seed: int) -> Data:
    return Data(X=model.simulate(num_rows, model.prior_greeks(seed), seed=seed)["X"])


def by_mean(fit: Fit) -> Fit:
    """The same draws, in each of them the class of smallest mean first."""
    order = fit.draws["mu_X"].argsort(1)
    return replace(fit, draws={name: value.gather(1, order) for name, value in fit.draws.items()})


def scores(fit: Fit, exact: Fit) -> list[float]:
    """The differences of means and of mean squares of every entry, and of each mode's mass, in standard errors."""
    found = list[float]()
    for (_, draws), (_, others) in zip(entries(by_mean(fit)), entries(by_mean(exact)), strict=True):
        centre = others.mean()
        for power in (1, 2):
            one, two = (draws - centre) ** power, (others - centre) ** power
            error = math.hypot(_error(fit, one), float(two.std()) / math.sqrt(len(two)))
            found.append(float(one.mean() - two.mean()) / error)
    return found


def _error(fit: Fit, values: np.ndarray) -> float:
    """The standard error of a mean: that of the chains, and that of the masses of modes."""
    modes = fit.info["mode"].numpy()
    of_masses = sum(
        error * abs(values[modes == mode].mean() - values.mean())
        for mode, error in enumerate(fit.stats["mode_mass_errors"] if "pareto_k" in fit.stats else ())
        if (modes == mode).any()
    )
    return math.hypot(mean_error(torch.from_numpy(values), fit.num_chains), of_masses)


def exact_of(model: GaussianMixture, data: Data, seed: int) -> Fit:
    return Exact(num_draws=20_000).fit(model, data, seed=seed)
