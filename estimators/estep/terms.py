"""The terms of a causal mixture, each of a variable's family and its place in the model, and the rows that they see."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from estimators.data.data import LATENT, Data
from estimators.estep.newton import newton_step
from estimators.estep.term import Columns, General, LogLinear, Term
from estimators.estep.units import Index, once_a_unit
from estimators.estep.variable import Node
from estimators.estep.weights import Weights
from estimators.mechanisms.protocol import (
    CompiledFamily,
    GeneralFamily,
    Greeks,
    LogLinearFamily,
    Mechanism,
    Reference,
)
from estimators.optimise.arrays import Array, Mask

# Of a variable that has no parents as numbers.
NO_INPUTS = np.zeros((0, 0))
# Rows whose features are made at one time.
TOGETHER = 65_536


class _OfVariable:
    """The chain rule of a variable's Greeks, which is the same for both kinds."""

    if TYPE_CHECKING:
        node: Node
        family: Mechanism

    def reference(self, columns: Columns) -> Reference:
        """The centre and scale of the column."""
        inputs = self.node.inputs(columns) if self.family.is_regression else NO_INPUTS
        found, shared = self.family.reference(columns[self.node.name], inputs), self.node.shared_coefficients
        # An intercept of all classes at the centre of inputs would move with the slopes of each.
        found = found.about_0() if shared[0] and not shared.all() else found
        return found.of_products(self.node.design.inputs)

    def coefficients(self, greeks: Greeks, reference: Reference) -> Array:
        """C as [..., K, width], the same for all components of a variable that Z does not cause."""
        return self.node.by_component(self.family.natural_parameters(self.node.local(greeks), reference))

    def gradient(self, greeks: Greeks, sums: Array, reference: Reference) -> dict[str, Array]:
        node = self.node
        return node.greeks.slopes(self.family.gradient(node.local(greeks), node.by_cell(sums), reference))


@dataclass(frozen=True, eq=False)
class LogLinearVariable(_OfVariable):
    """A variable with a log-linear family: the family's features, once for each row of its table."""

    node: Node
    family: LogLinearFamily

    @property
    def width(self) -> int:
        return self.node.num_levels * self.family.num_features(self.node.num_inputs)

    @property
    def is_centred(self) -> bool:
        return self.family.is_centred

    def features(self, columns: Columns, reference: Reference, component: int | None = None) -> Array:
        """Φ as [F, N], zero but at the row's own level."""
        node, column = self.node, columns[self.node.name]
        inputs = node.inputs(columns) if self.family.is_regression else NO_INPUTS
        first = 0 if component is None or not node.is_effect else component * node.num_levels
        if not node.levels:
            return self.family.features(column, inputs, reference.of_cells(first))
        level = node.level(columns)
        own = (self.family.features(column, inputs, reference.of_cells(first + row)) for row in range(node.num_levels))
        return np.concatenate([features * (level == row) for row, features in enumerate(own)])

    def features_about_each(self, columns: Columns, reference: Reference) -> Array:
        """Φ as [S, K, F, N] of a column of numbers, about the centres [S, cells] of each component's own cells."""
        node, column = self.node, columns[self.node.name]
        inputs = node.inputs(columns) if self.family.is_regression else NO_INPUTS
        level = np.broadcast_to(node.level(columns), len(column))
        # The rows once for each component of each parameter set, with a centre of their own each.
        cells = node.cells_of_sets(level, len(reference.centre))
        about = reference.of_sets().of_cells(cells.reshape(-1))
        times = cells.shape[0] * cells.shape[1]
        features = self.family.features(np.tile(column, times), np.tile(inputs, (times, 1)), about)
        found = np.moveaxis(features.reshape(-1, *cells.shape), 0, -2)
        if not node.levels:
            return found
        by_level = found[..., None, :, :] * (level == np.arange(node.num_levels)[:, None, None])
        return np.asarray(by_level.reshape(*found.shape[:-2], -1, len(column)))

    def offset(self, columns: Columns) -> Array | None:
        return self.family.offset(columns[self.node.name])

    def argmax(self, greeks: Greeks, sums: Array, reference: Reference) -> dict[str, Array]:
        node = self.node
        shared = (node.shared_coefficients,) if node.shared_coefficients.any() else ()
        return node.greeks.named(self.family.argmax(node.by_cell(sums), reference, node.local(greeks), *shared))

    def recentred(self, greeks: Greeks, reference: Reference) -> Reference:
        """A reference with a centre for every cell, also where known numbers serve all of them."""
        moved = self.family.recentred(self.node.local(greeks), reference)
        centre, entry = np.asarray(moved.centre), np.ndim(reference.centre)
        lead, last = centre.shape[: max(centre.ndim - entry - 1, 0)], centre.shape[centre.ndim - entry :]
        whole = (*lead, self.node.num_cells, *last)
        return moved if centre.shape == whole else moved.at(np.broadcast_to(centre, whole))


