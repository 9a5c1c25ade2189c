"""Priors as numbers, compiled or not: which law, its numbers for each entry, and its normalising constant.

The log density of a law but for the constant: NORMAL ``-precision (x - loc)² / 2``; LOG_NORMAL the same of log x, less
log x; POWER ``power log x - rate x - precision x² / 2``, which is Gamma, Exponential or HalfNormal; BETA and DIRICHLET
powers of the probabilities; LKJ powers of the diagonal of the factor; FLAT, of Uniform, nothing.

Source: the densities in the documentation of `torch.distributions`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from scipy.special import gammaln

from estimators.optimise.arrays import Array, Mask
from estimators.parameters.parameter import HALF_LOG_2PI, Parameter
from estimators.parameters.priors import parameters_of
from estimators.parameters.zero_sum import ZeroSumNormal

NORMAL, LOG_NORMAL, POWER, BETA, DIRICHLET, LKJ, FLAT = range(7)


class TabulatedPrior(NamedTuple):
    """A law, its numbers (each for all entries, one after the other) and the constant of all entries together."""

    law: int
    numbers: Array
    constant: float


def tabulated_prior(prior: TorchDistributionMixin) -> TabulatedPrior | None:
    """A prior as numbers; None for a family that has none here."""
    family = FAMILIES.get(type(prior))
    if family is None:
        return None
    # LKJCholesky is not shaped by its entries.
    shape = prior.batch_shape + prior.event_shape
    numbers = {name: value.detach().double() for name, value in parameters_of(prior).items()}
    return family({name: _flat(value, shape) for name, value in numbers.items()}, prior)


def poles(parameter: Parameter) -> tuple[Mask, Mask]:
    """At which entries of a probability or a rate the density of its prior is infinite at 0, and at which at 1."""
    prior, nowhere = tabulated_prior(parameter.prior), np.zeros(parameter.shape, dtype=bool)
    if prior is None or prior.law not in (BETA, DIRICHLET, POWER):
        return nowhere, nowhere
    # The first numbers of all of these are the powers of the value itself, a Beta's second those of the rest.
    powers = prior.numbers.reshape(-1, *parameter.shape)
    return powers[0] < 0.0, powers[1] < 0.0 if prior.law == BETA else nowhere


def _flat(value: torch.Tensor, shape: torch.Size) -> Array:
    fits = value.ndim <= len(shape) and all(a in (1, b) for a, b in zip(value.shape[::-1], shape[::-1], strict=False))
    return np.asarray((value.expand(shape) if fits else value).reshape(-1).numpy())


def _normal(p: Mapping[str, Array], prior: Any) -> TabulatedPrior:
    constant = -np.log(p["scale"]).sum() - p["scale"].size * HALF_LOG_2PI
    return TabulatedPrior(NORMAL, np.concatenate([p["loc"], p["scale"] ** -2.0]), float(constant))


def _log_normal(p: Mapping[str, Array], prior: Any) -> TabulatedPrior:
    return _normal(p, prior)._replace(law=LOG_NORMAL)


def _half_normal(p: Mapping[str, Array], prior: Any) -> TabulatedPrior:
    scale, zero = p["scale"], np.zeros_like(p["scale"])
    constant = (np.log(2.0) - np.log(scale) - HALF_LOG_2PI).sum()
    return TabulatedPrior(POWER, np.concatenate([zero, zero, scale**-2.0]), float(constant))


def _gamma(p: Mapping[str, Array], prior: Any) -> TabulatedPrior:
    shape, rate = p["concentration"], p["rate"]
    constant = (shape * np.log(rate) - gammaln(shape)).sum()
    return TabulatedPrior(POWER, np.concatenate([shape - 1.0, rate, np.zeros_like(rate)]), float(constant))


def _exponential(p: Mapping[str, Array], prior: Any) -> TabulatedPrior:
    return _gamma({"concentration": np.ones_like(p["rate"]), "rate": p["rate"]}, prior)


def _beta(p: Mapping[str, Array], prior: Any) -> TabulatedPrior:
    one, other = p["concentration1"], p["concentration0"]
    constant = (gammaln(one + other) - gammaln(one) - gammaln(other)).sum()
    return TabulatedPrior(BETA, np.concatenate([one, other]) - 1.0, float(constant))


def _dirichlet(p: Mapping[str, Array], prior: Any) -> TabulatedPrior:
    powers = p["concentration"]
    total = powers.reshape(-1, prior.event_shape[-1]).sum(-1)
    return TabulatedPrior(DIRICHLET, powers - 1.0, float(gammaln(total).sum() - gammaln(powers).sum()))


def _uniform(p: Mapping[str, Array], prior: Any) -> TabulatedPrior:
    return TabulatedPrior(FLAT, np.zeros(0), float(-np.log(p["high"] - p["low"]).sum()))


def _lkj(p: Mapping[str, Array], prior: Any) -> TabulatedPrior:
    size, count = prior.event_shape[-1], prior.batch_shape.numel()
    concentration = prior.concentration.double().numpy().reshape(-1)
    # The power of the i-th diagonal entry, i from 0; that of the first, which is 1, is never used.
    orders = 2.0 * (concentration[:, None] - 1.0) + size - 1.0 - np.arange(size)
    identity = torch.eye(size, dtype=torch.float64).expand(prior.batch_shape + prior.event_shape)
    constant = prior.log_prob(identity).sum()
    assert orders.shape == (count, size)
    return TabulatedPrior(LKJ, orders.reshape(-1), float(constant))


def _zero_sum(p: Mapping[str, Array], prior: Any) -> TabulatedPrior:
    free = 1.0 - 1.0 / prior.event_shape[0]
    whole = _normal({"loc": np.zeros_like(p["scale"]), "scale": p["scale"]}, prior)
    return whole._replace(constant=free * whole.constant)


FAMILIES: dict[type, Callable[[Mapping[str, Array], Any], TabulatedPrior]] = {
    dist.Normal: _normal,
    dist.LogNormal: _log_normal,
    dist.HalfNormal: _half_normal,
    dist.Gamma: _gamma,
    dist.Exponential: _exponential,
    dist.Beta: _beta,
    dist.Dirichlet: _dirichlet,
    dist.LKJCholesky: _lkj,
    dist.Uniform: _uniform,
    ZeroSumNormal: _zero_sum,
}
