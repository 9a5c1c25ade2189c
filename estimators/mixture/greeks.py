"""A Greek as a density takes it: by its value, or by the logs of the probabilities that it is."""

from collections.abc import Mapping, Sequence

import numpy as np

from estimators.parameters.parameter import Array, Parameter
from estimators.parameters.prior_densities import log_density, log_density_of_logs
from estimators.parameters.transforms import LOGS, Logged, Transform


class ByValue:
    """A Greek at its value; ``coordinates`` are its own among those of all Greeks."""

    def __init__(self, parameter: Parameter, transform: Transform, coordinates: slice) -> None:
        self.parameter, self.transform, self.coordinates = parameter, transform, coordinates
        self._name, self._shape = parameter.name, parameter.shape
        self._log_prior = log_density(parameter.prior)

    def put(self, coordinates: Array, into: dict[str, Array]) -> None:
        """Add φ(v) to the Greeks."""
        into[self._name] = shaped(self.transform.far(coordinates[..., self.coordinates]), self._shape)

    def log_prior(self, greeks: Mapping[str, Array]) -> tuple[Array, Sequence[Array]]:
        """log p(φ) and its gradient."""
        value, slope = self._log_prior(greeks[self._name])
        return value, (slope,)

    def log_jacobian(self, coordinates: Array, greeks: Mapping[str, Array]) -> Array | float:
        """log |dφ/dv|."""
        return self.transform.log_jacobian(greeks[self._name].reshape(*coordinates.shape[:-1], -1))

    def likelihood_slope(self, coordinates: Array, greeks: Mapping[str, Array], slopes: Mapping[str, Array]) -> Array:
        """The gradient of the log-likelihood with respect to v."""
        flat = (*coordinates.shape[:-1], -1)
        return self.transform.pull_back(greeks[self._name].reshape(flat), slopes[self._name].reshape(flat))

    def pull_back(
        self,
        coordinates: Array,
        greeks: Mapping[str, Array],
        slopes: Mapping[str, Array],
        prior_slopes: Sequence[Array],
        into: Array,
    ) -> None:
        """Put the gradients of likelihood, prior and Jacobian with respect to v into their place [3, ..., size]."""
        flat = (*coordinates.shape[:-1], -1)
        value = greeks[self._name].reshape(flat)
        into[0] = self.transform.pull_back(value, slopes[self._name].reshape(flat))
        into[1] = self.transform.pull_back(value, prior_slopes[0].reshape(flat))
        into[2] = self.transform.jacobian_slope(value)


class ByLogs:
    """A probability, or weights, by the logs: they keep their digits where the value is rounded to 0 or 1."""

    def __init__(self, parameter: Parameter, transform: Logged, coordinates: slice) -> None:
        self.parameter, self.transform, self.coordinates = parameter, transform, coordinates
        self._shape, self._axes = parameter.shape, tuple(range(-len(parameter.shape), 0))
        count = len(transform.logs(np.zeros(transform.size(parameter.shape))))
        self._names = [name.format(parameter.name) for name in LOGS[:count]]
        self._log_prior = log_density_of_logs(parameter.prior)

    def put(self, coordinates: Array, into: dict[str, Array]) -> None:
        """Add log φ(v) to the Greeks."""
        logs = self.transform.logs(coordinates[..., self.coordinates])
        for index, name in enumerate(self._names):
            into[name] = shaped(logs[index], self._shape)

    def log_prior(self, greeks: Mapping[str, Array]) -> tuple[Array, Sequence[Array]]:
        """log p(φ) and its gradients with respect to the logs."""
        return self._log_prior([greeks[name] for name in self._names])

    def log_jacobian(self, coordinates: Array, greeks: Mapping[str, Array]) -> Array | float:
        """log |dφ/dv|, the sum of all logs."""
        total: Array = np.add.reduce(greeks[self._names[0]], self._axes)
        for name in self._names[1:]:
            total = total + np.add.reduce(greeks[name], self._axes)
        return total

    def likelihood_slope(self, coordinates: Array, greeks: Mapping[str, Array], slopes: Mapping[str, Array]) -> Array:
        """The gradient of the log-likelihood with respect to v."""
        flat = (*coordinates.shape[:-1], -1)
        of_logs = [slopes[name].reshape(flat) for name in self._names]
        return self.transform.pull_back_logs(coordinates[..., self.coordinates], of_logs)

    def pull_back(
        self,
        coordinates: Array,
        greeks: Mapping[str, Array],
        slopes: Mapping[str, Array],
        prior_slopes: Sequence[Array],
        into: Array,
    ) -> None:
        """Put the gradients of likelihood, prior and Jacobian with respect to v into their place [3, ..., size]."""
        flat, of_parts = (3, *coordinates.shape[:-1], -1), []
        for index, name in enumerate(self._names):
            parts = np.empty((3, *slopes[name].shape))
            parts[0] = slopes[name]
            parts[1] = prior_slopes[index]
            # The log Jacobian is the sum of the logs.
            parts[2] = 1.0
            of_parts.append(parts.reshape(flat))
        into[...] = self.transform.pull_back_logs(coordinates[..., self.coordinates], of_parts)


def shaped(flat: Array, shape: tuple[int, ...]) -> Array:
    """[..., size] as [..., *shape]."""
    return flat if len(shape) == 1 else flat.reshape(flat.shape[:-1] + shape)
