"""Several Gaussian measurements with correlations that depend on the hidden cause, as one column of vectors."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.ops.indexing import Vindex
from torch import Tensor

from estimators.checks import check_whole
from estimators.data.remarks import Remark, collinear_vector
from estimators.mechanisms.defaults import weighted_mean
from estimators.mechanisms.gaussian.family import EPS, GaussianFamily, mean_and_scale
from estimators.mechanisms.gaussian.forms import pairs, symmetric
from estimators.mechanisms.gaussian.vectors import standard_units, without_inputs
from estimators.mechanisms.known_or_prior import KnownOrPrior
from estimators.mechanisms.protocol import Equation, Greeks, Reference, VariableTable
from estimators.optimise.arrays import Array
from estimators.parameters.correlations import CholeskyOfCorrelation
from estimators.parameters.parameter import HALF_LOG_2PI, Parameter
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
class FullGaussian(GaussianFamily):
    """``x | Z = k ~ Normal(mu_k, Σ_k)``, a column of vectors [N, D], with ``Σ_k = L_k L_k'``, L = diag(sigma) corr.

    ``log p = -log|L_k| - D log(2π)/2 - (x - mu_k)' Σ_k⁻¹ (x - mu_k) / 2``, so Φ = (1, u, u_i u_j for i <= j) with u the
    standardised x.

    Greeks: ``mu`` and ``sigma`` (standard deviations) [K, D], and ``corr`` [K, D, D], the lower Cholesky factor of the
    correlation matrix, with prior ``LKJCholesky(D, correlation)`` (none where D = 1: there is nothing to correlate).
    With discrete observed ``parents``: [K, levels, ..., D]. With ``shared=["covariance"]`` the covariance is tied: one
    ``sigma`` [D] and one ``corr`` [D, D]. ``loc`` and ``scale`` are priors (over the reals and over
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_columns", check_whole("num_columns", self.num_columns, least=1))
        if isinstance(self.correlation, bool) or not isinstance(self.correlation, Real):
            raise TypeError(f"correlation: expected the concentration of an LKJ prior, got {self.correlation!r}")
        if not 0.0 < float(self.correlation) < np.inf:
            raise ValueError(f"correlation: expected a concentration > 0, got {self.correlation!r}")
        object.__setattr__(self, "correlation", float(self.correlation))
        self.take(mean_and_scale(self.loc, self.scale, (self.num_columns,)))

    def parameters(self, table: tuple[int, ...], num_inputs: int) -> tuple[Parameter, ...]:
        found, size, is_tied = super().parameters(table, num_inputs), self.num_columns, self.given["sigma"].is_shared
        if size > 1:
            cells = () if is_tied else table
            prior = dist.LKJCholesky(size, torch.full(cells, self.correlation, dtype=torch.float64))
            found += (Parameter("corr", (*cells, size, size), prior, None if is_tied else 0),)
        return found

    def shareable(self, given: Mapping[str, KnownOrPrior]) -> Mapping[str, str]:
        return {"covariance": "sigma"}

    def transform(self, parameter: Parameter, reference: Reference) -> Transform:
        """``mu`` and ``sigma`` in units of the columns; ``corr`` as Pyro has it."""
        if parameter.name == "corr":
            return CholeskyOfCorrelation(self.num_columns)
        return standard_units(parameter, reference)

    def distribution(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> TorchDistributionMixin:
        mu, sigma = (one.in_cell(greeks.get(symbol), cell) for symbol, one in self.given.items())
        factor = sigma[..., None]
        if "corr" in greeks:
            factor = factor * Vindex(greeks["corr"])[..., cell, :, :]
        return dist.MultivariateNormal(mu, scale_tril=factor)

    def remarks(self, column: Array, inputs: Mapping[str, Array]) -> list[Remark]:
        """Those of its columns one by one, and a singular covariance."""
        return super().remarks(column, inputs) + collinear_vector(column)

    def natural_parameters(self, greeks: Greeks, reference: Reference) -> Array:
        """C = (-m'Pm/2 - log|L| - D log(2π)/2, P m, -P_ii/2 and -P_ij for i < j) in standardised units, P = Σ⁻¹."""
        size = self.num_columns
        mean, factor = self._mean_and_factor(greeks, reference)
        inverse = _inverses(factor)
        whitened = (inverse @ mean[..., None])[..., 0]
        precision = np.swapaxes(inverse, -1, -2) @ inverse
        scales = np.diagonal(factor, axis1=-2, axis2=-1) * reference.scale
        first, second = pairs(size)
        out = np.empty((*whitened.shape[:-1], 1 + size + len(first)))
        out[..., 0] = -0.5 * (whitened * whitened).sum(-1) - np.log(scales).sum(-1) - size * HALF_LOG_2PI
        out[..., 1 : size + 1] = (np.swapaxes(inverse, -1, -2) @ whitened[..., None])[..., 0]
        out[..., size + 1 :] = precision[..., first, second] * np.where(first == second, -0.5, -1.0)
        return out

    def gradient(self, greeks: Greeks, statistics: Array, reference: Reference) -> dict[str, Array]:
        """With M the second moment about mu, dJ/dL = tril(Σ⁻¹ M L'⁻¹) - n diag(1 / L_ii), and L = diag(sigma) corr."""
        mean, factor = self._mean_and_factor(greeks, reference)
        count, first, second = self.moments(statistics)
        inverse = _inverses(factor)
        transposed = np.swapaxes(inverse, -1, -2)
        found = {}
        if "mu" in greeks:
            residual = first - mean * count
            found["mu"] = (transposed @ (inverse @ residual[..., None]))[..., 0] / reference.scale
        ends = np.diagonal(inverse, axis1=-2, axis2=-1)[..., None] * np.eye(self.num_columns)
        about = _about(mean, count, first, second)
        slope = np.tril(transposed @ (inverse @ about @ transposed)) - count[..., None] * ends
        if "sigma" in greeks:
            found["sigma"] = (slope * self._corr(greeks)).sum(-1) / reference.scale
        if "corr" in greeks:
            found["corr"] = slope * (self.array("sigma", greeks) / reference.scale)[..., None]
        return found

    def argmax(self, statistics: Array, reference: Reference, previous: Greeks) -> dict[str, Array]:
        """Weighted means, and weighted covariances about them, no direction of which may lose its variance.

        With a known scale, the correlations that maximise J have no closed form: they are found by Newton's method.
        """
        mean, factor = self._mean_and_factor(previous, reference)
        count, first, second = self.moments(statistics)
        found = {}
        if "mu" in previous:
            mean = weighted_mean(first, count, mean)
            found["mu"] = reference.centre + reference.scale * mean
        old, about = factor @ np.swapaxes(factor, -1, -2), _about(mean, count, first, second)
        if self.given["sigma"].is_shared:
            about, count = about.sum(-3, keepdims=True), count.sum(-2, keepdims=True)
        covariance = weighted_mean(about, count[..., None], old)
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

    def tabulate(self, table: VariableTable) -> None:
        table.correlated(self.given, "mu", "sigma", "corr")

    def recentred(self, greeks: Greeks, reference: Reference) -> Reference:
        mu, factor = self.array("mu", greeks), self._mean_and_factor(greeks, reference)[1]
        return reference.at(np.broadcast_to(mu, np.broadcast_shapes(mu.shape, factor.shape[:-1])))

    def own_spreads(self, greeks: Greeks, reference: Reference) -> Array | None:
        """The standard deviation of each column given those before it."""
        if not {"sigma", "corr"} & greeks.keys() or self.given["sigma"].is_shared:
            return None
        factor = self._mean_and_factor(greeks, reference)[1]
        return np.abs(np.diagonal(factor, axis1=-2, axis2=-1))

    def has_collapsed(self, greeks: Greeks, reference: Reference) -> bool:
        """Whether the estimated variance in a direction is at the floor, 1e-14 of that of all standardised columns."""
        if "sigma" in greeks:
            factor = self._mean_and_factor(greeks, reference)[1]
        elif "corr" in greeks:
            factor = greeks["corr"]
        else:
            return False
        smallest = np.linalg.svd(factor, compute_uv=False)[..., -1]
        return bool(np.any(smallest * smallest <= 2.0 * VARIANCE_FLOOR * self.num_columns))

    def equation(self, greeks: Greeks, num_inputs: int) -> Equation:
        """``x = mu + L ε``."""
        return without_inputs(self.array("mu", greeks), self.array("sigma", greeks)[..., None] * self._corr(greeks))

    def moments(self, statistics: Array) -> tuple[Array, Array, Array]:
        """n [..., 1], Σ u [..., D] and Σ u u' [..., D, D]."""
        size = self.num_columns
        return statistics[..., :1], statistics[..., 1 : size + 1], symmetric(statistics[..., size + 1 :], size)

    def _corr(self, greeks: Greeks) -> Array:
        return greeks["corr"] if "corr" in greeks else np.ones((1, 1))

    def _mean_and_factor(self, greeks: Greeks, reference: Reference) -> tuple[Array, Array]:
        """The means [..., cells, D] less the reference's and the Cholesky factors [..., cells, D, D], standardised."""
        mean, scale, _ = self.standardised_greeks(greeks, reference)
        return mean, scale[..., None] * self._corr(greeks)


def _inverses(factors: Array) -> Array:
    """The inverses of matrices [..., D, D]: NaN for one that has none, as far out, which is not the others' concern."""
    try:
        return np.asarray(np.linalg.inv(factors), dtype=np.float64)
    except np.linalg.LinAlgError:
        inverses = np.full(factors.shape, np.nan)
        for index in np.ndindex(factors.shape[:-2]):
            with suppress(np.linalg.LinAlgError):
                inverses[index] = np.linalg.inv(factors[index])
        return inverses


def _about(mean: Array, count: Array, first: Array, second: Array) -> Array:
    """The second moments [..., D, D] about means [..., D]."""
    residual = first - mean * count
    return np.asarray(second - mean[..., :, None] * first[..., None, :] - residual[..., :, None] * mean[..., None, :])


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
    # What an extrapolation has made singular, or no number, is no start.
    begun = np.isfinite(start).all((-2, -1), keepdims=True)
    matrix = np.where(begun, start @ np.swapaxes(start, -1, -2), np.eye(moments.shape[-1]))
    matrix = np.broadcast_to(matrix, moments.shape)
    is_inside = np.isfinite(_fit_of(matrix, moments, floor))[..., None, None]
    matrix = np.where(is_inside, matrix, np.eye(moments.shape[-1]))
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


def _off_diagonal(size: int) -> Array:
    """The symmetric matrices [pairs, D, D] with two ones off the diagonal."""
    first, second = pairs(size, 1)
    basis = np.zeros((len(first), size, size))
    number = np.arange(len(first))
    basis[number, first, second] = basis[number, second, first] = 1.0
    return basis


def _fit_of(matrix: Array, moments: Array, floor: float) -> Array:
    """-log|R| - tr(R⁻¹ S), -∞ where an eigenvalue of R is below the floor."""
    values, vectors = np.linalg.eigh(matrix)
    inside = values[..., 0] >= floor
    held = np.where(inside[..., None], values, 1.0)
    along = (np.swapaxes(vectors, -1, -2) @ moments @ vectors).diagonal(axis1=-2, axis2=-1)
    return np.where(inside, -(np.log(held) + along / held).sum(-1), -np.inf)
