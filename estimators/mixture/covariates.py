"""The rows whose covariates a question averages over: what the g-formula sums."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from estimators.contract import Variable
from estimators.data.data import Data
from estimators.data.values import numbers

if TYPE_CHECKING:
    from estimators.mixture.program import MixtureProgram


class CovariateRows(NamedTuple):
    """Distinct rows [R] of covariates, and the logs of their shares of the fitted rows' weights.

    ``is_steady`` says of each whether it is one value a unit; nothing where no unit has several rows.
    """

    values: Mapping[str, Tensor]
    log_shares: Tensor
    is_steady: Mapping[str, bool]

    @classmethod
    def of(cls, names: Sequence[str], data: Data) -> "CovariateRows":
        """Those of some rows."""
        counted = data.rows(data.counts().nonzero()[:, 0])
        columns = torch.stack([counted.columns[name].double() for name in names], 1)
        distinct, which = columns.unique(dim=0, return_inverse=True)
        weights = torch.ones(len(columns), dtype=torch.float64) if counted.weights is None else counted.weights.double()
        shares = torch.zeros(len(distinct), dtype=torch.float64).index_add(0, which, weights / weights.sum())
        of_names = {name: is_steady(counted, name) for name in names} if has_several_rows(counted) else {}
        return cls(dict(zip(names, distinct.T, strict=True)), shares.log(), of_names)

    def given(
        self, held: Mapping[str, Tensor], settings: Collection[str], variables: Mapping[str, Variable]
    ) -> "CovariateRows":
        """The rows that have the levels that are given, where other covariates are averaged over.

        Raises ValueError where there are none, or several levels of one are given.
        """
        keep = torch.ones(len(self.log_shares), dtype=torch.bool)
        levels = {name: value for name, value in held.items() if variables[name].num_levels is not None}
        if not levels or set(settings) >= self.values.keys():
            return self
        for name, level in levels.items():
            if level.ndim:
                raise ValueError(f"given: {name} expects one value where others are averaged over; ask for each")
            keep = keep & (self.values[name] == level)
        if not bool(keep.any()):
            asked = " and ".join(f"{name} = {float(level):g}" for name, level in levels.items())
            raise ValueError(f"given: no fitted row has {asked}; set it by do(...)")
        values = {name: column[keep] for name, column in self.values.items()}
        return CovariateRows(values, self.log_shares[keep].log_softmax(0), self.is_steady)

    def drawn(self, num_rows: int) -> dict[str, Tensor]:
        """Rows drawn by their shares; random numbers are torch's."""
        which = torch.multinomial(self.log_shares.exp(), num_rows, replacement=True)
        return {name: value[which] for name, value in self.values.items()}


def has_several_rows(data: Data) -> bool:
    """Whether some unit has."""
    return data.num_units < data.num_rows


def is_steady(data: Data, name: str) -> bool:
    """Whether a column is one value a unit."""
    return torch.equal(data.spread(data.of_units(data.columns[name])), data.columns[name])


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
