"""Prior densities and their gradients in NumPy, for the families met in practice; torch's autograd for any other.

The numbers are those of `tabulated_priors`, the formulas differentiated by hand; tests compare each with autograd.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin

from estimators.optimise.arrays import Array
from estimators.parameters.parameter import TINY
from estimators.parameters.tabulated_priors import (
    BETA,
    DIRICHLET,
    FAMILIES,
    FLAT,
    LOG_NORMAL,
    NORMAL,
    POWER,
    tabulated_prior,
)

LogDensity = Callable[[Array], tuple[Array, Array]]
LogDensityOfLogs = Callable[[Sequence[Array]], tuple[Array, tuple[Array, ...]]]

BELOW_ONE = 1.0 - float(np.finfo(np.float64).epsneg)


def log_density(prior: TorchDistributionMixin) -> LogDensity:
    """Return ``x -> (log p(x), d log p / dx)`` for x [..., *shape of the prior], log p summed over that shape."""
    if not is_written_out(prior):
        return _by_autograd(prior)
    law, table = _table_of(prior)
    return _BY_VALUE[law](*table)


def is_written_out(prior: TorchDistributionMixin) -> bool:
    """Whether the density and its slope are written out here, and not found by autograd."""
    return type(prior) in FAMILIES and type(prior) is not dist.LKJCholesky


def log_density_of_logs(prior: TorchDistributionMixin) -> LogDensityOfLogs:
    """The same in the logs of a probability, and with gradients with respect to these."""
    if isinstance(prior, dist.Beta | dist.Dirichlet) and is_written_out(prior):
        law, table = _table_of(prior)
        return _BY_LOGS[law](*table)
    by_value = log_density(prior)

    def evaluate(logs: Sequence[Array]) -> tuple[Array, tuple[Array, ...]]:
        # A probability that is rounded to 1 is inside its support all the same.
        x = np.minimum(np.exp(logs[0]), BELOW_ONE)
        value, slope = by_value(x)
        return value, (slope * x, *(np.zeros_like(x) for _ in logs[1:]))

    return evaluate


def _table_of(prior: TorchDistributionMixin) -> tuple[int, tuple[Array, float, int]]:
    """The law of a prior, and its numbers [.., *shape], their constant, and how many axes the shape has."""
    table, shape = tabulated_prior(prior), prior.batch_shape + prior.event_shape
    assert table is not None
    return table.law, (table.numbers.reshape(-1, *shape), table.constant, len(shape))


def _summed(value: Array, dims: int) -> Array:
    return value.sum(axis=tuple(range(-dims, 0))) if dims else value


def _inner(one: Array, other: Array, dims: int) -> Array:
    """The sum of products over the last axes."""
    if dims == one.ndim == other.ndim == 1:
        # A few numbers, as NUTS meets them thousands of times: one call in place of two, the same sum.
        return np.asarray(one.dot(other))
    return _summed(one * other, dims)


def _normal(numbers: Array, constant: float, dims: int) -> LogDensity:
    loc, precision = numbers

    def evaluate(x: Array) -> tuple[Array, Array]:
        below = loc - x
        slope = below * precision
        return -0.5 * _inner(slope, below, dims) + constant, slope

    return evaluate


def _log_normal(numbers: Array, constant: float, dims: int) -> LogDensity:
    normal = _normal(numbers, constant, dims)

    def evaluate(x: Array) -> tuple[Array, Array]:
        log_x = np.log(x)
        value, slope = normal(log_x)
        return value - _summed(log_x, dims), (slope - 1.0) / x

    return evaluate


def _power(numbers: Array, constant: float, dims: int) -> LogDensity:
    power, rate, _ = numbers
    if not (power.any() or rate.any()):
        # HalfNormal, whose density at 0 is finite.
        return _normal(numbers[1:], constant, dims)

    def evaluate(x: Array) -> tuple[Array, Array]:
        return _summed(power * np.log(x) - rate * x, dims) + constant, power / x - rate

    return evaluate


def _flat(numbers: Array, constant: float, dims: int) -> LogDensity:
    def evaluate(x: Array) -> tuple[Array, Array]:
        # The Greek's coordinates keep x between the ends; it may round to one, where the density is the same.
        return np.full(x.shape[: x.ndim - dims], constant), np.zeros_like(x)

    return evaluate


def _dirichlet(numbers: Array, constant: float, dims: int) -> LogDensity:
    of_logs = _dirichlet_of_logs(numbers, constant, dims)

    def evaluate(x: Array) -> tuple[Array, Array]:
        held = np.maximum(x, TINY)
        value, (powers,) = of_logs((np.log(held),))
        return value, powers / held

    return evaluate


def _dirichlet_of_logs(numbers: Array, constant: float, dims: int) -> LogDensityOfLogs:
    (powers,) = numbers

    def evaluate(logs: Sequence[Array]) -> tuple[Array, tuple[Array, ...]]:
        return _inner(powers, logs[0], dims) + constant, (powers,)

    return evaluate


def _beta(numbers: Array, constant: float, dims: int) -> LogDensity:
    of_logs = _beta_of_logs(numbers, constant, dims)

    def evaluate(x: Array) -> tuple[Array, Array]:
        low, high = np.maximum(x, TINY), np.maximum(1.0 - x, TINY)
        value, (one, other) = of_logs((np.log(low), np.log(high)))
        return value, one / low - other / high

    return evaluate


def _beta_of_logs(numbers: Array, constant: float, dims: int) -> LogDensityOfLogs:
    one, other = numbers

    def evaluate(logs: Sequence[Array]) -> tuple[Array, tuple[Array, ...]]:
        return _summed(one * logs[0] + other * logs[1], dims) + constant, (one, other)

    return evaluate


_BY_VALUE: dict[int, Callable[[Array, float, int], LogDensity]] = {
    NORMAL: _normal,
    LOG_NORMAL: _log_normal,
    POWER: _power,
    BETA: _beta,
    DIRICHLET: _dirichlet,
    FLAT: _flat,
}
_BY_LOGS: dict[int, Callable[[Array, float, int], LogDensityOfLogs]] = {
    BETA: _beta_of_logs,
    DIRICHLET: _dirichlet_of_logs,
}


def _by_autograd(prior: TorchDistributionMixin) -> LogDensity:
    prior = unvalidated(prior)

    def evaluate(x: Array) -> tuple[Array, Array]:
        value = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        with torch.enable_grad():
            density: Any = prior.log_prob(value)
            density = density.sum(dim=tuple(range(-len(prior.batch_shape), 0))) if prior.batch_shape else density
            # Gives a density that does not depend on the value, such as a uniform one, a gradient of 0.
            total = density.sum() + 0.0 * value.sum()
            (slope,) = torch.autograd.grad(total, value)
        return density.detach().numpy(), slope.numpy()

    return evaluate


def unvalidated(prior: TorchDistributionMixin) -> TorchDistributionMixin:
    """The same distribution, without errors of torch at a value that rounds to an end of its support."""
    lenient = copy.copy(prior)
    lenient._validate_args = False
    if hasattr(lenient, "base_dist"):
        lenient.base_dist = unvalidated(lenient.base_dist)
    return lenient


def log_prior_at(prior: TorchDistributionMixin, values: Array) -> Array:
    """``log p`` [...] of values [..., *shape], entries summed; -inf outside the prior's support."""
    given = torch.from_numpy(np.array(values))
    is_inside = torch.as_tensor(prior.support.check(given))
    logs = torch.where(is_inside, unvalidated(prior).log_prob(given), -torch.inf)
    return _summed(logs.numpy(), len(prior.batch_shape))
