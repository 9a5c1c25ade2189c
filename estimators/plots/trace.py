"""How an estimate came about: the objective of each step, or each chain and what it says of the Greeks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from estimators.modes.table import Modes
from estimators.optimise.arrays import Array
from estimators.plots import style
from estimators.plots.fitted import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from estimators.plots.style import Given

PANEL = (3.4, 1.5)
# Entries that are shown where none are named, and bins of a marginal.
MOST_ENTRIES, BINS = 6, 40
# A climb in nats from its end is shown on an axis that is logarithmic down to here, and from here to 0 even.
EVEN = 1e-6


def draw_trace(subject: Subject, names: str | Sequence[str] | None, axes: "Given") -> "list[Axes]":
    """The steps of a point fit, or two panels for each entry of the Greeks: its chains, and their marginals."""
    if subject.fit.num_draws > 1:
        return _draw_chains(subject, names, axes)
    info, found = subject.fit.info, subject.fit.found
    if "losses" in info:
        # The loss of a step is that of the point which it starts from.
        return [_draw_steps(info["losses"].numpy(), axes, "nats above the lowest loss", first=1)]
    if "log_likelihoods" in info:
        values = info["log_likelihoods"].numpy()
        # EM begins at the best mode of a search, where there is nothing left to climb.
        if len(values) == 1 and found is not None:
            return [_draw_hits(found, axes)]
        return [_draw_steps(-values[None], axes, "nats below the highest likelihood", first=0)]
    raise ValueError(
        "trace: this fit has neither steps nor draws, as one at known Greeks or one of several modes; a fit of EM() or "
        "MAP() has its steps, and one of NUTS(), SMC() or fit.laplace() its draws"
    )


def _draw_steps(losses: Array, axes: "Given", of: str, *, first: int) -> "Axes":
    """Losses [runs, steps] from the ``first`` step on, above the lowest of all; the run that ended lowest in colour."""
    (ax,) = style.axes_for("trace", axes, 1)
    best = int(losses[:, -1].argmin())
    heights = losses - losses.min()
    steps = first + np.arange(losses.shape[1])
    if len(losses) > 1:
        ax.plot(steps, np.delete(heights, best, axis=0).T, color=style.NEUTRAL, linewidth=0.8, gid="others")
    ax.plot(steps, heights[best], ".-", color=style.colour(0), linewidth=style.LINE, gid="best")
    ax.set_yscale("symlog", linthresh=EVEN, linscale=0.5)
    ax.set_ylim(bottom=0.0)
    ax.set_xlabel("step", fontsize=style.SMALL)
    ax.set_ylabel(of, fontsize=style.SMALL)
    style.title(ax, f"{len(losses)} starts, the best in colour" if len(losses) > 1 else f"{steps[-1]} steps")
    return ax


def _draw_hits(found: Modes, axes: "Given") -> "Axes":
    """Where the starts of a search ended, where the estimate itself began at its end."""
    from matplotlib.ticker import MaxNLocator

    (ax,) = style.axes_for("trace", axes, 1)
    below = found.values[0] - found.values
    ax.vlines(below, 0.0, found.hits, color=style.colour(0), linewidth=0.8)
    ax.plot(below, found.hits, "o", color=style.colour(0), gid="hits")
    ax.set_ylim(bottom=0.0)
    room = 0.05 * max(float(np.ptp(below)), 1.0)
    ax.set_xlim(float(below.min()) - room, max(float(below.max()), float(below.min()) + 1.0) + room)
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.set_xlabel("nats below the best mode", fontsize=style.SMALL)
    ax.set_ylabel("starts that ended there", fontsize=style.SMALL)
    settled = "settled" if found.is_settled else "not settled"
    style.title(ax, f"A search of {found.num_starts} starts, {settled}")
    return ax


def _draw_chains(subject: Subject, names: str | Sequence[str] | None, axes: "Given") -> "list[Axes]":
    fit = subject.fit
    by_name: dict[str, Array] = {}
    for greek, entries in subject.entries().items():
        drawn = fit.draws[greek].reshape(fit.num_draws, -1).double().numpy()
        by_name |= dict(zip(entries, drawn.T, strict=True))
    asked = list(by_name)[:MOST_ENTRIES] if names is None else [names] if isinstance(names, str) else list(names)
    unknown = [name for name in asked if name not in by_name]
    if unknown or not asked:
        raise ValueError(f"trace: expected entries among {list(by_name)}, got {unknown[0] if unknown else 'none'!r}")
    panels = style.axes_for("trace", axes, 2 * len(asked), columns=2, panel=PANEL)
    for number, name in enumerate(asked):
        chains = by_name[name].reshape(fit.num_chains, -1)
        left, right = panels[2 * number], panels[2 * number + 1]
        edges = np.histogram_bin_edges(chains, min(BINS, max(8, int(chains.size**0.5 / 2))))
        for chain, draws in enumerate(chains):
            left.plot(draws, color=style.colour(chain), linewidth=0.5, alpha=0.8, gid=f"chain {chain}")
            heights, _ = np.histogram(draws, edges, density=True)
            right.stairs(heights, edges, color=style.colour(chain), linewidth=1.2, gid=f"chain {chain}")
        left.set_title(style.plain(name), loc="left", fontsize=style.SMALL)
        right.set_ylabel("density", fontsize=style.SMALL)
    panels[-2].set_xlabel("draw", fontsize=style.SMALL)
    panels[-1].set_xlabel("value, by chain", fontsize=style.SMALL)
    return panels
