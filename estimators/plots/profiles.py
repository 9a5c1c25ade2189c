"""Each variable by class, as a latent class analysis shows its classes: means, or the probability of each level."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from estimators.optimise.arrays import Array
from estimators.plots import style
from estimators.plots.laws import RowLaw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from estimators.plots.style import Given

PANEL = (2.7, 2.1)
# How much of the distance between two levels the classes' marks take, side by side.
SPREAD = 0.5
SHARE, MEAN = "share of rows", "mean"


def draw_profiles(law: RowLaw, names: str | Sequence[str] | None, level: float, axes: "Given") -> "list[Axes]":
    """A panel for how frequent classes are, and one a variable."""
    if not law.num_classes:
        raise ValueError(f"profiles: expected the hidden site that is meant, site=..., among {law.hidden}")
    shown = law.check_names("profiles", names)
    panels = style.axes_for("profiles", axes, 1 + len(shown), panel=PANEL)
    if law.caution and axes is None:
        panels[0].figure.suptitle(law.caution, color=style.ink(panels[0]), fontsize=style.SMALL)
    few = law.thinned()
    _draw_by_class(panels[0], law, few.shares.T, level, SHARE)
    for name, ax in zip(shown, panels[1:], strict=True):
        levels = law.query.predictive.levels(name)
        if law.variables[name].num_columns is not None:
            means = _means(law, name)
            columns = [f"{name}[{number}]" for number in range(means.shape[2])]
            _draw_by_level(ax, law, means, level, columns, MEAN)
        elif levels is None or len(levels) < 3:
            of = MEAN if levels is None or levels.tolist() != [0.0, 1.0] else f"P({law.level_names(name)[1]})"
            _draw_by_class(ax, law, _means(law, name), level, of)
        else:
            _draw_by_level(ax, law, _probabilities(few, name, levels), level, law.level_names(name), "probability")
        ax.set_title(style.plain(name), loc="left", fontsize=style.SMALL)
    panels[0].set_title(style.plain(f"P({law.site})"), loc="left", fontsize=style.SMALL)
    return panels


def _means(law: RowLaw, name: str) -> Array:
    """The mean in each class under each draw [K, S], of a vector [K, S, D]."""
    return np.array([law.within(k).mean(name).values.numpy() for k in range(law.num_classes)])


def _probabilities(law: RowLaw, name: str, levels: torch.Tensor) -> Array:
    """The probability of each level in each class under each draw [K, S, L]."""
    return np.array([law.densities_within(k, name, levels) for k in range(law.num_classes)])


def _middle(values: Array, level: float) -> tuple[Array, Array]:
    """The mean over draws of [K, S, ...], and the ends of the interval [2, K, ...]."""
    ends = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=1)
    return values.mean(1), ends


def _draw_by_class(ax: "Axes", law: RowLaw, values: Array, level: float, of: str) -> None:
    """A mark a class, of values [K, S]."""
    means, ends = _middle(values, level)
    for k, mean in enumerate(means):
        if values.shape[1] > 1:
            ax.vlines([k], *ends[:, k : k + 1], color=style.colour(k), linewidth=3.0, gid=f"interval {k}")
        ax.plot([k], [mean], style.marker(k), color=style.colour(k), markersize=6, gid=f"class {k}")
    words = law.level_names(law.site or "")
    style.name_ticks(ax, range(len(words)), words)
    ax.set_xlim(-0.6, len(words) - 0.4)
    ax.set_ylabel(style.plain(of), fontsize=style.SMALL)
    ax.set_xlabel(style.plain(law.site or ""), fontsize=style.SMALL)
    if of == SHARE:
        ax.set_ylim(0.0, min(1.03, 1.1 * float(ends.max())))
    elif of != MEAN:
        ax.set_ylim(-0.03, 1.03)


def _draw_by_level(ax: "Axes", law: RowLaw, values: Array, level: float, words: Sequence[str], of: str) -> None:
    """A line a class through values [K, S, L]."""
    means, ends = _middle(values, level)
    count = means.shape[1]
    for k, mean in enumerate(means):
        at = np.arange(count) + SPREAD * ((k + 0.5) / len(means) - 0.5)
        if values.shape[1] > 1:
            ax.vlines(at, *ends[:, k], color=style.colour(k), linewidth=2.0, gid=f"interval {k}")
        ax.plot(at, mean, style.marker(k), color=style.colour(k), markersize=4, gid=f"class {k}", linewidth=0.6,
                linestyle=style.line(k))  # fmt: skip
    style.name_ticks(ax, range(count), words)
    ax.set_ylabel(style.plain(of), fontsize=style.SMALL)
    if of == "probability":
        ax.set_ylim(-0.03, 1.03)
