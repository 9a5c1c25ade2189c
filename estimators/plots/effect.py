"""An effect as a picture: the mean of an outcome where a cause is set, against where it is seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from estimators.modes.profile import Interval
from estimators.parameters.parameter import Array
from estimators.plots import style
from estimators.plots.fitted import Fitted
from estimators.plots.intervals import in_words, intervals_of, number
from estimators.queries.estimate import Estimate
from estimators.queries.query import Query

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (5.2, 3.9)
# How far apart on the axis answers at one level stand, in shares of the distance between two levels.
BESIDE = 0.045
SET, SEEN = 0, 1
# Draws that are shown as lines, and how faint.
DRAWN, FAINT = 60, 0.12
# Rivals that are named; others are drawn as they are.
NAMED = 3


@dataclass(frozen=True, eq=False)
class Rival:
    """An answer of another mode: its weight, and its means [L] where the cause is set."""

    weight: float
    means: Array


@dataclass(frozen=True, eq=False)
class Asked:
    """What is drawn: the outcome's means at each level of the cause, set and seen, and the contrast of the ends."""

    fit: Fitted
    law: Query
    name: str
    of: str
    levels: Sequence[Any]

    @cached_property
    def set(self) -> list[Estimate]:
        """The mean under do(of = level), for each."""
        return [self.fit.do(**{self.of: level}).mean(self.name) for level in self.levels]

    @cached_property
    def seen(self) -> list[Estimate]:
        """The mean where of = level is seen, for each."""
        return [self.fit.given(**{self.of: level}).mean(self.name) for level in self.levels]

    @cached_property
    def effect(self) -> Estimate:
        """The last level against the first."""
        return self.fit.contrast(self.name, do={self.of: self.levels[-1]}, versus={self.of: self.levels[0]})

    @cached_property
    def rivals(self) -> list[Rival]:
        """The other modes of a point fit that count; of draws, each of the modes that they are from, if of several."""
        if self.fit.num_draws > 1:
            of_draw = self.fit.info.get("mode")
            modes = [] if of_draw is None else of_draw.unique().tolist()
            inside = [of_draw == mode for mode in modes if of_draw is not None and len(modes) > 1]
            means = [[float(one.draws[mask].mean()) for one in self.set] for mask in inside]
            return [Rival(float(mask.double().mean()), np.array(m)) for mask, m in zip(inside, means, strict=True)]
        answers = np.array([one.rivals.numpy() for one in self.set])
        if not answers.size or self.fit.found is None:
            return []
        found = self.fit.found
        weights = found.weights[found.rivals]
        return [Rival(float(weight), means) for weight, means in zip(weights, answers.T, strict=True)]

    @property
    def outcome(self) -> str:
        """What is on the upright axis: a mean, or the probability of the second of two levels, 0 and 1."""
        levels = self.law.predictive.levels(self.name)
        if levels is None or levels.tolist() != [0.0, 1.0]:
            return f"mean of {self.name}"
        return f"P({self.name} = {self.law.labels.by_variable.get(self.name, ('0', '1'))[1]})"

    @property
    def level_words(self) -> list[str]:
        """The levels by name, where they have any."""
        names = self.law.labels.by_variable.get(self.of)
        return [str(names[int(one)]) if names and not isinstance(one, str) else _word(one) for one in self.levels]

    @property
    def places(self) -> Array:
        """Where the levels stand: numbers at what they are, others side by side."""
        is_discrete = self.law.predictive.levels(self.of) is not None
        return np.array(range(len(self.levels)) if is_discrete else self.levels, dtype=np.float64)


def asked_effect(fit: Fitted, law: Query, name: str, of: str, levels: Sequence[Any]) -> Asked:
    """The question, where it can be asked; ValueError where not."""
    variables, known = law.predictive.variables, law.predictive.levels
    for variable in (name, of):
        if variable not in variables:
            raise ValueError(f"effect: expected a variable among {list(variables)}, got {variable!r}")
    if name == of:
        raise ValueError(f"effect: expected two variables, got {name!r} as outcome and as cause")
    if variables[name].num_columns is not None:
        raise ValueError(f"effect: {name} is a column of vectors, whose means fit.contrast compares")
    own = known(of)
    values = list(levels) if len(levels) else [] if own is None else [int(one) for one in own.tolist()]
    if len(values) < 2:
        has = "no levels" if own is None else f"{len(own)} levels"
        raise ValueError(
            f"levels: expected two or more values of {of}, which has {has}, such as (0, 1); got {levels!r}"
        )
    return Asked(fit, law, name, of, values)


