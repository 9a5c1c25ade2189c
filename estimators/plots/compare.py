"""Several estimators side by side: their Greeks and an effect, each with how sure it is."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from estimators.checks import check_level
from estimators.isolation import own_modes
from estimators.plots import style
from estimators.plots.effect import Asked, asked_effect
from estimators.plots.intervals import draw_bars, intervals_of
from estimators.plots.plots import Plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from estimators.plots.style import Given

# Inches: of a panel, of one entry of the Greeks in it, and of what is around all of them.
WIDTH, ENTRY, AROUND = 3.2, 0.3, 0.9
# How much of the distance between two entries the estimators' marks take.
SPREAD = 0.6


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

    ``fits`` are named by a mapping, or else by their estimators. With ``effect=dict(name="Y", of="T")`` (and
    ``levels``) a last panel has the effect, as `fit.plot.effect` has it: the likelihood intervals of a point fit, and
    what other modes answer as open marks. Raises ValueError for no fits, an unknown Greek or variable, and where the
    number of axes is not that of panels.

    >>> truth = Fit.from_greeks(GaussianMixture(2), {"theta": [0.4, 0.6], "mu_X": [0.0, 9.0]})
    >>> [panel.get_title(loc="left") for panel in plot_compare({"truth": truth})]
    ['theta', 'mu_X']
    """
    check_level(level)
    named = _named(fits)
    tables = [fit.plot.of.fit.summary(level) for fit in named.values()]
    first = next(iter(named.values())).plot.of
    entries = _entries(first.entries(), greeks)
    asked = {name: _asked(fit.plot, effect, level) for name, fit in named.items()} if effect is not None else {}
    count = len(entries) + bool(asked)
    height = AROUND + ENTRY * (1 + max([len(names) for names in entries.values()], default=1)) * max(
        1.0, len(named) / 4
    )
    panels = style.axes_for("plot_compare", axes, count, panel=(WIDTH, height))
    for (greek, names), ax in zip(entries.items(), panels, strict=False):
        _draw_greek(ax, greek, names, list(named.values()), tables)
    if asked:
        _draw_effects(panels[-1], list(asked.values()))
    _draw_key(panels, list(named))
    return panels


def _named(fits: Mapping[str, Pictured] | Sequence[Pictured]) -> dict[str, Pictured]:
    """Fits by name; those of one estimator are numbered."""
    named: dict[str, Pictured] = {}
    if isinstance(fits, Mapping):
        named = dict(fits)
    else:
        for fit in fits:
            name = str(fit.plot.of.fit.stats.get("estimator", "known Greeks"))
            same = sum(other == name or other.startswith(f"{name} ") for other in named)
            named[f"{name} {same + 1}" if same else name] = fit
    if not named:
        raise ValueError("plot_compare: expected at least one fit, got none")
    return named


def _entries(known: Mapping[str, list[str]], greeks: str | Sequence[str] | None) -> dict[str, list[str]]:
    asked = list(known) if greeks is None else [greeks] if isinstance(greeks, str) else list(greeks)
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise ValueError(f"plot_compare: expected Greeks among {list(known)}, got {unknown[0]!r}")
    return {name: known[name] for name in asked}


def _asked(plots: Plots, effect: Mapping[str, Any], level: float) -> Asked:
    extra = set(effect) - {"name", "of", "levels"}
    if extra or not {"name", "of"} <= set(effect):
        raise ValueError(f"effect: expected name, of and perhaps levels, as dict(name='Y', of='T'), got {dict(effect)}")
    return asked_effect(plots.of.fit, plots.of.law(), effect["name"], effect["of"], effect.get("levels", ()), level)


def _offsets(count: int) -> Any:
    return SPREAD * ((np.arange(count) + 0.5) / count - 0.5)


def _draw_greek(ax: "Axes", greek: str, names: Sequence[str], fits: Sequence[Pictured], tables: Sequence[Any]) -> None:
    offsets = _offsets(len(tables))
    for number, (fit, table, offset) in enumerate(zip(fits, tables, offsets, strict=True)):
        # Names of levels are those of a fit's own rows, which not every fit has.
        own_names = fit.plot.of.entries().get(greek, [])
        if len(own_names) != len(names):
            raise ValueError(
                f"plot_compare: expected fits of one model, but {greek} has {len(names)} entries in the first and "
                f"{len(own_names)} in another"
            )
        colour = style.colour(number)
        own, at = table.loc[own_names], np.arange(len(names)) + offset
        if "lower" in own:
            ax.hlines(at, own["lower"], own["upper"], color=colour, linewidth=2.5, gid=f"interval {number}")
        ax.plot(own["mean"], at, style.marker(number), color=colour, markersize=6, gid=f"fit {number}")
    # What stands in the brackets; the title has the Greek.
    words = [name.removeprefix(greek).strip("[]") for name in names]
    ax.set_yticks(range(len(names)), [style.plain(word) for word in words])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_title(style.plain(greek), loc="left", fontsize=style.TEXT)


def _draw_effects(ax: "Axes", asked: Sequence[Asked]) -> None:
    bars = []
    for number, one in enumerate(asked):
        mark, colour = style.marker(number), style.colour(number)
        ax.plot([float(one.effect.value)], [number], mark, color=colour, markersize=6, gid=f"fit {number}")
        # Of draws the value is a mean over all modes; of a point fit it is the first one's.
        others = one.answers[one.fit.num_draws == 1 :] if len(one.answers) > 1 else []
        values = [float(other.values[-1] - other.values[0]) for other in others]
        at = [number] * len(values)
        ax.plot(values, at, mark, color=colour, markersize=6, markerfacecolor="none", gid=f"rivals {number}")
        bars += [(float(number), interval, colour) for interval in intervals_of(one.fit, one.effect, one.level)]
    draw_bars(ax, bars, is_across=True)
    ax.axvline(0.0, color=style.NEUTRAL, linewidth=0.8, linestyle=":")
    ax.set_yticks([])
    ax.set_ylim(len(asked) - 0.5, -0.5)
    ax.set_title(style.plain(f"effect of {asked[0].of} on {asked[0].name}"), loc="left", fontsize=style.TEXT)


def _draw_key(panels: "Sequence[Axes]", names: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    looks: list[dict[str, Any]]
    looks = [{"color": style.colour(number), "marker": style.marker(number)} for number in range(len(names))]
    style.legend(panels, [Line2D([], [], linewidth=2.5, **look) for look in looks], names)
