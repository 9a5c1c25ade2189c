"""Several Gaussian measurements with one spread, independent of each other given the hidden cause."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pyro.distributions as dist
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor
from torch.distributions import constraints

from estimators.mechanisms.gaussian.diagonal import DiagonalGaussian
from estimators.mechanisms.gaussian.family import (
    LOCATION_WIDTH,
    SCALE_FLOOR,
    mean_and_scale,
    standardised,
    weak_scale,
)
from estimators.mechanisms.known_or_prior import KnownOrPrior
from estimators.mechanisms.protocol import Greeks, Reference
from estimators.optimise.arrays import Array
from estimators.parameters.parameter import Parameter
from estimators.parameters.priors import default_prior
from estimators.parameters.transforms import Positive, Transform


@dataclass(frozen=True, eq=False)
class SphericalGaussian(DiagonalGaussian):
    """``x | Z = k ~ Normal(mu_k, sigma_k² I)``, a column of vectors [N, D] of one unit.

    A `DiagonalGaussian` with one ``sigma`` for all columns: [K], or [K, levels, ...] with discrete observed
    ``parents``, or [] with ``shared=["scale"]``. ``loc`` is as there; ``scale`` is a prior over the positive numbers,
    or a number, which means known. Raises TypeError or ValueError for anything else.

    >>> SphericalGaussian(2, scale=1.0).num_columns
    2
    """

    num_columns: int
    loc: Any = field(default_factory=lambda: default_prior(dist.Normal, 0.0, 10.0))
    scale: Any = field(default_factory=lambda: default_prior(dist.HalfNormal, 5.0))
    parents: Sequence[str] = ()

    def given_of(self, entry: tuple[int, ...]) -> dict[str, KnownOrPrior]:
        mean = mean_and_scale(self.loc, 1.0, entry)["mu"]
        return {"mu": mean, "sigma": KnownOrPrior("scale", self.scale, constraints.positive)}

    def transform(self, parameter: Parameter, reference: Reference) -> Transform:
        """``mu`` in units of the columns; ``sigma`` as the log of its ratio to that of all columns."""
        return Positive(_of_all(reference)) if parameter.name == "sigma" else super().transform(parameter, reference)

    def law(self, mu: Tensor, sigma: Tensor) -> TorchDistributionMixin:
        return super().law(mu, sigma[..., None])

    def array(self, symbol: str, greeks: Greeks) -> Array:
        """As for every family, the scale [..., cells, 1]."""
        value = super().array(symbol, greeks)
        return value[..., None] if symbol == "sigma" else value

    def has_collapsed(self, greeks: Greeks, reference: Reference) -> bool:
        return "sigma" in greeks and bool(np.any(greeks["sigma"] <= 1.01 * SCALE_FLOOR * _of_all(reference)))

    def own_spreads(self, greeks: Greeks, reference: Reference) -> Array | None:
        if "sigma" not in greeks or self.given["sigma"].is_shared:
            return None
        return self.array("sigma", greeks) / _of_all(reference)

    def scaled_to(self, column: Array, inputs: Mapping[str, Array]) -> Self:
        """As a `DiagonalGaussian`, of the spread of all columns."""
        reference = standardised(column)
        location = default_prior(dist.Normal, reference.centre, LOCATION_WIDTH * reference.scale)
        return self.with_priors({"mu": location, "sigma": weak_scale(_of_all(reference))})

    def scale_slope(self, squares: Array, count: Array, precision: Array, sigma: Array) -> Array:
        return np.asarray(super().scale_slope(squares, count, precision, sigma).sum(-1))

    def best_scale(self, squares: Array, count: Array, previous: Array, reference: Reference) -> Array:
        """The root mean square distance in all columns."""
        unit = _of_all(reference)
        total = (squares * (reference.scale / unit) ** 2).sum(-1)
        own = previous[..., 0] * np.asarray(reference.scale)[0] / unit
        return super().best_scale(total, self.num_columns * count[..., 0], own, Reference(0.0, unit))


def _of_all(reference: Reference) -> float:
    """The root mean square of the columns' spreads, without squaring them."""
    largest = float(np.max(reference.scale))
    return largest * float(np.sqrt(np.mean((np.asarray(reference.scale) / largest) ** 2)))
