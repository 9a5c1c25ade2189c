"""A Greek as a density takes it: by its value, or by the logs of the probabilities that it is."""

from collections.abc import Mapping, Sequence

import numpy as np

from estimators.optimise.arrays import Array, Mask
from estimators.parameters.block import Block
from estimators.parameters.prior_densities import log_density, log_density_of_logs
from estimators.parameters.transforms import LOGS, Logged, Transform


class ByValue:
    """A Greek, or several in a block, at its value; ``coordinates`` are its own among those of all Greeks."""

    def __init__(self, block: Block, transform: Transform, coordinates: slice) -> None:
        self.block, self.transform, self.coordinates = block, transform, coordinates
        self._log_prior = log_density(block.joint.prior)

    def names_at(self, marked: Mask) -> list[str]:
        """The Greeks of which some coordinate is marked [D]."""
        if len(self.block.parameters) == 1:
            return [self.block.joint.name] if marked.any() else []
        return [name for name, own in self.block.apart(marked).items() if own.any()]

    def put(self, coordinates: Array, into: dict[str, Array]) -> None:
        """Add φ(v) to the Greeks."""
        into |= self.block.apart(self.transform.far(coordinates[..., self.coordinates]))

    def log_prior(self, greeks: Mapping[str, Array]) -> tuple[Array, Sequence[Array]]:
        """log p(φ) and its gradient."""
        value, slope = self._log_prior(self.block.shaped(self.block.flat(greeks)))
        return value, (slope,)

    def log_jacobian(self, coordinates: Array, greeks: Mapping[str, Array]) -> Array | float:
        """log |dφ/dv|."""
        return self.transform.log_jacobian(self.block.flat(greeks))

    def likelihood_slope(self, coordinates: Array, greeks: Mapping[str, Array], slopes: Mapping[str, Array]) -> Array:
        """The gradient of the log-likelihood with respect to v."""
        return self.transform.pull_back(self.block.flat(greeks), self.block.flat(slopes))

    def pull_back(
        self,
        coordinates: Array,
        greeks: Mapping[str, Array],
        slopes: Mapping[str, Array],
        prior_slopes: Sequence[Array],
        into: Array,
    ) -> None:
        """Put the gradients of likelihood, prior and Jacobian with respect to v into their place [3, ..., size]."""
        value = self.block.flat(greeks)
        into[0] = self.transform.pull_back(value, self.block.flat(slopes))
        into[1] = self.transform.pull_back(value, prior_slopes[0].reshape(value.shape))
        into[2] = self.transform.jacobian_slope(value)


class ByLogs:
    """A probability, or weights, by the logs: they keep their digits where the value is rounded to 0 or 1."""

    def __init__(self, block: Block, transform: Logged, coordinates: slice) -> None:
        self.block, self.transform, self.coordinates = block, transform, coordinates
        parameter = block.joint
        self._shape, self._axes = parameter.shape, tuple(range(-len(parameter.shape), 0))
        count = len(transform.logs(np.zeros(transform.size(parameter.shape))))
        self._names = [name.format(parameter.name) for name in LOGS[:count]]
        self._log_prior = log_density_of_logs(parameter.prior)

    def names_at(self, marked: Mask) -> list[str]:
        """The Greek, if some coordinate is marked [D]."""
        return [self.block.joint.name] if marked.any() else []

    def put(self, coordinates: Array, into: dict[str, Array]) -> None:
        """Add log φ(v) to the Greeks."""
        logs = self.transform.logs(coordinates[..., self.coordinates])
        for index, name in enumerate(self._names):
            into[name] = self.block.shaped(logs[index])

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
