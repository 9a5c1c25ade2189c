"""The tables of a model and its rows: each family says in its own words what its term is."""

from collections.abc import Callable, Sequence
from copy import copy
from math import prod
from typing import Any, NamedTuple, cast

import numpy as np

from estimators.estep.compiled.greeks import Address, GreekPlaces
from estimators.estep.compiled.layout import (
    BERNOULLI,
    CATEGORICAL,
    CORRELATED,
    CORRELATION,
    COUNT,
    FEATURES,
    GATE,
    GAUSSIAN,
    GENERAL,
    LINE,
    LOCATION,
    LOG_JOINT_AT,
    NUM_FIELDS,
    NUM_LOGS,
    NUM_MORE,
    OFFSET,
    PULLBACK_AT,
    SCALE,
    Whole,
)
from estimators.estep.term import Columns
from estimators.estep.terms import CompiledVariable, Entries, LogLinearVariable, Terms
from estimators.estep.weights import WEIGHTS
from estimators.mechanisms.compiled.code import GeneralCode
from estimators.mechanisms.protocol import Given, LogLinearFamily, Reference
from estimators.optimise.arrays import Array

# Rows of scratch that every block needs; correlated Gaussians need two more than they have columns.
WORK = 2


class Size(NamedTuple):
    """What a term is, its cells, its width, and how many numbers of C and of S it has in each cell."""

    op: int
    cells: int
    width: int
    of_C: int
    of_S: int


class ModelTables:
    """The table of terms in the order of their slots, theta's first, and what it reads of rows and constants."""

    def __init__(self, terms: Terms, entries: Entries, references: Sequence[Reference]) -> None:
        self.entries, self.K = entries, terms.K
        self.greeks = GreekPlaces(terms.parameters)
        # By slot, where the coefficients stand that a family makes itself.
        self.made: dict[int, int] = {}
        # Places of the Greeks, and those whose numbers they have.
        self.copies = np.zeros((0, 2), dtype=np.int64)
        self.num_work = WORK
        self.columns, self.constants, self.places = list[Array](), list[float](), list[Whole]()
        self.rows, self.widths, self.C_width, self.S_width = list[Whole](), list[int](), 0, 0
        # Rows of scratch that no variable's term writes to.
        self.num_kept = 0
        terms.weights.tabulate(WeightsTable(self))
        for slot, term in terms.tabulated.items():
            term.family.tabulate(VariableTable(self, term, references[slot], slot))

    def add(
        self,
        size: "Size",
        level: Any,
        slot: int,
        columns: Sequence[Array] = (),
        constants: Sequence[float] = (),
    ) -> Whole:
        """A term whose rows are in the cells `level`."""
        row = np.zeros(NUM_FIELDS, dtype=np.int64)
        at = len(self.columns), len(self.constants)
        row[:LOCATION] = size.op, size.cells, size.width, *at, self.C_width, size.of_C, self.S_width, size.of_S
        self.columns += columns
        self.constants += constants
        self.C_width += size.cells * size.of_C
        self.S_width += size.cells * size.of_S
        self.widths.append(size.cells * size.of_S)
        place = np.broadcast_to(np.asarray(level, dtype=np.int64), self.entries.num_rows)
        active = self.entries.active.get(slot)
        self.places.append(place if active is None else np.where(active > 0, place, -1))
        self.rows.append(row)
        return row


class WeightsTable:
    """What the `tabulate` of the weights of Z is given."""

    def __init__(self, tables: ModelTables) -> None:
        self._tables = tables

    def masses(self, num_levels: int, level: Callable[[Columns], Any] | None) -> None:
        tables = self._tables
        tables.greeks.with_logs.add(WEIGHTS)
        own = 0 if level is None else level(tables.entries.columns)
        row = tables.add(Size(CATEGORICAL, num_levels, 1, 1, 1), own, 0)
        row[LOCATION : LOCATION + 3] = tables.greeks.slices[WEIGHTS].start, 1, tables.K

    def logits(self, name: str, known: Array | None, inputs: Callable[[Columns], Array]) -> None:
        tables, columns = self._tables, self._tables.entries.columns
        own = np.ascontiguousarray(inputs(columns).T)
        # Where a variable has its own column, weights have none.
        no_column, width = np.zeros(own.shape[1]), 1 + len(own)
        row = tables.add(Size(GATE, 1, width, width, width), 0, 0, [no_column, *own])
        start = tables.greeks.slices[name].start if known is None else tables.greeks.add(known)
        row[LOCATION : LOCATION + 3] = start, width, 0
        tables.num_kept = tables.K + 1


