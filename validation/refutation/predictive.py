"""A fit's predictive distribution at the rows of many experiments, and the labels under which they fit it best."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from estimators import Data, Fit
from estimators.contract import LATENT
from validation.refutation.experiment import Arm, Array, Experiments, with_draws

# Draws in the predictive distribution that experiments are held against.
MAX_DRAWS = 400
# Where several variables are measured their joint density is evaluated at every row; this bounds rows times draws.
MAX_TERMS = 8_000_000
LEAST_DRAWS = 25
# Knots between which a predictive CDF or density of one variable is interpolated.
KNOTS = 257
# A log density below this is as good as minus infinity, and can still be averaged.
LOWEST = -1e6


def thinned(fit: Fit, most: int) -> Fit:
    """The fit with at most so many of its draws, evenly spread."""
    return fit if fit.num_draws <= most else with_draws(fit, _spread_out(fit.num_draws, most))


def split(fit: Fit) -> tuple[Fit, Fit]:
    """The draws of the predictive distribution, and the others, to simulate from (the same where there are few).

    The truth is not among the draws of the predictive distribution, so a simulated truth should not be either.
    """
    if fit.num_draws < 2 * MAX_DRAWS:
        return thinned(fit, MAX_DRAWS), fit
    chosen = _spread_out(fit.num_draws, MAX_DRAWS)
    return with_draws(fit, chosen), with_draws(fit, np.setdiff1d(np.arange(fit.num_draws), chosen))


def _spread_out(size: int, most: int) -> Array:
    return np.linspace(0, size - 1, most).round().astype(np.int64)


def best_labels(num_labels: int, score: Callable[[Experiments], Array], experiments: Experiments) -> Array:
    """The permutation of labels [E, K] under which each experiment's rows have the highest log density.

    ``score`` gives the log densities [E, N] of experiments. Label k of experiment e is label ``order[e, k]`` of the
    fit that it is held against.
    """
    is_hidden = experiments.labels < 0
    relabelled = (
        replace(experiments, labels=np.where(is_hidden, experiments.labels, label)) for label in range(num_labels)
    )
    scores = np.stack([score(every_row) for every_row in relabelled], -1)
    has_label = experiments.labels[..., None] == np.arange(num_labels)
    totals = np.einsum("enk,enj->ekj", has_label, scores)
    return np.stack([linear_sum_assignment(total, maximize=True)[1] for total in totals])


def log_densities(fit: Fit, experiments: Experiments) -> Array:
    """log p(row | do(what is set in it)) under the fit [E, N], Z summed out where it is neither set nor seen.

    Of the rows of a unit, equal parts of what all of them have together.
    """
    is_of_one_number = experiments.design.unit is None and all(
        len(experiments.measured(arm)) == 1 and experiments.columns[experiments.measured(arm)[0]].ndim == 2
        for arm in experiments.arms
    )
    evaluate = _interpolated_densities if is_of_one_number else _densities_by_row
    return np.maximum(evaluate(fit, experiments), LOWEST)


def _interpolated_densities(fit: Fit, experiments: Experiments) -> Array:
    densities = np.empty(experiments.labels.shape)
    for arm in experiments.arms:
        name = experiments.measured(arm)[0]

        def density(knots: Array, label: int, arm: Arm = arm, name: str = name) -> Array:
            columns: dict[str, Any] = {key: np.full(len(knots), value) for key, value in arm.settings.items()}
            if label >= 0 or LATENT in experiments.design.columns:
                columns[LATENT] = np.full(len(knots), label)
            columns.update({name: knots, **experiments.design.scalars})
            rows = Data(columns, intervened=dict.fromkeys(arm.settings, True))
            return np.asarray(fit.log_density(rows))

        densities[:, arm.rows] = interpolated(experiments, arm, name, density)
    return densities


def _densities_by_row(fit: Fit, experiments: Experiments) -> Array:
    count, size = experiments.labels.shape
    fit = thinned(fit, max(LEAST_DRAWS, MAX_TERMS // (count * size)))
    densities, step = np.empty((count, size)), max(MAX_TERMS // (LEAST_DRAWS * size), 1)
    for start in range(0, count, step):
        chunk = experiments.chosen(slice(start, start + step))
        of_units = fit.log_density(chunk.stacked()).numpy().reshape(len(chunk.labels), -1)
        densities[start : start + step] = chunk.by_row(of_units)
    return densities


def interpolated(experiments: Experiments, arm: Arm, name: str, function: Callable[[Array, int], Array]) -> Array:
    """A function of one variable and of the label of Z, at the rows of an arm [E, m]."""
    values, labels = experiments.columns[name][:, arm.rows], experiments.labels[:, arm.rows]
    interpolation = np.empty(values.shape)
    for label in np.unique(labels):
        has_label = labels == label
        knots = _knots(values[has_label])
        interpolation[has_label] = np.interp(values[has_label], knots, function(knots, int(label)))
    return interpolation


def _knots(values: Array) -> Array:
    """Every value, or where these are many a grid that is dense where they are and reaches the outermost.

    Of whole numbers the grid is one of whole numbers too: a count has no density between them.
    """
    different = np.unique(values)
    if different.size <= 2 * KNOTS:
        return different
    shares = np.linspace(0.0, 1.0, KNOTS)
    ordered = np.sort(values)
    index = (shares * (len(ordered) - 1)).astype(np.intp)
    grid = np.concatenate([ordered[index], np.linspace(ordered[0], ordered[-1], KNOTS)])
    return np.unique(np.round(grid) if (different == np.round(different)).all() else grid)


def is_continuous(values: Array) -> bool:
    """Whether simulated values [E, m] are those of one continuous variable: it has no ties."""
    return values.ndim == 2 and has_no_ties(values[1:].reshape(-1)[:1000])


def has_no_ties(values: Array) -> bool:
    """Whether all of the values [m] are different."""
    return len(np.unique(values)) == len(values)
