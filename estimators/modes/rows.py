"""The rows as the search sees them: points to be near, cells of levels to swap, and what is known of their classes."""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from estimators.data.data import LATENT, NOT_SEEN, Data
from estimators.optimise.arrays import Array, Mask
from estimators.parameters.parameter import TINY

# A column of no more different whole numbers is taken as levels.
MOST_LEVELS = 12


@dataclass(frozen=True, eq=False)
class Rows:
    """``points`` [N, P] standardised, ``levels`` [C, N] and halves of columns, ``known`` classes [N] or -1.

    Where rows of a unit share one Z, the N are units: each is at the mean of its rows, and in the levels of most.
    """

    points: Array
    levels: Mask
    known: Array
    weights: Array

    @property
    def num_rows(self) -> int:
        """N."""
        return len(self.points)

    @cached_property
    def cells(self) -> Mask:
        """Levels, and where just one of two columns has its level."""
        pairs = [one ^ other for one, other in combinations(self.levels, 2)]
        kept = [*self.levels, *(pair for pair in pairs if pair.any() and not pair.all())]
        return np.array(kept, dtype=bool).reshape(-1, self.num_rows)

    @cached_property
    def evenness(self) -> Array:
        """How far a row's weight is above the median's, inverted [N].

        So much less of a row is spread over classes: else one that counts a million times would be the mean of each.
        """
        positive = self.weights[self.weights > 0]
        return np.minimum(1.0, np.median(positive) / np.maximum(self.weights, TINY))


def rows_of(data: Data) -> Rows:
    """Columns as points and cells; entries that are set or missing are at the centre, and in no cell."""
    points, levels, is_observed = [np.zeros((data.num_rows, 0))], list[Mask](), np.zeros(data.num_rows, dtype=bool)
    for name, column in data.columns.items():
        if name == LATENT:
            continue
        values = column.double().numpy().reshape(data.num_rows, -1)
        left_out = data.is_set(name).numpy()[:, None] | np.isnan(values)
        is_observed |= ~left_out.all(1)
        for entries, unknown in zip(values.T, left_out.T, strict=True):
            own_points, own_levels = _of_entries(entries, unknown)
            points.append(own_points)
            # What an intervention set is no effect of the class, but its levels may still be swapped in.
            levels += [level for level in own_levels if level.any() and not level.all()]
    weights = np.ones(data.num_units) if data.unit_weights is None else data.unit_weights.numpy()
    # A known row of which nothing else is observed is no place for its class.
    known = np.where(_of_units(data, is_observed) > 0, data.of_units(data.latent()).numpy(), NOT_SEEN)
    cells = [level for level in (_of_units(data, level) > 0.5 for level in levels) if level.any() and not level.all()]
    by_unit = _of_units(data, np.concatenate(points, 1))
    return Rows(by_unit, np.array(cells, dtype=bool).reshape(-1, data.num_units), known, weights)


def _of_units(data: Data, values: Array | Mask) -> Array:
    """The mean of values [N, ...] in each unit [U, ...]."""
    if data.unit is None:
        return np.asarray(values, dtype=np.float64)
    total = np.zeros((data.num_units, *values.shape[1:]))
    np.add.at(total, data.unit.of_row.numpy(), values)
    return np.asarray(total / data.unit.sizes.numpy().reshape(-1, *[1] * (values.ndim - 1)))


def _of_entries(entries: Array, unknown: Mask) -> tuple[Array, list[Mask]]:
    levels = np.unique(entries[~np.isnan(entries)])
    if len(levels) <= MOST_LEVELS and bool((levels == np.floor(levels)).all()):
        cells = [entries == level for level in levels[1:]]
        own = np.array(cells, dtype=np.float64).reshape(-1, len(entries)).T
    else:
        cells = [entries > np.nanmedian(entries)]
        own = entries[:, None]
    seen = np.where(unknown[:, None], np.nan, own)
    if not own.shape[1] or unknown.all():
        return np.zeros((len(entries), 0)), cells
    centred = np.nan_to_num(seen - np.nanmean(seen, 0))
    reach = np.maximum(np.abs(centred).max(0), 1e-300)
    spread = reach * np.sqrt(((centred / reach) ** 2).mean(0))
    return centred / np.where(spread > 1e-100, spread, 1.0), cells
