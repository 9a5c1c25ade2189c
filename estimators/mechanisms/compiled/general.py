"""General terms: functions of a block of rows that a family has compiled, called by their addresses.

The loops over rows are compiled once for all models, and each family by itself. Its functions take the numbers C
[width] of one class and cell, the columns from its own on (the variable, then the inputs of a regression), the first
row, and scratch rows.
"""

from functools import partial
from typing import Any

from numba import types
from numba.extending import intrinsic

from estimators.mechanisms.compiled.code import GeneralCode
from estimators.mechanisms.compiled.jit import EXACT, address_of, call_at, compiled

# Compiles ``f(C, columns, start, row, work)``: ``row[i] += log f(row start + i; C)``.
log_joint_code = compiled("void(float64[::1], float64[:,::1], int64, float64[::1], float64[:,::1])", **EXACT)
# Compiles ``f(C, columns, start, shares, out, work)``: ``out += Σ_i shares[i] d log f(row start + i; C) / dC``.
pullback_code = compiled(
    "void(float64[::1], float64[:,::1], int64, float64[::1], float64[::1], float64[:,::1])", **EXACT
)


def code_of(log_joint: Any, pullback: Any, num_work: int, *, num_lines: int = 0, first_input: int = 1) -> GeneralCode:
    """The addresses of compiled functions, and what else `GeneralCode` says of them."""
    return GeneralCode(address_of(log_joint), address_of(pullback), num_work, num_lines, first_input)


@log_joint_code
def _no_log_joint(C: Any, columns: Any, start: int, row: Any, work: Any) -> None:
    """What the signature of a call is read from."""


@pullback_code
def _no_pullback(C: Any, columns: Any, start: int, shares: Any, out: Any, work: Any) -> None:
    """What the signature of a call is read from."""


@intrinsic  # type: ignore[untyped-decorator]
def log_joint_at(context: Any, at: Any, C: Any, columns: Any, row: Any, work: Any) -> Any:
    """Call the log joint at an address, from a first row: `at` are both."""
    return _with_start(_no_log_joint), partial(_called, _no_log_joint)


@intrinsic  # type: ignore[untyped-decorator]
def pullback_at(context: Any, at: Any, C: Any, columns: Any, shares: Any, out: Any, work: Any) -> Any:
    """Call the pullback at an address, from a first row: `at` are both."""
    return _with_start(_no_pullback), partial(_called, _no_pullback)


def _with_start(function: Any) -> Any:
    """The signature of a call whose first argument is the address and the first row."""
    ((C, columns, start, *others),) = function.overloads
    return types.void(types.UniTuple(start, 2), C, columns, *others)


def _called(function: Any, ctx: Any, builder: Any, signature: Any, args: Any) -> Any:
    (at, C, columns, *others) = args
    address, start = (builder.extract_value(at, place) for place in (0, 1))
    return call_at(builder, ctx, function, address, [C, columns, start, *others])
