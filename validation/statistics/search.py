"""The smallest number of samples that is enough, and the smallest effect that is seen."""

from collections.abc import Callable

from scipy.optimize import brentq

MOST = 10**9


def smallest(is_enough: Callable[[int], bool], *, least: int = 2) -> int | None:
    """Return the smallest n ≥ least that is enough, by doubling and halving; None if 10⁹ are not.

    Where more is not always better (counts are discrete), an n that is enough though n - 1 is not.
    """
    high = least
    while not is_enough(high):
        if high >= MOST:
            return None
        high = min(2 * high, MOST)
    low = high // 2 if high > least else least - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def smallest_effect(power_at: Callable[[float], float], power: float, *, beyond: float) -> float:
    """Return the smallest effect of at least 0 that is seen with a power, which grows with it; `beyond` is a first try.

    A noncentrality, where that is what a test's power is a function of.
    """
    if power_at(0.0) >= power:
        return 0.0
    high = beyond
    while power_at(high) < power:
        high *= 2
    return float(brentq(lambda effect: power_at(effect) - power, 0.0, high, xtol=1e-10))


def in_words(count: int | None) -> str:
    """Return a number to be read at a glance: two digits, rounded up, or "none"."""
    if count is None:
        return "no number"
    digits = max(len(str(count)) - 2, 0)
    return f"{-(-count // 10**digits) * 10**digits:,}"
