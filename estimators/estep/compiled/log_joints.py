"""What the terms add to L [K, n] of the rows of one segment."""

from typing import Any

import numpy as np

from estimators.estep.compiled.layout import (
    BERNOULLI,
    C_AT,
    C_WIDTH,
    CLASS,
    COLUMN,
    CONSTANT,
    CORRELATED,
    COUNT,
    FEATURES,
    GATE,
    GAUSSIAN,
    GENERAL,
    LINE,
    LOG_JOINT_AT,
    OFFSET,
    OP,
    PLACE,
    START,
    STOP,
    WIDTH,
)
from estimators.mechanisms.compiled.arithmetic import log_poisson
from estimators.mechanisms.compiled.general import log_joint_at
from estimators.mechanisms.compiled.jit import EXACT, compiled


@compiled(**EXACT)
def log_joint(row: Any, tables: Any, segment: Any, k: int, C: Any, work: Any) -> None:
    """One class's L of the rows, from its numbers C [F]; -inf where they are known to be in another."""
    terms, constants, known = tables.terms, tables.constants, segment[CLASS]
    # The constants of all terms that have one: a count's is in its row, features and general terms may have any.
    base = 0.0
    for t in range(len(terms)):
        place = segment[PLACE + t]
        if place >= 0 and terms[t, OP] != COUNT and terms[t, OP] < FEATURES:
            width = 1 if terms[t, OP] <= BERNOULLI else terms[t, C_WIDTH]
            base += C[terms[t, C_AT] + place * width]
    if known >= 0 and known != k:
        base = -np.inf
    for i in range(len(row)):
        row[i] = base
    for t in range(len(terms)):
        op, place, j, width = terms[t, OP], segment[PLACE + t], terms[t, COLUMN], terms[t, WIDTH]
        if place < 0 or op <= BERNOULLI or op == GATE:
            continue
        own, units = C[terms[t, C_AT] + place * terms[t, C_WIDTH] :], constants[terms[t, CONSTANT] :]
        # Slices of single columns, whose numbers lie side by side: of several at once the compiler does not know it.
        columns, start, stop = tables.columns[j:], segment[START], segment[STOP]
        if op == GAUSSIAN:
            for d in range(width):
                _add_gaussian(row, columns[d, start:stop], own[1 + d], own[1 + width + d], 1.0 / units[d])
        elif op == LINE:
            residuals(columns[: width + 1], start, len(row), own[2:], 1.0 / units[0], work[0])
            quadratic, e = own[1], work[0]
            for i in range(len(row)):
                row[i] += quadratic * e[i] * e[i]
        elif op == CORRELATED:
            _add_correlated(row, columns[:width], start, own, units, work)
        elif op == COUNT:
            _add_count(row, columns[0, start:stop], columns[1, start:stop], own[0], own[1])
        elif op == GENERAL:
            log_joint_at((terms[t, LOG_JOINT_AT], start), own[:width], columns, row, work)
        else:
            for f in range(width):
                feature, c = columns[f, start:stop], own[f]
                for i in range(len(row)):
                    row[i] += c * feature[i]
        if terms[t, OFFSET] > 0:
            offset = columns[terms[t, OFFSET], start:stop]
            for i in range(len(row)):
                row[i] += offset[i]


@compiled(**EXACT)
def has_numbers_in(terms: Any) -> Any:
    """Whether a term is of more than levels."""
    found = False
    for t in range(len(terms)):
        found = found or terms[t, OP] > BERNOULLI
    return found


@compiled(**EXACT)
def log_joint_of_levels(row: Any, terms: Any, segments: Any, begin: tuple[int, int], k: int, C: Any) -> None:
    """One class's L of segments of one row each from the first on, of the terms from the first on, of levels all."""
    first, first_term = begin
    for i in range(len(row)):
        value, known = 0.0, segments[first + i, CLASS]
        for t in range(first_term, len(terms)):
            place = segments[first + i, PLACE + t]
            if place >= 0:
                value += C[terms[t, C_AT] + place]
        row[i] = value if known < 0 or known == k else -np.inf


@compiled(**EXACT)
def _add_gaussian(row: Any, x: Any, quadratic: Any, mean: Any, inverse: Any) -> None:
    """-(x - mean)² / 2s²."""
    for i in range(len(row)):
        e = (x[i] - mean) * inverse
        row[i] += quadratic * e * e


@compiled(**EXACT)
def residuals(columns: Any, start: int, n: int, line: Any, inverse: Any, e: Any) -> None:
    """(y - b_0 - Σ_p b_p t_p) / unit of columns (y, t_1, ..., t_P), in n rows."""
    y, intercept = columns[0, start : start + n], line[0]
    for i in range(n):
        e[i] = y[i] - intercept
    for p in range(1, len(columns)):
        t, slope = columns[p, start : start + n], line[p]
        for i in range(n):
            e[i] -= slope * t[i]
    for i in range(n):
        e[i] *= inverse


@compiled(**EXACT)
def centred(columns: Any, start: int, n: int, means: Any, units: Any, e: Any) -> None:
    """(x_d - mu_d) / unit_d of every column, in n rows."""
    for d in range(len(columns)):
        x, mean, inverse, own = columns[d, start : start + n], means[d], 1.0 / units[d], e[d]
        for i in range(n):
            own[i] = (x[i] - mean) * inverse


@compiled(**EXACT)
def _add_correlated(row: Any, columns: Any, start: int, C: Any, units: Any, work: Any) -> None:
    """-|W e|² / 2."""
    D, n = len(columns), len(row)
    centred(columns, start, n, C[1:], units, work)
    z, factor = work[D], C[1 + D :]
    for r in range(D):
        for i in range(n):
            z[i] = 0.0
        for d in range(r + 1):
            e, w = work[d], factor[r * (r + 1) // 2 + d]
            for i in range(n):
                z[i] += w * e[i]
        for i in range(n):
            row[i] -= 0.5 * z[i] * z[i]


@compiled(**EXACT)
def _add_count(row: Any, x: Any, largest: Any, rate: Any, inverse: Any) -> None:
    """``h(x) - (x log(x / rate) - x + rate)``: no digits are lost where both are large."""
    for i in range(len(row)):
        row[i] += log_poisson(x[i], largest[i], rate, inverse)
