"""Which entries of a data set are missing, and what is left to sum or to integrate."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from estimators.data.data import LATENT, Data
from estimators.estep.variable import Node
from estimators.estep.weights import WEIGHTS, Weights
from estimators.parameters.parameter import Array

# Combinations of levels of a row's missing discrete entries.
MOST_COMBINATIONS = 4096
Mask = NDArray[np.bool_]


class Missing:
    """Which entries of a data set are missing, and what that leaves: columns without NaN, and terms that count.

    ``active`` is 0 where an entry's own factor is left out (set, or missing and causing nothing known); ``incomplete``
    marks the rows with an entry to sum or integrate out. Raises ValueError, naming the column, for one that cannot be.
    """

    def __init__(self, weights: Weights, nodes: Mapping[str, Node], data: Data) -> None:
        self.entries = {name: data.is_missing(name).numpy() for name in nodes}
        whole = {name: mask.reshape(len(mask), -1).all(1) for name, mask in self.entries.items()}
        some = {name: mask.reshape(len(mask), -1).any(1) for name, mask in self.entries.items()}
        self._whole = whole
        is_set = {name: data.is_set(name).numpy() for name in (*nodes, LATENT)}
        children: dict[str, list[str]] = {name: [] for name in nodes}
        for name, node in nodes.items():
            for parent in node.parents:
                children[parent].append(name)
        left_out = {LATENT: is_set[LATENT]}
        for name in reversed(list(nodes)):
            mine = [*children[name], *([LATENT] if name in weights.parents else [])]
            barren = whole[name] & np.all([left_out[child] for child in mine], axis=0) if mine else whole[name]
            left_out[name] = is_set[name] | barren
        self.active = {(WEIGHTS if n == LATENT else n): 1.0 - mask for n, mask in left_out.items() if mask.any()}
        self.incomplete = np.any([some[name] & ~left_out[name] for name in nodes], axis=0)
        self.columns = {name: _filled(data.columns[name].double().numpy(), self.entries[name]) for name in nodes}
        for name, node in nodes.items():
            summed = some[name] & ~left_out[name]
            if summed.any() and not (node.mechanism.num_levels or node.mechanism.is_gaussian):
                raise ValueError(
                    f"column {name}: missing in row {int(np.flatnonzero(summed)[0])}, where what it causes is known; "
                    f"a {type(node.mechanism).__name__} takes infinitely many values that have no sum in closed form; "
                    "drop these rows"
                )

    def informative(self, name: str, parents: Sequence[str]) -> dict[str, Array]:
        """A column and its parents in the rows where its own factor counts and some of these are known.

        A missing entry is at a value of its column: what is known of the others says how far they reach.
        """
        mask = ~np.all([self._whole[key] for key in (name, *parents)], axis=0)
        if name in self.active:
            mask &= self.active[name] > 0
        chosen = slice(None) if mask.all() else mask
        return {key: self.columns[key][chosen] for key in (name, *parents)}

    def unknown(self, name: str, rows: NDArray[np.intp]) -> Mask:
        """The entries of a column in some rows that are to be summed or integrated out, in the column's shape."""
        mask = self.entries[name][rows]
        if name in self.active:
            mask = mask & (self.active[name][rows] > 0).reshape(-1, *[1] * (mask.ndim - 1))
        return np.asarray(mask)

    def combinations(
        self, nodes: Mapping[str, Node], index: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], dict[str, Array]]:
        """Rows once for each combination of levels of their missing discrete entries, these side by side.

        Returns the place in `index` that each is from, and the discrete columns with these levels in them. Raises
        ValueError for too many combinations.
        """
        discrete = [name for name, node in nodes.items() if node.mechanism.num_levels]
        gone = np.stack([self.unknown(name, index) for name in discrete], 1) if discrete else np.zeros((len(index), 0))
        masks, which = np.unique(gone, axis=0, return_inverse=True)
        counts, tables = np.empty(len(index), dtype=np.intp), []
        for number, mask in enumerate(masks):
            names = [name for name, is_gone in zip(discrete, mask, strict=True) if is_gone]
            sizes = [range(int(nodes[name].mechanism.num_levels or 1)) for name in names]
            count = int(np.prod([len(size) for size in sizes]))
            if count > MOST_COMBINATIONS:
                first = int(index[np.flatnonzero(which.reshape(-1) == number)[0]])
                raise ValueError(
                    f"columns {names}: missing together in row {first}, which makes {count} combinations to sum over, "
                    f"more than {MOST_COMBINATIONS}; drop these rows"
                )
            counts[which.reshape(-1) == number] = count
            tables.append((number, names, np.array(list(product(*sizes)), dtype=np.float64)))
        row = np.repeat(np.arange(len(index)), counts)
        columns = {name: self.columns[name][index[row]] for name in discrete}
        for number, names, table in tables:
            here = np.flatnonzero(which.reshape(-1)[row] == number)
            for place, name in enumerate(names):
                columns[name][here] = np.tile(table[:, place], len(here) // len(table))
        return row, columns


def _filled(column: Array, gone: Mask) -> Array:
    """The column with a present value in place of every missing one."""
    if not gone.any():
        return column
    found = column.copy()
    for place in np.ndindex(column.shape[1:]):
        part, lost = found[(slice(None), *place)], gone[(slice(None), *place)]
        part[lost] = part[~lost][0] if not lost.all() else 0.0
    return found
