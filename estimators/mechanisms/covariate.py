"""A variable that rows are conditioned on: it may cause any other, and has no law of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor
from torch.distributions import constraints

from estimators.checks import check_whole
from estimators.data.remarks import Remark
from estimators.mechanisms.column_values import check_positive_numbers
from estimators.mechanisms.defaults import LogLinear
from estimators.mechanisms.known_or_prior import KnownOrPrior
from estimators.mechanisms.protocol import Greeks, Reference, VariableTable
from estimators.optimise.arrays import Array


@dataclass(frozen=True, eq=False)
class Covariate(LogLinear):
    """A variable without a mechanism, as a causal mixture's ``covariates`` name them: all of its values are set.

    With ``num_levels`` its values are levels, which enter tables, and regressions by indicators; without, it is a
    number, above 0 where it ``is_positive``, as the exposure of a count is. Raises TypeError or ValueError for fewer
    than 2 levels.

    >>> Covariate(num_levels=3).num_levels
    3
    """

    num_levels: int | None = None
    is_positive: bool = False

    is_covariate = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "parents", ())
        object.__setattr__(self, "caused_by_latent", False)
        # To the E-step it is of one level that has all the mass.
        object.__setattr__(self, "given", {"p": KnownOrPrior("p", [1.0], constraints.simplex, (1,))})
        if self.num_levels is not None:
            object.__setattr__(self, "num_levels", check_whole("num_levels", self.num_levels, least=2))

    def check(self, name: str, column: Tensor) -> Tensor:
        """Levels where there are some, else numbers above 0, or any."""
        if self.num_levels is not None:
            return super().check(name, column)
        return check_positive_numbers(name, column) if self.is_positive else column.double()

    def distribution(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> TorchDistributionMixin:
        """A number that is none, until it is set."""
        law: TorchDistributionMixin = dist.Delta(torch.tensor(torch.nan, dtype=torch.float64), validate_args=False)
        return law

    def remarks(self, column: Array, inputs: Mapping[str, Array]) -> list[Remark]:
        """None: what is wrong with it as an input is said of what it causes."""
        return []

    def num_features(self, num_inputs: int) -> int:
        """F = 1: a constant."""
        return 1

    def features(self, column: Array, inputs: Array, reference: Reference) -> Array:
        return np.ones((1, len(column)))

    def natural_parameters(self, greeks: Greeks, reference: Reference) -> Array:
        return np.zeros((1, 1))

    def gradient(self, greeks: Greeks, statistics: Array, reference: Reference) -> dict[str, Array]:
        return {}

    def argmax(self, statistics: Array, reference: Reference, previous: Greeks) -> dict[str, Array]:
        return {}

    def tabulate(self, table: VariableTable) -> None:
        nothing = np.zeros(len(table.column))
        table.changed(nothing, nothing).masses(self.given, "p", 1)

    def why_not_conjugate(self) -> str | None:
        return None

    def log_evidence(self, statistics: Array, reference: Reference) -> Array:
        """log 1."""
        return np.zeros(statistics.shape[:-1])

    def posterior_draws(self, statistics: Array, reference: Reference, generator: Any) -> dict[str, Array]:
        return {}
