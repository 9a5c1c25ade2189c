"""Row log densities that are quadratic in the numbers of a row, with some of these numbers integrated out.

Given Z and the discrete variables, ``f(x) = c + b·x - x'Px/2`` in a row's Gaussian numbers x (and the numbers that are
inputs of a regression). With the missing ones m split off,

    log ∫ exp f dx_m = f(x with x_m = 0) + s'Q⁻¹s/2 + (d/2) log 2π - log|Q|/2,    Q = P_mm,  s = (b - Px)_m,

and ``x_m | rest ~ Normal(Q⁻¹s, Q⁻¹)``. Q depends on which numbers are missing alone, so rows that miss the same ones
share one Cholesky factor for each class.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from estimators.parameters import Array

Indices = NDArray[np.intp]
LOG_2PI = float(np.log(2.0 * np.pi))
# A direction whose precision is lost to rounding keeps this share of the largest.
LEAST_PRECISION = 1e-12


@cache
def design(size: int) -> tuple[Array, Array]:
    """Points [Q, size] that settle a quadratic, and the matrix [Q, Q] from its values there to its coefficients.

    The coefficients are those of ``monomials``: 1, x_i, and x_i x_j for i <= j.
    """
    units = np.eye(size)
    first, second = _pairs(size, 1)
    points = np.concatenate([np.zeros((1, size)), units, -units, units[first] + units[second]])
    return points, np.asarray(np.linalg.inv(monomials(points).T), dtype=np.float64)


def monomials(points: Array) -> Array:
    """1, x_i and x_i x_j (i <= j) of points [Q, size], as [Q, M]."""
    first, second = _pairs(points.shape[1])
    return np.concatenate([np.ones((len(points), 1)), points, points[:, first] * points[:, second]], 1)


def form(coefficients: Array, size: int) -> tuple[Array, Array, Array]:
    """c [...], b [..., size] and P [..., size, size] out of coefficients of monomials [..., M]."""
    first, second = _pairs(size)
    matrix = np.zeros((*coefficients.shape[:-1], size, size))
    matrix[..., first, second] = -coefficients[..., 1 + size :]
    return coefficients[..., 0], coefficients[..., 1 : 1 + size], matrix + np.swapaxes(matrix, -1, -2)


@dataclass(frozen=True, eq=False)
class Patterns:
    """Rows by what they have in common: ``config`` [n] (a quadratic of its own) and ``pattern`` [n] (what is missing).

    ``config_of`` [H] is the config of each pattern, ``missing`` [H, size] its mask, ``places`` the rows of each config.
    """

    config: Indices
    pattern: Indices
    config_of: Indices
    missing: Array
    places: tuple[Indices | slice, ...]

    @classmethod
    def of(cls, config: Indices, missing: NDArray[np.bool_]) -> "Patterns":
        """Group rows with configs [n] and masks [n, size]."""
        keys = np.concatenate([config[:, None], missing], 1)
        _, first, pattern = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        count = int(config.max(initial=-1)) + 1
        places: tuple[Indices | slice, ...] = (slice(None),)
        if count > 1:
            ordered = np.argsort(config, kind="stable")
            places = tuple(np.split(ordered, np.searchsorted(config[ordered], np.arange(1, count))))
        return cls(config, pattern.reshape(-1), config[first], missing[first].astype(np.float64), places)

    def moments(self, weights: Array, mean: Array, covariance: Array) -> Array:
        """Σ weights E[monomials] of each config [G, M], for rows ~ Normal(mean [n, size], covariance [H, ...])."""
        size = mean.shape[1]
        first, second = _pairs(size)
        spread = np.bincount(self.pattern, weights, len(self.config_of))[:, None] * covariance[:, first, second]
        found = np.zeros((len(self.places), 1 + size + len(first)))
        for config, places in enumerate(self.places):
            point, weight = mean[places], weights[places]
            weighted = point * weight[:, None]
            found[config, 0] = weight.sum()
            found[config, 1 : 1 + size] = weighted.sum(0)
            found[config, 1 + size :] = (weighted.T @ point)[first, second]
        np.add.at(found[:, 1 + size :], self.config_of, spread)
        return found


@dataclass(frozen=True, eq=False)
class Integrated:
    """log ∫ exp f of each row [n], and its numbers given what is known: mean [n, size], covariance [H, size, size]."""

    value: Array
    mean: Array
    covariance: Array


def integrated(rows: Array, coefficients: Array, patterns: Patterns) -> Integrated:
    """Integrate out what is missing of rows [n, size] (0 there) under the quadratics of each config [G, M]."""
    size = rows.shape[1]
    constant, linear, matrix = form(coefficients, size)
    value, slope = np.empty(len(rows)), np.empty(rows.shape)
    for config, places in enumerate(patterns.places):
        point = rows[places]
        slope[places] = linear[config] - point @ matrix[config]
        value[places] = constant[config] + 0.5 * np.einsum("ni,ni->n", linear[config] + slope[places], point)
    missing = patterns.missing
    slope *= missing[patterns.pattern]
    both = missing[:, :, None] * missing[:, None, :]
    # 1 in place of the precision of what is known, so that one factorisation serves every pattern.
    precision = matrix[patterns.config_of] * both + (1.0 - missing)[:, :, None] * np.eye(size)
    covariance, log_determinant = _inverse(precision)
    covariance *= both
    moved = np.einsum("ni,nij->nj", slope, covariance[patterns.pattern])
    extra = 0.5 * (missing.sum(1) * LOG_2PI - log_determinant)
    value += 0.5 * np.einsum("ni,ni->n", slope, moved) + extra[patterns.pattern]
    return Integrated(value, rows + moved, covariance)


def _inverse(precision: Array) -> tuple[Array, Array]:
    """Inverses and log determinants of matrices [H, size, size]; rounding leaves no direction without spread."""
    if not np.isfinite(precision).all():
        return np.full_like(precision, np.nan), np.full(len(precision), np.nan)
    try:
        factor = np.linalg.cholesky(precision)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(precision)
        values = np.maximum(values, LEAST_PRECISION * np.maximum(values[:, -1:], 1e-300))
        return (vectors / values[:, None, :]) @ np.swapaxes(vectors, 1, 2), np.log(values).sum(-1)
    inverse = np.linalg.inv(factor)
    return np.swapaxes(inverse, 1, 2) @ inverse, 2.0 * np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(-1)


@cache
def _pairs(size: int, apart: int = 0) -> tuple[Indices, Indices]:
    """The indices i <= j (or i < j, one apart)."""
    return np.triu_indices(size, apart)
