"""The rows of a fit as an export has them: what was observed, what is conditioned on, and rows drawn anew like them.

A row that counts w times is there w times. What was set stays as it was set, and entries without a value have none in
rows that are drawn either, so that these may be held against the observed ones entry by entry.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from estimators.contract import Draws, Model
from estimators.data.data import NOT_SEEN, Data
from estimators.fits.datasets import rows_dataset, unused

if TYPE_CHECKING:
    import xarray

# What a column of marks is called.
MARKS = "intervened_{}"


@dataclass(frozen=True, eq=False)
class ExportedRows:
    """Rows, and the model that they were fitted by; ``hidden`` are the sites that are not seen in some of them."""

    model: Model
    data: Data
    hidden: tuple[str, ...]
    # One draw of the Greeks [1, *shape], by which is found what the model draws.
    at: Draws

    @cached_property
    def observed(self) -> list[str]:
        """The columns that were observed in some row and can be drawn anew; the others are conditioned on."""
        drawn = self.model.replicate(self.at, self.data, seed=0)
        return [name for name in self.data.columns if name in drawn and not bool(self.data.is_set(name).all())]

    @property
    def num_numbers(self) -> int:
        """Of the observed columns."""
        return sum(self.data.columns[name].numel() for name in self.observed)

    def observed_data(self) -> "xarray.Dataset":
        """The observed columns."""
        return rows_dataset({name: self.data.columns[name] for name in self.observed}, self.data)

    def constant_data(self) -> "xarray.Dataset | None":
        """What is conditioned on: covariates, what was set, scalars, and weights; None where there is nothing."""
        data = self.data
        constant = {name: column for name, column in data.columns.items() if name not in self.observed}
        marks = {MARKS.format(name): mask for name, mask in data.intervened.items() if name in self.observed}
        counted = {} if data.weights is None else {unused("weights", data.columns): data.weights}
        if not (constant or marks or counted or data.scalars):
            return None
        return rows_dataset({**constant, **marks, **counted}, data).assign(data.scalars)

    def drawn(self, draws: Draws, num_chains: int, seed: int) -> "xarray.Dataset":
        """Rows of the observed columns at each draw of the Greeks, with gaps where the observed have them."""
        columns = self.model.replicate(draws, self.data, seed=seed)
        shaped = {name: self._with_gaps(name, columns[name]) for name in self.observed}
        return rows_dataset(shaped, self.data, num_chains).assign_attrs(seed=seed)

    def _with_gaps(self, name: str, drawn: Tensor) -> Tensor:
        column = self.data.columns[name]
        values = drawn.reshape(len(drawn), *column.shape).to(column.dtype)
        if name in self.hidden:
            values = torch.where(column == NOT_SEEN, NOT_SEEN, values)
        return torch.where(column.isnan(), torch.nan, values) if column.is_floating_point() else values
