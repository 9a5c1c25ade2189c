"""The true distribution of one outcome under an intervention, and how far a prediction is from it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from validation.measures.interventional import (
    discrete_divergence,
    discrete_wasserstein,
    kl_divergence,
    knots,
    knots_between,
    quadrature,
    supports,
    wasserstein,
)
from validation.scenarios.outcomes import Outcome, Predicted
from validation.study.row import Curve, Prediction

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TrueOutcome:
    """A distribution under the intervention `name`, with rows of a fresh `experiment` from it.

    What is measured at the truth alone is computed once for all predictions; its knots, if they are known, not at all.
    """

    name: str
    law: Outcome
    experiment: Array
    known_knots: Array | None = None

    @cached_property
    def values(self) -> Array | None:
        """The values of a discrete outcome, None of a continuous one."""
        return self.law.points(self.experiment)

    @cached_property
    def bulk(self) -> tuple[float, float]:
        """The ends between which all but the rarest values are drawn."""
        return supports(self.law.cdf, self.law.mean(), [1e-3])[0]

    def prediction(self, predicted: Predicted, grid: Array | None) -> Prediction:
        """Return how far a prediction is from the truth, with both densities on a grid where one is given.

        Raises ValueError where the prediction is no distribution.
        """
        on_grid = np.zeros(0) if grid is None else grid
        if self.values is None:
            kl, distance, regret, curve = self._continuous(predicted, on_grid)
        else:
            kl, distance, regret, curve = self._discrete(predicted, self.values)
        if np.isnan([kl, distance, regret]).any():
            raise ValueError(f"the prediction of {self.name} is not a distribution: its distances are not numbers")
        return Prediction(self.name, kl, distance, regret, None if grid is None else curve)

    def _continuous(self, predicted: Predicted, grid: Array) -> tuple[float, float, float, Curve]:
        """Divergence, distance, regret, and the densities on a grid."""
        (x, weights), log_p = self._quadrature, self._log_density
        log_q = predicted.logpdf(np.concatenate([x, self.experiment, grid]))
        kl = kl_divergence(log_p[: len(x)], log_q[: len(x)], weights)
        regret = np.mean(log_p[len(x) :] - log_q[len(x) : len(log_p)])
        curve = Curve(*map(_rounded, (grid, np.exp(self.law.logpdf(grid)), np.exp(log_q[len(log_p) :]))))
        return kl, self._distance(predicted), float(regret), curve

    def _distance(self, predicted: Predicted) -> float:
        """Wasserstein-1, by the truth's own quadrature where its knots are enough for the prediction."""
        own, (x, weights) = self.knots, self._quadrature
        below = predicted.cdf(np.concatenate([own, x]))
        joint = knots_between(predicted.cdf, own, below[: len(own)])
        if joint is own:
            return wasserstein(self._below, below[len(own) :], weights)
        if joint is None:
            joint = np.concatenate([own, knots(predicted.cdf, predicted.mean())])
        x, weights = quadrature(joint)
        return wasserstein(self.law.cdf(x), predicted.cdf(x), weights)

    def _discrete(self, predicted: Predicted, values: Array) -> tuple[float, float, float, Curve]:
        """The same of whole numbers; the curve is of their probabilities."""
        others = predicted.points(self.experiment)
        # What the prediction holds possible beyond the truth's last value is far off, and counts.
        values = others if others is not None and len(others) >= len(values) else values
        x = np.concatenate([values, self.experiment])
        log_p, log_q = self.law.logpdf(x), predicted.logpdf(x)
        at_values, drawn = slice(len(values)), slice(len(values), None)
        kl = discrete_divergence(log_p[at_values], log_q[at_values])
        distance = discrete_wasserstein(self.law.cdf(values), predicted.cdf(values))
        curve = Curve(*map(_rounded, (values, np.exp(log_p[at_values]), np.exp(log_q[at_values]))))
        return kl, distance, float(np.mean(log_p[drawn] - log_q[drawn])), curve

    @cached_property
    def knots(self) -> Array:
        """Points from one end of a continuous outcome to the other, close where its probability is."""
        return knots(self.law.cdf, self.law.mean()) if self.known_knots is None else self.known_knots

    @cached_property
    def _quadrature(self) -> tuple[Array, Array]:
        return quadrature(self.knots)

    @cached_property
    def _below(self) -> Array:
        """The CDF at the points of the quadrature."""
        return self.law.cdf(self._quadrature[0])

    @cached_property
    def _log_density(self) -> Array:
        """At the points of the quadrature, then of the experiment's rows."""
        return self.law.logpdf(np.concatenate([self._quadrature[0], self.experiment]))


def _rounded(values: Array) -> tuple[float, ...]:
    return tuple(float(f"{value:.4g}") for value in values)
