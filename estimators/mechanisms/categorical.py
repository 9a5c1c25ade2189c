"""A measurement with finitely many levels, whose chances depend on the hidden cause."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import constraints

from estimators.checks import check_num_levels
from estimators.data.remarks import Remark, unused
from estimators.isolation import own_modes
from estimators.mechanisms.conjugate import DirichletPrior
from estimators.mechanisms.defaults import OneGreek, weighted_mean
from estimators.mechanisms.known_or_prior import KnownOrPrior
from estimators.mechanisms.protocol import Greeks, Reference, VariableTable
from estimators.optimise.arrays import Array
from estimators.parameters.distributions import ExactCategorical
from estimators.parameters.parameter import LOG_ZERO, TINY, Parameter
from estimators.parameters.transforms import LOGS, Simplex, Transform

# The M-step holds a probability this far from 0, where the coordinates of the simplex are still moderate.
EDGE = 1e-12
LOG_P = LOGS[0].format("p")


@dataclass(frozen=True, eq=False)
class Categorical(OneGreek):
    """``x | Z = k ~ Categorical(p_k)``: level l, from 0 to L - 1, with probability p_kl.

    ``log p = Σ_l 1[x = l] log p_kl``, so Φ is the one-hot of x.

    Greek: ``p`` [K, L], or [K, levels, ..., L] with discrete observed ``parents``; L is ``num_levels``. ``prior`` is a
    distribution over L weights that sum to 1 (``Dirichlet(1, ..., 1)`` unless given), or L numbers (or [K, ..., L]),
    which mean known. Raises TypeError or ValueError for anything else.

    >>> Categorical(3, prior=dist.Dirichlet(torch.tensor([2.0, 1.0, 1.0]))).num_levels
    3
    """

    num_levels: int
    prior: Any = None
    parents: Sequence[str] = ()

    symbol, support = "p", constraints.simplex
    law = ExactCategorical
    conjugate = DirichletPrior()

    @own_modes()
    def __post_init__(self) -> None:
        object.__setattr__(self, "num_levels", check_num_levels(type(self).__name__, self.num_levels, least=2))
        if self.prior is None:
            object.__setattr__(self, "prior", dist.Dirichlet(torch.ones(self.num_levels, dtype=torch.float64)))
        given = KnownOrPrior("prior", self.prior, self.support, (self.num_levels,))
        if given.shape[-1:] != given.entry:
            found = given.shape[-1:]
            raise ValueError(f"prior: expected {self.num_levels} weights, one for each level, got shape {found}")
        if given.is_known:
            # Numbers that sum to 1 within rounding do so to the last digit.
            given = replace(given, value=given.value / given.value.sum(-1, keepdim=True))
        self.take({"p": given})

    def transform(self, parameter: Parameter, reference: Reference) -> Transform:
        return Simplex(self.num_levels, int(np.prod(parameter.shape[:-1])))

    def features(self, column: Array, inputs: Array, reference: Reference) -> Array:
        return np.asarray((column == np.arange(self.num_levels)[:, None]) * 1.0)

    def remarks(self, column: Array, inputs: Mapping[str, Array]) -> list[Remark]:
        """Levels that occur in no row."""
        return unused(column, self.num_levels, self.symbol)

    def tabulate(self, table: VariableTable) -> None:
        table.masses(self.given, "p", self.num_levels)

    def natural_parameters(self, greeks: Greeks, reference: Reference) -> Array:
        if LOG_P in greeks:
            return greeks[LOG_P]
        with np.errstate(divide="ignore"):
            return np.maximum(np.log(self.array("p", greeks)), LOG_ZERO)

    def gradient(self, greeks: Greeks, statistics: Array, reference: Reference) -> dict[str, Array]:
        """With respect to log p, where it is given, S."""
        return {LOG_P: statistics} if LOG_P in greeks else super().gradient(greeks, statistics, reference)

    def slope(self, value: Array, statistics: Array) -> Array:
        return np.asarray(statistics / np.maximum(value, TINY))

    def best(self, statistics: Array, previous: Array) -> Array:
        shares = np.maximum(weighted_mean(statistics, statistics.sum(-1, keepdims=True), previous), EDGE)
        return np.asarray(shares / shares.sum(-1, keepdims=True))

    def edge_share(self, value: Array) -> Array:
        return value

    def log_masses(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """log p(x = l) for every level, as [..., cells, L]."""
        return self.tensor("p", greeks).log()

    def order_key(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """Components are put in order of their expected level."""
        p = self.tensor("p", greeks)
        return (p * torch.arange(self.num_levels, dtype=p.dtype)).sum(-1)
