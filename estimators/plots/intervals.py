"""How sure an answer is: the interval of its draws, or the likelihood intervals of a point."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from estimators.modes.profile import Interval
from estimators.plots.fitted import Fitted
from estimators.queries.estimate import Estimate
from estimators.status import EstimationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

THICK, THIN = 3.0, 1.2


def intervals_of(fit: Fitted, estimate: Estimate, level: float) -> list[Interval[float]]:
    """What holds a quantity at a level: one interval of draws, one of each mode of a point fit; of a truth none."""
    if fit.num_draws > 1:
        # A mode may have a single draw.
        if len(estimate.draws) < 2:
            return []
        low, high = estimate.interval(level)
        return [Interval(float(low), float(high))]
    if not fit.kind.is_mode or fit.data is None:
        return []
    try:
        return estimate.profile(level)
    except EstimationError:
        # Of a collapsed class, whose likelihood has no maximum.
        return []


def in_words(intervals: Sequence[Interval[float]]) -> str:
    """Intervals from the lowest: ``-1.1 to -0.9 or 0.7 to 0.9``."""
    return " or ".join(f"{number(low)} to {number(high)}" for low, high in intervals)


def number(value: float) -> str:
    """Three digits, with a minus that is one."""
    return f"{value:.3g}".replace("-", "−")


class Bar(NamedTuple):
    """An interval where it stands, thick of a full mark and thin of an open one."""

    place: float
    interval: Interval[float]
    colour: str
    is_thin: bool = False


def draw_bars(ax: "Axes", bars: Sequence[Bar], *, is_across: bool = False) -> None:
    """Intervals at their places in their colours, upright or across the axes, whose limits then hold them.

    One that is infinite goes to the edge and ends in an arrow: how far it reaches the rows do not say.
    """
    if not bars:
        return
    limits, arrows = (ax.get_xlim(), "<>") if is_across else (ax.get_ylim(), "v^")
    ends = np.array([tuple(bar.interval) for bar in bars])
    finite = np.concatenate([ends[np.isfinite(ends)], limits])
    room = 0.05 * float(finite.max() - finite.min())
    low, high = float(finite.min()) - room, float(finite.max()) + room
    for place, interval, colour, is_thin in bars:
        inside = np.clip(interval, low, high)
        points = (inside, [place, place]) if is_across else ([place, place], inside)
        ax.plot(*points, color=colour, linewidth=THIN if is_thin else THICK, gid="interval", solid_capstyle="butt")
        for end, at, arrow in zip(interval, inside, arrows, strict=True):
            if not np.isfinite(end):
                ax.plot(*((at, place) if is_across else (place, at)), arrow, color=colour, markersize=7, gid="open")
    if is_across:
        ax.set_xlim(low, high)
    else:
        ax.set_ylim(low, high)
