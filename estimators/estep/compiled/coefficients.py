"""From Greeks to the numbers C [K, F] that rows are taken with, and from the sums S of rows back to slopes of Greeks.

Columns are in their own units until a class's centre is taken off, so that no digits are lost far from 0; then in
units of the column, which stand among the constants.
"""

from math import log
from typing import Any

from estimators.estep.compiled.layout import (
    BERNOULLI,
    C_AT,
    C_WIDTH,
    CATEGORICAL,
    CELLS,
    CONSTANT,
    CORRELATED,
    CORRELATION,
    CORRELATION_CELL,
    CORRELATION_CLASS,
    COUNT,
    GAUSSIAN,
    GENERAL,
    LINE,
    LOCATION,
    LOCATION_CELL,
    LOCATION_CLASS,
    LOG,
    LOG_REST,
    NUM_LOGS,
    NUM_MORE,
    OP,
    S_AT,
    S_WIDTH,
    SCALE,
    SCALE_CELL,
    SCALE_CLASS,
    VALUE,
    WIDTH,
)
from estimators.mechanisms.compiled.jit import EXACT, compiled
from estimators.parameters.parameter import HALF_LOG_2PI, LOG_ZERO

# 1 / rate of a rate next to 0, finite so that a count of 0 may be multiplied by it.
LARGEST_INVERSE = 1e300


@compiled(**EXACT)
def coefficients(K: int, terms: Any, constants: Any, greeks: Any, C: Any) -> None:
    """Fill C from the Greeks [3, size]."""
    for t in range(len(terms)):
        op, width, unit = terms[t, OP], terms[t, WIDTH], terms[t, CONSTANT]
        for k in range(K):
            for cell in range(terms[t, CELLS]):
                at = terms[t, C_AT] + cell * terms[t, C_WIDTH]
                place = terms[t, LOCATION] + k * terms[t, LOCATION_CLASS] + cell * terms[t, LOCATION_CELL]
                scale = terms[t, SCALE] + k * terms[t, SCALE_CLASS] + cell * terms[t, SCALE_CELL]
                if op == CATEGORICAL:
                    for level in range(width):
                        C[k, at + level] = max(greeks[LOG, place + level], LOG_ZERO)
                elif op == BERNOULLI:
                    C[k, at] = max(greeks[LOG_REST, place], LOG_ZERO)
                    C[k, at + 1] = max(greeks[LOG, place], LOG_ZERO)
                elif op == COUNT:
                    C[k, at] = greeks[VALUE, place]
                    C[k, at + 1] = min(1.0 / greeks[VALUE, place], LARGEST_INVERSE)
                elif op == GAUSSIAN:
                    C[k, at] = -width * HALF_LOG_2PI
                    for d in range(width):
                        C[k, at] -= greeks[LOG, scale + d]
                        C[k, at + 1 + d] = _half_precision(greeks[VALUE, scale + d], constants[unit + d])
                        C[k, at + 1 + width + d] = greeks[VALUE, place + d]
                elif op == LINE:
                    C[k, at] = -greeks[LOG, scale] - HALF_LOG_2PI
                    C[k, at + 1] = _half_precision(greeks[VALUE, scale], constants[unit])
                    for p in range(width + 1):
                        C[k, at + 2 + p] = greeks[VALUE, place + p]
                elif op == CORRELATED:
                    corr = terms[t, CORRELATION] + k * terms[t, CORRELATION_CLASS] + cell * terms[t, CORRELATION_CELL]
                    _correlated(width, constants[unit:], greeks, (place, scale, corr), C[k, at:])
                elif op == GENERAL:
                    more = terms[t, CORRELATION] + k * terms[t, CORRELATION_CLASS] + cell * terms[t, CORRELATION_CELL]
                    last = width - terms[t, NUM_MORE]
                    first = last - terms[t, NUM_LOGS]
                    for f in range(first):
                        C[k, at + f] = greeks[VALUE, place + f]
                    for f in range(first, last):
                        C[k, at + f] = greeks[LOG, scale + f - first]
                    for f in range(last, width):
                        C[k, at + f] = greeks[LOG, more + f - last]
                else:
                    for f in range(width):
                        C[k, at + f] = greeks[VALUE, place + f]


@compiled(**EXACT)
def _half_precision(sigma: Any, unit: Any) -> Any:
    """-1/2s² of a scale in units of its column, finite as its square is 0."""
    s = sigma / unit
    return max(-0.5 / (s * s), LOG_ZERO)


