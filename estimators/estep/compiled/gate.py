"""Weights of Z by a multinomial logit of its causes, for all classes of a block of rows at once.

The last K + 1 rows of scratch hold the weights p [K, n] and which rows they count in, from L to the sums.
"""

from typing import Any

from estimators.estep.compiled.layout import C_AT, COLUMN, PLACE, S_AT, START, STOP, WIDTH
from estimators.mechanisms.compiled.arithmetic import exp_of_negative, log_and_inverse
from estimators.mechanisms.compiled.jit import EXACT, compiled
from estimators.mechanisms.compiled.predictor import add_slopes, predict


@compiled(**EXACT)
def logits_below(C: Any, columns: Any, begin: int, n: int, eta: Any, top: Any) -> None:
    """``eta_k`` less the largest of a row's, to `eta` [K, n]."""
    K = len(C)
    for k in range(K):
        predict(C[k], columns, begin, n, eta[k])
    for i in range(n):
        top[i] = eta[0, i]
    for k in range(1, K):
        for i in range(n):
            top[i] = eta[k, i] if eta[k, i] > top[i] else top[i]
    for k in range(K):
        for i in range(n):
            eta[k, i] -= top[i]


@compiled(**EXACT)
def sum_classes(shares: Any, start: int, n: int, whole: Any) -> None:
    """The sums over classes of shares [K, N] in n rows, to `whole`: 1 unless a row has a weight, or is left out."""
    for i in range(n):
        whole[i] = 0.0
    for k in range(len(shares)):
        own = shares[k, start : start + n]
        for i in range(n):
            whole[i] += own[i]


@compiled(**EXACT)
def add_log_weights(scratch: Any, rows: tuple[int, int], tables: Any, segments: tuple[int, int], C: Any) -> None:
    """``eta_k - log Σ_l e^eta_l`` to L, the first K rows of scratch, of n rows, those of some segments.

    All of scratch is handed on: of some of its columns the compiler does not know that their numbers lie side by side.
    """
    K, (begin, n), term, (first, last) = len(C), rows, tables.terms[0], segments
    L, top, rest, p, counts = scratch[:K], scratch[K], scratch[K + 1], scratch[len(scratch) - K - 1 :], scratch[-1]
    for s in range(first, last):
        segment = tables.segments[s]
        for i in range(segment[START] - begin, segment[STOP] - begin):
            counts[i] = 1.0 if segment[PLACE] >= 0 else 0.0
    logits_below(C[:, term[C_AT] : term[C_AT] + term[WIDTH]], tables.columns[term[COLUMN] :], begin, n, p, top)
    for i in range(n):
        rest[i] = 0.0
    for k in range(K):
        for i in range(n):
            L[k, i] += counts[i] * p[k, i]
            p[k, i] = exp_of_negative(p[k, i])
            rest[i] += p[k, i]
    for i in range(n):
        top[i], rest[i] = log_and_inverse(rest[i])
    for k in range(K):
        for i in range(n):
            L[k, i] -= counts[i] * top[i]
            p[k, i] *= rest[i]


@compiled(**EXACT)
def collect_weights(scratch: Any, rows: tuple[int, int], tables: Any, S: Any) -> None:
    """``Σ (r_k - p_k Σ_l r_l) (1, inputs)`` of each class, from the responsibilities in the first K rows of scratch."""
    K, (begin, n), term = len(S), rows, tables.terms[0]
    shares, whole, pull, p, counts = (
        scratch[:K],
        scratch[K],
        scratch[K + 1],
        scratch[len(scratch) - K - 1 :],
        scratch[-1],
    )
    sum_classes(shares, 0, n, whole)
    for k in range(K):
        for i in range(n):
            pull[i] = counts[i] * (shares[k, i] - whole[i] * p[k, i])
        add_slopes(pull[:n], tables.columns[term[COLUMN] :], begin, term[WIDTH] - 1, S[k, term[S_AT] :])
