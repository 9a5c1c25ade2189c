"""Several estimators side by side: their Greeks and an effect, each with how sure it is."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from estimators.checks import check_level, what_came
from estimators.isolation import own_modes
from estimators.plots import style
from estimators.plots.answers import by_mode, intervals_by_mode, weights_in_words
from estimators.plots.effect import Asked, asked_effect
from estimators.plots.fitted import Fitted, Subject
from estimators.plots.intervals import THICK, THIN, Bar, draw_bars
from estimators.plots.plots import Plots
from estimators.queries.outcome import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from estimators.plots.style import Given

# Inches: of a panel, of one entry of the Greeks in it, and of what is around all of them.
WIDTH, ENTRY, AROUND = 3.2, 0.3, 0.9
# How much of the distance between two entries the estimators' marks take, and how large one is.
SPREAD, MARK = 0.6, 6


class Pictured(Protocol):
    """A fit, which has plots."""

    @property
    def plot(self) -> Plots: ...


@own_modes()
def plot_compare(
    fits: Mapping[str, Pictured] | Sequence[Pictured],
    *,
    greeks: str | Sequence[str] | None = None,
    effect: Mapping[str, Any] | None = None,
    level: float = 0.9,
    axes: "Given" = None,
) -> "list[Axes]":
    """Greeks of several fits side by side, a panel a Greek, with intervals at ``level`` where there are draws.

    ``fits`` are named by a mapping, or else by their estimators. Where a fit has several modes that count, each has a
    mark, and of draws a bar: those of the heaviest, or of a point fit its own, are full, the others open and thin; the
    legend says their weights. With ``effect=dict(name="Y", of="T")`` (and ``levels``) a last panel has the effect, as
    `fit.plot.effect` has it, with the likelihood intervals of a point fit. Raises TypeError for what is no fit,
    ValueError for no fits, an unknown Greek or variable, and where the number of axes is not that of panels.

    >>> truth = Fit.from_greeks(GaussianMixture(2), {"theta": [0.4, 0.6], "mu_X": [0.0, 9.0]})
    >>> [panel.get_title(loc="left") for panel in plot_compare({"truth": truth})]
    ['theta', 'mu_X']
    """
    check_level(level)
    named = _named(fits)
    subjects = [fit.plot.of for fit in named.values()]
    entries = _entries(subjects[0].entries(), greeks)
    asked = {name: _asked(fit.plot, effect, level) for name, fit in named.items()} if effect is not None else {}
    count = len(entries) + bool(asked)
    height = AROUND + ENTRY * (1 + max([len(names) for names in entries.values()], default=1)) * max(
        1.0, len(named) / 4
    )
    panels = style.axes_for("plot_compare", axes, count, panel=(WIDTH, height))
    for (greek, names), ax in zip(entries.items(), panels, strict=False):
        _draw_greek(ax, greek, names, subjects, level)
    if asked:
        _draw_effects(panels[-1], list(asked.values()))
    _draw_key(panels, list(named), [_weights(subject) for subject in subjects])
    return panels


def _named(fits: Mapping[str, Pictured] | Sequence[Pictured]) -> dict[str, Pictured]:
    """Fits by name; those of one estimator are numbered."""
    if not isinstance(fits, Iterable) or isinstance(fits, str):
        raise TypeError(
            "plot_compare: expected a list of fits, as plot_compare([fit, other]), or a mapping of names to fits, "
            f"got {fits!r}"
        )
    named: dict[str, Pictured] = dict(fits) if isinstance(fits, Mapping) else {}
    for fit in named.values() if named else fits:
        if not isinstance(getattr(fit, "plot", None), Plots):
            raise TypeError(f"plot_compare: expected fits, as an estimator's fit(model, data) returns, got {fit!r}")
    if not isinstance(fits, Mapping):
        for fit in fits:
            name = _estimator(fit.plot.of.fit)
            same = sum(other == name or other.startswith(f"{name} ") for other in named)
            named[f"{name} {same + 1}" if same else name] = fit
    if not named:
        raise ValueError("plot_compare: expected at least one fit, got none")
    return named


def _estimator(fit: Fitted) -> str:
    """What made a fit."""
    return str(fit.stats.get("estimator", f"{fit.kind} draws" if fit.num_draws > 1 else "known Greeks"))


def _entries(known: Mapping[str, list[str]], greeks: str | Sequence[str] | None) -> dict[str, list[str]]:
    asked = list(known) if greeks is None else [greeks] if isinstance(greeks, str) else list(greeks)
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise ValueError(f"plot_compare: expected Greeks among {list(known)}, got {unknown[0]!r}")
    return {name: known[name] for name in asked}


def _asked(plots: Plots, effect: Mapping[str, Any], level: float) -> Asked:
    extra = set(effect) - {"name", "of", "levels", "event"}
    if extra or not {"name", "of"} <= set(effect):
        raise ValueError(
            "effect: expected name, of and perhaps levels and event, as dict(name='Y', of='T'), got "
            f"{what_came(dict(effect))}"
        )
    outcome = Outcome(effect["name"], effect.get("event"))
    return asked_effect(plots.of.fit, plots.of.law(), outcome, effect["of"], effect.get("levels", ()), level)


def _weights(subject: Subject) -> list[float]:
    """The weights of the modes of a fit, the first's first."""
    return [weight for weight, _ in by_mode(subject.fit, subject.greek(next(iter(subject.fit.draws))))]


