"""What the functions of regressions are made of: the linear predictor of rows, its slopes, and functions of a number.

A call of a function of a number would be left in its loop, and no vectors made of it: these are put where they are
called.
"""

from typing import Any

from estimators.mechanisms.compiled.arithmetic import dot, exp_of_negative, log_and_inverse, total
from estimators.mechanisms.compiled.jit import EXACT, compiled

# Of a rate: counts are numbers that a column may hold (1e100), and nothing infinite meets a share of 0.
LARGEST_EXPONENT = 230.0


@compiled(**EXACT)
def predict(line: Any, columns: Any, start: int, n: int, eta: Any) -> None:
    """``eta = b_0 + Σ_p b_p x_p`` of inputs that stand after the variable's own column."""
    constant = line[0]
    for i in range(n):
        eta[i] = constant
    for p in range(1, len(line)):
        slope, x = line[p], columns[p, start : start + n]
        for i in range(n):
            eta[i] += slope * x[i]


@compiled(**EXACT)
def add_slopes(pull: Any, columns: Any, start: int, num_inputs: int, out: Any) -> None:
    """From slopes in eta [n] those of b: their sum, and that of their products with each input."""
    n = len(pull)
    out[0] += total(pull)
    for p in range(1, 1 + num_inputs):
        out[p] += dot(pull, columns[p, start : start + n])


@compiled(forceinline=True, **EXACT)
def exp_of(eta: Any) -> Any:
    """``e^eta``, held where it and its inverse are numbers."""
    small = exp_of_negative(max(-abs(eta), -LARGEST_EXPONENT))
    return 1.0 / small if eta > 0.0 else small


@compiled(forceinline=True, **EXACT)
def chance(eta: Any) -> Any:
    """``1 / (1 + e^-eta)`` and its logarithm."""
    small = exp_of_negative(-abs(eta))
    logarithm, inverse = log_and_inverse(1.0 + small)
    # The digits of a small number that 1 + small does not hold.
    logarithm += (small - ((1.0 + small) - 1.0)) * inverse
    return (1.0 if eta > 0.0 else small) * inverse, (eta if eta < 0.0 else 0.0) - logarithm
