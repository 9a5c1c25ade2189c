"""The smallest number of samples that is enough, and where an increasing function reaches a value."""

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


def smallest_reaching(function: Callable[[float], float], value: float, *, beyond: float) -> float:
    """Return the smallest x of at least 0 at which an increasing function has reached a value; `beyond` is a first try.

    Of a test's power, the smallest effect that is seen, or the noncentrality that stands for it.
    """
    if function(0.0) >= value:
        return 0.0
    high = beyond
    while function(high) < value:
        high *= 2
    return float(brentq(lambda x: function(x) - value, 0.0, high, xtol=1e-12))


def in_words(count: int | None) -> str:
    """Return a number to be read at a glance: two digits, rounded up, or "none"."""
    if count is None:
        return "no number"
    digits = max(len(str(count)) - 2, 0)
    return f"{-(-count // 10**digits) * 10**digits:,}"
