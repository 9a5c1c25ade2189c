"""What the rows of one segment add to the sums S [F] of one class, under their responsibilities."""

from typing import Any

from estimators.estep.compiled.layout import (
    BERNOULLI,
    C_AT,
    C_WIDTH,
    COLUMN,
    CONSTANT,
    CORRELATED,
    COUNT,
    GATE,
    GAUSSIAN,
    GENERAL,
    LINE,
    OP,
    PLACE,
    PULLBACK_AT,
    S_AT,
    S_WIDTH,
    START,
    STOP,
    WIDTH,
)
from estimators.estep.compiled.log_joints import centred, residuals
from estimators.mechanisms.compiled.arithmetic import dot, log_poisson, total
from estimators.mechanisms.compiled.general import pullback_at
from estimators.mechanisms.compiled.jit import EXACT, SUMS, compiled


@compiled(**EXACT)
def collect(shares: Any, tables: Any, segment: Any, C: Any, S: Any, is_whole: bool, work: Any) -> None:
    """Add to S; those that the M-step alone needs only where ``is_whole``."""
    terms = tables.terms
    count = total(shares)
    for t in range(len(terms)):
        op, place, j, width = terms[t, OP], segment[PLACE + t], terms[t, COLUMN], terms[t, WIDTH]
        if place < 0 or op == GATE:
            continue
        if op <= BERNOULLI:
            S[terms[t, S_AT] + place] += count
            continue
        own, units = C[terms[t, C_AT] + place * terms[t, C_WIDTH] :], tables.constants[terms[t, CONSTANT] :]
        columns, start, stop = tables.columns[j:], segment[START], segment[STOP]
        to = S[terms[t, S_AT] + place * terms[t, S_WIDTH] :]
        to[0] += count if op != LINE and op <= CORRELATED else 0.0
        if op == GAUSSIAN:
            for d in range(width):
                first, second = _moments(shares, columns[d, start:stop], own[1 + width + d], units[d])
                to[1 + d] += first
                to[1 + width + d] += second
        elif op == LINE:
            residuals(columns[: width + 1], start, len(shares), own[2:], 1.0 / units[0], work[0])
            _collect_line(shares, columns[1 : width + 1], start, units[1:], to, is_whole, work)
        elif op == CORRELATED:
            centred(columns[:width], start, len(shares), own[1:], units, work)
            _collect_products(shares, width, to[1:], work)
        elif op == COUNT:
            to[1] += dot(shares, columns[0, start:stop])
            if is_whole:
                to[2] += _expected_count(shares, columns[0, start:stop], columns[1, start:stop], own[0], own[1])
        elif op == GENERAL:
            pullback_at((terms[t, PULLBACK_AT], start), own[:width], columns, shares, to[:width], work)
        else:
            for f in range(width):
                to[f] += dot(shares, columns[f, start:stop])


@compiled(**EXACT)
def collect_levels(shares: Any, terms: Any, segments: Any, begin: tuple[int, int], S: Any) -> None:
    """The same of segments of one row each from the first on, of the terms from the first on, of levels all."""
    first, first_term = begin
    for i in range(len(shares)):
        for t in range(first_term, len(terms)):
            place = segments[first + i, PLACE + t]
            if place >= 0:
                S[terms[t, S_AT] + place] += shares[i]


@compiled(**SUMS)
def _moments(shares: Any, x: Any, mean: Any, unit: Any) -> Any:
    """Sums of r e and r e² with e = (x - mean) / unit."""
    first, second, inverse = 0.0, 0.0, 1.0 / unit
    for i in range(len(shares)):
        e = (x[i] - mean) * inverse
        share = shares[i] * e
        first += share
        second += share * e
    return first, second


@compiled(**SUMS)
def _dot_centred(shares: Any, x: Any, centre: Any, unit: Any) -> Any:
    """The sum of r (x - centre) / unit."""
    value, inverse = 0.0, 1.0 / unit
    for i in range(len(shares)):
        value += shares[i] * ((x[i] - centre) * inverse)
    return value


@compiled(**EXACT)
def _collect_line(shares: Any, inputs: Any, start: int, units: Any, S: Any, is_whole: bool, work: Any) -> None:
    """Sums of r t t', r e t and r e², t the inputs (1, (t_p - centre_p) / unit_p); e stands in the first work row."""
    n, P, stop = len(shares), len(inputs), start + len(shares)
    cross, e, own = (P + 1) * (P + 2) // 2, work[0, :n], work[1, :n]
    S[0] += total(shares)
    for i in range(n):
        own[i] = shares[i] * e[i]
    S[cross] += total(own)
    S[cross + P + 1] += dot(own, e)
    for p in range(P):
        S[cross + 1 + p] += _dot_centred(own, inputs[p, start:stop], units[p], units[P + p])
    if not is_whole:
        return
    for p in range(P):
        t, centre, inverse = inputs[p, start:stop], units[p], 1.0 / units[P + p]
        for i in range(n):
            own[i] = shares[i] * ((t[i] - centre) * inverse)
        S[1 + p] += total(own)
        for q in range(p, P):
            # The pairs (0, 0), (0, 1), ... (0, P), (1, 1), ...
            pair = (p + 1) * (P + 1) - (p + 1) * p // 2 + q - p
            S[pair] += _dot_centred(own, inputs[q, start:stop], units[q], units[P + q])


@compiled(**EXACT)
def _collect_products(shares: Any, D: int, S: Any, work: Any) -> None:
    """Sums of r e and of r e e' by its entries p <= q, of the first work rows e."""
    n = len(shares)
    own, pair = work[D, :n], D
    for p in range(D):
        for i in range(n):
            own[i] = shares[i] * work[p, i]
        S[p] += total(own)
        for q in range(p, D):
            S[pair] += dot(own, work[q, :n])
            pair += 1


@compiled(**SUMS)
def _expected_count(shares: Any, x: Any, largest: Any, rate: Any, inverse: Any) -> Any:
    """The sum of r log Poisson(x; rate)."""
    value = 0.0
    for i in range(len(shares)):
        value += shares[i] * log_poisson(x[i], largest[i], rate, inverse)
    return value