def _draw_greek(ax: "Axes", greek: str, names: Sequence[str], subjects: Sequence[Subject], level: float) -> None:
    slot = SPREAD / len(subjects)
    for number, subject in enumerate(subjects):
        # Names of levels are those of a fit's own rows, which not every fit has.
        own_names = subject.entries().get(greek, [])
        if len(own_names) != len(names):
            raise ValueError(
                f"plot_compare: expected fits of one model, but {greek} has {len(names)} entries in the first and "
                f"{len(own_names)} in another"
            )
        answers = by_mode(subject.fit, subject.greek(greek))
        for rank, (_, answer) in enumerate(answers):
            at = np.arange(len(names)) - SPREAD / 2 + slot * (number + (rank + 0.5) / len(answers))
            if len(answer.draws) > 1:
                low, high = (end.reshape(-1).numpy() for end in answer.interval(level))
                width = THIN if rank else THICK
                ax.hlines(at, low, high, color=style.colour(number), linewidth=width, gid=f"interval {number} {rank}")
            look = style.mark(number, MARK, is_open=rank > 0)
            ax.plot(answer.value.reshape(-1), at, linestyle="", gid=f"fit {number} {rank}", **look)
    # What stands in the brackets; the title has the Greek.
    words = [name.removeprefix(greek).strip("[]") for name in names]
    ax.set_yticks(range(len(names)), [style.plain(word) for word in words])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_title(style.plain(greek), loc="left", fontsize=style.TEXT)


def _draw_effects(ax: "Axes", asked: Sequence[Asked]) -> None:
    bars = []
    for number, one in enumerate(asked):
        answers, intervals = by_mode(one.fit, one.effect), intervals_by_mode(one.fit, one.effect, one.level)
        lanes = max(len(answers), *(rank for rank, of_answer in enumerate(intervals, 1) if of_answer), 1)
        at = number - SPREAD / 2 + SPREAD * (np.arange(lanes) + 0.5) / lanes
        for rank, (_, answer) in enumerate(answers):
            look = style.mark(number, MARK, is_open=rank > 0)
            ax.plot(float(answer.value), at[rank], linestyle="", gid=f"fit {number} {rank}", **look)
        for rank, of_answer in enumerate(intervals):
            bars += [Bar(at[rank], interval, style.colour(number), is_thin=rank > 0) for interval in of_answer]
    draw_bars(ax, bars, is_across=True)
    ax.axvline(0.0, color=style.NEUTRAL, linewidth=0.8, linestyle=":")
    ax.set_yticks([])
    ax.set_ylim(len(asked) - 0.5, -0.5)
    ax.set_title(style.plain(f"effect of {asked[0].of} on {asked[0].on}"), loc="left", fontsize=style.TEXT)


def _draw_key(panels: "Sequence[Axes]", names: Sequence[str], weights: Sequence[Sequence[float]]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], linewidth=THICK, **style.mark(number, MARK)) for number in range(len(names))]
    words = [
        f"{name}: {shares}" if (shares := weights_in_words(own)) else name
        for name, own in zip(names, weights, strict=True)
    ]
    style.legend(panels, list(zip(handles, words, strict=True)))
