"""Rows of jointly normal numbers, with some of these numbers integrated out.

A row's Gaussian numbers x have standardised residuals ``u = B (x - origin) - offset``, which are independent and
standard normal; B is lower triangular where causes stand before what they cause. With the missing numbers m at any
value and an orthogonal matrix ``Q = (Q_1, Q_2)`` whose first part spans the columns B_m,

    log ∫ p dx_m = Σ log B_ii - log|Q_1' B_m| - |Q_2' u|² / 2 - (the number of columns of Q_2)/2 · log 2π
    E[u | what is known] = Q_2 Q_2' u        Cov[u | what is known] = Q_1 Q_1'

It is a sum of squares: formed as the difference of a quadratic and what integrating it takes away, it would lose every
digit where a spread is far below that of the causes. Q depends on which numbers are missing alone, so rows that miss
the same ones share it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from estimators.optimise.arrays import Array

Indices = NDArray[np.intp]
LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, eq=False)
class Residuals:
    """The affine map ``u = B (x - origin) - offset``: [..., size], B and its inverse [..., size, size].

    ``offset`` is what the rounding of the origin amounts to.
    """

    origin: Array
    offset: Array
    matrix: Array
    inverse: Array


@dataclass(frozen=True, eq=False)
class Patterns:
    """Rows by what they have in common: ``config`` [n] (a map of their own) and ``pattern`` [n] (what is missing).

    ``config_of`` [H] is the config of each pattern, ``missing`` [H, size] its mask; patterns that miss most come first.
    ``places`` are the rows of each config, ``order`` [n] the rows by their patterns, ``ordered`` [n] these patterns.
    """

    config: Indices
    pattern: Indices
    config_of: Indices
    missing: Array
    places: tuple[Indices | slice, ...]
    order: Indices
    ordered: Indices

    @classmethod
    def of(cls, config: Indices, missing: NDArray[np.bool_]) -> "Patterns":
        """Group rows with configs [n] and masks [n, size]."""
        # Sorted by how much is missing, so that those which still need a reflection are a slice.
        keys = np.concatenate([-missing.sum(1)[:, None], config[:, None], missing], 1)
        _, first, pattern = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        count = int(config.max(initial=-1)) + 1
        places: tuple[Indices | slice, ...] = (slice(None),)
        if count > 1:
            ordered = np.argsort(config, kind="stable")
            places = tuple(np.split(ordered, np.searchsorted(config[ordered], np.arange(1, count))))
        order = np.argsort(pattern.reshape(-1), kind="stable")
        groups = pattern.reshape(-1), config[first], missing[first].astype(np.float64)
        return cls(config, *groups, places, order, groups[0][order])

    def moments(self, weights: Array, mean: Array, covariance: Array) -> Array:
        """Σ weights E[(1, u) (1, u)'] of each config [K, G, 1 + size, 1 + size], for rows ~ Normal(mean, covariance).

        Weights are [K, n], means [K, n, size], covariances those of each pattern [K, H, size, size].
        """
        components, _, size = mean.shape
        found = np.empty((components, len(self.places), 1 + size, 1 + size))
        for config, places in enumerate(self.places):
            point, weight = mean[:, places], weights[:, places]
            weighted = point * weight[..., None]
            found[:, config, 0, 0] = weight.sum(1)
            found[:, config, 0, 1:] = found[:, config, 1:, 0] = weighted.sum(1)
            found[:, config, 1:, 1:] = np.swapaxes(weighted, 1, 2) @ point
        starts = np.searchsorted(self.ordered, np.arange(len(self.config_of)))
        shares = np.add.reduceat(weights[:, self.order], starts, axis=1)
        for pattern, config in enumerate(self.config_of):
            found[:, config, 1:, 1:] += shares[:, pattern, None, None] * covariance[:, pattern]
        return found


@dataclass(frozen=True, eq=False)
class Integrated:
    """log ∫ p of each row [K, n], and its residuals given what is known: mean [K, n, size], covariance [K, H, ...]."""

    value: Array
    mean: Array
    covariance: Array


def integrated(rows: Array, residuals: Residuals, has_law: Array, patterns: Patterns) -> Integrated:
    """Integrate out what is missing of rows [n, size] under the residuals of each component and config [K, G, ...].

    ``has_law`` [G, size] is 0 for a number that is only an input.
    """
    missing, pattern = patterns.missing, patterns.pattern
    u = np.empty((len(residuals.origin), *rows.shape))
    for config, places in enumerate(patterns.places):
        origin, offset, matrix = (part[:, config] for part in (residuals.origin, residuals.offset, residuals.matrix))
        # What is missing, at its mean.
        away = (rows[places] - origin[:, None]) * (1.0 - missing[pattern[places]])
        u[:, places] = away @ np.swapaxes(matrix, 1, 2) - offset[:, None]
    # Patterns before components, so that those which miss most stand together.
    matrix = np.swapaxes(residuals.matrix, 0, 1)[patterns.config_of]
    reflections, is_free, log_determinant = _reflections(matrix, missing)
    law = has_law[patterns.config_of]
    diagonal = np.where(law[:, None] > 0, np.log(np.diagonal(matrix, axis1=2, axis2=3)), 0.0).sum(2)
    constant = diagonal - log_determinant - 0.5 * LOG_2PI * (law - missing).sum(1)[:, None]

    turned = u[:, patterns.order]
    for reflection in reflections:
        reflection.turn(turned, patterns)
    turned *= np.swapaxes(1.0 - is_free, 0, 1)[:, patterns.ordered]
    value = np.empty(u.shape[:2])
    square = np.einsum("kni,kni->kn", turned, turned * law[patterns.ordered])
    value[:, patterns.order] = constant.T[:, patterns.ordered] - 0.5 * square
    free = np.broadcast_to(np.eye(rows.shape[1]), matrix.shape) * is_free[..., None, :]
    for reflection in reversed(reflections):
        reflection.turn(turned, patterns)
        reflection.turn_columns(free)
    mean = np.empty_like(u)
    mean[:, patterns.order] = turned
    return Integrated(value, mean, np.swapaxes(free @ np.swapaxes(free, 2, 3), 0, 1))


@dataclass(frozen=True, eq=False)
class _Reflection:
    """``H = I - dual axis'`` of each pattern that misses enough: axis and dual [h, K, size]."""

    axis: Array
    dual: Array

    def turn(self, rows: Array, patterns: Patterns) -> None:
        """H u in place, of rows [K, n, size] in the order of their patterns."""
        count = int(np.searchsorted(patterns.ordered, len(self.axis)))
        some, pattern = rows[:, :count], patterns.ordered[:count]
        axis, dual = (np.swapaxes(part, 0, 1)[:, pattern] for part in (self.axis, self.dual))
        some -= np.einsum("kni,kni->kn", some, axis)[..., None] * dual

    def turn_columns(self, columns: Array) -> None:
        """H M in place, of matrices [H, K, size, any]."""
        some = columns[: len(self.axis)]
        some -= self.dual[..., None] * np.einsum("hki,hkij->hkj", self.axis, some)[:, :, None]


def _reflections(matrix: Array, missing: Array) -> tuple[list[_Reflection], Array, Array]:
    """H_1, H_2, ... with ``(... H_2 H_1) B_m`` triangular up to the order of its rows, these rows, and log|det| of it.

    Matrices are [H, K, size, size], the rows [H, K, size], patterns [H, size] that miss most first. The column that is
    left with most comes first, and goes onto the row that holds most of it: then each row keeps its own digits however
    far apart the rows are in size.
    """
    num, components, size, _ = matrix.shape
    # The largest entries, rather than norms, so that nothing is squared before it is of the order of 1.
    length = np.where(missing[:, None] > 0, np.abs(matrix).max(2, initial=0.0), 1.0)
    columns = matrix * (missing[:, None] / length)[:, :, None, :]
    log_determinant, found = np.log(length).sum(2), list[_Reflection]()
    if (np.count_nonzero(columns, axis=2) <= 1).all():
        # Nothing known depends on what is missing.
        return found, np.broadcast_to(missing[:, None], (num, components, size)), log_determinant
    is_free = np.zeros((num, components, size))
    counts = missing.sum(1)
    for step in range(int(counts.max(initial=0))):
        # Patterns that miss no more are left as they are.
        some = slice(int((counts > step).sum()))
        each = np.ogrid[some, :components]
        left = columns[some] * (1.0 - is_free[some, ..., None])
        largest = np.abs(left).max(2)
        chosen = largest.argmax(2)
        unit = largest[(*each, chosen)]
        axis = left[(*each, slice(None), chosen)] / unit[..., None]
        row, norm = np.abs(axis).argmax(2), np.sqrt(np.einsum("hki,hki->hk", axis, axis))
        axis[(*each, row)] += np.copysign(norm, axis[(*each, row)])
        reflection = _Reflection(axis, axis * (2.0 / np.einsum("hki,hki->hk", axis, axis))[..., None])
        reflection.turn_columns(columns)
        # What is left of the column is rounding.
        columns[(*each, slice(None), chosen)] = 0.0
        is_free[(*each, row)] = 1.0
        log_determinant[some] += np.log(norm * unit)
        found.append(reflection)
    return found, is_free, log_determinant


def inverse_of(lower: Array) -> Array:
    """The inverse of lower triangular matrices [..., d, d], row by row."""
    size = lower.shape[-1]
    found = np.zeros_like(lower)
    for row in range(size):
        unit = np.eye(size)[row] - (lower[..., row : row + 1, :row] @ found[..., :row, :])[..., 0, :]
        found[..., row, :] = unit / lower[..., row, row, None]
    return found
