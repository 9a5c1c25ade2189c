"""Conjugate priors: what a family's rows integrate to, and draws of its Greek given them.

``statistics`` are the rows' summed features [..., cells, F]. Source: Gelman et al. (2013), Bayesian Data Analysis,
chapters 2 and 3.
"""

from typing import Any, Protocol

import numpy as np
import pyro.distributions as dist
from pyro.distributions.torch_distribution import TorchDistributionMixin
from scipy.special import betaln, gammaln

from estimators.optimise.arrays import Array
from estimators.parameters.sparse import dirichlet_draws


class ConjugatePrior(Protocol):
    """A class of priors that rows turn into another of the same class."""

    @property
    def law(self) -> type[TorchDistributionMixin]:
        """The class."""

    def log_evidence(self, prior: Any, statistics: Array) -> Array:
        """The log of what the rows change the prior's normalising constant by, as [..., cells]."""

    def draws(self, prior: Any, statistics: Array, generator: np.random.Generator) -> Array:
        """One draw of the Greek per leading axis."""


class BetaPrior:
    """``p | rows ~ Beta(a + S₁, b + S₀)``, for Φ = (no, yes)."""

    law = dist.Beta

    def log_evidence(self, prior: Any, statistics: Array) -> Array:
        """log B(a + S₁, b + S₀) - log B(a, b)."""
        a, b = _flat(prior.concentration1), _flat(prior.concentration0)
        return np.asarray(betaln(a + statistics[..., 1], b + statistics[..., 0]) - betaln(a, b))

    def draws(self, prior: Any, statistics: Array, generator: np.random.Generator) -> Array:
        a, b = _flat(prior.concentration1), _flat(prior.concentration0)
        return generator.beta(a + statistics[..., 1], b + statistics[..., 0])


class DirichletPrior:
    """``p | rows ~ Dirichlet(a + S)``, for Φ the one-hot of the level."""

    law = dist.Dirichlet

    def log_evidence(self, prior: Any, statistics: Array) -> Array:
        """log B(a + S) - log B(a), with B(a) = Π Γ(a_l) / Γ(Σ a_l)."""
        powers = _flat(prior.concentration, statistics.shape[-1])
        total, by_level = powers.sum(-1), gammaln(powers + statistics) - gammaln(powers)
        return np.asarray(by_level.sum(-1) + gammaln(total) - gammaln(total + statistics.sum(-1)))

    def draws(self, prior: Any, statistics: Array, generator: np.random.Generator) -> Array:
        return dirichlet_draws(_flat(prior.concentration, statistics.shape[-1]) + statistics, generator)


class GammaPrior:
    """``rate | rows ~ Gamma(a + S₁, b + S₀)``, for Φ = (1, events, ...)."""

    law = dist.Gamma

    def log_evidence(self, prior: Any, statistics: Array, unit: Any = 1.0) -> Array:
        """log Γ(a + S₁) - log Γ(a) + a log b - (a + S₁) log(b + S₀), of rates in units of one that is near them.

        The logs of large rates are small numbers then.
        """
        a, b, count, total = _flat(prior.concentration), _flat(prior.rate), statistics[..., 0], statistics[..., 1]
        logs = gammaln(a + total) - gammaln(a) + a * np.log(b * unit)
        return np.asarray(logs - (a + total) * np.log((b + count) * unit))

    def draws(self, prior: Any, statistics: Array, generator: np.random.Generator) -> Array:
        a, b = _flat(prior.concentration), _flat(prior.rate)
        return np.asarray(generator.standard_gamma(a + statistics[..., 1]) / (b + statistics[..., 0]))


def _flat(numbers: Any, *entry: int) -> Array:
    return np.asarray(numbers.reshape(-1, *entry).numpy())
