"""Sums over the levels of what is missing, in rows, and in units where their rows share it.

Rows of a unit are independent given Z and what causes Z. So a row's own gaps are summed over first, the logs of its
sums are added up within the unit, for each combination of the levels of what its rows share, and these are summed last.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from estimators.estep.units import EachRow, Grouped, Numbers, grouped
from estimators.optimise.arrays import Array


class Nested(NamedTuple):
    """Combinations of levels [n] within rows, these within combinations of what a unit shares, and these within units.

    A row is there once for each combination of what its unit shares.
    """

    size: int
    in_rows: Grouped
    in_shared: Grouped | EachRow
    in_units: Grouped | EachRow

    def of_units(self, logs: Array) -> Array:
        """log p [..., u] of logs [..., n]."""
        return self.in_units.log_total(self.in_shared.total(self.in_rows.log_total(logs)))

    def divided(self, logs: Array, shares: Array) -> Array:
        """Shares of units [..., u], all of which each of their rows has, divided among combinations by exp(logs)."""
        of_shared = self.in_units.divided(self.in_shared.total(self.in_rows.log_total(logs)), shares)
        return self.in_rows.divided(logs, self.in_shared.spread(of_shared))


def nested(row: Numbers, units: Numbers | None, shared: Sequence[Array]) -> tuple[NDArray[np.intp], Nested]:
    """The order in which combinations [n], of these rows, are nested, and their sums.

    ``units`` [rows] are the sorted numbers of the rows' units, ``shared`` the levels [n] that the rows of one share.
    """
    if units is None:
        return np.arange(len(row)), Nested(len(row), Grouped.of(row), EachRow(), EachRow())
    unit = units[row]
    # One number for each unit and combination of what its rows share, in the order of the units.
    _, shared_by = np.unique(np.stack([unit, *shared], 1), axis=0, return_inverse=True)
    shared_by = shared_by.reshape(-1)
    order = np.lexsort((row, shared_by))
    unit, shared_by, row = unit[order], shared_by[order], row[order]
    begins = np.append(True, (np.diff(shared_by) != 0) | (np.diff(row) != 0))[: len(row)]
    in_rows = Grouped(np.flatnonzero(begins), np.cumsum(begins) - 1)
    in_shared = Grouped.of(shared_by[in_rows.starts])
    return order, Nested(len(row), in_rows, in_shared, grouped(unit[in_rows.starts][in_shared.starts]))
