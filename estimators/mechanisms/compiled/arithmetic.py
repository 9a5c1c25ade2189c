"""Exponentials, logarithms and sums over the rows of a block, written so that a compiler makes vectors of them.

Source of the polynomials: exp by its Taylor series within half a power of two; log by the series of fdlibm (Sun
Microsystems 1993) in (m - 1) / (m + 1).
"""

from typing import Any

from estimators.mechanisms.compiled.jit import EXACT, SUMS, bits_of, compiled, number_of

# Adding 1.5 · 2^52 rounds to a whole number and leaves it in the low bits, where vectors have no other way to.
ROUNDER = 6755399441055744.0
LOG_2_HIGH, LOG_2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10
SMALLEST_EXPONENT = -708.0
HALF_ROOT_BITS = 0x3FE6A09E667F3BCD
MANTISSA = 0xFFFFFFFFFFFFF
SMALLEST = 1e-300


@compiled(**EXACT)
def exp_of_negative(x: Any) -> Any:
    """e^x for x <= 0, to 2 units in the last place; 0 below -708. In this order of the comparison a NaN stays one."""
    held = SMALLEST_EXPONENT if x < SMALLEST_EXPONENT else x
    shifted = held * 1.4426950408889634 + ROUNDER
    k = shifted - ROUNDER
    r = (held - k * LOG_2_HIGH) - k * LOG_2_LOW
    p = 1.0 / 479001600.0 + r * (1.0 / 6227020800.0)
    p = 1.0 / 3628800.0 + r * (1.0 / 39916800.0 + r * p)
    p = 1.0 / 40320.0 + r * (1.0 / 362880.0 + r * p)
    p = 1.0 / 720.0 + r * (1.0 / 5040.0 + r * p)
    p = 0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * p)))
    p = (p * r) * r + r + 1.0
    scaled = number_of(bits_of(p) + (bits_of(shifted) << 52))
    return 0.0 if x < SMALLEST_EXPONENT else scaled


@compiled(**EXACT)
def log_and_inverse(x: Any) -> Any:
    """Log x and 1 / x of a normal x > 0, for one division: x = 2^k m with m near 1."""
    high = bits_of(x) - HALF_ROOT_BITS
    k = number_of((high >> 52) + 0x4338000000000000) - ROUNDER
    m = number_of(bits_of(x) - (high & ~MANTISSA))
    f = m - 1.0
    quotient = 1.0 / (x * (2.0 + f))
    s = f * x * quotient
    z = s * s
    w = z * z
    odd = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01))
    even = 2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)
    even = 6.666666666666735130e-01 + w * even
    half = 0.5 * f * f
    logarithm = k * LOG_2_HIGH - ((half - (s * (half + odd + z * even) + k * LOG_2_LOW)) - f)
    return logarithm, (2.0 + f) * quotient


@compiled(forceinline=True, **EXACT)
def log_poisson(x: Any, largest: Any, rate: Any, inverse: Any) -> Any:
    """Log Poisson(x; rate), `largest` that at a rate of x itself."""
    d = (x - rate) * inverse
    q = 1.0 + d
    q = SMALLEST if q < SMALLEST else q
    logarithm, one_by_q = log_and_inverse(q)
    # What is lost of d in 1 + d.
    logarithm += (d - (q - 1.0)) * one_by_q
    return largest - (x * logarithm - (x - rate))


@compiled(**SUMS)
def total(row: Any) -> Any:
    """The sum of a row."""
    value = 0.0
    for i in range(len(row)):
        value += row[i]
    return value


@compiled(**SUMS)
def dot(one: Any, other: Any) -> Any:
    """The sum of products."""
    value = 0.0
    for i in range(len(one)):
        value += one[i] * other[i]
    return value
