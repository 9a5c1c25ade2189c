"""Rows in the order in which they are taken: alike in all that is discrete side by side, in segments and blocks."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from estimators.estep.compiled.layout import BLOCK, PLACE, Whole
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


def arranged(places: Sequence[Whole], latent: Whole, columns: Sequence[Array], weights: Array | None) -> Arranged:
    """The rows [N] by their place in each term; rows with no number at all are counted once for all that are alike."""
    marks = [mark for mark in (latent, *places) if len(mark) and (mark != mark[0]).any()]
    num_rows = len(latent)
    order = np.lexsort(marks) if marks else None
    # The values of the rows at which something discrete changes.
    if order is None:
        change = np.arange(min(num_rows, 1))
        keys = np.stack([mark[:1] for mark in (latent, *places)])
    else:
        ordered_marks = np.stack([mark[order] for mark in marks])
        change = np.flatnonzero(np.r_[True, (ordered_marks[:, 1:] != ordered_marks[:, :-1]).any(0)])
        keys = np.stack([mark[order[change]] for mark in (latent, *places)])
    if columns:
        own = [column if order is None else column[order] for column in columns]
        stacked = own[0].reshape(1, -1) if len(own) == 1 else np.stack(own)
        counted = np.zeros(0) if weights is None else weights if order is None else weights[order]
        position = None if order is None else _inverse(order)
    else:
        ordered = np.ones(num_rows) if weights is None else weights if order is None else weights[order]
        counted = np.add.reduceat(ordered, change) if num_rows else ordered
        alike = np.searchsorted(change, np.arange(num_rows), side="right") - 1
        position = alike if order is None else alike[_inverse(order)]
        change, stacked = np.arange(len(change)), np.zeros((0, len(change)))
    return _cut(keys, change, np.ascontiguousarray(stacked), np.ascontiguousarray(counted), position)


def _cut(keys: Whole, change: Whole, columns: Array, weights: Array, position: Whole | None) -> Arranged:
    size = columns.shape[1]
    begin: Whole = np.union1d(change, np.arange(0, size, BLOCK)).astype(np.int64)
    segments = np.empty((len(begin), PLACE + len(keys) - 1), dtype=np.int64)
    segments[:, 0], segments[:, 1] = begin, np.r_[begin[1:], size] if len(begin) else begin
    segments[:, 2:] = keys[:, np.searchsorted(change, begin, side="right") - 1].T
    ends = np.append(np.arange(0, size, BLOCK), size)
    blocks: Whole = np.asarray(np.searchsorted(begin, ends), dtype=np.int64)
    return Arranged(segments, blocks, columns, weights, position)


def _inverse(order: Whole) -> Whole:
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    return position
