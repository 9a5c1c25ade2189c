"""Sets of answers: how far draws reach at a level that so few of them can promise, and how long a set is."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def range_of_draws(draws: Array, ess: float, level: float) -> tuple[float, float, float]:
    """Return the (low, high) between two draws, and the level at which it holds another draw of their law.

    Of n independent draws the k-th from either end enclose another with probability ``1 - 2k/(n + 1)``, whatever the
    law; k is the largest for which that is `level` or more, and 1 where n is too few. n is the effective sample size.
    """
    n = min(float(len(draws)), max(ess, 1.0))
    k = max(1, int((1 - level) * (n + 1) / 2 + 1e-9))
    # As far from the ends among all draws as k is among n.
    beyond = round((k - 1) * len(draws) / n)
    ordered = np.sort(draws)
    return float(ordered[beyond]), float(ordered[-1 - beyond]), max(0.0, 1 - 2 * k / (n + 1))


def holds(intervals: Sequence[tuple[float, float]], value: float) -> bool:
    """Return whether a union of intervals holds a number, ends included."""
    return any(low <= value <= high for low, high in intervals)


def length(intervals: Sequence[tuple[float, float]]) -> float:
    """Return how long intervals that do not overlap are together."""
    return sum(high - low for low, high in intervals)
