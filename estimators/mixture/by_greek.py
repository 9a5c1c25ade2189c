"""The parts of a mixture's log density Greek by Greek: any map, any prior, rows with gaps, terms that are Python."""

from typing import Any, Protocol

import numpy as np

from estimators.estep.marginal import MixtureMarginal, Statistics
from estimators.mixture.coordinates import Coordinates
from estimators.optimise.arrays import Array
from estimators.optimise.objective import NativeFunction, Parts


class Evaluation(Protocol):
    """How the parts of a density are computed."""

    def values(self, coordinates: Array) -> Parts:
        """The parts [...] at points [..., D]."""

    def evaluate(self, coordinates: Array) -> tuple[Parts, Parts]:
        """The parts [...], and their gradients [..., D]."""

    def e_step(self, coordinates: Array) -> tuple[float, Array, Statistics]:
        """The log-likelihood, its gradient [D], and the expected sufficient statistics at one point [D]."""

    @property
    def native_log_posterior(self) -> NativeFunction | None:
        """What a sampler may call without the interpreter, where there is such code."""


class ByGreek:
    """An evaluation in NumPy. A point far out may overflow: it is judged by its density, which is then not finite."""

    def __init__(self, marginal: MixtureMarginal, coordinates: Coordinates) -> None:
        self._marginal, self._coordinates = marginal, coordinates

    native_log_posterior = None

    @np.errstate(all="ignore")
    def e_step(self, coordinates: Array) -> tuple[float, Array, Statistics]:
        greeks = self._coordinates.represented(coordinates)
        statistics = self._marginal.statistics(greeks)
        slopes = self._marginal.gradient(greeks, statistics)
        gradient = [greek.likelihood_slope(coordinates, greeks, slopes) for greek in self._coordinates.greeks]
        return float(statistics.log_likelihood), np.concatenate(gradient), statistics

    @np.errstate(all="ignore")
    def values(self, coordinates: Array) -> Parts:
        greeks = self._coordinates.represented(coordinates)
        log_prior: Any = sum(greek.log_prior(greeks)[0] for greek in self._coordinates.greeks)
        log_jacobian: Any = sum(greek.log_jacobian(coordinates, greeks) for greek in self._coordinates.greeks)
        return _parts(self._marginal.statistics(greeks).log_likelihood, log_prior, log_jacobian)

    @np.errstate(all="ignore")
    def evaluate(self, coordinates: Array) -> tuple[Parts, Parts]:
        greeks = self._coordinates.represented(coordinates)
        statistics = self._marginal.statistics(greeks)
        slopes = self._marginal.gradient(greeks, statistics)
        log_prior: Any = 0.0
        log_jacobian: Any = 0.0
        gradients = np.empty((3, *coordinates.shape))
        for greek in self._coordinates.greeks:
            value, prior_slopes = greek.log_prior(greeks)
            log_prior = log_prior + value
            log_jacobian = log_jacobian + greek.log_jacobian(coordinates, greeks)
            greek.pull_back(coordinates, greeks, slopes, prior_slopes, gradients[..., greek.coordinates])
        return _parts(statistics.log_likelihood, log_prior, log_jacobian), Parts(*gradients)


def _parts(log_likelihood: Array, log_prior: Any, log_jacobian: Any) -> Parts:
    """The parts in one shape: a Jacobian may be the same at all points."""
    if not log_likelihood.ndim:
        return Parts(log_likelihood, log_prior, log_jacobian)
    return Parts(log_likelihood, *(np.broadcast_to(part, log_likelihood.shape) for part in (log_prior, log_jacobian)))
