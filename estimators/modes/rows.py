"""The rows as the search sees them: points to be near, cells of levels to swap, and what is known of their classes."""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from estimators.data.data import LATENT, Data
from estimators.parameters.edges import Mask
from estimators.parameters.parameter import TINY, Array

# A column of no more different whole numbers is taken as levels.
MOST_LEVELS = 12


@dataclass(frozen=True, eq=False)
class Rows:
    """``points`` [N, P] standardised, ``cells`` [C, N] levels and halves of columns, ``known`` classes [N] or -1."""

    points: Array
    cells: Mask
    known: Array
    weights: Array

    @property
    def num_rows(self) -> int:
        """N."""
        return len(self.points)

    @cached_property
    def evenness(self) -> Array:
        """How far a row's weight is above the median's, inverted [N].

        So much less of a row is spread over classes: else one that counts a million times would be the mean of each.
        """
        positive = self.weights[self.weights > 0]
        return np.minimum(1.0, np.median(positive) / np.maximum(self.weights, TINY))


def rows_of(data: Data) -> Rows:
    """Columns as points and cells; entries that are set or missing are at the centre, and in no cell."""
    points, cells = [np.zeros((data.num_rows, 0))], list[Mask]()
    for name, column in data.columns.items():
        if name == LATENT:
            continue
        values = column.double().numpy().reshape(data.num_rows, -1)
        left_out = data.is_set(name).numpy()[:, None] | np.isnan(values)
        for entries, unknown in zip(values.T, left_out.T, strict=True):
            own_points, own_cells = _of_entries(entries, unknown)
            points.append(own_points)
            # What an intervention set is no effect of the class, but its levels may still be swapped in.
            cells += own_cells
    singles = [cell for cell in cells if cell.any() and not cell.all()]
    pairs = [one ^ other for one, other in combinations(singles, 2)]
    kept = np.array([*singles, *(pair for pair in pairs if pair.any() and not pair.all())], dtype=bool)
    weights = np.ones(data.num_rows) if data.weights is None else data.weights.numpy()
    known = data.latent().numpy() if LATENT in data.columns else np.full(data.num_rows, -1)
    return Rows(np.concatenate(points, 1), kept.reshape(-1, data.num_rows), known, weights)


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
