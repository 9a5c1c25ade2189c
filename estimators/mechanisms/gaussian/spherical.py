"""Several Gaussian measurements with one spread, independent of each other given the hidden cause."""

from dataclasses import dataclass

import numpy as np
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor
from torch.distributions import constraints

from estimators.mechanisms.gaussian.diagonal import DiagonalGaussian
from estimators.mechanisms.gaussian.family import mean_and_scale
from estimators.mechanisms.known_or_prior import KnownOrPrior
from estimators.mechanisms.protocol import Greeks, Reference
from estimators.optimise.arrays import Array
from estimators.parameters.parameter import Parameter
from estimators.parameters.transforms import Scale, Transform


@dataclass(frozen=True, eq=False)
class SphericalGaussian(DiagonalGaussian):
    """``x | Z = k ~ Normal(mu_k, sigma_k² I)``, a column of vectors [N, D] of one unit.

    A `DiagonalGaussian` with one ``sigma`` for all columns: [K], or [K, levels, ...] with discrete observed
    ``parents``, or [] with ``shared=["scale"]``. ``loc`` is as there; ``scale`` is a prior over the positive numbers,
    or a number, which means known. Raises TypeError or ValueError for anything else.

    >>> SphericalGaussian(2, scale=1.0).num_columns
    2
    """

    def given_of(self, entry: tuple[int, ...]) -> dict[str, KnownOrPrior]:
        mean = mean_and_scale(self.loc, 1.0, entry)["mu"]
        return {"mu": mean, "sigma": KnownOrPrior("scale", self.scale, constraints.positive)}

    def transform(self, parameter: Parameter, reference: Reference) -> Transform:
        """``mu`` in units of the columns; ``sigma`` as the log of its ratio to that of all columns."""
        if parameter.name == "sigma":
            return Scale(self.unit_of_scale(reference))
        return super().transform(parameter, reference)

    def law(self, mu: Tensor, sigma: Tensor) -> TorchDistributionMixin:
        return super().law(mu, sigma[..., None])

    def array(self, symbol: str, greeks: Greeks) -> Array:
        """A Greek; the scale as [..., cells, 1], one for all columns."""
        value = super().array(symbol, greeks)
        return value[..., None] if symbol == "sigma" else value

    def unit_of_scale(self, reference: Reference) -> float:
        """The root mean square of the columns' spreads, without squaring them."""
        largest = float(np.max(reference.scale))
        return largest * float(np.sqrt(np.mean((np.asarray(reference.scale) / largest) ** 2)))

    def scale_slope(self, squares: Array, count: Array, precision: Array, sigma: Array) -> Array:
        return np.asarray(super().scale_slope(squares, count, precision, sigma).sum(-1))

    def best_scale(self, squares: Array, count: Array, previous: Array, reference: Reference) -> Array:
        """The root mean square distance in all columns."""
        unit = self.unit_of_scale(reference)
        total = (squares * (reference.scale / unit) ** 2).sum(-1)
        own = previous[..., 0] * np.asarray(reference.scale)[0] / unit
        return super().best_scale(total, self.num_columns * count[..., 0], own, Reference(0.0, unit))
