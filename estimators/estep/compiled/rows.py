"""Rows in the order in which they are taken: alike in all that is discrete side by side, in segments and blocks.

Where rows share one Z, those of some whole units come before those of the next: these are a chunk.
"""

from typing import NamedTuple

import numpy as np

from estimators.estep.compiled.layout import BLOCK, CHUNK, GATE, OP, PLACE, Whole
from estimators.estep.compiled.log_joints import has_numbers_in
from estimators.estep.compiled.tables import ModelTables
from estimators.estep.units import Grouped, part_numbers
from estimators.optimise.arrays import Array


class Arranged(NamedTuple):
    """Segments, the first of each block, chunks, the columns [J, n], the weights [n] or [0] where all are 1.

    ``units`` [n] says which unit of its chunk each row is of, or is empty; ``position`` [N] where each row, or unit,
    stands; None where all stand as they came.
    """

    segments: Whole
    blocks: Whole
    chunks: Whole
    units: Whole
    columns: Array
    weights: Array
    position: Whole | None


def arranged(tables: ModelTables) -> Arranged:
    """The rows [N] by their place in each term; rows with no number at all are counted once for all that are alike."""
    if tables.entries.units is not None:
        return _by_unit(tables, tables.entries.units.astype(np.int64))
    entries, num_rows = tables.entries, tables.entries.num_rows
    marks = _marks(tables)
    differing = [mark for mark in marks if num_rows and (mark != mark[0]).any()]
    order = np.lexsort(differing) if differing else None
    # The rows at which something discrete changes.
    change = np.arange(min(num_rows, 1))
    if order is not None:
        ordered = np.stack([mark[order] for mark in differing])
        change = np.flatnonzero(np.r_[True, (ordered[:, 1:] != ordered[:, :-1]).any(0)])
    keys = np.stack([(mark if order is None else mark[order])[change] for mark in marks])
    position: Whole | None = None
    if order is not None:
        position = np.empty_like(order)
        position[order] = np.arange(num_rows)
    weights = entries.weights if entries.weights is None or order is None else entries.weights[order]
    if tables.columns:
        own = [column if order is None else column[order] for column in tables.columns]
        if not _has_numbers(tables):
            # Each row by itself, where only causes of Z are numbers.
            change = np.arange(num_rows)
            keys = np.stack([mark if order is None else mark[order] for mark in marks])
        columns = own[0].reshape(1, -1) if len(own) == 1 else np.stack(own)
        counted = np.zeros(0) if weights is None else weights
    else:
        counted = (
            np.add.reduceat(np.ones(num_rows) if weights is None else weights, change) if num_rows else np.zeros(0)
        )
        alike = np.searchsorted(change, np.arange(num_rows), side="right") - 1
        position = alike if position is None else alike[position]
        change, columns = np.arange(len(change)), np.zeros((0, len(change)))
    size = columns.shape[1]
    segments, blocks = _cut(keys, change, np.arange(0, size, BLOCK), size)
    ends = np.append(np.arange(0, len(blocks) - 1, CHUNK), len(blocks) - 1)
    chunks = np.stack([ends, ends], 1)
    return Arranged(segments, blocks, chunks, np.zeros(0, dtype=np.int64), *_side_by_side(columns, counted), position)


def _by_unit(tables: ModelTables, units: Whole) -> Arranged:
    """The rows of some whole units after those of others, and among them those that are alike side by side."""
    entries, num_rows, marks = tables.entries, tables.entries.num_rows, _marks(tables)
    of_unit = np.argsort(units, kind="stable")
    part = np.empty(num_rows, dtype=np.int64)
    part[of_unit] = part_numbers(units[of_unit], CHUNK * BLOCK)
    number = np.empty(num_rows, dtype=np.int64)
    number[of_unit] = Grouped.of(units[of_unit]).of_row
    order = np.lexsort([*marks, part])
    ordered = np.stack([part[order], *(mark[order] for mark in marks)])
    change = np.flatnonzero(np.r_[True, (ordered[:, 1:] != ordered[:, :-1]).any(0)][:num_rows])
    if not _has_numbers(tables):
        change = np.arange(num_rows)
    begins = Grouped.of(part[order])
    # Blocks begin anew with every chunk.
    within = np.arange(num_rows) - begins.starts[begins.of_row]
    starts = np.flatnonzero(within % BLOCK == 0)
    segments, blocks = _cut(ordered[1:, change], change, starts, num_rows)
    firsts = np.minimum.reduceat(number[order], begins.starts) if num_rows else np.zeros(0, dtype=np.int64)
    num_units = len(np.unique(number))
    chunks = np.stack(
        [np.append(np.searchsorted(starts, begins.starts), len(starts)), np.append(firsts, num_units)], 1
    ).astype(np.int64)
    columns = np.stack([column[order] for column in tables.columns]) if tables.columns else np.zeros((0, num_rows))
    weights = np.zeros(0) if entries.weights is None else entries.weights[order]
    own = number[order] - firsts[begins.of_row]
    return Arranged(segments, blocks, chunks, own, *_side_by_side(columns, weights), None)


def _marks(tables: ModelTables) -> list[Whole]:
    """All that is discrete in rows [N]: the class that is known, and the place in each term."""
    return [tables.entries.latent.astype(np.int64, copy=False), *tables.places]


def _has_numbers(tables: ModelTables) -> bool:
    """Whether a term is of more than levels, but for the weights of Z."""
    rows = [row for row in tables.rows if row[OP] != GATE]
    return bool(has_numbers_in(np.stack(rows)))


def _side_by_side(columns: Array, weights: Array) -> tuple[Array, Array]:
    return np.ascontiguousarray(columns), np.ascontiguousarray(weights)


def _cut(keys: Whole, change: Whole, starts: Whole, size: int) -> tuple[Whole, Whole]:
    """Segments, with their values of what is discrete, cut where blocks of rows start; and the first of each block."""
    begin: Whole = np.union1d(change, starts).astype(np.int64)
    segments = np.empty((len(begin), PLACE + len(keys) - 1), dtype=np.int64)
    segments[:, 0], segments[:, 1] = begin, np.r_[begin[1:], size] if len(begin) else begin
    segments[:, 2:] = keys[:, np.searchsorted(change, begin, side="right") - 1].T
    return segments, np.asarray(np.searchsorted(begin, np.append(starts, size)), dtype=np.int64)
