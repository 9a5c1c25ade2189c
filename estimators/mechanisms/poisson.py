"""A count whose rate depends on the hidden cause."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pyro.distributions as dist
import torch
from torch.distributions import constraints

from estimators.mechanisms.conjugate import GammaPrior
from estimators.mechanisms.defaults import OneGreek, weighted_mean
from estimators.mechanisms.gaussian.family import standardised
from estimators.mechanisms.protocol import Greeks, Reference, VariableTable
from estimators.optimise.arrays import Array
from estimators.parameters.distributions import CountingPoisson, log_poisson
from estimators.parameters.parameter import Parameter
from estimators.parameters.priors import default_prior
from estimators.parameters.transforms import Positive, Transform


@dataclass(frozen=True, eq=False)
class Poisson(OneGreek):
    """``x | Z = k ~ Poisson(rate_k)``: a count.

    ``log p = -(rate_k - r) + x log(rate_k / r) + log Poisson(x; r)`` with r the column's mean, so Φ = (1, x, h) with
    ``h = log Poisson(x; r)``, and large counts keep their digits.

    Greek: ``rate`` [K], or [K, levels, ...] with discrete observed ``parents``. ``prior`` is over the positive numbers
    or a part of them, or a number, which means known. Raises TypeError or ValueError for anything else.

    >>> Poisson(prior=dist.Gamma(2.0, 0.5), parents=["T"]).parents
    ('T',)
    """

    prior: Any = field(default_factory=lambda: default_prior(dist.Gamma, 1.0, 0.1))
    parents: Sequence[str] = ()

    symbol, support = "rate", constraints.positive
    law = CountingPoisson
    conjugate = GammaPrior()
    is_centred = True

    def scaled_to(self, column: Array, inputs: Mapping[str, Array]) -> Self:
        """``rate ~ Exponential`` with the column's mean, as a Gamma; itself where no row counts anything."""
        mean = float(column.mean())
        return self.with_priors({"rate": default_prior(dist.Gamma, 1.0, 1.0 / mean)}) if mean > 0 else self

    def transform(self, parameter: Parameter, reference: Reference) -> Transform:
        return Positive(reference.centre)

    def reference(self, column: Array, inputs: Array) -> Reference:
        return standardised(column) if column.any() else Reference(1.0)

    def features(self, column: Array, inputs: Array, reference: Reference) -> Array:
        rest = log_poisson(torch.from_numpy(column), torch.as_tensor(reference.centre))
        return np.stack([np.ones_like(column), column, rest.numpy()])

    def natural_parameters(self, greeks: Greeks, reference: Reference) -> Array:
        rate, mean = self.array("rate", greeks), reference.centre
        ratio = (rate - mean) / mean
        # The logarithm of a ratio near 1 has no digits beyond those of the ratio.
        log_ratio = np.where(np.abs(ratio) < 0.5, np.log1p(np.maximum(ratio, -0.5)), np.log(rate / mean))
        return np.stack([mean - rate, log_ratio, np.ones_like(ratio)], -1)

    def slope(self, value: Array, statistics: Array) -> Array:
        return np.asarray(statistics[..., 1] / value - statistics[..., 0])

    def best(self, statistics: Array, previous: Array) -> Array:
        return weighted_mean(statistics[..., 1], statistics[..., 0], previous)

    def held(self, value: Array, reference: Reference) -> Array:
        """At least 1e-30 of the column's mean, whose logarithm is still moderate."""
        return np.asarray(np.maximum(value, 1e-30 * (reference.scale if reference.by_cell else reference.centre)))

    def edge_share(self, value: Array) -> Array:
        return value

    def recentred(self, greeks: Greeks, reference: Reference) -> Reference:
        """Centres at the cells' own rates."""
        return reference.at(self.array("rate", greeks))

    def tabulate(self, table: VariableTable) -> None:
        column = torch.from_numpy(table.column)
        table.counts(self.given, "rate", log_poisson(column, column).numpy())

    def log_evidence(self, statistics: Array, reference: Reference) -> Array:
        evidence = self.conjugate.log_evidence(self.prior, statistics, reference.centre)
        return np.asarray(evidence + statistics[..., 0] * reference.centre + statistics[..., 2])
