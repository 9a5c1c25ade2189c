"""What a family is given for one of its Greeks: a prior, or numbers, which mean that it is known."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pyro.ops.indexing import Vindex
from torch import Tensor

from estimators.isolation import own_modes
from estimators.optimise.arrays import Array
from estimators.parameters.parameter import Parameter
from estimators.parameters.prior_checks import known_or_prior
from estimators.parameters.priors import parameters_of


@dataclass(frozen=True, eq=False)
class KnownOrPrior:
    """A prior or known numbers, one for all cells, one for each entry, or one for each entry of each cell.

    ``entry`` is the shape of what one cell has of the Greek: () for a mean, (D,) for those of a column of vectors. A
    Greek that ``is_shared`` has one entry for all cells. Raises TypeError or ValueError for anything else.
    """

    argument: str
    value: Any
    support: Any
    entry: tuple[int, ...] = ()
    is_shared: bool = False

    @own_modes()
    def __post_init__(self) -> None:
        object.__setattr__(self, "value", known_or_prior(self.argument, self.value, self.support))

    @property
    def is_known(self) -> bool:
        """Whether numbers were given."""
        return isinstance(self.value, Tensor)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the numbers, or of the prior's draws."""
        return tuple(self.value.shape if self.is_known else self.value.batch_shape + self.value.event_shape)

    @cached_property
    def is_per_cell(self) -> bool:
        """Whether it may differ between cells."""
        return len(self.shape) > len(self.entry)

    def parameter(self, symbol: str, table: tuple[int, ...], entry: tuple[int, ...]) -> tuple[Parameter, ...]:
        """The Greek [*table, *entry] with its prior; none where it is known. Raises ValueError for another shape."""
        whole = entry if self.is_shared else (*table, *entry)
        if self.shape not in ((), entry, whole):
            expected = entry if entry and entry == whole else f"{entry} or {whole}" if entry else whole
            raise ValueError(f"{self.argument}: expected one value, or shape {expected}, got shape {self.shape}")
        if self.is_known:
            return ()
        batch = whole[: len(whole) - len(self.value.event_shape)]
        return (Parameter(symbol, whole, self.value.expand(batch), None if self.is_shared else 0, self.support),)

    def at(self, places: NDArray[np.intp], entry: tuple[int, ...]) -> Any:
        """The prior of the numbers at some places [...] of an entry, which are not given one for each cell."""
        if not self.value.batch_shape:
            return self.value.expand(places.shape)
        if self.shape != entry:
            expected = f"one prior, or shape {entry}"
            raise ValueError(f"{self.argument}: expected {expected}, where classes share slopes, got {self.shape}")
        numbers = parameters_of(self.value).items()
        return type(self.value)(**{name: value.expand(entry).reshape(-1)[places] for name, value in numbers})

    @cached_property
    def tensor(self) -> Tensor:
        """Known numbers as [cells, *entry], or [*entry] where they serve all cells."""
        known: Tensor = self.value
        if self.is_per_cell:
            return known.reshape(-1, *self.shape[len(self.shape) - len(self.entry) :])
        return known.expand(np.broadcast_shapes(self.shape, self.entry))

    @cached_property
    def array(self) -> Array:
        """Known numbers as [cells, *entry], or [1, *entry] where they serve all cells."""
        known = self.tensor.numpy()
        return known if self.is_per_cell else known[None]

    def in_cell(self, estimate: Tensor | None, cell: Tensor) -> Tensor:
        """The Greek at some cells [..., *entry], estimated (perhaps with a set of values per row) or known."""
        value = self.tensor if estimate is None else estimate
        if estimate is not None or self.is_per_cell:
            return torch.as_tensor(Vindex(value)[(..., cell, *[slice(None)] * len(self.entry))])
        return value
