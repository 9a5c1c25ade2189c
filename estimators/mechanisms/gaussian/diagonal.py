"""Several Gaussian measurements, independent of each other given the hidden cause, as one column of vectors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyro.distributions as dist
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from estimators.mechanisms.gaussian.forms import Places
from estimators.mechanisms.gaussian.precision import DIGITS_LOST, EPS, SCALE_FLOOR
from estimators.mechanisms.gaussian.vectors import VectorGaussian, of_cell
from estimators.mechanisms.protocol import Equation, Greeks, Reference
from estimators.parameters.parameter import Array
from estimators.parameters.prior_densities import HALF_LOG_2PI
from estimators.parameters.priors import default_prior


@dataclass(frozen=True, eq=False)
class DiagonalGaussian(VectorGaussian):
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

    def num_features(self, num_inputs: int) -> int:
        """F = 1 + 2 D."""
        return 1 + 2 * self.num_columns

    def distribution(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> TorchDistributionMixin:
        """p(x | cell), with the D numbers as one event."""
        mu = self.in_cells("mu", greeks)
        sigma = self.in_cells("sigma", greeks)
        given: TorchDistributionMixin = dist.Normal(of_cell(mu, cell), of_cell(sigma, cell)).to_event(1)
        return given

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
        mu = self.array("mu", greeks)
        sigma = self.array("sigma", greeks)
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

    def equation(self, greeks: Greeks, num_inputs: int) -> Equation:
        """``x_d = mu_d + sigma_d ε_d``."""
        return self.equation_of(greeks, np.eye(self.num_columns))

    def products(self, num_inputs: int) -> tuple[Places, Places]:
        """1, u_d and u_d²."""
        own = np.arange(1, 1 + self.num_columns)
        return np.concatenate([[0], 0 * own, own]), np.concatenate([[0], own, own])

    def _moments(self, statistics: Array) -> tuple[Array, Array, Array]:
        """n [..., 1], Σ u and Σ u² [..., D]."""
        size = self.num_columns
        return statistics[..., :1], statistics[..., 1 : size + 1], statistics[..., size + 1 :]

    def _standardised(self, greeks: Greeks, reference: Reference) -> tuple[Array, Array]:
        mu = self.array("mu", greeks)
        sigma = self.array("sigma", greeks)
        return (mu - reference.centre) / reference.scale, sigma / reference.scale
