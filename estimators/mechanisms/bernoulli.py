"""A yes-or-no measurement whose chance depends on the hidden cause.

Its density stands in `ExactBernoulli` for Pyro and for queries, and in the coefficients of the E-step, where one
evaluation of a few numbers must not cost a graph of torch's. So does every family's; tests compare the two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import constraints

from estimators.data.remarks import Remark, unused
from estimators.mechanisms.conjugate import BetaPrior
from estimators.mechanisms.defaults import OneGreek, weighted_mean
from estimators.mechanisms.protocol import Greeks, Reference, VariableTable
from estimators.optimise.arrays import Array
from estimators.parameters.distributions import ExactBernoulli
from estimators.parameters.parameter import LOG_ZERO, Parameter
from estimators.parameters.priors import default_prior
from estimators.parameters.transforms import LOGS, Transform, UnitInterval

# The M-step holds a probability this far from 0 and 1, where its logit is still finite.
EDGE = 1e-12
LOG_P, LOG_REST = (name.format("p") for name in LOGS)


@dataclass(frozen=True, eq=False)
class Bernoulli(OneGreek):
    """``x | Z = k ~ Bernoulli(p_k)``: 1 with probability p_k, else 0.

    ``log p = (1 - x) log(1 - p_k) + x log p_k``, so Φ = (1 - x, x).

    Greek: ``p`` [K], or [K, levels, ...] with discrete observed ``parents``. ``prior`` is a distribution over the
    interval from 0 to 1 or a part of it, or a number, which means known. Raises TypeError or ValueError for anything
    else.

    >>> Bernoulli(prior=dist.Beta(2.0, 2.0)).num_levels
    2
    """

    prior: Any = field(default_factory=lambda: default_prior(dist.Beta, 1.0, 1.0))
    parents: Sequence[str] = ()

    symbol, support = "p", constraints.unit_interval
    law = ExactBernoulli
    conjugate = BetaPrior()
    num_levels = 2

    def transform(self, parameter: Parameter, reference: Reference) -> Transform:
        return UnitInterval()

    def features(self, column: Array, inputs: Array, reference: Reference) -> Array:
        return np.stack([1.0 - column, column])

    def remarks(self, column: Array, inputs: Mapping[str, Array]) -> list[Remark]:
        """Levels that occur in no row."""
        return unused(column, self.num_levels, self.symbol)

    def tabulate(self, table: VariableTable) -> None:
        table.chances(self.given, "p")

    def natural_parameters(self, greeks: Greeks, reference: Reference) -> Array:
        if LOG_P in greeks:
            return np.stack([greeks[LOG_REST], greeks[LOG_P]], -1)
        p = self.array("p", greeks)
        with np.errstate(divide="ignore"):
            return np.asarray(np.maximum(np.stack([np.log1p(-p), np.log(p)], -1), LOG_ZERO))

    def gradient(self, greeks: Greeks, statistics: Array, reference: Reference) -> dict[str, Array]:
        """With respect to logs, where they are given, S₁ and S₀."""
        if LOG_P in greeks:
            return {LOG_P: statistics[..., 1], LOG_REST: statistics[..., 0]}
        return super().gradient(greeks, statistics, reference)

    def slope(self, value: Array, statistics: Array) -> Array:
        p = np.clip(value, 1e-300, 1.0 - 1e-16)
        return np.asarray(statistics[..., 1] / p - statistics[..., 0] / (1.0 - p))

    def best(self, statistics: Array, previous: Array) -> Array:
        return np.clip(weighted_mean(statistics[..., 1], statistics.sum(-1), previous), EDGE, 1.0 - EDGE)

    def edge_share(self, value: Array) -> Array:
        return np.minimum(value, 1.0 - value)

    def log_masses(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """log p(x = 0) and log p(x = 1) as [..., cells, 2]."""
        return self.law(self.tensor("p", greeks)[..., None]).log_prob(torch.arange(2.0, dtype=torch.float64))