@dataclass(frozen=True, eq=False)
class GeneralVariable(_OfVariable):
    """A variable with a general family: its functions on the rows of each level of its table."""

    node: Node
    family: GeneralFamily

    @property
    def width(self) -> int:
        """The numbers of a class: those of one level, level by level."""
        return self.node.num_levels * self.family.num_numbers(self.node.num_inputs)

    def log_joint(self, numbers: Array, columns: Columns) -> Array:
        column = columns[self.node.name]
        out = np.empty((*numbers.shape[:-1], len(column)))
        for own, rows, inputs in self._levels(columns):
            out[..., rows] = self.family.log_joint(numbers[..., own], column[rows], inputs)
        return out

    def pullback(self, numbers: Array, columns: Columns, shares: Array) -> Array:
        column, out = columns[self.node.name], np.empty(numbers.shape)
        for own, rows, inputs in self._levels(columns):
            out[..., own] = self.family.pullback(numbers[..., own], column[rows], inputs, shares[..., rows])
        return out

    def curvature(self, numbers: Array, columns: Columns, shares: Array, chain: Array) -> Array:
        """[S, D, D], nothing between two classes, nor between two levels."""
        column, found = columns[self.node.name], np.zeros((len(numbers), chain.shape[-1], chain.shape[-1]))
        for own, rows, inputs in self._levels(columns):
            of_level = self.family.curvature(numbers[..., own], column[rows], inputs, shares[..., rows])
            found += in_coordinates(of_level, chain[..., own, :])
        return found

    def complete(self, numbers: Array, columns: Columns, shares: Array) -> Array:
        # A row with no share in a class may be impossible there.
        return np.asarray(np.where(shares > 0, shares * self.log_joint(numbers, columns), 0.0).sum((-1, -2)))

    def argmax(self, greeks: Greeks, columns: Columns, shares: Array, reference: Reference) -> dict[str, Array]:
        own = {p.name: np.asarray(greeks[p.name]).reshape(-1, *p.shape) for p in self.node.parameters}
        return newton_step(self, self.node.greeks.transforms(reference), own, columns, shares, reference)

    def _levels(self, columns: Columns) -> Iterator[tuple[slice, slice | NDArray[np.bool_], Array]]:
        """For each level, where its numbers are, which rows it has, and their inputs."""
        node, size = self.node, self.width // self.node.num_levels
        inputs = node.inputs(columns)
        if not node.levels:
            yield slice(None), slice(None), inputs
            return
        level = node.level(columns)
        for row in range(node.num_levels):
            yield slice(row * size, (row + 1) * size), level == row, inputs[level == row] if node.num_inputs else inputs


def in_coordinates(curvature: Array, chain: Array) -> Array:
    """``Σ_k J_k' H_k J_k`` [S, D, D] of curvatures [S, K, W, W] in C and dC/dv [S, K, W, D]."""
    return np.asarray(np.einsum("skpi,skpq,skqj->sij", chain, curvature, chain, optimize=True))


@dataclass(frozen=True, eq=False)
class CompiledVariable(GeneralVariable):
    """A general variable whose functions are compiled, too."""

    family: CompiledFamily


