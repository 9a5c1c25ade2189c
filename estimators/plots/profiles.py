"""Each variable by class, as a latent class analysis shows its classes: means, or the probability of each level."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from estimators.optimise.arrays import Array
from estimators.plots import style
from estimators.plots.answers import weights_in_words
from estimators.plots.intervals import THICK, THIN
from estimators.plots.laws import RowLaw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from estimators.plots.style import Given

PANEL = (2.7, 2.1)
# How much of the distance between two levels the classes' marks take, side by side.
SPREAD = 0.5
SHARE, MEAN = "share of rows", "mean"


# Draws by which probabilities are drawn.
MOST_DRAWS = 100
# How far the marks of modes stand apart.
BESIDE = 0.14

Values = Callable[[RowLaw], Array]


@dataclass(frozen=True, eq=False)
class Spread:
    """A law, and of a point fit that of draws about it, if there are any: from where to where a quantity is."""

    law: RowLaw
    about: RowLaw | None
    level: float

    def middles(self, values: Values) -> list[tuple[Array, Array | None]]:
        """A quantity [K, S, ...] in each mode, the heaviest first: the mean over its draws and the interval's ends."""
        own = values(self.law)
        if self.law.num_draws == 1:
            return [(own[:, 0], None if self.about is None else self._ends(values(self.about)))]
        by_mode = [own[:, which.numpy()] for _, which in self.law.modes]
        return [(draws.mean(1), self._ends(draws) if draws.shape[1] > 1 else None) for draws in by_mode]

    def _ends(self, draws: Array) -> Array:
        """The ends of the interval [2, K, ...]."""
        return np.quantile(draws, [(1 - self.level) / 2, (1 + self.level) / 2], axis=1)

    def thinned(self) -> "Spread":
        """The same by fewer draws."""
        about = None if self.about is None else self.about.thinned(MOST_DRAWS)
        return Spread(self.law.thinned(MOST_DRAWS), about, self.level)


def draw_profiles(spread: Spread, lacking: str, names: str | Sequence[str] | None, axes: "Given") -> "list[Axes]":
    """A panel for how frequent classes are, and one a variable; ``lacking`` says why there are no intervals."""
    law, few = spread.law, spread.thinned()
    if not law.num_classes:
        raise ValueError(f"profiles: expected the hidden site that is meant, site=..., among {law.hidden}")
    shown = law.check_names("profiles", names)
    panels = style.axes_for("profiles", axes, 1 + len(shown), panel=PANEL)
    _draw_by_class(panels[0], law, few.middles(lambda law: law.shares.T), SHARE)
    for name, ax in zip(shown, panels[1:], strict=True):
        levels = law.query.predictive.levels(name)
        if levels is not None and len(levels) > 2:
            middles = few.middles(partial(_probabilities, name=name, levels=levels))
            _draw_by_level(ax, middles, law.level_names(name), "probability")
        else:
            middles = spread.middles(partial(_means, name=name))
            if law.variables[name].num_columns is None:
                of = MEAN if levels is None or levels.tolist() != [0.0, 1.0] else f"P({law.level_names(name)[1]})"
                _draw_by_class(ax, law, middles, of)
            else:
                columns = [f"{name}[{number}]" for number in range(middles[0][0].shape[1])]
                _draw_by_level(ax, middles, columns, MEAN)
        ax.set_title(style.plain(name), loc="left", fontsize=style.SMALL)
    panels[0].set_title(style.plain(f"P({law.site})"), loc="left", fontsize=style.SMALL)
    _draw_key(panels, spread, lacking)
    return panels


def _means(law: RowLaw, name: str) -> Array:
    """The mean in each class under each draw [K, S], of a vector [K, S, D]."""
    return np.array([law.within(k).mean(name).values.numpy() for k in range(law.num_classes)])


def _probabilities(law: RowLaw, name: str, levels: torch.Tensor) -> Array:
    """The probability of each level in each class under each draw [K, S, L]."""
    return np.array([law.densities_within(k, name, levels) for k in range(law.num_classes)])


def _draw_by_class(ax: "Axes", law: RowLaw, middles: Sequence[tuple[Array, Array | None]], of: str) -> None:
    """A mark a class and mode, of middles [K]."""
    for rank, (means, ends) in enumerate(middles):
        for k, mean in enumerate(means):
            at = [k + BESIDE * rank]
            if ends is not None:
                width = THIN if rank else THICK
                ax.vlines(at, *ends[:, k : k + 1], color=style.colour(k), linewidth=width, gid=f"interval {k} {rank}")
            look = style.mark(k, 4.5, is_open=rank > 0)
            ax.plot(at, [mean], linestyle="", gid=f"class {k} {rank}", **look)
    words = law.level_names(law.site or "")
    style.name_ticks(ax, range(len(words)), words)
    ax.set_xlim(-0.6, len(words) - 0.4)
    ax.set_ylabel(style.plain(of), fontsize=style.SMALL)
    ax.set_xlabel(style.plain(law.site or ""), fontsize=style.SMALL)
    if of == SHARE:
        most = max(float(means.max() if ends is None else ends.max()) for means, ends in middles)
        ax.set_ylim(0.0, min(1.03, 1.1 * most))
    elif of != MEAN:
        ax.set_ylim(-0.03, 1.03)


def _draw_by_level(ax: "Axes", middles: Sequence[tuple[Array, Array | None]], words: Sequence[str], of: str) -> None:
    """A line a class and mode, through middles [K, L]."""
    for rank, (means, ends) in enumerate(middles):
        for k, mean in enumerate(means):
            lane = (k + (rank + 0.5) / len(middles)) / len(means)
            at = np.arange(len(words)) + SPREAD * (lane - 0.5)
            if ends is not None:
                width = THIN if rank else 2.0
                ax.vlines(at, *ends[:, k], color=style.colour(k), linewidth=width, gid=f"interval {k} {rank}")
            look = {"linewidth": 0.6, "linestyle": style.line(k), **style.mark(k, 4, is_open=rank > 0)}
            ax.plot(at, mean, gid=f"class {k} {rank}", **look)
    style.name_ticks(ax, range(len(words)), words)
    ax.set_ylabel(style.plain(of), fontsize=style.SMALL)
    if of == "probability":
        ax.set_ylim(-0.03, 1.03)


def _draw_key(panels: "Sequence[Axes]", spread: Spread, lacking: str) -> None:
    """What marks and bars are; of Greeks as they are given, nothing."""
    from matplotlib.lines import Line2D

    ink, law = style.ink(panels[0]), spread.law
    level = f"{spread.level:.0%}"
    keys = [(Line2D([], [], color=ink, linewidth=THICK), f"{level} of draws")] if law.num_draws > 1 else []
    if len(law.modes) > 1:
        marks = Line2D([], [], color=ink, marker="o", markerfacecolor="none", linewidth=THIN)
        keys.append((marks, f"modes: {weights_in_words([share for share, _ in law.modes])}"))
    if spread.about is not None:
        keys.append((Line2D([], [], color=ink, marker="o", linestyle=""), "at the maximum"))
        keys.append((Line2D([], [], color=ink, linewidth=THICK), f"{level} of Laplace draws"))
    if keys or lacking or law.caution:
        style.legend(panels, keys, law.caution, lacking)
