"""The E-step where rows of a unit share one Z: L is summed within units, and every row has its unit's softmax."""

from typing import Any

import numpy as np

from estimators.estep.compiled.blocks import collect_block, kinds_in, log_joints
from estimators.estep.compiled.expectation import put_apart
from estimators.estep.compiled.layout import LIKELIHOOD, ROW_LIKELIHOODS, ROWS, START, STOP, WHOLE
from estimators.estep.compiled.softmax import log_sums, normalise
from estimators.estep.compiled.tables_at import tables_at
from estimators.mechanisms.compiled.arithmetic import total
from estimators.mechanisms.compiled.jit import EXACT, address_of, compiled


@compiled(**EXACT)
def _rows_of(tables: Any, block: int) -> Any:
    """The first row of a block, and how many it has."""
    begin = tables.segments[tables.blocks[block], START]
    return begin, tables.segments[tables.blocks[block + 1] - 1, STOP] - begin


@compiled("float64(int64[:,::1], float64[:,::1], UniTuple(int64, 2), float64[:,::1], float64[:,::1])", **EXACT)
def expectation_of_units(where: Any, C: Any, task: tuple[int, int], scratch: Any, out: Any) -> Any:
    """The `expectation` of a chunk of whole units: their L first, and then the sums of their rows under its softmax."""
    tables, (chunk, what) = tables_at(where), task
    K = tables.sizes[0]
    first, last, start = tables.chunks[chunk, 0], tables.chunks[chunk + 1, 0], tables.chunks[chunk, 1]
    num_units, kinds = tables.chunks[chunk + 1, 1] - start, kinds_in(tables.terms)
    L, values, weights = np.zeros((K, num_units)), np.empty((2, num_units)), np.ones(num_units)
    for block in range(first, last):
        begin, n = _rows_of(tables, block)
        log_joints(tables, block, kinds, C, begin, n, scratch)
        units = tables.units[begin : begin + n]
        for k in range(K):
            for i in range(n):
                L[k, units[i]] += scratch[k, i]
        if tables.sizes[4] > 0 and what < ROWS:
            for i in range(n):
                weights[units[i]] = tables.weights[begin + i]
    if what in (LIKELIHOOD, ROW_LIKELIHOODS):
        log_sums(L, num_units, weights, values[0], values[1])
    else:
        normalise(L, num_units, weights, values[0], values[1])
    if what >= ROWS:
        put_apart(values[0], L, num_units, start, out)
        return 0.0
    if what == LIKELIHOOD:
        return total(values[0])
    for block in range(first, last):
        begin, n = _rows_of(tables, block)
        if kinds[0]:
            # The weights p of its rows, which stood in scratch.
            log_joints(tables, block, kinds, C, begin, n, scratch)
        units = tables.units[begin : begin + n]
        for k in range(K):
            for i in range(n):
                scratch[k, i] = L[k, units[i]]
        collect_block(tables, block, kinds, C, (begin, n), what == WHOLE, (scratch, out))
    return total(values[0])


# Where its code is in this process.
EXPECTATION_OF_UNITS = address_of(expectation_of_units)
