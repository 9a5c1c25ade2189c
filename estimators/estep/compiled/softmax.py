"""From log joints to responsibilities, or to log sums alone, for a block of rows."""

from typing import Any

from estimators.mechanisms.compiled.arithmetic import exp_of_negative, log_and_inverse
from estimators.mechanisms.compiled.jit import EXACT, compiled


@compiled(**EXACT)
def _begin(L: Any, n: int, values: Any, sums: Any) -> None:
    """The largest L of each row into `values` [n], and 0 into `sums` [n]."""
    for i in range(n):
        values[i], sums[i] = L[0, i], 0.0
    for k in range(1, len(L)):
        for i in range(n):
            values[i] = L[k, i] if L[k, i] > values[i] else values[i]


@compiled(**EXACT)
def normalise(L: Any, n: int, weights: Any, values: Any, sums: Any) -> None:
    """L [K, n] becomes w softmax_k L, and `values` [n] becomes w logsumexp_k L."""
    K = len(L)
    if K == 2:
        # One exponential for a row, not two.
        for i in range(n):
            apart = L[0, i] - L[1, i]
            small = exp_of_negative(-abs(apart))
            logarithm, inverse = log_and_inverse(1.0 + small)
            more = weights[i] * inverse
            values[i] = weights[i] * ((L[0, i] if apart >= 0 else L[1, i]) + logarithm)
            L[0, i] = more if apart >= 0 else more * small
            L[1, i] = more * small if apart >= 0 else more
        return
    _begin(L, n, values, sums)
    for k in range(K):
        for i in range(n):
            L[k, i] = exp_of_negative(L[k, i] - values[i])
            sums[i] += L[k, i]
    for i in range(n):
        logarithm, inverse = log_and_inverse(sums[i])
        values[i] = weights[i] * (values[i] + logarithm)
        sums[i] = weights[i] * inverse
    for k in range(K):
        for i in range(n):
            L[k, i] *= sums[i]


@compiled(**EXACT)
def log_sums(L: Any, n: int, weights: Any, values: Any, sums: Any) -> None:
    """`values` [n] becomes w logsumexp_k L [K, n], to the same bits as `normalise` has it."""
    K = len(L)
    if K == 2:
        for i in range(n):
            apart = L[0, i] - L[1, i]
            logarithm, _ = log_and_inverse(1.0 + exp_of_negative(-abs(apart)))
            values[i] = weights[i] * ((L[0, i] if apart >= 0 else L[1, i]) + logarithm)
        return
    _begin(L, n, values, sums)
    for k in range(K):
        for i in range(n):
            sums[i] += exp_of_negative(L[k, i] - values[i])
    for i in range(n):
        logarithm, _ = log_and_inverse(sums[i])
        values[i] = weights[i] * (values[i] + logarithm)