def draw_effect(asked: Asked, level: float, given: "Axes | None") -> "Axes":
    """Means by level of the cause, set and seen, with intervals and rivals; the title says the effect in words."""
    ax = style.one_axes("effect", given, SIZE)
    at = asked.places
    step = BESIDE * float(np.diff(np.sort(at)).min())
    if asked.fit.num_draws > 1:
        drawn = np.array([one.draws.numpy() for one in asked.set])
        chosen = np.linspace(0, drawn.shape[1] - 1, min(drawn.shape[1], DRAWN)).round().astype(int)
        ax.plot(at - step, drawn[:, chosen], color=style.colour(SET), alpha=FAINT, linewidth=0.8, gid="draws")
    bars = []
    for series, means, where in ((SET, asked.set, at - step), (SEEN, asked.seen, at + step)):
        bars += [
            (place, interval, series)
            for place, mean in zip(where, means, strict=True)
            for interval in intervals_of(asked.fit, mean, level)
        ]
        values = [float(mean.value) for mean in means]
        ax.plot(where, values, linestyle=style.line(series), gid=("set", "seen")[series], **_look(series))
    for rank, rival in enumerate(asked.rivals):
        where = at - (2 + rank) * step
        ax.plot(where, rival.means, linestyle=":", gid=f"rival {rank}", **_look(SET, is_open=True))
    _draw_bars(ax, bars)
    ax.set_xticks(at, [style.plain(word) for word in asked.level_words])
    ax.margins(x=0.15)
    ax.set_xlabel(style.plain(asked.of), fontsize=style.SMALL)
    ax.set_ylabel(style.plain(asked.outcome), fontsize=style.SMALL)
    style.title(ax, _words(asked, level))
    _draw_key(ax, asked, is_own=given is None)
    return ax


def _look(series: int, *, is_open: bool = False) -> dict[str, Any]:
    look = {"color": style.colour(series), "marker": style.marker(series), "markersize": 7, "linewidth": style.LINE}
    return {**look, "markerfacecolor": "none", "linewidth": 0.7 * style.LINE} if is_open else look


def _draw_bars(ax: "Axes", bars: Sequence[tuple[float, Interval, int]]) -> None:
    """Intervals, with an arrow at an end that is infinite: there the rows do not say how far it goes."""
    if not bars:
        return
    low, high = ax.get_ylim()
    ends = np.array([tuple(interval) for _, interval, _ in bars])
    finite = np.concatenate([ends[np.isfinite(ends)], [low, high]])
    room = 0.05 * (finite.max() - finite.min())
    low, high = finite.min() - room, finite.max() + room
    for place, interval, series in bars:
        inside = np.clip(interval, low, high)
        ax.plot([place, place], inside, color=style.colour(series), linewidth=4.0, alpha=0.5, gid="interval",
                solid_capstyle="butt")  # fmt: skip
        for end, arrow in zip(interval, "v^", strict=True):
            if not np.isfinite(end):
                ax.plot([place], [np.clip(end, low, high)], arrow, color=style.colour(series), markersize=7, gid="open")
    ax.set_ylim(low, high)


def _words(asked: Asked, level: float) -> str:
    """The effect, what rivals make of it, and the difference that is only seen."""
    value, sure = float(asked.effect.value), in_words(intervals_of(asked.fit, asked.effect, level))
    words = asked.level_words
    which = "" if words == ["0", "1"] else f", {words[-1]} against {words[0]}"
    lines = [f"Effect of {asked.of} on {asked.name}{which}: {number(value)}{sure and f' ({level:.0%}: {sure})'}"]
    if asked.rivals:
        others = [f"{number(rival.means[-1] - rival.means[0])} ({rival.weight:.0%})" for rival in asked.rivals[:NAMED]]
        more = f" and {len(asked.rivals) - NAMED} more" if len(asked.rivals) > NAMED else ""
        start = "Answers of its modes" if asked.fit.num_draws > 1 else "The data also allow"
        lines.append(f"{start}: {', '.join(others)}{more}")
    seen = float(asked.seen[-1].value - asked.seen[0].value)
    return "\n".join([*lines, f"Seen, not set, the difference is {number(seen)}"])


def _draw_key(ax: "Axes", asked: Asked, *, is_own: bool) -> None:
    from matplotlib.lines import Line2D

    keys = [(Line2D([], [], linestyle=style.line(SET), **_look(SET)), f"set: do({asked.of})")]
    keys.append((Line2D([], [], linestyle=style.line(SEEN), **_look(SEEN)), f"seen: given {asked.of}"))
    if asked.rivals:
        keys.append((Line2D([], [], linestyle=":", **_look(SET, is_open=True)), "set: by another mode"))
    handles, words = [handle for handle, _ in keys], [word for _, word in keys]
    style.legend([ax], handles, words, is_own=is_own)


def _word(level: Any) -> str:
    return level if isinstance(level, str) else f"{float(level):g}"
