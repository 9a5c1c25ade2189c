"""Generalised inverses of distribution functions: the smallest value whose probability reaches a level."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq

from estimators.status import EstimationError

Cdf = Callable[[float], float]
EPS = float(np.finfo(np.float64).eps)
TINY = float(np.finfo(np.float64).tiny)
# A distribution function that is further from the level at the root jumps there.
JUMP = 1e-9


def quantile_of(cdf: Cdf, level: float, near: tuple[float, float], what: str) -> float:
    """``inf {x : cdf(x) >= level}``, beginning with a bracket that need not hold it.

    Raises EstimationError where no finite number reaches the level, or every one does.
    """
    low, high = bracketed(cdf, level, near, what)
    if not np.nextafter(low, high) < high:
        return high
    step = 4.0 * EPS * max(abs(low), abs(high), TINY / EPS)
    root = float(brentq(lambda x: np.log(max(cdf(x), TINY)) - np.log(level), low, high, xtol=step, rtol=4.0 * EPS))
    if abs(cdf(root) - level) <= JUMP * level:
        return root
    # At a jump: the first of the numbers there, 0 before its neighbours, which are too many to halve through.
    low, high = bracketed(cdf, level, (root - 4.0 * step, root + 4.0 * step), what)
    middle = 0.0 if low < 0.0 < high else 0.5 * (low + high)
    while low < middle < high and high - low > EPS * step:
        low, high = (low, middle) if cdf(middle) >= level else (middle, high)
        middle = 0.5 * (low + high)
    return high


def whole_quantile_of(cdf: Cdf, level: float, near: tuple[float, float], what: str) -> float:
    """The same among whole numbers; a probability reaches a level that it is within rounding of."""
    reached = level * (1.0 - 1e-12)
    low, high = bracketed(cdf, reached, (float(np.floor(near[0])) - 1.0, float(np.ceil(near[1]))), what)
    low, high = float(np.floor(low)), float(np.ceil(high))
    while low < (middle := float(np.floor(0.5 * (low + high)))) < high:
        low, high = (low, middle) if cdf(middle) >= reached else (middle, high)
    return high


def bracketed(cdf: Cdf, level: float, near: tuple[float, float], what: str) -> tuple[float, float]:
    """Numbers of which the first does not reach the level and the second does."""
    low, high = near
    width = max(high - low, 8.0 * EPS * max(abs(low), abs(high)), TINY)
    step = width
    while cdf(high) < level:
        low, high, step = high, high + step, 2.0 * step
        if not np.isfinite(high):
            raise EstimationError(f"quantile: no finite value of {what} has probability {level} at or below it")
    step = width
    while cdf(low) >= level:
        low, high, step = low - step, low, 2.0 * step
        if not np.isfinite(low):
            raise EstimationError(f"quantile: every finite value of {what} has probability {level} at or below it")
    return low, high
