"""Several Gaussian measurements, independent of each other given the hidden cause, as one column of vectors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyro.distributions as dist
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor
from torch.distributions import constraints

from estimators.checks import checked_count
from estimators.isolation import own_modes
from estimators.mechanisms.defaults import LogLinear
from estimators.mechanisms.gaussian.forms import Places, standard_forms
from estimators.mechanisms.gaussian.precision import DIGITS_LOST, EPS, SCALE_FLOOR
from estimators.mechanisms.gaussian.vectors import (
    of_cell,
    vector_array,
    vector_equation,
    vector_groups,
    vector_of,
    vector_order_key,
    vector_parameter,
    vector_permuted,
    vector_reference,
    vector_transform,
)
from estimators.mechanisms.protocol import Equation, Greeks, Reference, check_parents
from estimators.parameters.parameter import Array, Parameter
from estimators.parameters.prior_checks import known_or_prior
from estimators.parameters.prior_densities import HALF_LOG_2PI
from estimators.parameters.priors import default_prior
from estimators.parameters.transforms import Transform


@dataclass(frozen=True, eq=False)
class DiagonalGaussian(LogLinear):
    """``x | Z = k ~ Normal(mu_k, diag(sigma_k²))``, a column of vectors [N, D].

    ``log p = Σ_d -log(sigma_kd) - log(2π)/2 - (x_d - mu_kd)² / (2 sigma_kd²)``, so Φ = (1, u_1..u_D, u_1²..u_D²) with
    u the standardised x.

    Greeks: ``mu`` and ``sigma`` [K, D], or [K, levels, ..., D] with discrete observed ``parents``; D is
    ``num_columns``. ``loc`` and ``scale`` are priors (over the reals and over the positive numbers; of batch shape [D]
    for one per column), or numbers (or D of them), which mean known. Raises TypeError or ValueError for anything else.

    >>> DiagonalGaussian(2, loc=dist.Normal(torch.tensor([0.0, 5.0]), 1.0), scale=[1.0, 2.0]).num_columns
    2
    """

    num_columns: int
    loc: Any = field(default_factory=lambda: default_prior(dist.Normal, 0.0, 10.0))
    scale: Any = field(default_factory=lambda: default_prior(dist.HalfNormal, 5.0))
    parents: Sequence[str] = ()

    is_gaussian = True
    has_constant = True

    @own_modes()
    def __post_init__(self) -> None:
        object.__setattr__(self, "num_columns", checked_count("num_columns", self.num_columns, least=1))
        object.__setattr__(self, "loc", known_or_prior("loc", self.loc, constraints.real))
        object.__setattr__(self, "scale", known_or_prior("scale", self.scale, constraints.positive))
        object.__setattr__(self, "parents", check_parents(self.parents))

    def num_features(self, num_inputs: int) -> int:
        """F = 1 + 2 D."""
        return 1 + 2 * self.num_columns

    def parameters(self, table: tuple[int, ...], num_inputs: int) -> tuple[Parameter, ...]:
        """The Greeks with their priors."""
        shape = (*table, self.num_columns)
        return vector_parameter("mu", "loc", self.loc, shape) + vector_parameter("sigma", "scale", self.scale, shape)

    def transform(self, parameter: Parameter, reference: Reference) -> Transform:
        """``mu`` in units of the columns' scales from their centres; ``sigma`` as the log of its ratio to them."""
        return vector_transform(parameter, reference)

    def distribution(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> TorchDistributionMixin:
        """p(x | cell), with the D numbers as one event."""
        mu = vector_of("mu", greeks, self.loc, self.num_columns)
        sigma = vector_of("sigma", greeks, self.scale, self.num_columns)
        given: TorchDistributionMixin = dist.Normal(of_cell(mu, cell), of_cell(sigma, cell)).to_event(1)
        return given

    def check(self, name: str, column: Tensor) -> Tensor:
        """Any finite real column [N, D] will do."""
        return column.double()

    def reference(self, column: Array, inputs: Array) -> Reference:
        """The means and standard deviations [D] of the columns (1 where they are constant, up to 1e-100)."""
        return vector_reference(column, self.num_columns)

    def points(self, column: Array, reference: Reference) -> Array:
        """The standardised columns."""
        return np.asarray((column - reference.centre) / reference.scale)

    def features(self, column: Array, inputs: Array, reference: Reference) -> Array:
        """Φ = (1, u_1..u_D, u_1²..u_D²) as [1 + 2 D, N]."""
        standard = ((column - reference.centre) / reference.scale).T
        return np.concatenate([np.ones((1, len(column))), standard, standard * standard])

    def natural_parameters(self, greeks: Greeks, reference: Reference) -> Array:
        """C = (Σ_d -m²/2s² - log sigma - log(2π)/2, m/s², -1/2s²) in standardised units."""
        mean, scale = self._standardised(greeks, reference)
        precision = 1.0 / (scale * scale)
        shape, size = np.broadcast_shapes(mean.shape, scale.shape), self.num_columns
        out = np.empty((*shape[:-1], 1 + 2 * size))
        out[..., 1 : size + 1] = mean * precision
        out[..., size + 1 :] = -0.5 * precision
        each = -0.5 * mean * mean * precision - np.log(scale * reference.scale) - HALF_LOG_2PI
        out[..., 0] = each.sum(-1)
        return out

    def gradient(self, greeks: Greeks, statistics: Array, reference: Reference) -> dict[str, Array]:
        """dJ/dmu and dJ/dsigma from S = Σ r (1, u, u²)."""
        mean, scale = self._standardised(greeks, reference)
        precision = 1.0 / (scale * scale)
        count, first, second = self._moments(statistics)
        residual = first - mean * count
        found = {}
        if "mu" in greeks:
            found["mu"] = residual * precision / reference.scale
        if "sigma" in greeks:
            squares = second - mean * (first + residual)
            found["sigma"] = (squares * precision - count) / (scale * reference.scale)
        return found

    def loses_digits(self, coefficients: Array, reference: Reference) -> bool:
        """Whether eps * (range / sigma)² > 1e-10 in a column."""
        precision = -2.0 * float(coefficients[..., self.num_columns + 1 :].min())
        return EPS * (2.0 * reference.reach) ** 2 * precision > DIGITS_LOST

    def recentred(self, greeks: Greeks, reference: Reference) -> Reference:
        """Centres [cells, D] at the components' means, where the quadratic features are (x_d - mu_kd)² themselves."""
        mu = vector_array(greeks.get("mu"), self.loc, self.num_columns)
        sigma = vector_array(greeks.get("sigma"), self.scale, self.num_columns)
        return reference.at(np.broadcast_to(mu, np.broadcast_shapes(mu.shape, sigma.shape)))

    def argmax(self, statistics: Array, reference: Reference, previous: Greeks) -> dict[str, Array]:
        """Weighted means, and weighted root mean squares about them."""
        count, first, second = self._moments(statistics)
        held = np.where(count > 0, count, 1.0)
        mean, scale = self._standardised(previous, reference)
        found = {}
        if "mu" in previous:
            mean = np.where(count > 0, first / held, mean)
            found["mu"] = reference.centre + reference.scale * mean
        if "sigma" in previous:
            squares = np.maximum(second - mean * (2.0 * first - mean * count), 0.0)
            root = np.where(count > 0, np.sqrt(squares / held), scale)
            found["sigma"] = np.maximum(root, SCALE_FLOOR) * reference.scale
        return found

    def has_collapsed(self, greeks: Greeks, reference: Reference) -> bool:
        """Whether an estimated scale is at the floor, 1e-8 of its column's."""
        return "sigma" in greeks and bool(np.any(greeks["sigma"] <= 1.01 * SCALE_FLOOR * reference.scale))

    def mean(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> Tensor:
        """E[x | cell] = mu, as [..., D]."""
        mu = vector_of("mu", greeks, self.loc, self.num_columns)
        return mu[..., cell, :] if mu.ndim > 1 else mu

    def equation(self, greeks: Greeks, num_inputs: int) -> Equation:
        """``x_d = mu_d + sigma_d ε_d``."""
        return vector_equation(greeks, self.loc, self.scale, np.eye(self.num_columns))

    def forms(self, equation: Equation, inputs: Array, noise: Array, reference: Reference) -> Array:
        """(1, u)."""
        return standard_forms(equation, noise, reference.centre, reference.scale)

    def products(self, num_inputs: int) -> tuple[Places, Places]:
        """1, u_d and u_d²."""
        own = np.arange(1, 1 + self.num_columns)
        return np.concatenate([[0], 0 * own, own]), np.concatenate([[0], own, own])

    def order_key(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """Components are put in order of the means of their first column."""
        return vector_order_key(greeks, self.loc, self.num_columns)

    def exchangeable(self, num_components: int, *, uses_prior: bool = True) -> list[int]:
        """Components with equal priors (or equal known values) share a number."""
        return vector_groups([self.loc, self.scale], num_components, uses_prior=uses_prior)

    def permuted(self, order: Sequence[int]) -> "DiagonalGaussian":
        """The same mechanism with its components renamed."""
        loc, scale = vector_permuted(self.loc, order), vector_permuted(self.scale, order)
        return DiagonalGaussian(self.num_columns, loc, scale, self.parents)

    def _moments(self, statistics: Array) -> tuple[Array, Array, Array]:
        """n [..., 1], Σ u and Σ u² [..., D]."""
        size = self.num_columns
        return statistics[..., :1], statistics[..., 1 : size + 1], statistics[..., size + 1 :]

    def _standardised(self, greeks: Greeks, reference: Reference) -> tuple[Array, Array]:
        mu = vector_array(greeks.get("mu"), self.loc, self.num_columns)
        sigma = vector_array(greeks.get("sigma"), self.scale, self.num_columns)
        return (mu - reference.centre) / reference.scale, sigma / reference.scale


# What a mean and a scale for each of D columns have in common, with or without correlations.
