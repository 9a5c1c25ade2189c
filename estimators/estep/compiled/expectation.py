"""The E-step over blocks of rows: L, its softmax R, and the sums S under R.

Partial sums are of CHUNK blocks each and are added in their order, whoever made them: the same bits on any number of
threads, for one parameter set or for one of many. What touches rows is compiled once, and called by its address.
"""

from typing import Any

import numpy as np
from numba.extending import intrinsic

from estimators.estep.compiled.blocks import collect_block, kinds_in, log_joints
from estimators.estep.compiled.coefficients import coefficients
from estimators.estep.compiled.layout import BLOCK, LIKELIHOOD, ROW_LIKELIHOODS, ROWS, WHOLE
from estimators.estep.compiled.softmax import log_sums, normalise
from estimators.estep.compiled.tables_at import tables_at
from estimators.mechanisms.compiled.arithmetic import total
from estimators.mechanisms.compiled.jit import EXACT, address_of, call_at, compiled, signature_at


@compiled(**EXACT)
def put_apart(values: Any, R: Any, n: int, begin: int, out: Any) -> None:
    """ℓ of n rows from `begin` on into `out` [1, N], and R as well where it is [1 + K, N]."""
    for i in range(n):
        out[0, begin + i] = values[i]
    for k in range(len(out) - 1):
        for i in range(n):
            out[1 + k, begin + i] = R[k, i]


@compiled("float64(int64[:,::1], float64[:,::1], UniTuple(int64, 2), float64[:,::1], float64[:,::1])", **EXACT)
def expectation(where: Any, C: Any, task: tuple[int, int], scratch: Any, out: Any) -> Any:
    """Σ w ℓ of the blocks of a chunk; the sums [K, F] are added to `out`, or ℓ and R put into `out` [1 + K, N].

    The task is a chunk and what is wanted: the sums that SLOPES are made of, the WHOLE for an M-step, the
    LIKELIHOOD alone, the ROWS, or, in `out` [1, N], the ROW_LIKELIHOODS.
    """
    tables, (chunk, what) = tables_at(where), task
    K, is_weighted, num_rows = tables.sizes[0], tables.sizes[4] > 0, tables.sizes[5]
    ones, value, kinds = np.ones(BLOCK), 0.0, kinds_in(tables.terms)
    for block in range(tables.chunks[chunk, 0], tables.chunks[chunk + 1, 0]):
        begin = block * BLOCK
        n = min(BLOCK, num_rows - begin)
        log_joints(tables, block, kinds, C, begin, n, scratch)
        weights = tables.weights[begin : begin + n] if is_weighted and what < ROWS else ones[:n]
        if what in (LIKELIHOOD, ROW_LIKELIHOODS):
            log_sums(scratch[:K], n, weights, scratch[K], scratch[K + 1])
        else:
            normalise(scratch[:K], n, weights, scratch[K], scratch[K + 1])
        if what >= ROWS:
            put_apart(scratch[K], scratch, n, begin, out)
            continue
        value += total(scratch[K, :n])
        if what == LIKELIHOOD:
            continue
        collect_block(tables, block, kinds, C, (begin, n), what == WHOLE, (scratch, out))
    return value


# Where its code is in this process.
EXPECTATION = address_of(expectation)


@intrinsic  # type: ignore[untyped-decorator]
def expectation_at(context: Any, address: Any, where: Any, C: Any, task: Any, scratch: Any, out: Any) -> Any:
    """The `expectation` at an address."""

    def build(ctx: Any, builder: Any, signature: Any, args: Any) -> Any:
        return call_at(builder, ctx, expectation, args[0], args[1:])

    return signature_at(expectation), build


@compiled("(int64[:,::1], float64[:,:,::1], int64, int64, int64, float64[:,::1], float64[:,:,:,::1])", **EXACT)
def over_chunks(where: Any, greeks: Any, first: int, last: int, what: int, values: Any, out: Any) -> None:
    """The `expectation` of some chunks at the Greeks [S, 3, size]: values [S, chunks] and sums [S, chunks, K, F].

    Of ROWS `out` is [S, 1, 1 + K, N], of ROW_LIKELIHOODS [S, 1, 1, N], or of units where rows share one Z.
    """
    tables = tables_at(where)
    K = tables.sizes[0]
    C, scratch = np.empty((K, tables.sizes[1])), np.empty((K + tables.sizes[3], BLOCK))
    for s in range(len(greeks)):
        coefficients(K, tables.terms, tables.constants, greeks[s], C)
        for chunk in range(first, last):
            if what >= ROWS:
                expectation_at(tables.sizes[6], where, C, (chunk, what), scratch, out[s, 0])
            else:
                out[s, chunk] = 0.0
                values[s, chunk] = expectation_at(tables.sizes[6], where, C, (chunk, what), scratch, out[s, chunk])
