"""A Gaussian measurement that depends linearly on observed causes, with a line for each class of the hidden cause."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import pyro.distributions as dist
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor
from torch.distributions import constraints

from estimators.data.remarks import Remark, of_inputs, without_noise
from estimators.mechanisms.gaussian.family import (
    LOCATION_WIDTH,
    GaussianFamily,
    precision_of,
    standardised,
    weak_scale,
)
from estimators.mechanisms.gaussian.forms import Places, pairs, symmetric, with_one
from estimators.mechanisms.gaussian.line import line_about, line_of, line_prior
from estimators.mechanisms.known_or_prior import KnownOrPrior
from estimators.mechanisms.protocol import Equation, Greeks, Reference, VariableTable
from estimators.optimise.arrays import Array, Mask
from estimators.parameters.distributions import StableNormal
from estimators.parameters.parameter import HALF_LOG_2PI, Parameter
from estimators.parameters.priors import default_prior
from estimators.parameters.transforms import Scale, Transform

# Passes of a weighted fit whose weights it changes, and the change of a scale at which these end.
MOST_FITS, STILL = 200, 1e-13
# The share of an input, in units of its own size, below which what is left of it is rounding.
OPEN = 1e-13


@dataclass(frozen=True, eq=False)
class LinearGaussian(GaussianFamily):
    """``y | Z = k, parents ~ Normal(beta_k · (1, parents), sigma_k)``: a regression for each class.

    ``log p = -log(sigma_k) - log(2π)/2 - (y - beta_k · t)² / (2 sigma_k²)``, so Φ = (t ⊗ t, u t, u²) with u and t the
    standardised y and (1, parents).

    Greeks: ``beta`` [K, 1 + P], the intercept first, and ``sigma`` [K], or [] with ``shared=["scale"]``. A parent of L
    > 2 levels enters as L - 1 indicators, level 0 the baseline; any other as itself, ``T:A`` as products.
    ``coefficients`` and ``scale`` are priors (over the reals, with one for each of the 1 + P where they are batched,
    and over the positive numbers) or numbers, which mean known. Raises TypeError or ValueError for anything else, and
    for no parents.

    >>> LinearGaussian(parents=["T"], coefficients=dist.Normal(0.0, 5.0)).parents
    ('T',)
    """

    parents: Sequence[str]
    coefficients: Any = field(default_factory=lambda: default_prior(dist.Normal, 0.0, 10.0))
    scale: Any = field(default_factory=lambda: default_prior(dist.HalfNormal, 5.0))

    is_regression = True
    needs_parents: ClassVar[bool] = True

    def __post_init__(self) -> None:
        # The number of inputs is the model's to say: one known coefficient serves any.
        beta = KnownOrPrior("coefficients", self.coefficients, constraints.real, (1,))
        sigma = KnownOrPrior("scale", self.scale, constraints.positive)
        self.take({"beta": beta, "sigma": sigma})
        if self.needs_parents and not self.parents:
            raise ValueError("parents: expected at least one; a measurement without observed causes is Gaussian()")

    def products(self, num_inputs: int) -> tuple[Places, Places]:
        size = 1 + num_inputs
        first, second = pairs(size)
        return np.concatenate([first, np.arange(size), [size]]), np.concatenate([second, np.full(size + 1, size)])

    def parameters(self, table: tuple[int, ...], num_inputs: int) -> tuple[Parameter, ...]:
        beta, sigma = self.given["beta"], self.given["sigma"]
        return beta.parameter("beta", table, (1 + num_inputs,)) + sigma.parameter("sigma", table, ())

    def transform(self, parameter: Parameter, reference: Reference) -> Transform:
        """``beta`` as the line in standardised units; ``sigma`` as the log of its ratio to the column's scale."""
        if parameter.name == "sigma":
            return Scale(reference.scale)
        return line_of(reference).coordinates

    def distribution(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> TorchDistributionMixin:
        return StableNormal(self.mean(greeks, cell, inputs), self.given["sigma"].in_cell(greeks.get("sigma"), cell))

    def mean(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> Tensor:
        """E[y | cell, inputs] = beta · (1, inputs)."""
        line = self.given["beta"].in_cell(greeks.get("beta"), cell)
        line = line.expand(*line.shape[:-1], 1 + inputs.shape[-1])
        return line[..., 0] + (line[..., 1:] * inputs).sum(-1)

    def remarks(self, column: Array, inputs: Mapping[str, Array]) -> list[Remark]:
        """Those of the column, of the inputs, and a column that is a line of these."""
        exact = without_noise(column, inputs) if self.estimates_scale else []
        return super().remarks(column, inputs) + of_inputs(inputs) + exact

    def scaled_to(self, column: Array, inputs: Mapping[str, Array]) -> Self:
        """Slopes ``Normal(0, 2.5 sd(y) / sd(t))``, an intercept as wide as these let it be, a Gaussian's scale."""
        own = standardised(column)
        line = line_prior(inputs, own.centre, LOCATION_WIDTH * own.scale)
        return self.with_priors({"beta": line, "sigma": weak_scale(own.scale)})

    def reference(self, column: Array, inputs: Array) -> Reference:
        """The means and standard deviations of the column and of the inputs (1 where they are constant)."""
        own = standardised(column)
        return line_about(inputs, own.centre, own.scale)

    def forms_of_rows(self, column: Array, inputs: Array, reference: Reference) -> Array:
        # One line for all rows, or one for each.
        line, design = np.asarray(reference.centre), line_of(reference).design(inputs)
        return np.vstack([design.T, (column - line[..., 0] - (inputs * line[..., 1:]).sum(-1)) / reference.scale])

    def natural_parameters(self, greeks: Greeks, reference: Reference) -> Array:
        """C = (-b ⊗ b/2s², b/s², -1/2s²) in standardised units, b the line, and -log sigma - log(2π)/2 in the first."""
        line, scale, precision = self.standardised_greeks(greeks, reference)
        first, second = pairs(line.shape[-1])
        products = line[..., first] * line[..., second] * np.where(first == second, -0.5, -1.0)
        shape = np.broadcast_shapes(line.shape[:-1], scale.shape)
        out = np.empty((*shape, len(first) + line.shape[-1] + 1))
        out[..., : len(first)] = products * precision[..., None]
        out[..., 0] -= np.log(scale * reference.scale) + HALF_LOG_2PI
        out[..., len(first) : -1] = line * precision[..., None]
        out[..., -1] = -0.5 * precision
        return out

    def gradient(self, greeks: Greeks, statistics: Array, reference: Reference) -> dict[str, Array]:
        """dJ/dbeta and dJ/dsigma."""
        line, scale, precision = self.standardised_greeks(greeks, reference)
        squares, cross, total = _moments(statistics, line.shape[-1])
        residual = cross - _product(squares, line)
        found = {}
        if "beta" in greeks:
            found["beta"] = (residual * precision[..., None]) @ line_of(reference).matrix / reference.scale
        if "sigma" in greeks:
            left = total - ((cross + residual) * line).sum(-1)
            found["sigma"] = self.scale_slope(left, squares[..., 0, 0], precision, scale * reference.scale)
        return found

    def argmax(
        self, statistics: Array, reference: Reference, previous: Greeks, shared: Mask | None = None
    ) -> dict[str, Array]:
        """Weighted least squares, and the root mean square of its residuals (pooled where it is shared).

        ``shared`` marks the coefficients [1 + P] that classes share. With scales of their own, by which such a fit is
        weighted, it is made again until these are still.
        """
        line, scale, _ = self.standardised_greeks(previous, reference)
        squares, cross, total = _moments(statistics, line.shape[-1])
        count, is_pooled = squares[..., 0, 0], shared is not None and "beta" in previous
        for _ in range(MOST_FITS):
            if "beta" in previous:
                # A step from the line before, which keeps what a class's rows leave open as it was.
                residual = cross - _product(squares, line)
                if shared is not None:
                    line = line + _pooled(squares, residual, precision_of(scale), shared)
                else:
                    line = np.where(count[..., None] > 0, line + _solved(squares, residual[..., None])[..., 0], line)
            if "sigma" not in previous:
                break
            left = total - 2.0 * (cross * line).sum(-1) + (_product(squares, line) * line).sum(-1)
            best = self.best_scale(left, count, scale, reference) / reference.scale
            is_still = bool((np.abs(best - scale) <= STILL * scale).all())
            scale = best
            if is_still or not is_pooled or self.given["sigma"].is_shared:
                break
        found = {"sigma": scale * reference.scale} if "sigma" in previous else {}
        if "beta" in previous:
            moved = np.linalg.solve(line_of(reference).matrix, reference.scale * line[..., None])[..., 0]
            found["beta"] = reference.centre + moved
        return found

    def recentred(self, greeks: Greeks, reference: Reference) -> Reference:
        """The cells' own lines, about which the quadratic feature is the squared residual itself."""
        beta, sigma = self._beta(greeks, len(line_of(reference).input_scale)), self.array("sigma", greeks)
        return reference.at(np.broadcast_to(beta, (*np.broadcast_shapes(beta.shape[:-1], sigma.shape), beta.shape[-1])))

    def tabulate(self, table: VariableTable) -> None:
        own = line_of(table.reference)
        table.line(self.given, "beta", "sigma", own.input_centre, own.input_scale)

    def equation(self, greeks: Greeks, num_inputs: int) -> Equation:
        """``y = beta · (1, inputs) + sigma ε``."""
        beta, sigma = self._beta(greeks, num_inputs), self.array("sigma", greeks)
        shape = np.broadcast_shapes(beta.shape[:-1], sigma.shape)
        beta, sigma = np.broadcast_to(beta, (*shape, 1 + num_inputs)), np.broadcast_to(sigma, shape)
        return Equation(beta[..., :1], beta[..., None, 1:], sigma[..., None, None])

    def forms(self, equation: Equation, inputs: Array, noise: Array, reference: Reference) -> Array:
        """(t, u)."""
        centre, own = np.asarray(reference.centre), line_of(reference)
        # The difference of the lines first: where they are the same, u is the noise alone, to the last digit.
        u = equation.factor @ noise + (equation.slopes - centre[..., None, 1:]) @ inputs
        u[..., 0] += equation.intercept - centre[..., :1]
        t = inputs.copy()
        t[..., 0] -= own.input_centre
        return np.concatenate([with_one(t / np.asarray(own.input_scale)[:, None]), u / reference.scale], -2)

    def standardised_greeks(self, greeks: Greeks, reference: Reference) -> tuple[Array, Array, Array]:
        """The lines less the reference's own [..., cells, 1 + P], scales and precisions [..., cells], standardised."""
        own = line_of(reference)
        line = (self._beta(greeks, len(own.input_scale)) - own.centre) @ own.matrix.T / own.scale
        scale = self.array("sigma", greeks) / own.scale
        return line, scale, precision_of(scale)

    def _beta(self, greeks: Greeks, num_inputs: int) -> Array:
        """The lines [..., cells | 1, 1 + P]."""
        beta = self.array("beta", greeks)
        return np.broadcast_to(beta, (*beta.shape[:-1], 1 + num_inputs))


def _moments(statistics: Array, size: int) -> tuple[Array, Array, Array]:
    """Σ t t' [..., 1 + P, 1 + P], Σ u t [..., 1 + P] and Σ u² [...] out of the statistics [..., F]."""
    num_products = size * (size + 1) // 2
    squares = symmetric(statistics[..., :num_products], size)
    return squares, statistics[..., num_products:-1], statistics[..., -1]


def _product(squares: Array, line: Array) -> Array:
    return np.asarray((squares @ line[..., None])[..., 0])


def _solved(squares: Array, right: Array) -> Array:
    """The shortest x [..., P, R] with ``squares @ x = right``, in units of each input's size in the class's rows."""
    size = np.sqrt(np.diagonal(squares, axis1=-2, axis2=-1))[..., None]
    size = np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.eigh(squares / size / np.swapaxes(size, -1, -2))
    return _within(values, vectors, right / size, OPEN * values[..., -1:]) / size


def _within(values: Array, vectors: Array, right: Array, least: Array | float) -> Array:
    """The shortest x [..., P, R] that solves what it can, from eigenvalues of which those up to ``least`` are 0."""
    inverse = np.divide(1.0, values, out=np.zeros_like(values), where=values > least)
    return np.asarray(vectors @ (inverse[..., None] * (np.swapaxes(vectors, -1, -2) @ right)))


def _pooled(squares: Array, residual: Array, precision: Array, shared: Mask) -> Array:
    """The steps [..., K, 1 + P] of all lines at once, weighted by their precisions [..., K], alike where shared.

    A class's own numbers are eliminated within it: the rounding of many rows' sums would be all that few rows say.
    """
    weights = np.broadcast_to(precision, residual.shape[:-1])
    by_own, by_shared = squares[..., ~shared, :], squares[..., shared, :]
    right = np.concatenate([residual[..., ~shared, None], by_own[..., shared]], -1)
    solved = _solved(by_own[..., ~shared], right)
    alone, carried = solved[..., 0], solved[..., 1:]
    size = np.sqrt(np.einsum("...k,...kpp->...p", weights, by_shared[..., shared]))[..., None]
    size = np.where(size > 0, size, 1.0)
    whole = np.einsum("...k,...kpq->...pq", weights, by_shared[..., shared] - by_shared[..., ~shared] @ carried)
    left = residual[..., shared] - _product(by_shared[..., ~shared], alone)
    values, vectors = np.linalg.eigh(whole / size / np.swapaxes(size, -1, -2))
    # What the classes' own numbers do as well is open, and stays as it was.
    right = np.einsum("...k,...kp->...p", weights, left)[..., None] / size
    of_all = (_within(values, vectors, right, OPEN) / size)[..., None, :, 0]
    step = np.empty(residual.shape)
    step[..., shared], step[..., ~shared] = of_all, alone - _product(carried, of_all)
    return step
