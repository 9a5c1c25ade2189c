"""A positive measurement whose logarithm is Gaussian about a line of observed causes, for each class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyro.distributions as dist
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from estimators.data.remarks import Remark
from estimators.mechanisms.column_values import check_positive_numbers
from estimators.mechanisms.gaussian.linear import LinearGaussian
from estimators.mechanisms.protocol import Reference, Turn, VariableTable
from estimators.optimise.arrays import Array


@dataclass(frozen=True, eq=False)
class LogNormal(LinearGaussian):
    """``log y | Z = k, parents ~ Normal(beta_k · (1, parents), sigma_k)``, of y > 0.

    It is a `LinearGaussian` of log y, in its Greeks, its priors and its E-step; without parents the intercept is alone.
    The density is that of y itself: ``log p(y) = log Normal(log y; ...) - log y``.

    >>> LogNormal(parents=["T"]).is_positive
    True
    """

    parents: Sequence[str] = ()

    is_gaussian = False
    is_positive = True
    has_heavy_tails = True
    needs_parents = False

    def check(self, name: str, column: Tensor) -> Tensor:
        return check_positive_numbers(name, column)

    def reference(self, column: Array, inputs: Array) -> Reference:
        return super().reference(np.log(column), inputs)

    def forms_of_rows(self, column: Array, inputs: Array, reference: Reference) -> Array:
        return super().forms_of_rows(np.log(column), inputs, reference)

    def offset(self, column: Array) -> Array | None:
        return -np.log(column)

    def tabulate(self, table: VariableTable) -> None:
        super().tabulate(table.changed(np.log(table.column), -np.log(table.column)))

    def remarks(self, column: Array, inputs: Mapping[str, Array]) -> list[Remark]:
        return super().remarks(np.log(column), inputs)

    def scaled_to(self, column: Array, inputs: Mapping[str, Array]) -> Self:
        return super().scaled_to(np.log(column), inputs)

    def distribution(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> TorchDistributionMixin:
        law: TorchDistributionMixin = dist.LogNormal(
            self.mean(greeks, cell, inputs), self.given["sigma"].in_cell(greeks.get("sigma"), cell), validate_args=False
        )
        return law

    def turning(
        self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor, value: Tensor | None
    ) -> Sequence[Turn]:
        if value is None:
            return ()
        sigma = self.given["sigma"].in_cell(greeks.get("sigma"), cell)
        return (Turn(self.mean(greeks, cell, inputs), value.log(), sigma),)