@compiled(**EXACT)
def _correlated(D: int, units: Any, greeks: Any, places: Any, C: Any) -> None:
    """The constant, the means, and row by row the inverse of the factor L = diag(sigma / unit) corr."""
    place, scale, corr = places
    C[0] = -D * HALF_LOG_2PI
    for d in range(D):
        C[1 + d] = greeks[VALUE, place + d]
    first = 1 + D
    for i in range(D):
        own = greeks[VALUE, corr + i * D + i]
        C[0] -= greeks[LOG, scale + i] + log(own)
        last = 1.0 / (greeks[VALUE, scale + i] / units[i] * own)
        row = first + i * (i + 1) // 2
        for j in range(i):
            value = 0.0
            for m in range(j, i):
                value += greeks[VALUE, corr + i * D + m] * C[first + m * (m + 1) // 2 + j]
            C[row + j] = -value / own
        C[row + i] = last


@compiled(**EXACT)
def slopes(K: int, terms: Any, constants: Any, greeks: Any, C: Any, S: Any, g: Any) -> None:
    """Add dJ/d(value), dJ/d(log value) and dJ/d(log(1 - value)), J = Σ_k C_k · S_k, to g [3, size].

    By Fisher's identity these are slopes of the log-likelihood. Of a scale, a rate or a probability the log's is given;
    of a line the slopes with respect to it in standardised columns stand in the place of the logs'.
    """
    for t in range(len(terms)):
        op, width, unit = terms[t, OP], terms[t, WIDTH], terms[t, CONSTANT]
        for k in range(K):
            for cell in range(terms[t, CELLS]):
                at, to = terms[t, C_AT] + cell * terms[t, C_WIDTH], terms[t, S_AT] + cell * terms[t, S_WIDTH]
                place = terms[t, LOCATION] + k * terms[t, LOCATION_CLASS] + cell * terms[t, LOCATION_CELL]
                scale = terms[t, SCALE] + k * terms[t, SCALE_CLASS] + cell * terms[t, SCALE_CELL]
                if op == CATEGORICAL:
                    for level in range(width):
                        g[LOG, place + level] += S[k, to + level]
                elif op == BERNOULLI:
                    g[LOG_REST, place] += S[k, to]
                    g[LOG, place] += S[k, to + 1]
                elif op == COUNT:
                    g[LOG, place] += S[k, to + 1] - C[k, at] * S[k, to]
                elif op == GAUSSIAN:
                    for d in range(width):
                        precision = -2.0 * C[k, at + 1 + d]
                        g[VALUE, place + d] += precision * S[k, to + 1 + d] / constants[unit + d]
                        g[LOG, scale + d] += precision * S[k, to + 1 + width + d] - S[k, to]
                elif op == LINE:
                    precision, cross = -2.0 * C[k, at + 1], to + (width + 1) * (width + 2) // 2
                    for p in range(width + 1):
                        g[LOG, place + p] += precision * S[k, cross + p]
                    g[LOG, scale] += precision * S[k, cross + width + 1] - S[k, to]
                elif op == CORRELATED:
                    corr = terms[t, CORRELATION] + k * terms[t, CORRELATION_CLASS] + cell * terms[t, CORRELATION_CELL]
                    places = place, scale, corr
                    _of_correlated(width, constants[unit:], greeks, places, C[k, at:], S[k, to:], g)
                elif op == GENERAL:
                    more = terms[t, CORRELATION] + k * terms[t, CORRELATION_CLASS] + cell * terms[t, CORRELATION_CELL]
                    last = width - terms[t, NUM_MORE]
                    first = last - terms[t, NUM_LOGS]
                    for f in range(first):
                        g[VALUE, place + f] += S[k, to + f]
                    for f in range(first, last):
                        g[LOG, scale + f - first] += S[k, to + f]
                    for f in range(last, width):
                        g[LOG, more + f - last] += S[k, to + f]
                else:
                    for f in range(width):
                        g[VALUE, place + f] += S[k, to + f]


@compiled(**EXACT)
def _of_correlated(D: int, units: Any, greeks: Any, places: Any, C: Any, S: Any, g: Any) -> None:
    """With W = L⁻¹ and M the second moments, dJ/dmu = W'W Σe and dJ/dL = W' (W M W') - n diag(1 / L_ii), below it."""
    (place, scale, corr), first, count = places, 1 + D, S[0]
    for j in range(D):
        value = 0.0
        for i in range(j, D):
            whitened = 0.0
            for m in range(i + 1):
                whitened += C[first + i * (i + 1) // 2 + m] * S[1 + m]
            value += C[first + i * (i + 1) // 2 + j] * whitened
        g[VALUE, place + j] += value / units[j]
    for i in range(D):
        s = greeks[VALUE, scale + i] / units[i]
        for j in range(i + 1):
            value = 0.0
            for m in range(i, D):
                value += C[first + m * (m + 1) // 2 + i] * _whitened_moment(D, C, S, first, m, j)
            if i == j:
                value -= count * C[first + i * (i + 1) // 2 + i]
            g[LOG, scale + i] += value * greeks[VALUE, corr + i * D + j] * s
            g[VALUE, corr + i * D + j] += value * s


@compiled(**EXACT)
def _whitened_moment(D: int, C: Any, S: Any, first: int, i: int, j: int) -> Any:
    """(W M W')_ij, M = S[1 + D:] by its entries p <= q, row by row."""
    value = 0.0
    for a in range(i + 1):
        for b in range(j + 1):
            p, q = min(a, b), max(a, b)
            moment = S[1 + D + p * D - p * (p - 1) // 2 + q - p]
            value += C[first + i * (i + 1) // 2 + a] * moment * C[first + j * (j + 1) // 2 + b]
    return value
