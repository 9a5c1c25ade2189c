"""An effect as a picture: the mean of an outcome where a cause is set, against where it is seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from estimators.modes.profile import Interval, union
from estimators.optimise.arrays import Array
from estimators.plots import style
from estimators.plots.answers import NAMED, by_mode, intervals_by_mode
from estimators.plots.fitted import Fitted
from estimators.plots.intervals import Bar, draw_bars, in_words, intervals_of, number
from estimators.queries.estimate import Estimate
from estimators.queries.outcome import Outcome
from estimators.queries.query import Query

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# How far apart on the axis answers at one level stand, in shares of the distance between two levels.
BESIDE = 0.045
SET, SEEN = 0, 1
# How far from the fit's own answers a rival's is drawn, in multiples of how far these are apart.
IN_SIGHT = 3.0
# Draws that are shown as lines, and how faint.
DRAWN, FAINT = 60, 0.12


@dataclass(frozen=True, eq=False)
class Answer:
    """What one mode answers: its weight, the mean at each level of the cause that is set, whether Greeks are open."""

    weight: float
    means: list[Estimate]
    is_open: bool = False

    @property
    def values(self) -> Array:
        """The means as numbers [L]."""
        return np.array([float(one.value) for one in self.means])

    @property
    def words(self) -> str:
        """The last level against the first, and the weight."""
        is_open = ", Greeks open" if self.is_open else ""
        return f"{number(float(self.values[-1] - self.values[0]))} ({self.weight:.0%}{is_open})"


@dataclass(frozen=True, eq=False)
class Asked:
    """What is drawn: the outcome's means at each level of the cause, set and seen, and the contrast of the ends."""

    fit: Fitted
    law: Query
    outcome: Outcome
    of: str
    levels: Sequence[Any]
    level: float

    @cached_property
    def set(self) -> list[Estimate]:
        """The outcome under do(of = level), for each."""
        return [self.outcome.asked_of(self.fit.do(**{self.of: level})) for level in self.levels]

    @cached_property
    def seen(self) -> list[Estimate]:
        """The outcome where of = level is seen, for each."""
        return [self.outcome.asked_of(self.fit.given(**{self.of: level})) for level in self.levels]

    @cached_property
    def effect(self) -> Estimate:
        """The last level against the first."""
        do, versus = {self.of: self.levels[-1]}, {self.of: self.levels[0]}
        return self.fit.contrast(self.outcome.name, do=do, versus=versus, event=self.outcome.event)

    @cached_property
    def answers(self) -> list[Answer]:
        """What each mode answers."""
        at_rivals = self.effect.at_rivals
        are_open = chain((at_rivals.is_open, *at_rivals.are_open), repeat(False))
        by_level = zip(*(by_mode(self.fit, one) for one in self.set), strict=True)
        return [
            Answer(modes[0][0], [mean for _, mean in modes], is_open)
            for modes, is_open in zip(by_level, are_open, strict=False)
        ]

    @cached_property
    def intervals(self) -> list[list[list[Interval[float]]]]:
        """Of each level and answer, then those of modes that do not count."""
        return [intervals_by_mode(self.fit, one, self.level) for one in self.set]

    @property
    def axis(self) -> str:
        """What is on the upright axis: a probability, of the second of two levels too, or a mean, of ranks of names."""
        name, event = self.outcome.name, self.outcome.event
        levels, names = self.law.predictive.levels(name), self.law.labels.by_variable.get(name)
        if event is None and (levels is None or levels.tolist() != [0.0, 1.0]):
            return f"mean {'rank of' if name in self.law.labels.levels else 'of'} {name}"
        value = 1 if event is None else event
        return f"P({name} = {value if names is None or isinstance(value, str) else names[int(value)]})"

    @property
    def on(self) -> str:
        """What the effect is on, in words."""
        return self.outcome.name if self.outcome.event is None else self.axis

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


def asked_effect(fit: Fitted, law: Query, outcome: Outcome, of: str, levels: Sequence[Any], level: float) -> Asked:
    """The question, where it can be asked; ValueError where not."""
    outcome.check(law.predictive, of)
    own = law.predictive.levels(of)
    values = list(levels) if len(levels) else [] if own is None else [int(one) for one in own.tolist()]
    if len(values) < 2:
        has = "no levels" if own is None else f"{len(own)} levels"
        names = tuple(law.labels.by_variable.get(of, (0, 1)))
        raise ValueError(
            f"levels: expected two or more values of {of}, which has {has}, such as {names[:2]}; got {levels!r}"
        )
    return Asked(fit, law, outcome, of, values, level)


