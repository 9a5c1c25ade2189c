"""The figure of a refutation: observed rows against the predicted density, for each variable under each setting."""

import textwrap
from itertools import product

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from estimators import Data, Fit
from estimators.plots import style
from validation.refutation.experiment import Arm, arms_of, measured_in
from validation.refutation.predictive import has_no_ties

PANEL = (3.0, 2.3)  # inches
PREDICTED = style.colour(1)
# Panels beyond these are left out, and the title says so.
MOST_VARIABLES, MOST_ARMS = 3, 4
POINTS = 301
MOST_TICKS = 10
LEVEL = 1e-4


def observed_against_predicted(fit: Fit, experiment: Data, title: str) -> Figure:
    """One panel for each variable (rows) and setting (columns) in which it was measured."""
    arms = [arm for arm in arms_of(experiment) if any(name not in arm.settings for name in measured_in(experiment))]
    names = [name for name in measured_in(experiment) if experiment.columns[name].ndim == 1]
    left_out = len(names) > MOST_VARIABLES or len(arms) > MOST_ARMS
    names, arms = names[:MOST_VARIABLES], arms[:MOST_ARMS]
    if left_out:
        title += f" (shown: {', '.join(names)} under the first {len(arms)} settings)"
    width, height = max(PANEL[0] * len(arms), 1.5 * PANEL[0]), PANEL[1] * max(len(names), 1) + 1.0
    lines = textwrap.wrap(title, int(width * style.LETTERS_PER_INCH))
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(max(len(names), 1), max(len(arms), 1), squeeze=False, sharex="row", sharey="row")
    panels = style.axes_for("figure", grid, grid.size)
    for (i, name), (j, arm) in product(enumerate(names), enumerate(arms)):
        if name in arm.settings:
            grid[i, j].set_axis_off()
        else:
            _panel(grid[i, j], fit, experiment, arm, name, first=j == 0)
    figure.suptitle(style.plain("\n".join(lines)), x=0.01, ha="left", fontsize=style.TEXT)
    rows = Patch(facecolor=style.NEUTRAL, alpha=style.FILL)
    predicted = Line2D([], [], color=PREDICTED, linewidth=style.LINE)
    style.legend(panels, [(rows, "observed rows"), (predicted, "predicted")])
    return figure


def _panel(axes: Axes, fit: Fit, experiment: Data, arm: Arm, name: str, *, first: bool) -> None:
    observed = experiment.columns[name][torch.from_numpy(arm.rows)].double().numpy()
    query = fit.do(**arm.settings)
    predicted = query.sample(1000, seed=0)[name].double().numpy()
    if has_no_ties(predicted):
        low, high = (float(query.quantile(name, level)) for level in (LEVEL, 1 - LEVEL))
        x = np.linspace(min(low, observed.min()), max(high, observed.max()), POINTS)
        axes.hist(observed, bins="auto", density=True, color=style.NEUTRAL, alpha=style.FILL, linewidth=0)
        axes.plot(observed, np.zeros_like(observed), "|", color=style.NEUTRAL, markersize=7, clip_on=False)
        axes.plot(x, np.exp(np.asarray(query.log_density(name, x))), color=PREDICTED, linewidth=style.LINE)
        label = "density"
    else:
        levels = np.unique(np.concatenate([observed, predicted]))
        counts = np.array([(observed == level).sum() for level in levels])
        axes.bar(levels, counts / len(observed), width=0.6, color=style.NEUTRAL, alpha=style.FILL, linewidth=0)
        masses = np.exp(np.asarray(query.log_density(name, levels)))
        axes.plot(levels, masses, "o", color=PREDICTED, markersize=5)
        label = "probability"
        if len(levels) <= MOST_TICKS:
            names = experiment.levels.get(name)
            words = [f"{level:g}" if names is None else names[int(level)] for level in levels]
            style.name_ticks(axes, levels, words)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(style.plain(name), fontsize=style.SMALL)
    if first:
        axes.set_ylabel(label, fontsize=style.SMALL)
    axes.set_title(style.plain(f"{arm.words}, {len(observed)} rows"), loc="left", fontsize=style.SMALL)
