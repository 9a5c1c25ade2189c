"""Rows in the order in which they are taken: alike in all that is discrete side by side, in segments and blocks."""

from typing import NamedTuple

import numpy as np

from estimators.estep.compiled.layout import BLOCK, GATE, OP, PLACE, Whole
from estimators.estep.compiled.log_joints import has_numbers_in
from estimators.estep.compiled.tables import ModelTables
from estimators.parameters.parameter import Array


class Arranged(NamedTuple):
    """Segments, the first of each block, the columns [J, n], the weights [n] or [0] where all are 1.

    ``position`` [N] says where each row stands; None where all stand as they came.
    """

    segments: Whole
    blocks: Whole
    columns: Array
    weights: Array
    position: Whole | None


def arranged(tables: ModelTables) -> Arranged:
    """The rows [N] by their place in each term; rows with no number at all are counted once for all that are alike."""
    entries, num_rows = tables.entries, tables.entries.num_rows
    marks = [entries.latent.astype(np.int64), *tables.places]
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
        if not has_numbers_in(np.stack([row for row in tables.rows if row[OP] != GATE])):
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
    segments, blocks = _cut(keys, change, columns.shape[1])
    return Arranged(segments, blocks, np.ascontiguousarray(columns), np.ascontiguousarray(counted), position)


def _cut(keys: Whole, change: Whole, size: int) -> tuple[Whole, Whole]:
    """Segments, with their values of what is discrete, cut where blocks of rows end; and the first of each block."""
    begin: Whole = np.union1d(change, np.arange(0, size, BLOCK)).astype(np.int64)
    segments = np.empty((len(begin), PLACE + len(keys) - 1), dtype=np.int64)
    segments[:, 0], segments[:, 1] = begin, np.r_[begin[1:], size] if len(begin) else begin
    segments[:, 2:] = keys[:, np.searchsorted(change, begin, side="right") - 1].T
    ends = np.append(np.arange(0, size, BLOCK), size)
    return segments, np.asarray(np.searchsorted(begin, ends), dtype=np.int64)
