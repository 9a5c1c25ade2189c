"""How sure an answer is: the interval of its draws, or the likelihood intervals of a point."""

from collections.abc import Sequence

from estimators.modes.profile import Interval
from estimators.plots.fitted import Fitted
from estimators.queries.estimate import Estimate
from estimators.status import EstimationError


def intervals_of(fit: Fitted, estimate: Estimate, level: float) -> list[Interval]:
    """What holds a quantity at a level: one interval of draws, one of each mode of a point fit; of a truth none."""
    if fit.num_draws > 1:
        low, high = estimate.interval(level)
        return [Interval(float(low), float(high))]
    if not fit.kind.is_mode or fit.data is None:
        return []
    try:
        return estimate.profile(level)
    except EstimationError:
        # Of a collapsed class, whose likelihood has no maximum.
        return []


def in_words(intervals: Sequence[Interval]) -> str:
    """Intervals from the lowest: ``-1.1 to -0.9 or 0.7 to 0.9``."""
    return " or ".join(f"{number(low)} to {number(high)}" for low, high in intervals)


def number(value: float) -> str:
    """Three digits, with a minus that is one."""
    return f"{value:.3g}".replace("-", "−")
