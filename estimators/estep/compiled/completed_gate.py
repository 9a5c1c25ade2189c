"""J of weights by a logit, and its derivatives in C, of all classes at once: what a Newton step asks for."""

from typing import Any

from estimators.estep.compiled.completed_data import add_products
from estimators.estep.compiled.gate import logits_below, sum_classes
from estimators.estep.compiled.layout import BLOCK
from estimators.mechanisms.compiled.arithmetic import exp_of_negative, log_and_inverse, total
from estimators.mechanisms.compiled.jit import EXACT, compiled
from estimators.mechanisms.compiled.predictor import add_slopes

# Parameter sets C [S, K, W], columns [W, n] of which the first is not looked at, shares R [S, K, n]; what is found; and
# scratch [K + 3, BLOCK].
SIGNATURE = "void(float64[:,:,::1], float64[:,::1], float64[:,:,::1], {}, float64[:,::1])"


@compiled(SIGNATURE.format("float64[::1]"), **EXACT)
def complete(C: Any, columns: Any, shares: Any, values: Any, work: Any) -> None:
    """``Σ_kn R[k, n] log p(Z = k)`` into `values` [S]."""
    K = C.shape[1]
    eta, top, rest, row = work[:K], work[K], work[K + 1], work[K + 2]
    for s in range(len(C)):
        value = 0.0
        for start in range(0, columns.shape[1], BLOCK):
            n = min(BLOCK, columns.shape[1] - start)
            logits_below(C[s], columns, start, n, eta, top)
            for i in range(n):
                rest[i], row[i], top[i] = 0.0, 0.0, 0.0
            for k in range(K):
                own = shares[s, k, start : start + n]
                for i in range(n):
                    row[i] += own[i] * eta[k, i]
                    top[i] += own[i]
                    rest[i] += exp_of_negative(eta[k, i])
            for i in range(n):
                row[i] -= top[i] * log_and_inverse(rest[i])[0]
            value += total(row[:n])
        values[s] = value


@compiled(**EXACT)
def _weights(C: Any, columns: Any, start: int, n: int, p: Any, rest: Any) -> None:
    """p(Z = k) to `p` [K, n]."""
    logits_below(C, columns, start, n, p, rest)
    for i in range(n):
        rest[i] = 0.0
    for k in range(len(C)):
        for i in range(n):
            p[k, i] = exp_of_negative(p[k, i])
            rest[i] += p[k, i]
    for k in range(len(C)):
        for i in range(n):
            p[k, i] /= rest[i]


@compiled(SIGNATURE.format("float64[:,:,::1]"), **EXACT)
def slopes(C: Any, columns: Any, shares: Any, out: Any, work: Any) -> None:
    """``Σ_n (R_k - p_k Σ_l R_l) (1, inputs)`` is added to `out` [S, K, W]."""
    K = C.shape[1]
    p, whole, pull = work[:K], work[K], work[K + 1]
    for s in range(len(C)):
        for start in range(0, columns.shape[1], BLOCK):
            n = min(BLOCK, columns.shape[1] - start)
            _weights(C[s], columns, start, n, p, whole)
            sum_classes(shares[s], start, n, whole)
            for k in range(K):
                own = shares[s, k, start : start + n]
                for i in range(n):
                    pull[i] = own[i] - whole[i] * p[k, i]
                add_slopes(pull[:n], columns, start, len(columns) - 1, out[s, k])


@compiled(SIGNATURE.format("float64[:,:,:,:,::1]"), **EXACT)
def curvatures(C: Any, columns: Any, shares: Any, out: Any, work: Any) -> None:
    """``Σ_n Σ_j R_j p_k (1[k = l] - p_l) (1, inputs) (1, inputs)'`` is added to `out` [S, K, K, W, W]."""
    K = C.shape[1]
    p, whole, row, products = work[:K], work[K], work[K + 1], work[K + 2]
    for s in range(len(C)):
        for start in range(0, columns.shape[1], BLOCK):
            n = min(BLOCK, columns.shape[1] - start)
            _weights(C[s], columns, start, n, p, whole)
            sum_classes(shares[s], start, n, whole)
            for k in range(K):
                for other in range(k, K):
                    for i in range(n):
                        row[i] = whole[i] * p[k, i] * ((1.0 if other == k else 0.0) - p[other, i])
                    add_products(row[:n], columns[1:], start, out[s, k, other], products[:n])
        for k in range(K):
            for other in range(k):
                out[s, k, other] = out[s, other, k]
