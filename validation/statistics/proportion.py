"""Is a proportion, or the coverage of intervals, what it should be? Exact binomial tails."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import stats

from validation.statistics.arguments import as_array, as_count
from validation.statistics.check import Check, Message, Requirement, check_number, check_probability
from validation.statistics.search import smallest
from validation.statistics.tolerances import binomial_bounds, binomial_detectable_high, binomial_detectable_low


@dataclass(frozen=True)
class Alternative:
    """On which sides of the expected proportion, (below, above), others are rejected and must be seen."""

    rejects: tuple[bool, bool]
    words: str


TWO_SIDED = Alternative((True, True), "away from")
LESS = Alternative((True, False), "below")
GREATER = Alternative((False, True), "above")
NAMED = {"two-sided": TWO_SIDED, "less": LESS, "greater": GREATER}


def alternative_of(name: str) -> Alternative:
    """Return the alternative of a name, which are SciPy's; raise a ValueError for another."""
    if name not in NAMED:
        raise ValueError(f'alternative: expected "two-sided", "less" or "greater", got {name!r}')
    return NAMED[name]


def proportion_check(
    successes: int,
    trials: int,
    expected: float,
    requirement: Requirement,
    alternative: Alternative = TWO_SIDED,
    *,
    kind: str = "proportion",
    of: str = "successes",
) -> Check:
    """Judge a number of successes in independent trials against a probability.

    ``p = 2·min{P(K ≤ k), P(K ≥ k)}``, K ~ Binomial(n, expected); where only fewer (or more) are rejected, the first (or
    second) of these alone. The effect is |probability - expected|; if it would leave [0, 1] on one side, only the other
    side is judged for power.

    Raises TypeError or ValueError for counts that are not whole or not within the trials.
    """
    k, n, p0 = as_count("successes", successes), as_count("trials", trials, least=1), _proportion(expected)
    if k > n:
        raise ValueError(f"successes: expected at most trials = {n}, got {k}")
    tails = float(stats.binom.cdf(k, n, p0)), float(stats.binom.sf(k - 1, n, p0))
    tail = min(tail for tail, is_rejected in zip(tails, alternative.rejects, strict=True) if is_rejected)
    low, high = _bounds(n, p0, requirement.alpha, alternative)
    error = math.sqrt(p0 * (1 - p0) / n)
    gap = k / n - p0
    statistic = gap / error if error else math.copysign(math.inf, gap) if gap else 0.0
    return Check(
        kind,
        requirement,
        n,
        k / n,
        proportion_detectable(n, p0, requirement, alternative),
        low=low / n if alternative.rejects[0] else -math.inf,
        high=high / n if alternative.rejects[1] else math.inf,
        expected=p0,
        statistic=statistic,
        p_value=min(1.0, sum(alternative.rejects) * tail),
        message=Message(
            f"a probability of {p0:g}: between {low:,} and {high:,} {of} in {n:,}",
            f"{k:,} of {n:,}, a share of {k / n:.4g}",
            f"{abs(statistic):.3g} standard errors of {error:.3g}",
            f"{n:,} trials",
        ),
        enough=partial(proportion_size, p0, requirement, alternative),
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


def proportion_detectable(
    n: int, expected: float, requirement: Requirement, alternative: Alternative = TWO_SIDED
) -> float:
    """Return the smallest |p - expected| seen with the power required, by beta quantiles; inf if none is.

    On the sides to which `min_effect` is possible. Raises a ValueError if it is possible on neither.
    """
    effect = requirement.min_effect
    is_possible = expected - effect >= 0, expected + effect <= 1
    sides = [is_rejected and can for is_rejected, can in zip(alternative.rejects, is_possible, strict=True)]
    if not any(sides):
        raise ValueError(f"min_effect: no probability is {effect:g} {alternative.words} {expected:g}")
    low, high = _bounds(n, expected, requirement.alpha, alternative)
    below = expected - binomial_detectable_low(n, low, power=requirement.power) if low > 0 else math.inf
    above = binomial_detectable_high(n, high, power=requirement.power) - expected
    return max(effect for effect, is_judged in zip((below, above), sides, strict=True) if is_judged)


def proportion_size(expected: float, requirement: Requirement, alternative: Alternative = TWO_SIDED) -> int | None:
    """Return a number of trials that see `min_effect`, or None if 10⁹ do not."""

    def is_enough(n: int) -> bool:
        return proportion_detectable(n, expected, requirement, alternative) <= requirement.min_effect

    return smallest(is_enough, least=1)


def _bounds(n: int, expected: float, alpha: float, alternative: Alternative) -> tuple[int, int]:
    """Return the least and the most successes that are accepted; 0 or n on a side where none are rejected."""
    rejects_below, rejects_above = alternative.rejects
    low, high = binomial_bounds(n, expected, alpha=min(1.0, 2 * alpha / sum(alternative.rejects)))
    return (low if rejects_below else 0), (high if rejects_above else n)


def _proportion(expected: float) -> float:
    value = check_number("expected", expected)
    if not 0 <= value <= 1:
        raise ValueError(f"expected: expected a probability from 0 to 1, got {expected!r}")
    return value
