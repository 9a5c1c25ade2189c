"""What is predicted of each of E experiments, the observed one first: by the same draws, or each by its own fit."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch

from estimators import Data, Fit
from estimators.contract import LATENT
from validation.refutation.experiment import Arm, Array, Experiments, simulated_at
from validation.refutation.predictive import LOWEST, interpolated, log_densities
from validation.scenarios.outcomes import predicted_mean

# Rows that each fit of its own predicts, for every arm; and for all arms and experiments together.
MOST_ROWS_PREDICTED, LEAST_ROWS_PREDICTED, ROWS_IN_ALL = 250, 40, 2_000_000
# Experiments whose rows are evaluated under the fits of all of them at a time: few, as most of these are wasted.
AT_A_TIME = 8


class Predictions(Protocol):
    """How rows are predicted to be, for every experiment."""

    def transforms(self, arm: Arm, name: str) -> Array:
        """``F(x | do(...))`` of the rows of an arm [E, m] of one continuous variable."""

    def means(self, arm: Arm, name: str) -> Array:
        """The expected mean [D, E], or [1, 1] where it is the same for all, of D columns of a variable in an arm."""

    def log_densities(self) -> Array:
        """log p(row | do(...)) [E, N]."""

    def expected_log_density(self) -> Array:
        """What the mean log density of an experiment's rows was expected to be [E], or [1] where nobody knows."""


@dataclass(frozen=True, eq=False)
class OfOne(Predictions):
    """Predictions of one fit, over all its draws, for all experiments."""

    fit: Fit
    experiments: Experiments

    def transforms(self, arm: Arm, name: str) -> Array:
        def cdf(knots: Array, label: int) -> Array:
            settings: dict[str, Any] = {**arm.settings, **({LATENT: label} if label >= 0 else {})}
            return np.asarray(self.fit.do(**settings).cdf(name, knots))

        return interpolated(self.experiments, arm, name, cdf)

    def means(self, arm: Arm, name: str) -> Array:
        """Where experiments matched an arm's label differently; else one number, as it would cancel."""
        labels = self.experiments.labels[:, arm.rows[0]]
        if LATENT not in arm.settings or (labels == labels[0]).all():
            return np.zeros((1, 1))
        width = self.experiments.columns[name].reshape(*self.experiments.labels.shape, -1).shape[-1]
        expected = np.empty((width, len(labels)))
        for label in np.unique(labels):
            settings: dict[str, Any] = {**arm.settings, LATENT: int(label)}
            expected[:, labels == label] = np.asarray(predicted_mean(self.fit, settings, name).value).reshape(-1, 1)
        return expected

    def log_densities(self) -> Array:
        return log_densities(self.fit, self.experiments)

    def expected_log_density(self) -> Array:
        return np.zeros(1)


@dataclass(frozen=True, eq=False)
class OfEach(Predictions):
    """Predictions for experiment e of draw e of a fit alone, by rows that are simulated from it."""

    fit: Fit
    experiments: Experiments
    seed: int

    @cached_property
    def _simulated(self) -> Experiments:
        """Rows [E, M] that each draw predicts in the same arms, as many in every arm; of units, all as often."""
        arms, count, observed = self.experiments.arms, self.fit.num_draws, self.experiments.design
        size = int(np.clip(ROWS_IN_ALL // (count * len(arms)), LEAST_ROWS_PREDICTED, MOST_ROWS_PREDICTED))
        if observed.unit is None:
            index = np.concatenate([np.resize(arm.rows, size) for arm in arms])
            design = observed.rows(torch.from_numpy(index))
        else:
            times = -(-size // min(len(arm.rows) for arm in arms))
            times = max(min(times, ROWS_IN_ALL // (count * observed.num_rows)), 1)
            units = torch.arange(observed.num_units).repeat(times)
            index, design = observed.rows_at(units).numpy(), observed.units_at(units)
        simulated = simulated_at(self.fit, design, np.arange(count), self.seed).chosen(slice(1, None))
        # In the order of the observed experiment's arms, which those of the simulated rows need not be in.
        of_arm = [np.flatnonzero(np.isin(index, arm.rows)) for arm in arms]
        return replace(simulated, arms=tuple(replace(arm, rows=own) for arm, own in zip(arms, of_arm, strict=True)))

    def transforms(self, arm: Arm, name: str) -> Array:
        """Ranks among the rows predicted, with ties and the place between two of them drawn at random.

        Where Z is seen, among those of the same label.
        """
        number = self.experiments.arms.index(arm)
        rows = self._simulated.arms[number].rows
        predicted, their_labels = self._simulated.columns[name][:, rows], self._simulated.labels[:, rows]
        values, labels = self.experiments.columns[name][:, arm.rows], self.experiments.labels[:, arm.rows]
        rng = np.random.default_rng([self.seed, number])
        ranks, sizes = np.empty(values.shape), np.empty(values.shape)
        for row in range(values.shape[1]):
            alike = their_labels == labels[:, row, None]
            below = ((predicted < values[:, row, None]) & alike).sum(1)
            ties = ((predicted == values[:, row, None]) & alike).sum(1)
            ranks[:, row], sizes[:, row] = below + rng.random(len(values)) * (ties + 1), alike.sum(1)
        return ranks / (sizes + 1)

    def means(self, arm: Arm, name: str) -> Array:
        draws = np.asarray(predicted_mean(self.fit, arm.settings, name).draws)
        return draws.reshape(len(draws), -1).T

    def log_densities(self) -> Array:
        return own_log_densities(self.fit, self.experiments)

    def expected_log_density(self) -> Array:
        """The mean over the rows predicted, each arm as often as the experiment has rows in it."""
        shares = [len(arm.rows) for arm in self.experiments.arms]
        predicted = own_log_densities(self.fit, self._simulated)
        of_arm = np.stack([predicted[:, arm.rows].mean(1) for arm in self._simulated.arms], 1)
        return np.asarray(of_arm @ (np.array(shares) / sum(shares)))


def own_log_densities(fit: Fit, experiments: Experiments) -> Array:
    """log p(row | do(what is set in it)) of the rows of experiment e under draw e of the fit [E, N].

    Of the rows of a unit, equal parts of what all of them have together.
    """
    count, size = experiments.labels.shape
    densities = np.empty((count, size))
    for start in range(0, count, AT_A_TIME):
        part = slice(start, start + AT_A_TIME)
        rows: Data = experiments.chosen(part).stacked()
        values = fit.model.density(rows).pointwise({name: value[part] for name, value in fit.draws.items()})
        squares = values.numpy().reshape(len(values), len(values), -1)
        densities[part] = experiments.by_row(squares[np.arange(len(values)), np.arange(len(values))])
    return np.maximum(np.nan_to_num(densities, nan=LOWEST, neginf=LOWEST), LOWEST)
