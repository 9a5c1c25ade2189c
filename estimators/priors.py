"""Prior densities and their gradients in NumPy, for the families met in practice; torch's autograd for any other.

Source of the formulas: the densities in the documentation of `torch.distributions`, differentiated by hand; tests
compare each with autograd.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from scipy.special import gammaln

from estimators.parameters import TINY, Array

LogDensity = Callable[[Array], tuple[Array, Array]]
HALF_LOG_2PI = 0.5 * float(np.log(2.0 * np.pi))


def as_prior(argument: str, prior: object) -> TorchDistributionMixin:
    """Return a Pyro distribution with float64 parameters.

    Raises TypeError where it is not a Pyro distribution (torch's own lack `sample` sites and `expand`).
    """
    if not isinstance(prior, TorchDistributionMixin):
        kind = type(prior)
        hint = (
            f"; use pyro.distributions.{kind.__name__}" if isinstance(prior, torch.distributions.Distribution) else ""
        )
        raise TypeError(f"{argument}: expected a number or a Pyro distribution, got {prior!r}{hint}")
    parameters = parameters_of(prior)
    if not parameters:
        return prior
    return type(prior)(**{name: value.double() for name, value in parameters.items()})


def parameters_of(prior: TorchDistributionMixin) -> dict[str, torch.Tensor]:
    """Return the constructor's parameters of a distribution, or nothing where they cannot be read off it."""
    names = [name for name in prior.arg_constraints if hasattr(prior, name)]
    if not names or isinstance(prior, dist.Independent | dist.ExpandedDistribution | dist.MaskedDistribution):
        return {}
    return {name: torch.as_tensor(getattr(prior, name)) for name in names}


def log_density(prior: TorchDistributionMixin) -> LogDensity:
    """Return ``x -> (log p(x), d log p / dx)`` for x [..., *shape of the prior], log p summed over that shape."""
    for family, build in _FAMILIES.items():
        if type(prior) is family:
            values = {name: value.detach().double().numpy() for name, value in parameters_of(prior).items()}
            return build(values, len(prior.batch_shape))
    return _by_autograd(prior)


def _summed(value: Array, dims: int) -> Array:
    return value.sum(axis=tuple(range(-dims, 0))) if dims else value


def _normal(p: Mapping[str, Array], dims: int) -> LogDensity:
    loc, precision = p["loc"], p["scale"] ** -2.0
    constant = -np.sum(np.log(p["scale"]) + HALF_LOG_2PI)

    def evaluate(x: Array) -> tuple[Array, Array]:
        slope = (loc - x) * precision
        return _summed(0.5 * slope * (x - loc), dims) + constant, slope

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


def _exponential(p: Mapping[str, Array], dims: int) -> LogDensity:
    return _gamma({"concentration": np.ones_like(p["rate"]), "rate": p["rate"]}, dims)


def _dirichlet(p: Mapping[str, Array], dims: int) -> LogDensity:
    powers = p["concentration"] - 1.0
    constant = np.sum(gammaln(p["concentration"].sum(-1)) - gammaln(p["concentration"]).sum(-1))

    def evaluate(x: Array) -> tuple[Array, Array]:
        held = np.maximum(x, TINY)
        return _summed(powers * np.log(held), dims + 1) + constant, powers / held

    return evaluate


_FAMILIES: dict[type, Callable[[Mapping[str, Array], int], LogDensity]] = {
    dist.Normal: _normal,
    dist.HalfNormal: _half_normal,
    dist.LogNormal: _log_normal,
    dist.Gamma: _gamma,
    dist.Exponential: _exponential,
    dist.Dirichlet: _dirichlet,
}


def _by_autograd(prior: TorchDistributionMixin) -> LogDensity:
    def evaluate(x: Array) -> tuple[Array, Array]:
        value = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        with torch.enable_grad():
            density: Any = prior.log_prob(value)
            density = density.sum(dim=tuple(range(-len(prior.batch_shape), 0))) if prior.batch_shape else density
            (slope,) = torch.autograd.grad(density.sum(), value)
        return density.detach().numpy(), slope.numpy()

    return evaluate
