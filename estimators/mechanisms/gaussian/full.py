"""Several Gaussian measurements with correlations that depend on the hidden cause, as one column of vectors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from numbers import Real
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from numpy.typing import NDArray
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.ops.indexing import Vindex
from torch import Tensor

from estimators.isolation import own_modes
from estimators.mechanisms.gaussian.forms import Places
from estimators.mechanisms.gaussian.precision import DIGITS_LOST, EPS
from estimators.mechanisms.gaussian.vectors import VectorGaussian, of_cell
from estimators.mechanisms.protocol import Equation, Greeks, Reference
from estimators.parameters.correlations import CholeskyOfCorrelation
from estimators.parameters.parameter import Array, Parameter
from estimators.parameters.prior_densities import HALF_LOG_2PI
from estimators.parameters.priors import default_prior
from estimators.parameters.transforms import Transform

# The M-step holds the variance in every direction at this share of D, the variance of all standardised columns. Sums of
# squares have no digits below 1e-15 of the largest.
VARIANCE_FLOOR = 1e-14
# Steps of Newton's method for correlations under known scales, halvings of each, and the step at which they end.
MOST_STEPS = 100
MOST_HALVINGS = 40
SMALLEST_STEP = 1e-10
ROUNDING = 1e-14


@dataclass(frozen=True, eq=False)
class FullGaussian(VectorGaussian):
    """``x | Z = k ~ Normal(mu_k, Σ_k)``, a column of vectors [N, D], with ``Σ_k = L_k L_k'``, L = diag(sigma) corr.

    ``log p = -log|L_k| - D log(2π)/2 - (x - mu_k)' Σ_k⁻¹ (x - mu_k) / 2``, so Φ = (1, u, u_i u_j for i <= j) with u the
    standardised x.

    Greeks: ``mu`` and ``sigma`` (standard deviations) [K, D], and ``corr`` [K, D, D], the lower Cholesky factor of the
    correlation matrix, with prior ``LKJCholesky(D, correlation)`` (none where D = 1: there is nothing to correlate).
    With discrete observed ``parents``: [K, levels, ..., D]. ``loc`` and ``scale`` are priors (over the reals and over
    the positive numbers; of batch shape [D] for one per column), or numbers (or D of them), which mean known. Raises
    TypeError or ValueError for anything else.

    >>> FullGaussian(3, scale=dist.LogNormal(0.0, 1.0), correlation=2.0).num_columns
    3
    """

    num_columns: int
    loc: Any = field(default_factory=lambda: default_prior(dist.Normal, 0.0, 10.0))
    scale: Any = field(default_factory=lambda: default_prior(dist.HalfNormal, 5.0))
    correlation: float = 1.0
    parents: Sequence[str] = ()

    has_products = True

    @own_modes()
    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.correlation, bool) or not isinstance(self.correlation, Real):
            raise TypeError(f"correlation: expected the concentration of an LKJ prior, got {self.correlation!r}")
        if not 0.0 < float(self.correlation) < np.inf:
            raise ValueError(f"correlation: expected a concentration > 0, got {self.correlation!r}")
        object.__setattr__(self, "correlation", float(self.correlation))

    def num_features(self, num_inputs: int) -> int:
        """F = 1 + D + D (D + 1) / 2."""
        size = self.num_columns
        return 1 + size + size * (size + 1) // 2

    def parameters(self, table: tuple[int, ...], num_inputs: int) -> tuple[Parameter, ...]:
        """The Greeks with their priors."""
        found, size = super().parameters(table, num_inputs), self.num_columns
        if size > 1:
            concentration = torch.full(table, self.correlation, dtype=torch.float64)
            found += (Parameter("corr", (*table, size, size), dist.LKJCholesky(size, concentration)),)
        return found

    def transform(self, parameter: Parameter, reference: Reference) -> Transform:
        """``mu`` and ``sigma`` in units of the columns; ``corr`` as Pyro has it."""
        if parameter.name == "corr":
            return CholeskyOfCorrelation(self.num_columns)
        return super().transform(parameter, reference)

    def distribution(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> TorchDistributionMixin:
        """p(x | cell), with the D numbers as one event."""
        mu = of_cell(self.in_cells("mu", greeks), cell)
        factor = of_cell(self.in_cells("sigma", greeks), cell)[..., None]
        if "corr" in greeks:
            factor = factor * Vindex(greeks["corr"])[..., cell, :, :]
        return dist.MultivariateNormal(mu, scale_tril=factor)

    def features(self, column: Array, inputs: Array, reference: Reference) -> Array:
        """Φ = (1, u, u_i u_j for i <= j) as [F, N]."""
        standard = ((column - reference.centre) / reference.scale).T
        first, second = _pairs(self.num_columns)
        return np.concatenate([np.ones((1, len(column))), standard, standard[first] * standard[second]])

    def natural_parameters(self, greeks: Greeks, reference: Reference) -> Array:
        """C = (-m'Pm/2 - log|L| - D log(2π)/2, P m, -P_ii/2 and -P_ij for i < j) in standardised units, P = Σ⁻¹."""
        size = self.num_columns
        mean, factor = self._standardised(greeks, reference)
        inverse = np.linalg.inv(factor)
        whitened = (inverse @ mean[..., None])[..., 0]
        precision = np.swapaxes(inverse, -1, -2) @ inverse
        scales = np.diagonal(factor, axis1=-2, axis2=-1) * reference.scale
        first, second = _pairs(size)
        out = np.empty((*whitened.shape[:-1], self.num_features(0)))
        out[..., 0] = -0.5 * (whitened * whitened).sum(-1) - np.log(scales).sum(-1) - size * HALF_LOG_2PI
        out[..., 1 : size + 1] = (np.swapaxes(inverse, -1, -2) @ whitened[..., None])[..., 0]
        out[..., size + 1 :] = precision[..., first, second] * np.where(first == second, -0.5, -1.0)
        return out

    def gradient(self, greeks: Greeks, statistics: Array, reference: Reference) -> dict[str, Array]:
        """With M the second moment about mu, dJ/dL = tril(Σ⁻¹ M L'⁻¹) - n diag(1 / L_ii), and L = diag(sigma) corr."""
        mean, factor = self._standardised(greeks, reference)
        count, first, second = self._moments(statistics)
        inverse = np.linalg.inv(factor)
        transposed = np.swapaxes(inverse, -1, -2)
        residual = first - mean * count
        found = {}
        if "mu" in greeks:
            found["mu"] = (transposed @ (inverse @ residual[..., None]))[..., 0] / reference.scale
        about = second - mean[..., :, None] * first[..., None, :] - residual[..., :, None] * mean[..., None, :]
        ends = np.diagonal(inverse, axis1=-2, axis2=-1)[..., None] * np.eye(self.num_columns)
        slope = np.tril(transposed @ (inverse @ about @ transposed)) - count[..., None] * ends
        if "sigma" in greeks:
            found["sigma"] = (slope * self._corr(greeks)).sum(-1) / reference.scale
        if "corr" in greeks:
            sigma = self.array("sigma", greeks)
            found["corr"] = slope * (sigma / reference.scale)[..., None]
        return found

    def loses_digits(self, coefficients: Array, reference: Reference) -> bool:
        """Whether eps * (range / conditional scale)² > 1e-10 in a column."""
        first, second = _pairs(self.num_columns)
        squares = coefficients[..., self.num_columns + 1 :][..., first == second]
        return EPS * (2.0 * reference.reach) ** 2 * -2.0 * float(squares.min()) > DIGITS_LOST

    def recentred(self, greeks: Greeks, reference: Reference) -> Reference:
        """Centres [cells, D] at the components' means."""
        mu = self.array("mu", greeks)
        factor = self._standardised(greeks, reference)[1]
        return reference.at(np.broadcast_to(mu, np.broadcast_shapes(mu.shape, factor.shape[:-1])))

    def argmax(self, statistics: Array, reference: Reference, previous: Greeks) -> dict[str, Array]:
        """Weighted means, and weighted covariances about them, no direction of which may lose its variance.

        With a known scale, the correlations that maximise J have no closed form: they are found by Newton's method.
        """
        mean, factor = self._standardised(previous, reference)
        count, first, second = self._moments(statistics)
        held = np.where(count > 0, count, 1.0)
        found = {}
        if "mu" in previous:
            mean = np.where(count > 0, first / held, mean)
            found["mu"] = reference.centre + reference.scale * mean
        residual = first - mean * count
        about = second - mean[..., :, None] * first[..., None, :] - residual[..., :, None] * mean[..., None, :]
        old = factor @ np.swapaxes(factor, -1, -2)
        covariance = np.where(count[..., None] > 0, about / held[..., None], old)
        if "sigma" in previous:
            best = _factor(covariance, VARIANCE_FLOOR * self.num_columns)
            sigma = np.sqrt((best * best).sum(-1))
            found["sigma"] = sigma * reference.scale
            if "corr" in previous:
                found["corr"] = best / sigma[..., None]
        elif "corr" in previous:
            sigma = self.array("sigma", {}) / reference.scale
            scaled = covariance / (sigma[..., :, None] * sigma[..., None, :])
            found["corr"] = _best_correlations(scaled, previous["corr"], VARIANCE_FLOOR * self.num_columns)
        return found

    def has_collapsed(self, greeks: Greeks, reference: Reference) -> bool:
        """Whether the estimated variance in a direction is at the floor, 1e-14 of that of all standardised columns."""
        if "sigma" in greeks:
            factor = self._standardised(greeks, reference)[1]
        elif "corr" in greeks:
            factor = greeks["corr"]
        else:
            return False
        smallest = np.linalg.svd(factor, compute_uv=False)[..., -1]
        return bool(np.any(smallest * smallest <= 2.0 * VARIANCE_FLOOR * self.num_columns))

    def equation(self, greeks: Greeks, num_inputs: int) -> Equation:
        """``x = mu + L ε``."""
        return self.equation_of(greeks, self._corr(greeks))

    def products(self, num_inputs: int) -> tuple[Places, Places]:
        """1, u and u_i u_j."""
        return _pairs(1 + self.num_columns)

    def _moments(self, statistics: Array) -> tuple[Array, Array, Array]:
        """n [..., 1], Σ u [..., D] and Σ u u' [..., D, D]."""
        size = self.num_columns
        first, second = _pairs(size)
        products = np.empty((*statistics.shape[:-1], size, size))
        products[..., first, second] = products[..., second, first] = statistics[..., size + 1 :]
        return statistics[..., :1], statistics[..., 1 : size + 1], products

    def _corr(self, greeks: Greeks) -> Array:
        return greeks["corr"] if "corr" in greeks else np.ones((1, 1))

    def _standardised(self, greeks: Greeks, reference: Reference) -> tuple[Array, Array]:
        """The means [..., cells, D] less the reference's and the Cholesky factors [..., cells, D, D], standardised."""
        mu = self.array("mu", greeks)
        sigma = self.array("sigma", greeks)
        factor = (sigma / reference.scale)[..., None] * self._corr(greeks)
        return (mu - reference.centre) / reference.scale, factor


def _factor(covariance: Array, floor: float) -> Array:
    """The lower Cholesky factor [..., D, D] of the covariance with its eigenvalues raised to a floor."""
    values, vectors = np.linalg.eigh(covariance)
    # Of the square root by QR, which unlike Cholesky's algorithm cannot fail on a matrix that is nearly singular.
    root = np.sqrt(np.maximum(values, floor))[..., None] * np.swapaxes(vectors, -1, -2)
    upper = np.linalg.qr(root, mode="r")
    signs = np.where(np.diagonal(upper, axis1=-2, axis2=-1) < 0, -1.0, 1.0)
    return np.tril(np.swapaxes(upper * signs[..., None], -1, -2))


def _best_correlations(moments: Array, start: Array, floor: float) -> Array:
    """The Cholesky factor of the correlations R that maximise ``J = -log|R| - tr(R⁻¹ S)``, from those of a start.

    By Newton's method with every curvature taken as negative (so that each step climbs), halved until J rises.
    """
    matrix = np.broadcast_to(start @ np.swapaxes(start, -1, -2), moments.shape)
    value, basis = _fit_of(matrix, moments, floor), _off_diagonal(moments.shape[-1])
    for _ in range(MOST_STEPS):
        step = np.tensordot(_newton_step(matrix, moments, basis), basis, 1)
        # Near the top J no longer rises by more than its rounding.
        least, share = value - ROUNDING * (1.0 + np.abs(value)), np.ones(value.shape)
        for _ in range(MOST_HALVINGS):
            moved = matrix + share[..., None, None] * step
            found = _fit_of(moved, moments, floor)
            if bool((held := found >= least).all()):
                break
            share = np.where(held, share, 0.5 * share)
        moved = np.where(held[..., None, None], moved, matrix)
        change, matrix, value = float(np.abs(moved - matrix).max()), moved, np.where(held, found, value)
        if change < SMALLEST_STEP:
            break
    factor = _factor(matrix, floor)
    return np.asarray(factor / np.sqrt((factor * factor).sum(-1, keepdims=True)))


def _newton_step(matrix: Array, moments: Array, basis: Array) -> Array:
    """The step [..., pairs] with gradient tr(G E) and curvature 2 tr(P E P E' P S) - tr(P E P E'), P = R⁻¹."""
    precision = np.linalg.inv(matrix)
    scaled = precision @ moments
    slope = np.einsum("...ij,aji->...a", scaled @ precision - precision, basis)
    moved = precision[..., None, :, :] @ basis
    flat, turned = (part.reshape(*part.shape[:-2], -1) for part in (moved, np.swapaxes(moved, -1, -2)))
    weighted = (scaled[..., None, :, :] @ moved).reshape(flat.shape)
    curvature = (2.0 * weighted - flat) @ np.swapaxes(turned, -1, -2)
    values, vectors = np.linalg.eigh(0.5 * (curvature + np.swapaxes(curvature, -1, -2)))
    along = (np.swapaxes(vectors, -1, -2) @ slope[..., None])[..., 0] / np.maximum(np.abs(values), EPS)
    return np.asarray((vectors @ along[..., None])[..., 0])


@cache
def _pairs(size: int, apart: int = 0) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The indices i <= j (or i < j, one apart) of the entries of a symmetric matrix."""
    first, second = np.nonzero(np.triu(np.ones((size, size)), apart))
    return first, second


def _off_diagonal(size: int) -> Array:
    """The symmetric matrices [pairs, D, D] with two ones off the diagonal."""
    first, second = _pairs(size, 1)
    basis = np.zeros((len(first), size, size))
    pairs = np.arange(len(first))
    basis[pairs, first, second] = basis[pairs, second, first] = 1.0
    return basis


def _fit_of(matrix: Array, moments: Array, floor: float) -> Array:
    """-log|R| - tr(R⁻¹ S), -∞ where an eigenvalue of R is below the floor."""
    values, vectors = np.linalg.eigh(matrix)
    inside = values[..., 0] >= floor
    held = np.where(inside[..., None], values, 1.0)
    along = (np.swapaxes(vectors, -1, -2) @ moments @ vectors).diagonal(axis1=-2, axis2=-1)
    return np.where(inside, -(np.log(held) + along / held).sum(-1), -np.inf)
