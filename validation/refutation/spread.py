"""How far the Greeks may be from a fit's, and so which experiments its predictions are held against.

Each answer that the fitted rows allow is taken by itself (`answers`). Of a fit with draws it has them. That of a point
fit gets draws about it, importance-corrected (`Fit.laplace`), where their weights can be trusted; otherwise, and where
few rows were fitted, the bootstrap: pairs of a fit to simulated rows and an experiment, each held against each other as
the observed ones are.
"""

import warnings
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import torch

from estimators import Data, EstimationError, EstimationWarning, Fit
from estimators.contract import LATENT
from validation.refutation.bootstrap import refits, rows_behind
from validation.refutation.experiment import Array, Experiments, simulated_at, with_simulated
from validation.refutation.label_names import named_as, permuted
from validation.refutation.predictions import OfEach, OfOne, Predictions, own_log_densities
from validation.refutation.predictive import MAX_DRAWS, best_labels, log_densities, split

POINT_KINDS = ("map", "ml")
DRAWN_KINDS = ("posterior", "exact")
# A point fit to fewer rows for each coordinate of its Greeks is refitted: log-densities are not yet quadratic.
FEW_ROWS = 10
# Refits of the first stage.
FIRST = 99
# The share of a test's level that is spent on modes that it passes over.
PASSED_OVER = 0.1
# The Pareto shape up to which importance weights are trusted.
TRUSTED = 0.7


class Labels(NamedTuple):
    """The experiment in the fit's labels, whether those of every simulated one are matched too, and words."""

    experiment: Data
    matched: bool
    words: str


@dataclass(frozen=True, eq=False)
class Comparison:
    """Experiments, what is predicted of each, and in which words.

    ``shown`` are the experiments that observed rows are compared with in words and pictures, of which ``fit`` has the
    predictive distribution; ``spread`` says where the Greeks of the simulated ones come from.
    """

    predictions: Predictions
    experiments: Experiments
    shown: Experiments
    fit: Fit
    spread: str


class Spread(Protocol):
    """Where the Greeks of simulated experiments come from."""

    def stages(self, num_simulations: int) -> tuple[int, ...]:
        """How many experiments are simulated, and how many more where these do not speak for the fit."""

    def compared(self, labels: Labels, num_simulations: int, seed: int) -> Comparison:
        """The experiment and simulated ones, beside what is predicted of them."""


def answers(fit: Fit, level: float) -> tuple[Fit, ...]:
    """The modes of a fit that a test at a level may not pass over, the fit's own first, each by itself.

    Other Greeks may fit the same rows as well (an effect of -1, or of 0.8). The truth is one of them, so that draws of
    all in proportion are not draws about the truth: the less its mode weighs by chance, the oftener they would refute
    a right model. Of two fixed answers, the likelihood of the true one is less than a share of the other's with no more
    than that probability (Markov's inequality); of two modes nearly so.
    """
    is_divided = fit.found is not None if fit.kind in POINT_KINDS else fit.kind in DRAWN_KINDS
    try:
        modes = fit.modes if is_divided else None
    except ValueError:  # of a program, where no search was made
        modes = None
    if modes is None:
        return (fit,)
    rivals = [number for number in range(1, len(modes)) if modes.weights[number] >= PASSED_OVER * level]
    return tuple(replace(modes[number], found=None) for number in (0, *rivals)) if rivals else (fit,)


def spread_of(fit: Fit, num_simulations: int, seed: int) -> Spread:
    """The spread that a fit has or is given."""
    if fit.kind not in POINT_KINDS:
        words = "the Greeks are known" if fit.num_draws == 1 else f"the {fit.num_draws} draws of the fit ({fit.kind})"
        return Draws(named_as(fit, fit), words)
    data = rows_behind(fit)
    count, size = data.num_units, fit.model.density(data).size
    if count < FEW_ROWS * size:
        return Bootstrap(fit, f"{count} {'rows' if data.unit is None else 'units'} are few for {size} numbers")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", EstimationWarning)
            draws = fit.laplace(num_draws=MAX_DRAWS + max(MAX_DRAWS, num_simulations), seed=seed)
    except EstimationError:
        return Bootstrap(fit, "there is no normal approximation about the fit")
    shape = draws.stats["pareto_k"]
    if shape > TRUSTED:
        return Bootstrap(fit, f"the density is not like its normal approximation (Pareto k̂ {shape:.2f})")
    return Draws(named_as(fit, draws), f"importance-corrected draws about the fit (Pareto k̂ {shape:.2f})")


@dataclass(frozen=True, eq=False)
class Draws(Spread):
    """Draws of the Greeks; ``words`` say where they come from."""

    fit: Fit
    words: str

    def stages(self, num_simulations: int) -> tuple[int, ...]:
        return (num_simulations,)

    def compared(self, labels: Labels, num_simulations: int, seed: int) -> Comparison:
        predictive, simulated_from = split(self.fit)
        experiments = with_simulated(simulated_from, labels.experiment, num_simulations, seed)
        if labels.matched:

            def score(labelled: Experiments) -> Array:
                return log_densities(predictive, labelled)

            experiments = experiments.relabelled(best_labels(self.fit.model.hidden[LATENT], score, experiments))
        return Comparison(OfOne(predictive, experiments), experiments, experiments, predictive, self.words)


@dataclass(frozen=True, eq=False)
class Bootstrap(Spread):
    """A point fit's own kind of error: experiments beside fits to rows that are simulated as they are."""

    fit: Fit
    reason: str

    def stages(self, num_simulations: int) -> tuple[int, ...]:
        """Few refits first: where these leave no doubt that rows are as predicted, more would say the same."""
        return (FIRST, num_simulations) if num_simulations > 2 * FIRST else (num_simulations,)

    def compared(self, labels: Labels, num_simulations: int, seed: int) -> Comparison:
        found = refits(self.fit, num_simulations, seed)
        own = np.arange(num_simulations)
        experiments = simulated_at(found.truths, labels.experiment, own, seed)
        together = _stacked(self.fit, found.fits)
        if labels.matched:

            def score(labelled: Experiments) -> Array:
                return own_log_densities(together, labelled)

            together = permuted(together, best_labels(self.fit.model.hidden[LATENT], score, experiments))
        shown = simulated_at(found.fits, labels.experiment, own, seed + 1)
        words = f"{num_simulations} fits to rows simulated from the fit (parametric bootstrap), as {self.reason}"
        return Comparison(OfEach(together, experiments, seed), experiments, shown, found.fits, words)


def _stacked(first: Fit, others: Fit) -> Fit:
    """The fit whose draws are the first's, then the others'."""
    draws = {name: torch.cat([first.draws[name], value]) for name, value in others.draws.items()}
    return replace(others, draws=draws)
