"""What Gaussians have in common: features that are products of forms, affine in the column, and a scale."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pyro.distributions as dist
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor
from torch.distributions import constraints

from estimators.data.remarks import Remark, constant, point_mass
from estimators.mechanisms.defaults import LogLinear, weighted_mean
from estimators.mechanisms.gaussian.forms import Places, pairs, with_one
from estimators.mechanisms.known_or_prior import KnownOrPrior
from estimators.mechanisms.protocol import Equation, Greeks, Reference, VariableTable
from estimators.optimise.arrays import Array
from estimators.parameters.parameter import LOG_ZERO
from estimators.parameters.priors import default_prior

# An input is centred where no more than this is lost of its digits.
DIGITS_LOST = 1e-10
EPS = float(np.finfo(np.float64).eps)
# Standard deviations of a column within which `scaled_to` expects the classes' locations, as rstanarm's defaults do.
LOCATION_WIDTH = 2.5
# A scale below this fraction of the column's is a spike: the M-step holds it there and the fit says so.
SCALE_FLOOR = 1e-8
# Rows that are squared at one time.
ROWS_AT_ONCE = 1_000_000


class GaussianFamily(LogLinear):
    """A family with a scale ``sigma``, whose log density is quadratic in the column.

    Unless it says otherwise, of a column of numbers [N] or of independent numbers [N, D], each with a mean ``mu`` and a
    scale; forms are (1, u) with u the standardised column.
    """

    is_gaussian = True
    is_centred = True

    def num_features(self, num_inputs: int) -> int:
        return len(self.products(num_inputs)[0])

    def products(self, num_inputs: int) -> tuple[Places, Places]:
        return pairs(1 + (self.num_columns or 1))

    def check(self, name: str, column: Tensor) -> Tensor:
        return column.double()

    def reference(self, column: Array, inputs: Array) -> Reference:
        return standardised(column)

    def forms_of_rows(self, column: Array, inputs: Array, reference: Reference) -> Array:
        """The forms [Q, N] of each row."""
        return np.vstack([np.ones(len(column)), ((column - reference.centre) / reference.scale).T])

    def features(self, column: Array, inputs: Array, reference: Reference) -> Array:
        forms, (first, second) = self.forms_of_rows(column, inputs, reference), self.products(inputs.shape[-1])
        return np.asarray(forms[first] * forms[second])

    def forms(self, equation: Equation, inputs: Array, noise: Array, reference: Reference) -> Array:
        """(1, u) [..., 1 + D, M] for ``u = (intercept + factor ε - centre) / scale`` and ε [..., D, M]."""
        centre = np.asarray(reference.centre)
        # The difference of the centres first: where they are the same, u is the noise alone, to the last digit.
        forms = equation.factor @ noise
        forms[..., 0] += equation.intercept - (centre[..., None] if self.num_columns is None else centre)
        return with_one(forms / np.reshape(reference.scale, (-1, 1)))

    def recentred(self, greeks: Greeks, reference: Reference) -> Reference:
        """Centres at the components' means, where the quadratic features are (x - mu_k)² themselves."""
        # Not from standardised means, which lose digits where one far row makes the column's scale large.
        mu, sigma = self.array("mu", greeks), self.array("sigma", greeks)
        # Means that have the shape already are not broadcast, which would take longer than all else here.
        is_whole = sigma.size == 1 and sigma.ndim <= mu.ndim
        return reference.at(mu if is_whole else np.broadcast_to(mu, np.broadcast_shapes(mu.shape, sigma.shape)))

    def tabulate(self, table: VariableTable) -> None:
        table.gaussians(self.given, "mu", "sigma")

    def unit_of_scale(self, reference: Reference) -> Any:
        """The spread of the column, or of each of its D columns, which ``sigma`` is compared with."""
        return reference.scale

    def has_collapsed(self, greeks: Greeks, reference: Reference) -> bool:
        """Whether an estimated scale is at the floor, 1e-8 of the column's."""
        return "sigma" in greeks and bool(np.any(greeks["sigma"] <= 1.01 * SCALE_FLOOR * self.unit_of_scale(reference)))

    def own_spreads(self, greeks: Greeks, reference: Reference) -> Array | None:
        if "sigma" not in greeks or self.given["sigma"].is_shared:
            return None
        scaled = np.asarray(greeks["sigma"] / self.unit_of_scale(reference))
        return scaled.reshape(len(scaled), -1)

    @property
    def estimates_scale(self) -> bool:
        """Whether its scale is a Greek, which may run to 0."""
        return not self.given["sigma"].is_known

    def remarks(self, column: Array, inputs: Mapping[str, Array]) -> list[Remark]:
        """Constant columns, and point masses."""
        found, is_scaled = list[Remark](), self.estimates_scale
        for index, values in enumerate(column.reshape(len(column), -1).T):
            place = "" if column.ndim == 1 else f"at place {index} "
            remarks = constant(values, is_scaled=is_scaled) or point_mass(values, is_scaled=is_scaled)
            found += [replace(remark, what=place + remark.what) for remark in remarks]
        return found

    def scaled_to(self, column: Array, inputs: Mapping[str, Array]) -> Self:
        """``mu ~ Normal(centre, 2.5 sd)`` and ``sigma ~ LogNormal(log(sd / 2), 1)``, of the column's centre and sd."""
        reference = standardised(column)
        location = default_prior(dist.Normal, reference.centre, LOCATION_WIDTH * reference.scale)
        return self.with_priors({"mu": location, "sigma": weak_scale(self.unit_of_scale(reference))})

    def standardised_greeks(self, greeks: Greeks, reference: Reference) -> tuple[Array, Array, Array]:
        """The means less the reference's, the scales, and 1 / scale², in standardised units."""
        scale = self.array("sigma", greeks) / reference.scale
        return (self.array("mu", greeks) - reference.centre) / reference.scale, scale, precision_of(scale)

    def moments(self, statistics: Array) -> tuple[Array, Array, Array]:
        """n, Σ u and Σ u² out of the statistics [..., F], n such that it broadcasts with the others."""
        raise NotImplementedError

    def gradient(self, greeks: Greeks, statistics: Array, reference: Reference) -> dict[str, Array]:
        """dJ/dmu = (Σ u - n m) / s² and dJ/dsigma = (Σ (u - m)² / s² - n) / s, in standardised units."""
        mean, scale, precision = self.standardised_greeks(greeks, reference)
        count, first, second = self.moments(statistics)
        residual = first - mean * count
        found = {}
        if "mu" in greeks:
            found["mu"] = residual * precision / reference.scale
        if "sigma" in greeks:
            squares = second - mean * (first + residual)
            found["sigma"] = self.scale_slope(squares, count, precision, scale * reference.scale)
        return found

    def argmax(self, statistics: Array, reference: Reference, previous: Greeks) -> dict[str, Array]:
        """Weighted means, and weighted root mean squares about them."""
        mean, scale, _ = self.standardised_greeks(previous, reference)
        count, first, second = self.moments(statistics)
        found = {}
        if "mu" in previous:
            mean = weighted_mean(first, count, mean)
            found["mu"] = reference.centre + reference.scale * mean
        if "sigma" in previous:
            squares = second - mean * (2.0 * first - mean * count)
            found["sigma"] = self.best_scale(squares, count, scale, reference)
        return found

    def scale_slope(self, squares: Array, count: Array, precision: Array, sigma: Array) -> Array:
        """dJ/dsigma from the rows' squared distances, standardised as their precision is, and their number."""
        return np.asarray((squares * precision - count) / sigma)

    def best_scale(self, squares: Array, count: Array, previous: Array, reference: Reference) -> Array:
        """The root mean square distance (pooled where the scale is shared); the previous scale without rows."""
        squares = np.maximum(squares, 0.0)
        if self.given["sigma"].is_shared:
            cells = -1 - len(self.given["sigma"].entry)
            squares, count = squares.sum(cells, keepdims=True), count.sum(cells, keepdims=True)
        root = np.where(count > 0, np.sqrt(squares / np.where(count > 0, count, 1.0)), previous)
        return np.asarray(np.maximum(root, SCALE_FLOOR) * reference.scale)


