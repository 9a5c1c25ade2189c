"""Variables whose values are vectors: two numbers against each other, or the distribution of each of more."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from estimators.optimise.arrays import Array
from estimators.plots import style
from estimators.plots.laws import RowLaw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GRID = 70
# Lines around these shares of a class; around more columns, the boxes and whiskers of its simulated values.
SHARES = (0.5, 0.9)
SIMULATED = 4_000
# Rows as dots; of more, evenly spaced ones.
MOST_DOTS = 2_000


def draw_columns(ax: "Axes", law: RowLaw, name: str, values: Array | None) -> None:
    """Two columns as dots with a line around 50 % and 90 % of each class; of any other number, one interval each."""
    if law.variables[name].num_columns == 2 and not (values is not None and values.ndim > 2):
        _draw_pair(ax, law, name, values)
    else:
        _draw_each(ax, law, name, values)


def _draw_pair(ax: "Axes", law: RowLaw, name: str, values: Array | None) -> None:
    around = _simulated(law, name, None)
    if values is not None and len(values):
        dots = values[:: max(1, len(values) // MOST_DOTS)]
        ax.plot(*dots.T, ".", color=style.NEUTRAL, alpha=style.FILL, markersize=4, markeredgewidth=0, gid="rows")
        around = np.concatenate([around, values])
    low, high = np.quantile(around, [0.001, 0.999], axis=0)
    room = 0.08 * (high - low)
    x, y = (np.linspace(low[i] - room[i], high[i] + room[i], GRID) for i in (0, 1))
    points = torch.from_numpy(np.stack(np.meshgrid(x, y), -1).reshape(-1, 2))
    for k in range(max(law.num_classes, 1)):
        of = law.query.predictive if law.num_classes < 2 else law.heaviest.within(k)
        density = np.exp(of.log_density(name, points).values.numpy())
        levels = _levels_around(density)
        colour = style.ink(ax) if law.num_classes < 2 else style.colour(k)
        if len(levels):
            lines = ax.contour(x, y, density.reshape(GRID, GRID), levels, colors=[colour], linewidths=[0.9, style.LINE])
            lines.set_gid(f"class {k}")
    ax.set_xlabel(style.plain(f"{name}[0]"), fontsize=style.SMALL)
    ax.set_ylabel(style.plain(f"{name}[1]"), fontsize=style.SMALL)


def _levels_around(density: Array) -> Array:
    """Heights above which the shares of the mass on a grid lie, from the lowest; of what it does not see, none."""
    ranked = np.sort(density)[::-1]
    if not ranked[0] > 0.0:
        return np.zeros(0)
    held = np.cumsum(ranked) / ranked.sum()
    return np.unique([ranked[np.searchsorted(held, share)] for share in SHARES])


def _draw_each(ax: "Axes", law: RowLaw, name: str, values: Array | None) -> None:
    """The middle and the middle 50 % and 90 % of each column: of the rows, and of each class."""
    groups: list[tuple[str, Array]] = []
    if values is not None and len(values):
        groups.append((style.NEUTRAL, values.reshape(len(values), -1)))
    if law.num_classes > 1:
        groups += [(style.colour(k), _simulated(law, name, k)) for k in range(law.num_classes)]
    else:
        groups.append((style.ink(ax), _simulated(law, name, None)))
    step = 0.8 / len(groups)
    for number, (colour, drawn) in enumerate(groups):
        at = np.arange(drawn.shape[1]) + (number - (len(groups) - 1) / 2) * step
        for width, share in zip((1.0, 4.0), SHARES[::-1], strict=True):
            low, high = np.quantile(drawn, [(1 - share) / 2, (1 + share) / 2], axis=0)
            ax.vlines(at, low, high, color=colour, linewidth=width)
        ax.plot(at, np.median(drawn, axis=0), "_", color=style.ink(ax), markersize=5)
    ax.set_xticks(range(groups[0][1].shape[1]))
    ax.set_xlabel(style.plain(f"columns of {name}"), fontsize=style.SMALL)
    ax.set_ylabel("middle 50 % and 90 %", fontsize=style.SMALL)


def _simulated(law: RowLaw, name: str, k: int | None) -> Array:
    """Values [M, D] drawn from the law, or from that of a class."""
    return (law if k is None else law.heaviest).sample(name, k, SIMULATED).reshape(SIMULATED, -1)
