"""``Γ(r + y) / Γ(r)`` and the like with all digits, also where r is so large that both logs are.

Source: Stirling's series for both, eight steps on, where they hold to rounding (Abramowitz & Stegun 1964, 6.1.40).
"""

from typing import Any

from estimators.mechanisms.compiled.arithmetic import log_and_inverse
from estimators.mechanisms.compiled.jit import EXACT, compiled

STEPS = 8.0


@compiled(forceinline=True, **EXACT)
def log1p_and_inverse(u: Any) -> Any:
    """``log(1 + u)`` and ``1 / (1 + u)`` for u >= 0."""
    w = 1.0 + u
    logarithm, inverse = log_and_inverse(w)
    return logarithm + (u - (w - 1.0)) * inverse, inverse


@compiled(forceinline=True, **EXACT)
def log_rising(r: Any, y: Any) -> Any:
    """``log Γ(r + y) - log Γ(r)`` for y >= 0."""
    a = r + STEPS
    b = a + y
    log_a, inverse = log_and_inverse(a)
    apart = log1p_and_inverse(y * inverse)[0]
    steps = log_and_inverse(_eight(r + y)[0] / _eight(r)[0])[0]
    return y * log_a + ((b - 0.5) * apart - y) + (_stirling(b) - _stirling(a)) - steps


@compiled(forceinline=True, **EXACT)
def rising_slope(r: Any, y: Any) -> Any:
    """Its derivative in r, ``ψ(r + y) - ψ(r)``."""
    a = r + STEPS
    b = a + y
    below, slope_below = _eight(r)
    above, slope_above = _eight(r + y)
    apart = log1p_and_inverse(y / a)[0]
    return apart - (_stirling_slope(b) - _stirling_slope(a)) - (slope_above / above - slope_below / below)


@compiled(forceinline=True, **EXACT)
def _eight(x: Any) -> Any:
    """``x (x + 1) ... (x + 7)`` and its derivative."""
    # x (x + 7), (x + 1) (x + 6), (x + 2) (x + 5) and (x + 3) (x + 4) differ by whole numbers.
    a = x * (x + 7.0)
    b, c, e = a + 6.0, a + 10.0, a + 12.0
    one, other = a * b, c * e
    return one * other, ((a + b) * other + one * (c + e)) * (2.0 * x + 7.0)


@compiled(forceinline=True, **EXACT)
def _stirling(x: Any) -> Any:
    """``log Γ(x) - (x - 1/2) log x + x - log(2π) / 2``."""
    z = 1.0 / x
    w = z * z
    s = 1.0 / 1188.0 + w * (-691.0 / 360360.0 + w * (1.0 / 156.0))
    return z * (1.0 / 12.0 + w * (-1.0 / 360.0 + w * (1.0 / 1260.0 + w * (-1.0 / 1680.0 + w * s))))


@compiled(forceinline=True, **EXACT)
def _stirling_slope(x: Any) -> Any:
    """``log x - ψ(x)``."""
    z = 1.0 / x
    w = z * z
    s = 1.0 / 240.0 + w * (-1.0 / 132.0 + w * (691.0 / 32760.0 + w * (-1.0 / 12.0)))
    return 0.5 * z + w * (1.0 / 12.0 + w * (-1.0 / 120.0 + w * (1.0 / 252.0 - w * s)))
