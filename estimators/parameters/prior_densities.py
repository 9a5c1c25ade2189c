"""Prior densities and their gradients in NumPy, for the families met in practice; torch's autograd for any other.

Source of the formulas: the densities in the documentation of `torch.distributions`, differentiated by hand; tests
compare each with autograd.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from scipy.special import gammaln

from estimators.optimise.arrays import Array
from estimators.parameters.parameter import TINY
from estimators.parameters.priors import parameters_of
from estimators.parameters.zero_sum import ZeroSumNormal

LogDensity = Callable[[Array], tuple[Array, Array]]
LogDensityOfLogs = Callable[[Sequence[Array]], tuple[Array, tuple[Array, ...]]]

BELOW_ONE = 1.0 - float(np.finfo(np.float64).epsneg)
HALF_LOG_2PI = 0.5 * float(np.log(2.0 * np.pi))


def log_density(prior: TorchDistributionMixin) -> LogDensity:
    """Return ``x -> (log p(x), d log p / dx)`` for x [..., *shape of the prior], log p summed over that shape."""
    if not is_written_out(prior):
        return _by_autograd(prior)
    return _FAMILIES[type(prior)](_arrays(prior), len(prior.batch_shape))


def is_written_out(prior: TorchDistributionMixin) -> bool:
    """Whether the density and its slope are written out here, and not found by autograd."""
    return type(prior) in _FAMILIES


def log_density_of_logs(prior: TorchDistributionMixin) -> LogDensityOfLogs:
    """The same in the logs of a probability, and with gradients with respect to these."""
    if type(prior) in _OF_LOGS:
        return _OF_LOGS[type(prior)](_arrays(prior), len(prior.batch_shape))
    by_value = log_density(prior)

    def evaluate(logs: Sequence[Array]) -> tuple[Array, tuple[Array, ...]]:
        # A probability that is rounded to 1 is inside its support all the same.
        x = np.minimum(np.exp(logs[0]), BELOW_ONE)
        value, slope = by_value(x)
        return value, (slope * x, *(np.zeros_like(x) for _ in logs[1:]))

    return evaluate


def _arrays(prior: TorchDistributionMixin) -> dict[str, Array]:
    return {name: value.detach().double().numpy() for name, value in parameters_of(prior).items()}


def _summed(value: Array, dims: int) -> Array:
    return value.sum(axis=tuple(range(-dims, 0))) if dims else value


def _inner(one: Array, other: Array, dims: int) -> Array:
    """The sum of products over the last axes."""
    if dims == one.ndim == other.ndim == 1:
        # A few numbers, as NUTS meets them thousands of times: one call in place of two, the same sum.
        return np.asarray(one.dot(other))
    return _summed(one * other, dims)


def _normal(p: Mapping[str, Array], dims: int) -> LogDensity:
    loc, precision = p["loc"], p["scale"] ** -2.0
    constant = -np.sum(np.log(p["scale"]) + HALF_LOG_2PI)

    def evaluate(x: Array) -> tuple[Array, Array]:
        below = loc - x
        slope = below * precision
        return -0.5 * _inner(slope, below, dims) + constant, slope

    return evaluate


def _half_normal(p: Mapping[str, Array], dims: int) -> LogDensity:
    normal = _normal({"loc": np.zeros_like(p["scale"]), "scale": p["scale"]}, dims)
    constant = np.size(p["scale"]) * np.log(2.0)

    def evaluate(x: Array) -> tuple[Array, Array]:
        value, slope = normal(x)
        return value + constant, slope

    return evaluate


def _log_normal(p: Mapping[str, Array], dims: int) -> LogDensity:
    normal = _normal(p, dims)

    def evaluate(x: Array) -> tuple[Array, Array]:
        log_x = np.log(x)
        value, slope = normal(log_x)
        return value - _summed(log_x, dims), (slope - 1.0) / x

    return evaluate


def _gamma(p: Mapping[str, Array], dims: int) -> LogDensity:
    shape, rate = p["concentration"], p["rate"]
    constant = np.sum(shape * np.log(rate) - gammaln(shape))

    def evaluate(x: Array) -> tuple[Array, Array]:
        return _summed((shape - 1.0) * np.log(x) - rate * x, dims) + constant, (shape - 1.0) / x - rate

    return evaluate


def _uniform(p: Mapping[str, Array], dims: int) -> LogDensity:
    constant = -np.sum(np.log(p["high"] - p["low"]))

    def evaluate(x: Array) -> tuple[Array, Array]:
        # The Greek's coordinates keep x between the ends; it may round to one, where the density is the same.
        return np.full(x.shape[: x.ndim - dims], constant), np.zeros_like(x)

    return evaluate


def _zero_sum(p: Mapping[str, Array], dims: int) -> LogDensity:
    normal = _normal({"loc": np.zeros_like(p["scale"]), "scale": p["scale"]}, dims + 2)
    twice = np.sum(np.log(p["scale"][..., 0, :]) + HALF_LOG_2PI)

    def evaluate(x: Array) -> tuple[Array, Array]:
        value, slope = normal(x)
        return value + twice, slope

    return evaluate


def _exponential(p: Mapping[str, Array], dims: int) -> LogDensity:
    return _gamma({"concentration": np.ones_like(p["rate"]), "rate": p["rate"]}, dims)


def _dirichlet(p: Mapping[str, Array], dims: int) -> LogDensity:
    of_logs = _dirichlet_of_logs(p, dims)

    def evaluate(x: Array) -> tuple[Array, Array]:
        held = np.maximum(x, TINY)
        value, (powers,) = of_logs((np.log(held),))
        return value, powers / held

    return evaluate


def _dirichlet_of_logs(p: Mapping[str, Array], dims: int) -> LogDensityOfLogs:
    powers = p["concentration"] - 1.0
    constant = np.sum(gammaln(p["concentration"].sum(-1)) - gammaln(p["concentration"]).sum(-1))

    def evaluate(logs: Sequence[Array]) -> tuple[Array, tuple[Array, ...]]:
        return _inner(powers, logs[0], dims + 1) + constant, (powers,)

    return evaluate


def _beta(p: Mapping[str, Array], dims: int) -> LogDensity:
    of_logs = _beta_of_logs(p, dims)

    def evaluate(x: Array) -> tuple[Array, Array]:
        low, high = np.maximum(x, TINY), np.maximum(1.0 - x, TINY)
        value, (one, other) = of_logs((np.log(low), np.log(high)))
        return value, one / low - other / high

    return evaluate


def _beta_of_logs(p: Mapping[str, Array], dims: int) -> LogDensityOfLogs:
    one, other = p["concentration1"] - 1.0, p["concentration0"] - 1.0
    constant = np.sum(
        gammaln(p["concentration1"] + p["concentration0"]) - gammaln(p["concentration1"]) - gammaln(p["concentration0"])
    )

    def evaluate(logs: Sequence[Array]) -> tuple[Array, tuple[Array, ...]]:
        return _summed(one * logs[0] + other * logs[1], dims) + constant, (one, other)

    return evaluate


_FAMILIES: dict[type, Callable[[Mapping[str, Array], int], LogDensity]] = {
    dist.Normal: _normal,
    dist.HalfNormal: _half_normal,
    dist.LogNormal: _log_normal,
    dist.Gamma: _gamma,
    dist.Beta: _beta,
    dist.Exponential: _exponential,
    dist.Dirichlet: _dirichlet,
    dist.Uniform: _uniform,
    ZeroSumNormal: _zero_sum,
}
_OF_LOGS: dict[type, Callable[[Mapping[str, Array], int], LogDensityOfLogs]] = {
    dist.Dirichlet: _dirichlet_of_logs,
    dist.Beta: _beta_of_logs,
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
