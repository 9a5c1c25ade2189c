"""log-likelihood, log prior and log Jacobian of coordinates and the gradient of each, compiled, for a batch."""

from typing import Any

import numpy as np
from numba import carray
from numba.extending import intrinsic

from estimators.estep.compiled.coefficients import coefficients, slopes
from estimators.estep.compiled.expectation import expectation_at
from estimators.estep.compiled.layout import BLOCK, LIKELIHOOD, SLOPES, Tables
from estimators.estep.compiled.tables_at import tables_at
from estimators.mechanisms.compiled.jit import EXACT, address_of, call_at, compiled, native, signature_at
from estimators.mixture.native.laws import add_log_jacobian, add_log_prior, constrain, laws_of, pull_back
from estimators.mixture.native.sites import CONSTANT_AT

NUM_TABLES = len(Tables._fields)
# A sampler refuses a slope of exactly 0 while it adapts its step; this one changes no sum or product.
SMALLEST_SLOPE = 1e-100


@compiled(**EXACT)
def greeks_at(where: Any, V: Any, greeks: Any) -> None:
    """The Greeks [S, 3, size] at coordinates [S, D]."""
    tables = tables_at(where)
    laws = laws_of(tables)
    for s in range(len(V)):
        constrain(V[s], laws, greeks[s])


@compiled(inline="always", **EXACT)
def _add_priors(laws: Any, v: Any, greeks: Any, g: Any, values: Any, of_jacobian: Any) -> None:
    """The log prior and Jacobian among the values [3]; their slopes are added to g and to those of the Jacobian [D]."""
    values[1] = add_log_prior(laws, greeks, g)
    values[2] = add_log_jacobian(v, laws, greeks, of_jacobian)
    for s in range(len(laws.sites)):
        values[1] += laws.numbers[laws.sites[s, CONSTANT_AT]]
        values[2] += laws.numbers[laws.sites[s, CONSTANT_AT] + 1]


@compiled(inline="always", **EXACT)
def _finish(tables: Any, v: Any, greeks: Any, C: Any, S: Any, values: Any, gradients: Any) -> None:
    """The log prior and Jacobian among the values [3], and all gradients [3, D]."""
    laws = laws_of(tables)
    g = np.zeros((3, tables.known.shape[1]))
    gradients[:, :] = 0.0
    slopes(tables.sizes[0], tables.terms, tables.constants, greeks, C, S, g)
    for copy in tables.copies:
        for i in range(3):
            g[i, copy[1]] += g[i, copy[0]]
    pull_back(v, laws, greeks, g, gradients[0])
    g[:, :] = 0.0
    _add_priors(laws, v, greeks, g, values, gradients[2])
    pull_back(v, laws, greeks, g, gradients[1])


@compiled(**EXACT)
def finish(where: Any, V: Any, greeks: Any, sums: Any, values: Any, gradients: Any) -> None:
    """From the rows' sums [S, K, F], the log prior and Jacobian in values [S, 3] and all gradients [S, 3, D]."""
    tables = tables_at(where)
    C = np.empty((tables.sizes[0], tables.sizes[1]))
    for s in range(len(V)):
        coefficients(tables.sizes[0], tables.terms, tables.constants, greeks[s], C)
        _finish(tables, V[s], greeks[s], C, sums[s], values[s], gradients[s])


@compiled("(int64[:,::1], float64[:,::1], float64[:,::1], float64[:,:,::1])", **EXACT)
def evaluate(where: Any, V: Any, values: Any, gradients: Any) -> None:
    """The parts [S, 3] at coordinates [S, D], and their gradients [S, 3, D]."""
    tables = tables_at(where)
    laws = laws_of(tables)
    K = tables.sizes[0]
    C, S, of_chunk = np.empty((K, tables.sizes[1])), np.empty((K, tables.sizes[2])), np.empty((K, tables.sizes[2]))
    greeks, scratch = np.empty((3, tables.known.shape[1])), np.empty((K + tables.sizes[3], BLOCK))
    for s in range(len(V)):
        constrain(V[s], laws, greeks)
        coefficients(K, tables.terms, tables.constants, greeks, C)
        S[:, :] = 0.0
        values[s, 0] = 0.0
        # Chunks are added one after the other, as everywhere.
        for chunk in range(len(tables.chunks) - 1):
            of_chunk[:, :] = 0.0
            values[s, 0] += expectation_at(tables.sizes[6], where, C, (chunk, SLOPES), scratch, of_chunk)
            for k in range(K):
                for f in range(S.shape[1]):
                    S[k, f] += of_chunk[k, f]
        _finish(tables, V[s], greeks, C, S, values[s], gradients[s])


@compiled("(int64[:,::1], float64[:,::1], float64[:,::1], boolean)", **EXACT)
def values_at(where: Any, V: Any, values: Any, with_likelihood: bool) -> None:
    """The parts [S, 3] at coordinates [S, D]; the likelihood only if asked for, else as it stands in them."""
    tables = tables_at(where)
    laws = laws_of(tables)
    K, greeks = tables.sizes[0], np.empty((3, tables.known.shape[1]))
    C, scratch, nothing = np.empty((K, tables.sizes[1])), np.empty((K + tables.sizes[3], BLOCK)), np.empty((1, 1))
    g, slopes_of_jacobian = np.zeros((3, tables.known.shape[1])), np.zeros(V.shape[1])
    for s in range(len(V)):
        constrain(V[s], laws, greeks)
        if with_likelihood:
            coefficients(K, tables.terms, tables.constants, greeks, C)
            values[s, 0] = 0.0
            for chunk in range(len(tables.chunks) - 1):
                values[s, 0] += expectation_at(tables.sizes[6], where, C, (chunk, LIKELIHOOD), scratch, nothing)
        g[:, :] = 0.0
        _add_priors(laws, V[s], greeks, g, values[s], slopes_of_jacobian)


# Where its code is in this process.
EVALUATE = address_of(evaluate)


@intrinsic  # type: ignore[untyped-decorator]
def evaluate_at(context: Any, address: Any, where: Any, V: Any, values: Any, gradients: Any) -> Any:
    """`evaluate` at an address."""

    def build(ctx: Any, builder: Any, signature: Any, args: Any) -> Any:
        call_at(builder, ctx, evaluate, args[0], args[1:])
        return ctx.get_dummy_value()

    return signature_at(evaluate), build


@native("int64(uint64, CPointer(float64), CPointer(float64), CPointer(float64), voidptr)", **EXACT)
def log_posterior(dim: Any, v: Any, gradient: Any, value: Any, data: Any) -> Any:
    """The sum of the parts and its gradient as C calls it; 0, 1 where they are not finite, -1 where it is to stop.

    ``data`` holds the addresses of the tables, and before them that of `evaluate` and whether to stop. In the place of
    a slope of exactly 0, which samplers refuse, stands one that changes no sum or product.
    """
    head = carray(data, (NUM_TABLES + 1, 3), np.int64)
    if head[0, 1] != 0:
        return -1
    values, gradients = np.empty((1, 3)), np.empty((1, 3, dim))
    evaluate_at(head[0, 0], head[1:], carray(v, (1, dim)), values, gradients)
    value[0] = values[0, 0] + values[0, 1] + values[0, 2]
    is_finite = np.isfinite(value[0])
    for i in range(dim):
        slope = gradients[0, 0, i] + gradients[0, 1, i] + gradients[0, 2, i]
        is_finite = is_finite and np.isfinite(slope)
        gradient[i] = slope if slope != 0.0 else SMALLEST_SLOPE
    return 0 if is_finite else 1
