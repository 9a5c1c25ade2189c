"""Every answer within reach: how far each mode lies below the best, and where its Greeks are."""

from typing import TYPE_CHECKING

import numpy as np

from estimators.plots import style
from estimators.plots.fitted import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from estimators.plots.style import Given

PANEL = (3.0, 2.6)
# The area of a mode's mark, in points²: that of one without weight, and what all weight adds.
LEAST, MORE = 16.0, 160.0


def draw_modes(subject: Subject, axes: "Given") -> "list[Axes]":
    """A panel a Greek, in which each mode is at its entries' values, and as low as it lies below the best."""
    from matplotlib.ticker import MaxNLocator

    table = subject.fit.modes.table()
    entries = subject.entries()
    panels = style.axes_for("modes", axes, len(entries), panel=PANEL)
    below, sizes = table["below"].to_numpy(), LEAST + MORE * table["weight"].to_numpy()
    drawn: set[int] = set()
    for (greek, names), ax in zip(entries.items(), panels, strict=True):
        axis = subject.fit.symmetry.axes.get(greek, ())
        shape = subject.fit.draws[greek].shape[1:]
        classes = (
            np.indices(shape)[axis[0]].reshape(-1) if len(axis) and len(shape) else np.zeros(len(names), dtype=int)
        )
        drawn |= set(classes.tolist())
        for name, k in zip(names, classes.tolist(), strict=True):
            values = table[name].to_numpy()
            ax.plot(values, below, color=style.colour(k), linewidth=0.6, linestyle=":")
            ax.scatter(values, below, sizes, color=style.colour(k), marker=style.marker(k), linewidth=0, gid=name)
        ax.set_xlabel(style.plain(greek), fontsize=style.SMALL)
        most = float(below.max())
        ax.set_yticks(
            [tick for tick in MaxNLocator(4).tick_values(0.0, most) if 0.0 <= tick <= most] if most else [0.0]
        )
        room = 0.12 * (most or 1.0)
        ax.set_ylim(most + room, -room)
    panels[0].set_ylabel("nats below the best", fontsize=style.SMALL)
    _draw_key(panels, subject, sorted(drawn))
    weights = ", ".join(f"{weight:.0%}" for weight in table["weight"].head(4))
    more = ", …" if len(table) > 4 else ""
    style.title(panels[0], f"{len(table)} mode{'s' if len(table) > 1 else ''}: {weights}{more}")
    return panels


def _draw_key(panels: "list[Axes]", subject: Subject, classes: list[int]) -> None:
    """Which mark is of which class, where there are several."""
    from matplotlib.lines import Line2D

    if len(classes) < 2:
        return
    names = subject.fit.label_names or [f"class {k}" for k in range(max(classes) + 1)]
    handles = [Line2D([], [], color=style.colour(k), marker=style.marker(k), linestyle=":") for k in classes]
    style.legend(panels, [(handle, names[k]) for handle, k in zip(handles, classes, strict=True)])
