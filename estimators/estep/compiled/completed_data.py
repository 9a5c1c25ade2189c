"""J of a general term, and its derivatives in C, by the family's compiled functions: what a Newton step asks for."""

from typing import Any

import numpy as np

from estimators.estep.compiled.layout import BLOCK
from estimators.mechanisms.compiled.arithmetic import dot, total
from estimators.mechanisms.compiled.general import log_joint_at, pullback_at
from estimators.mechanisms.compiled.jit import EXACT, SUMS, compiled

# Step of a difference of slopes, relative to 1 and the number.
STEP = 1e-5


@compiled(**SUMS)
def add_products(row: Any, inputs: Any, start: int, out: Any, work: Any) -> None:
    """``Σ_i w_i t t'`` with t = (1, inputs)."""
    n = len(row)
    out[0, 0] += total(row)
    for p in range(len(inputs)):
        x = inputs[p, start : start + n]
        for i in range(n):
            work[i] = row[i] * x[i]
        own = total(work)
        out[0, 1 + p] += own
        out[1 + p, 0] += own
        for q in range(p, len(inputs)):
            product = dot(work, inputs[q, start : start + n])
            out[1 + p, 1 + q] += product
            if q > p:
                out[1 + q, 1 + p] += product


@compiled("void(int64, float64[:,::1], float64[:,::1], float64[:,::1], float64[::1], float64[:,::1])", **EXACT)
def complete(address: int, C: Any, columns: Any, shares: Any, values: Any, work: Any) -> None:
    """``Σ_i r_i log f(row i; C)`` of each C [M, W], with its shares [M, n], into `values`."""
    for m in range(len(C)):
        value = 0.0
        for start in range(0, shares.shape[1], BLOCK):
            own = shares[m, start : start + BLOCK]
            n = len(own)
            row = work[len(work) - 1, :n]
            for i in range(n):
                row[i] = 0.0
            log_joint_at((address, start), C[m], columns, row, work)
            for i in range(n):
                # A row with no share in a class may be impossible there.
                row[i] = own[i] * row[i] if own[i] > 0.0 else 0.0
            value += total(row)
        values[m] = value


@compiled("void(int64, float64[:,::1], float64[:,::1], float64[:,::1], float64[:,::1], float64[:,::1])", **EXACT)
def slopes(address: int, C: Any, columns: Any, shares: Any, out: Any, work: Any) -> None:
    """``Σ_i r_i d log f / dC`` is added to `out` [M, W]."""
    for m in range(len(C)):
        for start in range(0, shares.shape[1], BLOCK):
            pullback_at((address, start), C[m], columns, shares[m, start : start + BLOCK], out[m], work)


@compiled(
    "void(UniTuple(int64, 4), float64[:,::1], float64[:,::1], float64[:,::1], float64[:,:,::1], float64[:,::1])",
    **EXACT,
)
def curvatures(code: tuple[int, int, int, int], C: Any, columns: Any, shares: Any, out: Any, work: Any) -> None:
    """``-Σ_i r_i d² log f / dC²`` is added to `out` [M, W, W], by central differences of the pullback.

    Of the lines of predictors, with which C begins, one difference in each predictor serves all coefficients, since
    the pullback leaves the rows' slopes in each of them in scratch. The code are the address, how many lines there are
    and of how many coefficients, and which column is the first input.
    """
    address, num_lines, size, first = code
    width, inputs = C.shape[1], columns[first : first + size - 1]
    moved, ahead, behind = np.empty(width), np.empty(width), np.empty(width)
    kept = work[len(work) - num_lines :]
    for m in range(len(C)):
        moved[:] = C[m]
        for start in range(0, shares.shape[1], BLOCK):
            own = shares[m, start : start + BLOCK]
            n = len(own)
            for line in range(num_lines):
                at = line * size
                step = STEP * (1.0 + abs(C[m, at]))
                moved[at] = C[m, at] + step
                pullback_at((address, start), moved, columns, own, ahead, work)
                for other in range(line, num_lines):
                    kept[other, :n] = work[other, :n]
                moved[at] = C[m, at] - step
                pullback_at((address, start), moved, columns, own, behind, work)
                moved[at] = C[m, at]
                for other in range(line, num_lines):
                    row, to = kept[other, :n], other * size
                    for i in range(n):
                        row[i] = (work[other, i] - row[i]) / (2.0 * step)
                    add_products(row, inputs, start, out[m, at : at + size, to : to + size], work[other, :n])
            for p in range(num_lines * size, width):
                step = STEP * (1.0 + abs(C[m, p]))
                ahead[:], behind[:] = 0.0, 0.0
                moved[p] = C[m, p] + step
                pullback_at((address, start), moved, columns, own, ahead, work)
                moved[p] = C[m, p] - step
                pullback_at((address, start), moved, columns, own, behind, work)
                moved[p] = C[m, p]
                for q in range(p + 1):
                    out[m, q, p] += (behind[q] - ahead[q]) / (2.0 * step)
        for p in range(width):
            for q in range(p):
                out[m, p, q] = out[m, q, p]