class VariableTable:
    """What a family's `tabulate` is given: it calls the method of its kind, with what it is given for its Greeks."""

    def __init__(
        self, tables: ModelTables, term: LogLinearVariable | CompiledVariable, reference: Reference, slot: int
    ) -> None:
        self._tables, self._term, self.reference, self._slot = tables, term, reference, slot
        self._node = term.node
        self.column = tables.entries.columns[term.node.name]
        self._offset: Array | None = None

    @property
    def inputs(self) -> Array:
        return self._node.inputs(self._tables.entries.columns)

    def changed(self, column: Array, offset: Array) -> "VariableTable":
        other = copy(self)
        other.column, other._offset = column, offset
        return other

    def masses(self, given: Given, symbol: str, num_levels: int) -> None:
        self._tables.greeks.with_logs.add(self._name(symbol))
        self._add_levels(CATEGORICAL, num_levels, self._address(given, symbol, num_levels))

    def chances(self, given: Given, symbol: str) -> None:
        self._tables.greeks.with_logs.add(self._name(symbol))
        self._tables.greeks.with_rests.add(self._name(symbol))
        self._add_levels(BERNOULLI, 2, self._address(given, symbol, 1))

    def counts(self, given: Given, symbol: str, largest: Array) -> None:
        self._tables.greeks.with_logs.add(self._name(symbol))
        row = self._add(COUNT, 0, (2, 3), [self.column, largest])
        row[LOCATION : LOCATION + 3] = self._address(given, symbol, 1)

    def gaussians(self, given: Given, location: str, scale: str) -> None:
        columns = self._columns
        D = len(columns)
        row = self._add(GAUSSIAN, D, (1 + 2 * D, 1 + 2 * D), columns, self._units(D))
        self._put(row, self._address(given, location, D), self._scale(given, scale, D))

    def line(self, given: Given, location: str, scale: str, centre: Array, units: Array) -> None:
        inputs = self.inputs
        P = inputs.shape[1]
        widths = 3 + P, (P + 1) * (P + 2) // 2 + P + 2
        constants = [float(number) for number in (self.reference.scale, *centre, *units)]
        row = self._add(LINE, P, widths, [self.column, *np.ascontiguousarray(inputs.T)], constants)
        self._put(row, self._address(given, location, 1 + P), self._scale(given, scale, 1))

    def correlated(self, given: Given, location: str, scale: str, correlation: str) -> None:
        """Gaussians with the factor ``diag(scale) correlation``; there is none to estimate of one column."""
        columns = self._columns
        D = len(columns)
        self._tables.num_work = max(self._tables.num_work, D + 2)
        width = 1 + D + D * (D + 1) // 2
        row = self._add(CORRELATED, D, (width, width), columns, self._units(D))
        self._put(row, self._address(given, location, D), self._scale(given, scale, D))
        is_estimated = self._name(correlation) in self._tables.greeks.slices
        corr = self._address(given, correlation, D * D) if is_estimated else self._known(np.ones((1, 1)))
        row[CORRELATION : CORRELATION + 3] = corr

    def general(
        self, given: Given, location: str, logs: Sequence[str], code: GeneralCode, columns: Sequence[Array]
    ) -> None:
        """Functions of the numbers of one Greek, and after these of the logs of up to two others, and of some columns.

        The variable's own column stands before these.
        """
        width = self._term.width // self._node.num_levels
        self._tables.num_work = max(self._tables.num_work, code.num_work)
        sizes = [prod(given[symbol].entry) for symbol in logs]
        row = self._add(GENERAL, width, (width, width), [self.column, *columns])
        row[LOCATION : LOCATION + 3] = self._address(given, location, width - sum(sizes))
        for at, count, symbol, size in zip((SCALE, CORRELATION), (NUM_LOGS, NUM_MORE), logs, sizes, strict=False):
            row[at : at + 3], row[count] = self._scale(given, symbol, size), size
        row[LOG_JOINT_AT], row[PULLBACK_AT] = code.log_joint, code.pullback

    def features(self) -> None:
        node, total = self._node, self._term.width
        family = cast(LogLinearFamily, self._term.family)
        if family.is_centred:
            name = type(family).__name__
            raise TypeError(
                f"{name}.tabulate: features are formed about one centre here, and {name} needs one for each cell "
                "(is_centred); call the method of the table for its kind"
            )
        width = total // node.num_levels
        columns = list(np.ascontiguousarray(family.features(self.column, self.inputs, self.reference)))
        row = self._add(FEATURES, width, (width, width), columns)
        start = self._tables.made[self._slot] = self._tables.greeks.add(np.zeros(node.K * total))
        row[LOCATION : LOCATION + 3] = start, total, width

    def _add(
        self,
        op: int,
        width: int,
        widths: tuple[int, int],
        columns: Sequence[Array],
        constants: Sequence[float] = (),
    ) -> Whole:
        size, offset = Size(op, self._node.num_levels, width, *widths), self._offset
        with_offset = columns if offset is None else [*columns, offset]
        row = self._tables.add(size, self._level, self._slot, with_offset, constants)
        row[OFFSET] = 0 if offset is None else len(columns)
        return row

    def _add_levels(self, op: int, width: int, address: Address) -> None:
        # A level that is missing stands in a row whose term is left out.
        with np.errstate(invalid="ignore"):
            level = self._level * width + self.column.astype(np.int64)
        row = self._tables.add(Size(op, self._node.num_levels, width, width, width), level, self._slot)
        row[LOCATION : LOCATION + 3] = address

    @property
    def _level(self) -> Any:
        """The row of the table that each row's parents are in."""
        return self._node.level(self._tables.entries.columns) if self._node.levels else 0

    @property
    def _columns(self) -> list[Array]:
        """The column [N] or [N, D] as contiguous columns [N]."""
        column = self.column[:, None] if self.column.ndim == 1 else self.column
        return list(np.ascontiguousarray(column.T))

    def _put(self, row: Whole, location: Address, scale: Address) -> None:
        row[LOCATION : LOCATION + 3], row[SCALE : SCALE + 3] = location, scale

    def _scale(self, given: Given, symbol: str, size: int) -> Address:
        self._tables.greeks.with_logs.add(self._name(symbol))
        return self._address(given, symbol, size)

    def _address(self, given: Given, symbol: str, size: int) -> Address:
        """Of a Greek with `size` numbers in a cell."""
        name, greeks = self._name(symbol), self._tables.greeks
        slices = greeks.slices
        if name in slices:
            places = self._node.greeks.places(symbol, size)
            if places is not None:
                # Of a block, own and shared numbers stand one after the other.
                start = greeks.add(np.zeros(places.size))
                copies = np.stack([start + np.arange(places.size), slices[name].start + places.reshape(-1)], 1)
                self._tables.copies = np.concatenate([self._tables.copies, copies])
                return self._steps(start, size)
            return self._steps(slices[name].start, size if self._node.greeks.is_by_cell(symbol) else 0)
        known = given[symbol].array.reshape(len(given[symbol].array), -1)
        return self._known(np.broadcast_to(known, (len(known), size)))

    def _known(self, numbers: Array) -> Address:
        """Of known numbers [1 | cells, size]."""
        start = self._tables.greeks.add(np.ascontiguousarray(numbers, dtype=np.float64))
        return self._steps(start, numbers.shape[1] if len(numbers) > 1 else 0)

    def _steps(self, start: int, by_cell: int) -> Address:
        return Address(start, by_cell * self._node.num_levels if self._node.is_effect else 0, by_cell)

    def _name(self, symbol: str) -> str:
        return f"{symbol}_{self._node.name}"

    def _units(self, size: int) -> list[float]:
        return [float(unit) for unit in np.broadcast_to(self.reference.scale, size)]
