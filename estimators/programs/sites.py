"""What a program is made of: its Greeks, the sites of a row, and the plates."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pyro.distributions import Categorical, OrderedLogistic
from pyro.distributions.constraints import ordered_vector, positive_ordered_vector
from pyro.distributions.transforms import biject_to
from torch import Tensor
from torch.distributions import constraints

from estimators.contract import Variable
from estimators.data.data import Data
from estimators.parameters.intervals import base_support, innermost


@dataclass(frozen=True, eq=False)
class Greek:
    """A global continuous site, or a `pyro.param` (``initial`` is its value, and it has no prior)."""

    name: str
    shape: tuple[int, ...]
    event_dim: int
    support: Any
    initial: Tensor | None
    # Axis of `shape` that runs over each plate, by the plate's name.
    plate_axes: Mapping[str, int]

    @property
    def transform(self) -> Any:
        """The map from unconstrained coordinates to the support."""
        return biject_to(self.support)

    def bounded(self, shape: torch.Size) -> Tensor:
        """Which coordinates, of this shape, are logs or logits, whose ends are the boundary of the support."""
        base = base_support(self.support)
        is_bounded = torch.full(shape, not isinstance(base, _WITH_LOCATIONS))
        if isinstance(base, type(ordered_vector)):
            is_bounded[..., 1:] = True
        return is_bounded

    def shares(self, value: Tensor) -> list[tuple[float | None, Tensor]]:
        """The weights of a simplex; the distances from both ends of an interval, each with its end, over its length."""
        base = base_support(self.support)
        if isinstance(base, type(constraints.simplex)):
            return [(None, value)]
        if isinstance(base, type(constraints.unit_interval)):
            share = (value - base.lower_bound) / (base.upper_bound - base.lower_bound)
            return [(float(base.lower_bound), share), (float(base.upper_bound), 1.0 - share)]
        return []

    @property
    def is_ordered(self) -> bool:
        """Whether the entries of the Greek are in increasing order."""
        return isinstance(base_support(self.support), _ORDERED)

    @property
    def is_scale(self) -> bool:
        """Whether the coordinates are logs of positive numbers."""
        return isinstance(base_support(self.support), type(constraints.positive))


@dataclass(frozen=True, eq=False)
class RowSite:
    """A site in the plate over rows. ``axis`` is the rows' axis of its value, whose other axes are ``rest``."""

    name: str
    axis: int
    rest: tuple[int, ...]
    event_dim: int
    is_discrete: bool
    # Observed by the program itself (`obs=...`).
    is_observed: bool
    # The values [K] of a discrete site.
    values: Tensor
    support: Any
    # Entries of a vector are independent, each with a density of its own.
    is_independent: bool
    # The class of its distribution.
    family: type

    @property
    def has_fixed_support(self) -> bool:
        """Whether the support is the same in every row and at all Greeks."""
        return not any(isinstance(value, Tensor) for value in vars(innermost(self.support)).values())

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers, enumerable or not."""
        return self.is_discrete or bool(getattr(base_support(self.support), "is_discrete", False))

    @property
    def is_ordered(self) -> bool:
        """Whether the order of more than two values means something: of counts, and of levels of an ordered logit."""
        is_nominal = issubclass(self.family, Categorical) and not issubclass(self.family, OrderedLogistic)
        return self.is_discrete and self.cardinality > 2 and not is_nominal

    @property
    def cardinality(self) -> int:
        """K, the number of values of a discrete site."""
        return len(self.values)

    @property
    def variable(self) -> Variable:
        """What it is to questions."""
        num_columns = torch.Size(self.rest).numel() if self.rest else None
        return Variable(self.cardinality if self.is_discrete else None, num_columns)

    def allows(self, values: Tensor) -> bool:
        """Whether numbers [...] are in a support that is fixed, each of them as all entries of a vector."""
        event = self.rest[len(self.rest) - self.event_dim :]
        vectors = values.reshape(values.shape + (1,) * self.event_dim).expand(values.shape + event)
        return bool(torch.as_tensor(self.support.check(vectors)).all())

    def placed(self, column: Tensor) -> Tensor:
        """A column [N, ...] in the shape of the site's value."""
        return column.reshape(len(column), *self.rest).movedim(0, self.axis)

    def spread(self, value: Tensor, num_rows: int) -> Tensor:
        """A number, or one per row (or a column [N, ...]), as the value of all entries of the site."""
        column = value.expand(num_rows) if value.ndim == 0 else value
        if column.ndim == 1:
            column = column.reshape((num_rows, *[1] * len(self.rest))).expand(num_rows, *self.rest)
        placed = self.placed(column)
        return placed.to(self.values.dtype) if self.is_discrete else placed.double()


@dataclass(frozen=True, eq=False)
class Structure:
    """Greeks, sites of a row in program order, and the plates."""

    greeks: tuple[Greek, ...]
    sites: Mapping[str, RowSite]
    rows_plate: str
    num_plate_dims: int
    # Whether the program masks some site of a row.
    is_masked: bool
    # The `pyro.factor` statements in the plate over rows.
    factors: tuple[str, ...]
    # Every sample statement, which a column or scalar of that name conditions.
    names: frozenset[str]

    def fixed(self, data: Data) -> dict[str, Tensor]:
        """Greeks that the data fix to a number, a scalar of their name."""
        return {
            name: torch.tensor(value, dtype=torch.float64) for name, value in data.scalars.items() if name in self.names
        }


_ORDERED = (type(ordered_vector), type(positive_ordered_vector))
# Supports some of whose coordinates are locations.
_WITH_LOCATIONS = (type(constraints.real), type(constraints.lower_cholesky), type(ordered_vector))
