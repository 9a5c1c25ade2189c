"""Is a proportion, or the coverage of intervals, what it should be? Exact binomial tails."""

import math
from functools import partial
from typing import Any

import numpy as np
from scipy import stats

from validation.statistics.arguments import as_array, as_count
from validation.statistics.check import Check, Message, Requirement, check_number, check_probability
from validation.statistics.search import smallest
from validation.statistics.tolerances import binomial_bounds, binomial_detectable_high, binomial_detectable_low


def proportion_check(
    successes: int,
    trials: int,
    expected: float,
    requirement: Requirement,
    *,
    alternative: str = "two-sided",
    kind: str = "proportion",
    of: str = "successes",
) -> Check:
    """Judge a number of successes in independent trials against a probability.

    ``p = 2·min{P(K ≤ k), P(K ≥ k)}``, K ~ Binomial(n, expected); with the alternative "less" (or "greater") the first
    (or second) of these alone, so that more (or fewer) is no fault. The effect is |probability - expected|; if it would
    leave [0, 1] on one side, only the other side is judged for power.

    Raises TypeError or ValueError for counts that are not whole or not within the trials.
    """
    k, n, p0 = as_count("successes", successes), as_count("trials", trials, least=1), _proportion(expected)
    if k > n:
        raise ValueError(f"successes: expected at most trials = {n}, got {k}")
    tails = float(stats.binom.cdf(k, n, p0)), float(stats.binom.sf(k - 1, n, p0))
    low, high = _bounds(n, p0, requirement.alpha, alternative)
    p_value = {"two-sided": 2 * min(tails), "less": tails[0], "greater": tails[1]}[alternative]
    error = math.sqrt(p0 * (1 - p0) / n)
    gap = k / n - p0
    statistic = gap / error if error else math.copysign(math.inf, gap) if gap else 0.0
    detectable = proportion_detectable(n, p0, requirement, alternative)
    return Check(
        kind,
        requirement,
        n,
        k / n,
        p0,
        statistic,
        min(1.0, p_value),
        max(p0 - low / n if low else 0.0, high / n - p0 if high < n else 0.0),
        detectable,
        Message(
            f"a probability of {p0:g}: between {low:,} and {high:,} {of} in {n:,}",
            f"{k:,} of {n:,}, a share of {k / n:.4g}",
            f"{abs(statistic):.3g} standard errors of {error:.3g}",
            f"{n:,} trials",
        ),
        partial(proportion_size, p0, requirement, alternative),
    )


def coverage_check(intervals: Any, truths: Any, level: float, requirement: Requirement) -> Check:
    """Judge how many intervals [n, 2] hold their truth [n] (or one truth), ends included, against `level`.

    Raises TypeError or ValueError for NaN, for lower ends above upper ones, and for a level outside (0, 1).
    """
    ends = as_array("intervals", intervals, ndim=2, finite=False)
    if ends.shape[1] != 2:
        raise ValueError(f"intervals: expected one lower and one upper end in each row, got shape {ends.shape}")
    if (ends[:, 0] > ends[:, 1]).any():
        raise ValueError("intervals: expected no lower end above its upper one")
    truth = as_array("truths", [check_number("truths", truths)] * len(ends) if np.ndim(truths) == 0 else truths)
    if len(truth) != len(ends):
        raise ValueError(f"truths: expected {len(ends)}, one for each interval, got {len(truth)}")
    covered = int(((ends[:, 0] <= truth) & (truth <= ends[:, 1])).sum())
    nominal = check_probability("level", level)
    return proportion_check(covered, len(ends), nominal, requirement, kind="coverage", of="intervals with their truth")


def proportion_detectable(n: int, expected: float, requirement: Requirement, alternative: str = "two-sided") -> float:
    """Return the smallest |p - expected| seen with the power required, by beta quantiles; inf if none is.

    On the sides to which `min_effect` is possible. Raises a ValueError if it is possible on neither.
    """
    sides = _sides(expected, requirement.min_effect, alternative)
    low, high = _bounds(n, expected, requirement.alpha, alternative)
    below = expected - binomial_detectable_low(n, low, power=requirement.power) if low > 0 else math.inf
    above = binomial_detectable_high(n, high, power=requirement.power) - expected
    return max(effect for effect, judged in zip((below, above), sides, strict=True) if judged)


def proportion_size(expected: float, requirement: Requirement, alternative: str = "two-sided") -> int | None:
    """Return a number of trials that see `min_effect`, or None if 10⁹ do not."""
    return smallest(
        lambda n: proportion_detectable(n, expected, requirement, alternative) <= requirement.min_effect, least=1
    )


def _sides(expected: float, min_effect: float, alternative: str) -> tuple[bool, bool]:
    sides = (
        alternative != "greater" and expected - min_effect >= 0,
        alternative != "less" and expected + min_effect <= 1,
    )
    if not any(sides):
        where = {"less": "below", "greater": "above"}.get(alternative, "away from")
        raise ValueError(f"min_effect: no probability is {min_effect:g} {where} {expected:g}")
    return sides


def _bounds(n: int, expected: float, alpha: float, alternative: str) -> tuple[int, int]:
    if alternative not in ("two-sided", "less", "greater"):
        raise ValueError(f'alternative: expected "two-sided", "less" or "greater", got {alternative!r}')
    low, high = binomial_bounds(n, expected, alpha=alpha if alternative == "two-sided" else min(1.0, 2 * alpha))
    return (0 if alternative == "greater" else low), (n if alternative == "less" else high)


def _proportion(expected: float) -> float:
    value = check_number("expected", expected)
    if not 0 <= value <= 1:
        raise ValueError(f"expected: expected a probability from 0 to 1, got {expected!r}")
    return value
