"""The rows whose covariates a question averages over: what the g-formula sums."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from estimators.data.data import Data
from estimators.data.values import numbers

if TYPE_CHECKING:
    from estimators.mixture.program import MixtureProgram


class CovariateRows(NamedTuple):
    """Distinct rows [R] of covariates, and the logs of their shares of the fitted rows' weights."""

    values: Mapping[str, Tensor]
    log_shares: Tensor

    @classmethod
    def of(cls, names: Sequence[str], data: Data) -> "CovariateRows":
        """Those of some rows."""
        counted = data.rows(data.counts().nonzero()[:, 0])
        columns = torch.stack([counted.columns[name].double() for name in names], 1)
        distinct, which = columns.unique(dim=0, return_inverse=True)
        weights = torch.ones(len(columns), dtype=torch.float64) if counted.weights is None else counted.weights.double()
        shares = torch.zeros(len(distinct), dtype=torch.float64).index_add(0, which, weights / weights.sum())
        return cls(dict(zip(names, distinct.T, strict=True)), shares.log())

    def drawn(self, num_rows: int) -> dict[str, Tensor]:
        """Rows drawn by their shares; random numbers are torch's."""
        which = torch.multinomial(self.log_shares.exp(), num_rows, replacement=True)
        return {name: value[which] for name, value in self.values.items()}


def checked_values(model: "MixtureProgram", covariates: Mapping[str, Any] | None, num_rows: int) -> dict[str, Tensor]:
    """Values that are given of a model's covariates, as columns [N]; a ValueError names one that cannot be."""
    columns = {}
    for name, value in ({} if covariates is None else covariates).items():
        if name not in model.covariates:
            raise ValueError(f"covariates: expected some of {list(model.covariates)}, got {name!r}")
        column = numbers(name, value)
        if tuple(column.shape) not in ((), (num_rows,)):
            raise ValueError(f"covariates: expected {num_rows} values of {name}, got shape {tuple(column.shape)}")
        columns[name] = model.mechanisms[name].check(name, column.expand(num_rows))
    return columns
