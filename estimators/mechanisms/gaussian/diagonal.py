"""Several Gaussian measurements, independent of each other given the hidden cause, as one column of vectors."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyro.distributions as dist
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from estimators.checks import check_whole
from estimators.mechanisms.gaussian.family import GaussianFamily, mean_and_scale
from estimators.mechanisms.gaussian.forms import Places
from estimators.mechanisms.gaussian.vectors import standard_units, without_inputs
from estimators.mechanisms.known_or_prior import KnownOrPrior
from estimators.mechanisms.protocol import Equation, Greeks, Reference
from estimators.optimise.arrays import Array
from estimators.parameters.parameter import HALF_LOG_2PI, Parameter
from estimators.parameters.priors import default_prior
from estimators.parameters.transforms import Transform


@dataclass(frozen=True, eq=False)
class DiagonalGaussian(GaussianFamily):
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_columns", check_whole("num_columns", self.num_columns, least=1))
        self.take(self.given_of((self.num_columns,)))

    def given_of(self, entry: tuple[int, ...]) -> dict[str, KnownOrPrior]:
        """What is given for the Greeks, of D columns."""
        return mean_and_scale(self.loc, self.scale, entry)

    def transform(self, parameter: Parameter, reference: Reference) -> Transform:
        return standard_units(parameter, reference)

    def law(self, mu: Tensor, sigma: Tensor) -> TorchDistributionMixin:
        independent: TorchDistributionMixin = dist.Normal(mu, sigma).to_event(1)
        return independent

    def products(self, num_inputs: int) -> tuple[Places, Places]:
        """1, u_d and u_d²."""
        own = np.arange(1, 1 + self.num_columns)
        return np.concatenate([[0], 0 * own, own]), np.concatenate([[0], own, own])

    def natural_parameters(self, greeks: Greeks, reference: Reference) -> Array:
        """C = (Σ_d -m²/2s² - log sigma - log(2π)/2, m/s², -1/2s²) in standardised units."""
        mean, scale, precision = self.standardised_greeks(greeks, reference)
        shape, size = np.broadcast_shapes(mean.shape, scale.shape), self.num_columns
        out = np.empty((*shape[:-1], 1 + 2 * size))
        out[..., 1 : size + 1] = mean * precision
        out[..., size + 1 :] = -0.5 * precision
        by_column = -0.5 * mean * mean * precision - np.log(scale * reference.scale) - HALF_LOG_2PI
        out[..., 0] = by_column.sum(-1)
        return out

    def moments(self, statistics: Array) -> tuple[Array, Array, Array]:
        size = self.num_columns
        return statistics[..., :1], statistics[..., 1 : size + 1], statistics[..., size + 1 :]

    def equation(self, greeks: Greeks, num_inputs: int) -> Equation:
        """``x_d = mu_d + sigma_d ε_d``."""
        factor = self.array("sigma", greeks)[..., None] * np.eye(self.num_columns)
        return without_inputs(self.array("mu", greeks), factor)