def draw_effect(asked: Asked, given: "Axes | None") -> "Axes":
    """Means by level of the cause, set and seen, with intervals and rivals; the title says the effect in words."""
    ax = style.one_axes("effect", given)
    at = asked.places
    step = BESIDE * float(np.diff(np.sort(at)).min())
    if asked.fit.num_draws > 1:
        drawn = np.array([one.draws.numpy() for one in asked.set])
        chosen = np.linspace(0, drawn.shape[1] - 1, min(drawn.shape[1], DRAWN)).round().astype(int)
        ax.plot(at - step, drawn[:, chosen], color=style.colour(SET), alpha=FAINT, linewidth=0.8, gid="draws")
    own, *others = asked.answers
    ax.plot(at - step, own.values, linestyle=style.line(SET), gid="set", **_look(SET))
    ax.plot(at + step, [float(one.value) for one in asked.seen], linestyle=style.line(SEEN), gid="seen", **_look(SEEN))
    of_fit = ax.get_ylim()
    for rank, other in enumerate(others):
        ax.plot(at - (2 + rank) * step, other.values, linestyle=":", gid=f"rival {rank}", **_look(SET, is_open=True))
    _keep_in_sight(ax, of_fit)
    bars = [
        Bar(place - (1 + rank) * step, one, style.colour(SET), is_thin=rank > 0)
        for place, by_answer in zip(at, asked.intervals, strict=True)
        for rank, intervals in enumerate(by_answer)
        for one in intervals
    ]
    bars += [
        Bar(place + step, one, style.colour(SEEN))
        for place, seen in zip(at, asked.seen, strict=True)
        for one in intervals_of(asked.fit, seen, asked.level)
    ]
    draw_bars(ax, bars)
    style.name_ticks(ax, at, asked.level_words)
    ax.margins(x=0.15)
    ax.set_xlabel(style.plain(asked.of), fontsize=style.SMALL)
    ax.set_ylabel(style.plain(asked.axis), fontsize=style.SMALL)
    style.title(ax, _words(asked))
    _draw_key(ax, asked)
    return ax


def _keep_in_sight(ax: "Axes", of_fit: tuple[float, float]) -> None:
    """Limits that hold what is not out of all proportion to the fit's own: no rows may say where a rival's mean is."""
    room = IN_SIGHT * (of_fit[1] - of_fit[0])
    low, high = ax.get_ylim()
    ax.set_ylim(max(low, of_fit[0] - room), min(high, of_fit[1] + room))


def _look(series: int, *, is_open: bool = False) -> dict[str, Any]:
    return {**style.mark(series, 7, is_open=is_open), "linewidth": (0.7 if is_open else 1.0) * style.LINE}


def _words(asked: Asked) -> str:
    """The effect, of each mode where draws are of several, its intervals, rivals, and the difference only seen."""
    words, others = asked.level_words, asked.answers[1:]
    which = "" if words == ["0", "1"] else f", {words[-1]} against {words[0]}"
    mean, is_mean_over_modes = number(float(asked.effect.value)), asked.fit.num_draws > 1 and bool(others)
    effect = _named(asked.answers, " or ") if is_mean_over_modes else mean
    is_open = ", one of many (Greeks open)" if asked.answers[0].is_open else ""
    lines = [f"Effect of {asked.of} on {asked.on}{which}: {effect}{is_open}"]
    by_answer = intervals_by_mode(asked.fit, asked.effect, asked.level)
    if sure := in_words(union([interval for intervals in by_answer for interval in intervals])):
        lines.append(f"{asked.level:.0%} interval: {sure}")
    if others:
        lines.append(f"The mean of these is {mean}" if is_mean_over_modes else f"The rows also allow {_named(others)}")
    seen = number(float(asked.seen[-1].value - asked.seen[0].value))
    return "\n".join([*lines, f"Seen, not set, the difference is {seen}"])


def _named(answers: Sequence[Answer], between: str = ", ") -> str:
    """The first answers with their weights, and how many more there are."""
    more = len(answers) - NAMED
    return between.join(one.words for one in answers[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _draw_key(ax: "Axes", asked: Asked) -> None:
    from matplotlib.lines import Line2D

    keys = [(Line2D([], [], linestyle=style.line(SET), **_look(SET)), f"set: do({asked.of})")]
    keys.append((Line2D([], [], linestyle=style.line(SEEN), **_look(SEEN)), f"seen: given {asked.of}"))
    if len(asked.answers) > 1:
        keys.append((Line2D([], [], linestyle=":", **_look(SET, is_open=True)), "set: another mode"))
    style.legend([ax], keys)


def _word(level: Any) -> str:
    return level if isinstance(level, str) else number(float(level))
