"""What a fit predicts of each variable, beside the rows: the density and what each class adds to it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from estimators.data.data import Data
from estimators.optimise.arrays import Array
from estimators.plots import style
from estimators.plots.laws import LEVEL, Curves, RowLaw
from estimators.plots.vectors import draw_columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from estimators.plots.style import Given

POINTS, LEAST_BINS, MOST_BINS, MOST_TICKS = 241, 10, 60, 12
# The view is around all but so large a share of the rows at either end, so that one extreme row does not rule it.
TAIL, ROOM = 0.005, 0.2
# Without rows, it is what holds all but this share of the law.
OUTSIDE = 0.002
# Of counts, which have no list of values, no more than so many are shown.
MOST_COUNTS = 200


def draw_density(law: RowLaw, rows: Data | None, names: str | Sequence[str] | None, axes: "Given") -> "list[Axes]":
    """One panel a variable, two numbers of a vector against each other, or each of its columns."""
    shown = law.check_names("density", names)
    panels = style.axes_for("density", axes, len(shown))
    seen = None if rows is None else _as_they_came(law, rows)
    bands = False
    for name, ax in zip(shown, panels, strict=True):
        if law.variables[name].num_columns is not None:
            draw_columns(ax, law, name, None if seen is None else _column(seen, name)[0])
        else:
            bands |= _draw_variable(ax, law, name, seen)
    keys = _keys(law, style.ink(panels[0]), seen is not None, bands)
    which = f"Classes as in the heaviest of {len(law.modes)} modes ({law.modes[0][0]:.0%} of draws)"
    style.legend(panels, keys, law.caution, which if len(law.modes) > 1 and law.num_classes > 1 else "")
    return panels


def _as_they_came(law: RowLaw, rows: Data) -> Data | None:
    """The rows in which nothing was set, which have the law that is drawn; covariates are set in all, and have none."""
    was_set = torch.zeros(rows.num_rows, dtype=torch.bool)
    for name, mask in rows.intervened.items():
        if name in law.variables or name in law.hidden:
            was_set |= mask.reshape(rows.num_rows, -1).any(1)
    return None if bool(was_set.all()) else rows.rows(torch.nonzero(~was_set).reshape(-1))


def _column(rows: Data, name: str) -> tuple[Array, Array]:
    """The values [N, ...] that are there, and their weights."""
    values = rows.columns[name].double()
    weights = torch.ones(len(values), dtype=torch.float64) if rows.weights is None else rows.weights.double()
    is_there = ~torch.isnan(values.reshape(len(values), -1)).any(1)
    return values[is_there].numpy(), weights[is_there].numpy()


def _draw_variable(ax: "Axes", law: RowLaw, name: str, rows: Data | None) -> bool:
    """One variable of one number; whether there is a band."""
    values, weights = (np.zeros(0), np.zeros(0)) if rows is None or name not in rows.columns else _column(rows, name)
    predictive = law.query.predictive
    levels = predictive.levels(name)
    ax.set_xlabel(style.plain(name), fontsize=style.SMALL)
    if levels is None and not predictive.is_whole(name):
        curves = _draw_continuous(ax, law, name, values, weights)
        ax.set_ylabel("density", fontsize=style.SMALL)
    else:
        points = _counts(law, name, values) if levels is None else levels.numpy()
        curves = _draw_discrete(ax, law, name, points, (values, weights))
        ax.set_ylabel("probability", fontsize=style.SMALL)
    ax.set_ylim(bottom=0.0)
    return curves.band is not None


def _draw_continuous(ax: "Axes", law: RowLaw, name: str, values: Array, weights: Array) -> Curves:
    low, high = _view(law, name, values)
    points = np.linspace(low, high, POINTS)
    if len(values):
        # Also where rows lie close together, which a grid may step over.
        close = np.quantile(values, np.linspace(0.0, 1.0, 101))
        points = np.unique(np.concatenate([points, close[(close > low) & (close < high)]]))
        inside = values[(values >= low) & (values <= high)]
        bins = max(len(np.histogram_bin_edges(inside, "auto")) - 1, int(len(inside) ** 0.5), LEAST_BINS)
        # Bars end at the outermost rows, so that the view cuts none of them.
        ends = (inside.min(), inside.max()) if np.ptp(inside) > 0 else (low, high)
        counts, edges = np.histogram(values, min(bins, MOST_BINS), ends, weights=weights)
        heights = counts / weights.sum() / np.diff(edges)
        ax.stairs(heights, edges, fill=True, color=style.NEUTRAL, alpha=style.FILL, gid="rows", linewidth=0)
        if beyond := len(values) - len(inside):
            ax.set_xlabel(style.plain(f"{name} ({beyond} of {len(values)} rows beyond)"), fontsize=style.SMALL)
    curves = law.curves(name, torch.from_numpy(points))
    if curves.band is not None:
        ax.fill_between(points, *curves.band, color=style.ink(ax), alpha=style.BAND, linewidth=0, gid="band")
    ax.plot(points, curves.whole, color=style.ink(ax), linewidth=0.8 * style.LINE, gid="predicted")
    for k, part in enumerate(curves.parts if law.num_classes > 1 else []):
        ax.plot(points, part, color=style.colour(k), linestyle=style.line(k), linewidth=style.LINE, gid=f"class {k}")
    ax.set_xlim(low, high)
    return curves


def _view(law: RowLaw, name: str, values: Array) -> tuple[float, float]:
    """From where to where a number is shown."""
    if len(values):
        low, high = np.quantile(values, [TAIL, 1.0 - TAIL]).tolist()
        room = ROOM * (high - low)
        # Nobody looks for rows far beyond all that there are.
        low, high = max(low - room, values.min() - 0.5 * room), min(high + room, values.max() + 0.5 * room)
    if not len(values) or low >= high:
        low, high = (float(law.query.quantile(name, level)) for level in (OUTSIDE, 1.0 - OUTSIDE))
    if len(values):
        low, high = min(low, float(np.median(values))), max(high, float(np.median(values)))
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _counts(law: RowLaw, name: str, values: Array) -> Array:
    """The whole numbers from the lowest to the highest that hold most of the law or of the rows."""
    low, high = (float(law.query.quantile(name, level)) for level in (OUTSIDE, 1.0 - OUTSIDE))
    if len(values):
        low, high = min(low, float(values.min())), max(high, float(np.quantile(values, 1.0 - TAIL)))
    return np.arange(low, min(high, low + MOST_COUNTS) + 1.0)


def _draw_discrete(ax: "Axes", law: RowLaw, name: str, points: Array, rows: tuple[Array, Array]) -> Curves:
    """Bars of rows beside bars of what is predicted, stacked by class."""
    from matplotlib.ticker import MaxNLocator

    values, weights = rows
    curves = law.curves(name, torch.from_numpy(points))
    width = 0.4
    if len(values):
        observed = np.array([weights[values == point].sum() for point in points]) / weights.sum()
        ax.bar(points - width / 2, observed, width, color=style.NEUTRAL, alpha=style.FILL, linewidth=0, gid="rows")
    at, base = (points + width / 2 if len(values) else points), np.zeros(len(points))
    parts = curves.parts if law.num_classes > 1 else curves.whole[None]
    for k, part in enumerate(parts):
        fill = style.colour(k) if law.num_classes > 1 else style.ink(ax)
        ax.bar(at, part, width, bottom=base, color=fill, linewidth=0, gid=f"class {k}")
        base = base + part
    ax.plot(
        at, curves.whole, "_", color=style.ink(ax), markersize=10 if len(points) <= MOST_TICKS else 4, gid="predicted"
    )
    if curves.band is not None:
        ax.vlines(at, *curves.band, color=style.ink(ax), linewidth=1.2, gid="band")
    if len(points) <= MOST_TICKS:
        words = law.level_names(name) or [f"{point:g}" for point in points]
        style.name_ticks(ax, points, words)
    else:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return curves


def _keys(law: RowLaw, ink: Any, has_rows: bool, has_band: bool) -> list[tuple[Any, str]]:
    """Handles and words of the legend."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    keys: list[tuple[Any, str]] = []
    if has_rows:
        keys.append((Patch(facecolor=style.NEUTRAL, alpha=style.FILL), "rows"))
    keys.append((Line2D([], [], color=ink, linewidth=0.8 * style.LINE), "predicted"))
    if has_band:
        keys.append((Patch(facecolor=ink, alpha=style.BAND), f"{LEVEL:.0%} of draws"))
    names = law.class_names if law.num_classes > 1 else []
    return keys + [
        (Line2D([], [], color=style.colour(k), linestyle=style.line(k), linewidth=style.LINE), name)
        for k, name in enumerate(names)
    ]
