"""The rows as general terms take them: those with gaps once for each combination of their missing levels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from estimators.estep.centring import ParameterSets
from estimators.estep.incomplete import IncompleteRows
from estimators.estep.terms import Entries
from estimators.optimise.arrays import Array


class Completed(NamedTuple):
    """Rows with their w R [..., K, n], and by slot a 0 for each row in which a term is left out."""

    columns: Mapping[str, Array]
    shares: Array
    active: Mapping[int, Array]

    def counted(self, slot: int) -> Array:
        """w R [..., K, n] as far as a term counts."""
        return self.shares * self.active[slot] if slot in self.active else self.shares


@dataclass(frozen=True, eq=False)
class Completion:
    """Rows without gaps, which unit each of them is of (None where all are units, each by itself), and the others."""

    rows: Entries
    unit: NDArray[np.integer[Any]] | None
    incomplete: IncompleteRows | None

    def at(self, sets: ParameterSets | None, responsibilities: Array) -> Completed:
        """The rows with w R [..., K, n] at some parameter sets, of which R [..., K, U] are."""
        of_parts = no_parts if self.incomplete is None or sets is None else partial(self.incomplete.shares, sets)
        return self.of(responsibilities, of_parts)

    def of(self, responsibilities: Array, of_parts: Callable[[], Sequence[Array]]) -> Completed:
        """The rows with w R of given R [..., K, U], and w R [S, K, n] of each part of those with gaps."""
        own = responsibilities if self.unit is None else responsibilities[..., self.unit]
        own = own if self.rows.weights is None else own * self.rows.weights
        if self.incomplete is None:
            return Completed(self.rows.columns, own, self.rows.active)
        parts = self.incomplete.parts
        shares = np.concatenate([own, *(part.reshape(*own.shape[:-1], -1) for part in of_parts())], -1)
        columns = {
            name: np.concatenate([column, *(part.columns[name] for part in parts)])
            for name, column in self.rows.columns.items()
        }
        active = {
            slot: np.concatenate([mask, *(part.active[slot] for part in parts)])
            for slot, mask in self.rows.active.items()
        }
        return Completed(columns, shares, active)


def no_parts() -> Sequence[Array]:
    """Those of no rows with gaps."""
    return ()