class Terms:
    """The terms of a model by slot: that of the weights of Z in slot 0, and those of the variables in their order.

    Weights, or a mechanism, say which kind their own is.
    """

    def __init__(self, weights: Weights, nodes: Mapping[str, Node]) -> None:
        self.weights, self.nodes, self.K, self.names = weights, nodes, weights.num_components, [LATENT, *nodes]
        # All Greeks, in the order of the slots.
        self.parameters = [*weights.parameters, *(own for node in nodes.values() for own in node.parameters)]
        self.log_linear: dict[int, LogLinear] = {}
        self.general: dict[int, General] = {}
        self.tabulated: dict[int, LogLinearVariable | CompiledVariable] = {}
        self.variables: dict[str, LogLinearVariable | GeneralVariable] = {}
        weights.put(self)
        for slot, node in enumerate(nodes.values(), 1):
            node.mechanism.term(_Slot(self, slot, node))
        self.by_name: dict[str, Term] = {LATENT: weights, **self.variables}
        self.all = list(self.by_name.values())

    @property
    def are_compiled(self) -> bool:
        """Whether compiled code can take all of them."""
        return len(self.tabulated) == len(self.variables)

    def log_linear_by_name(self) -> Iterator[tuple[str, LogLinear]]:
        """The log-linear terms by variable."""
        return ((self.names[slot], term) for slot, term in self.log_linear.items())

    def sums_given(self, entries: "Entries", shares: Array, references: Sequence[Reference]) -> dict[int, Array]:
        """Σ_n w R Φ of log-linear terms by slot [S, K, width], for R [S, K, N], about references that cells share."""
        sums = {slot: np.zeros((*shares.shape[:-1], term.width)) for slot, term in self.log_linear.items()}
        for start in range(0, entries.num_rows, TOGETHER):
            which = slice(start, start + TOGETHER)
            rows = entries.rows(which)
            counted = shares[..., which] if rows.weights is None else shares[..., which] * rows.weights
            for slot, term in self.log_linear.items():
                features = term.features(rows.columns, references[slot]) * rows.active.get(slot, 1.0)
                # einsum, not a matrix product, whose sums depend on the thread count.
                sums[slot] += np.einsum("...n,fn->...f", counted, features)
        return sums


@dataclass(frozen=True)
class _Slot:
    """Where a mechanism puts its term."""

    terms: Terms
    slot: int
    node: Node

    def log_linear(self, family: LogLinearFamily) -> None:
        term = LogLinearVariable(self.node, family)
        self.terms.log_linear[self.slot] = self.terms.variables[self.node.name] = term
        self.terms.tabulated[self.slot] = term

    def general(self, family: GeneralFamily) -> None:
        self.terms.general[self.slot] = self.terms.variables[self.node.name] = GeneralVariable(self.node, family)

    def compiled(self, family: CompiledFamily) -> None:
        term = CompiledVariable(self.node, family)
        self.terms.general[self.slot] = self.terms.variables[self.node.name] = term
        self.terms.tabulated[self.slot] = term


@dataclass(frozen=True, eq=False)
class Entries:
    """Rows of which nothing has to be summed or integrated but Z.

    ``columns`` [N, ...]; ``latent`` [N], -1 where Z is hidden; ``weights`` [N] or None; ``active`` by slot a 0 for
    each entry whose own factor is left out (set, say), for the slots that have one; ``units`` [N] numbers of units, of
    which rows share one Z, or None.
    """

    columns: Mapping[str, Array]
    latent: NDArray[np.integer[Any]]
    weights: Array | None
    active: Mapping[int, Array]
    units: NDArray[np.integer[Any]] | None = None

    @property
    def num_rows(self) -> int:
        """N."""
        return len(self.latent)

    def counted(self, slot: int, mask: Mask | None = None) -> "Entries":
        """The rows where a term counts, of those in a mask."""
        counts = self.active[slot] > 0 if slot in self.active else np.ones(self.num_rows, dtype=bool)
        if mask is not None:
            counts = counts & mask
        return self if counts.all() else self.rows(np.flatnonzero(counts))

    def rows(self, index: Index) -> "Entries":
        """Some of them."""
        columns = {name: column[index] for name, column in self.columns.items()}
        active = {slot: mask[index] for slot, mask in self.active.items()}
        weights = None if self.weights is None else self.weights[index]
        units = None if self.units is None else self.units[index]
        return Entries(columns, self.latent[index], weights, active, units)


def entries_of(terms: Terms, data: Data) -> Entries:
    """The rows of data in which no entry is missing."""
    columns = {name: data.columns[name].double().numpy() for name in terms.nodes}
    left_out = {slot: data.is_set(name).numpy() for slot, name in enumerate(terms.names)}
    return made_of(data, columns, left_out, once_a_unit(terms.weights, terms.nodes))


def made_of(data: Data, columns: Columns, left_out: Mapping[int, Mask], once: Sequence[int]) -> Entries:
    """Columns without gaps and the entries whose factor is left out, by slot; those of ``once`` count once a unit."""
    # Units of one row each are rows.
    unit = None if data.num_units == data.num_rows else data.unit
    masks = {
        slot: mask if unit is None or slot not in once else mask | ~unit.is_first for slot, mask in left_out.items()
    }
    active = {slot: np.where(mask, 0.0, 1.0) for slot, mask in masks.items() if mask.any()}
    weights = None if data.weights is None else data.weights.numpy()
    return Entries(columns, data.latent().numpy(), weights, active, None if unit is None else unit.of_row.numpy())