def mean_and_scale(loc: Any, scale: Any, entry: tuple[int, ...] = ()) -> dict[str, KnownOrPrior]:
    """What is given for ``mu`` and ``sigma``, of an entry's shape."""
    return {
        "mu": KnownOrPrior("loc", loc, constraints.real, entry),
        "sigma": KnownOrPrior("scale", scale, constraints.positive, entry),
    }


def weak_scale(unit: Any) -> TorchDistributionMixin:
    """A prior of a scale within a class, where that of the column is ``unit``: no smaller by orders, and hardly larger.

    It keeps off 0, where a likelihood may be infinite: its density falls faster than any power.
    """
    return default_prior(dist.LogNormal, np.log(0.5 * np.asarray(unit)), 1.0)


def precision_of(scale: Array) -> Array:
    """1 / s², finite as the square is 0: no row's share of nothing is multiplied by infinity."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.minimum(1.0 / (scale * scale), -2.0 * LOG_ZERO))


def standardised(column: Array) -> Reference:
    """Means and standard deviations of a column [N] or [N, D] (1 where constant, up to 1e-100)."""
    as_number: Any = float if column.ndim == 1 else np.asarray
    if not len(column):
        return Reference(as_number(np.zeros(column.shape[1:])), as_number(np.ones(column.shape[1:])))
    centre = column.mean(0)
    return Reference(as_number(centre), as_number(spread(column, centre)))


def spread(columns: Array, centre: Array) -> Array:
    """Root mean square distances from a centre, over the first axis (1 where a column is constant)."""
    reach = np.maximum(columns.max(0) - centre, centre - columns.min(0))
    held = np.where(reach > 1e-100, reach, 1.0)
    # Scaled before squaring, so that columns of 1e±100 neither overflow nor underflow; by parts, to take little room.
    parts = range(0, len(columns), ROWS_AT_ONCE)
    squares = sum((((columns[i : i + ROWS_AT_ONCE] - centre) / held) ** 2).sum(0) for i in parts)
    distance = held * np.sqrt(squares / len(columns))
    return np.where(reach > 1e-100, distance, 1.0)
