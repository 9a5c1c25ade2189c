"""Which entries of a data set are missing, and what is left to sum or to integrate."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from estimators.data.data import LATENT, Data
from estimators.estep.terms import Entries, Terms, made_of
from estimators.estep.units import above_latent, once_a_unit
from estimators.estep.variable import Node
from estimators.estep.weights import Weights
from estimators.mechanisms.protocol import INTERACTION
from estimators.optimise.arrays import Array, Mask

# Combinations of levels of a row's missing discrete entries.
MOST_COMBINATIONS = 4096
# Of a family that is not log-linear, and of one that is.
_WHY_NOT = {
    True: "is not summed or integrated over its own values",
    False: "takes infinitely many values that have no sum in closed form",
}


class Missing:
    """Which entries of a data set are missing, and what that leaves: columns without NaN, and terms that count.

    ``entries.active`` is 0 where an entry's own factor is left out (set, or missing and causing nothing known);
    ``incomplete`` marks the rows with an entry to sum or integrate out. Raises ValueError, naming the column, for one
    that cannot be.
    """

    def __init__(self, terms: Terms, data: Data) -> None:
        weights, nodes = terms.weights, terms.nodes
        self._nodes = nodes
        self._is_missing = {name: data.is_missing(name).numpy() for name in nodes}
        whole = {name: mask.reshape(len(mask), -1).all(1) for name, mask in self._is_missing.items()}
        some = {name: mask.reshape(len(mask), -1).any(1) for name, mask in self._is_missing.items()}
        self._whole = whole
        is_set = {name: data.is_set(name).numpy() for name in (*nodes, LATENT)}
        causes = {LATENT: weights.parents, **{name: node.parents for name, node in nodes.items()}}
        children: dict[str, list[str]] = {name: [] for name in nodes}
        for name, parents in causes.items():
            for parent in parents:
                children[parent].append(name)
        # Levels of these are the same in all rows of a unit.
        self.shared = [] if data.unit is None else above_latent(weights, nodes)
        left_out = {LATENT: is_set[LATENT]}
        for name in reversed(list(nodes)):
            effects = children[name]
            barren = whole[name] & np.all([left_out[child] for child in effects], axis=0) if effects else whole[name]
            if name in self.shared:
                barren = ~data.spread(data.any_row(torch.from_numpy(~barren))).numpy()
            left_out[name] = is_set[name] | barren
        self._left_out = left_out
        slots = {slot: left_out[name] for slot, name in enumerate((LATENT, *nodes))}
        filled = {name: _filled(data.columns[name].double().numpy(), self._is_missing[name]) for name in nodes}
        self.entries = made_of(data, filled, slots, once_a_unit(weights, nodes))
        by_row = np.any([some[name] & ~left_out[name] for name in nodes], axis=0)
        # A unit's rows are summed together: one with a gap takes all of them along.
        self.incomplete = data.spread(data.any_row(torch.from_numpy(by_row))).numpy()
        for slot, (name, node) in enumerate(nodes.items(), 1):
            summed = some[name] & ~left_out[name]
            family = type(node.mechanism).__name__
            if summed.any() and not (node.mechanism.num_levels or node.mechanism.is_gaussian):
                raise ValueError(
                    f"column {name}: missing in row {int(np.flatnonzero(summed)[0])}, where what it causes is known; "
                    f"a {family} {_WHY_NOT[slot in terms.general]}; drop these rows"
                )
            if name in self.shared and not node.mechanism.num_levels:
                self._need_alone(data, name, summed)
        for slot, name in enumerate(causes):
            where = "which causes Z" if name == LATENT else f"where {name} is known, which it causes"
            for parent, why in _not_integrated(name, weights, nodes, slot in terms.general).items():
                if (lost := some[parent] & ~left_out[name]).any():
                    row = int(np.flatnonzero(lost)[0])
                    raise ValueError(f"column {parent}: missing in row {row}, {where}; {why}; drop these rows")

    @staticmethod
    def _need_alone(data: Data, name: str, summed: Mask) -> None:
        """Raise a ValueError where a number that the rows of a unit share would be integrated over several of them."""
        assert data.unit is not None
        if len(several := np.flatnonzero(summed & (data.spread(data.unit.sizes) > 1).numpy())):
            row = int(several[0])
            raise ValueError(
                f"column {name}: missing in unit {data.unit.labels[int(data.unit.of_row[row])]!r}, which has several "
                f"rows; they share it as a cause of {LATENT}, and a number is not integrated over several rows: give "
                "its value, or drop the unit"
            )

    def informative(self, slot: int, names: Sequence[str]) -> Entries:
        """The rows where a term counts and something of its columns is known.

        A missing entry is at a value of its column: what is known of the others says how far they reach.
        """
        return self.entries.counted(slot, ~np.all([self._whole[name] for name in names], axis=0))

    def unknown(self, name: str, rows: NDArray[np.intp]) -> Mask:
        """The entries of a column in some rows that are to be summed or integrated out, in the column's shape."""
        mask = self._is_missing[name][rows]
        return np.asarray(mask & ~self._left_out[name][rows].reshape(-1, *[1] * (mask.ndim - 1)))

    def combinations(self, index: NDArray[np.intp]) -> tuple[NDArray[np.intp], dict[str, Array]]:
        """Rows once for each combination of levels of their missing discrete entries, these side by side.

        Returns the place in `index` that each is from, and the discrete columns with these levels in them. Raises
        ValueError for too many combinations.
        """
        discrete = [name for name, node in self._nodes.items() if node.mechanism.num_levels]
        gone = np.stack([self.unknown(name, index) for name in discrete], 1) if discrete else np.zeros((len(index), 0))
        masks, which = np.unique(gone, axis=0, return_inverse=True)
        counts, tables = np.empty(len(index), dtype=np.intp), []
        for number, mask in enumerate(masks):
            names = [name for name, is_gone in zip(discrete, mask, strict=True) if is_gone]
            sizes = [range(int(self._nodes[name].mechanism.num_levels or 1)) for name in names]
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
        columns = {name: self.entries.columns[name][index[row]] for name in discrete}
        for number, names, table in tables:
            here = np.flatnonzero(which.reshape(-1)[row] == number)
            for place, name in enumerate(names):
                columns[name][here] = np.tile(table[:, place], len(here) // len(table))
        return row, columns


def several_numbers(node: Node, nodes: Mapping[str, Node]) -> list[tuple[str, ...]]:
    """The causes that are numbers, of each input of a line that is a product of several."""
    found = []
    for factors in node.design.inputs:
        numbers = tuple(f.variable for f in factors if not nodes[f.variable].mechanism.num_levels)
        found += [numbers] if len(numbers) > 1 else []
    return found


def _not_integrated(name: str, weights: Weights, nodes: Mapping[str, Node], is_general: bool) -> dict[str, str]:
    """The causes over which the law of a variable, or of Z, has no integral in closed form, and why."""
    if is_general:
        family = "gate" if name == LATENT else type(nodes[name].mechanism).__name__
        parents = weights.parents if name == LATENT else nodes[name].parents
        numbers = [parent for parent in parents if not nodes[parent].mechanism.num_levels]
        return dict.fromkeys(numbers, f"a {family} is not integrated over its causes")
    products = [] if name == LATENT or not nodes[name].mechanism.is_gaussian else several_numbers(nodes[name], nodes)
    words = "its mean has the product {}, and a product of numbers is not integrated"
    return {parent: words.format(INTERACTION.join(several)) for several in products for parent in several}


def _filled(column: Array, gone: Mask) -> Array:
    """The column with a present value in place of every missing one."""
    if not gone.any():
        return column
    found = column.copy()
    for place in np.ndindex(column.shape[1:]):
        part, lost = found[(slice(None), *place)], gone[(slice(None), *place)]
        part[lost] = part[~lost][0] if not lost.all() else 0.0
    return found
