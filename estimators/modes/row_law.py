"""The law of the rows as a function of the Greeks, held against that of the Greeks in question.

Two laws are the same if ``log p(row | φ)`` is the same in every row of enough: all cells, or more rows than two laws
of so few Greeks can agree in by chance.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from scipy.optimize import least_squares

from estimators.contract import Density
from estimators.optimise.arrays import Array, Mask
from estimators.optimise.ascent import within_limits
from estimators.optimise.stationary import NEAR

# The largest difference of log p of a row, in units of 1 + |log p|, of two laws that are the same, and of two that may
# be: on the way to an end of the support the one becomes the other.
SAME, NEARLY_SAME = 1e-8, 1e-6
# Rows on which is sought, for each coordinate and at least; a law that is found there is held against all rows.
ROWS_BY_COORDINATE, LEAST_ROWS = 12, 200
# Beyond this a difference is as good as any other.
FAR = 50.0
# A location so many times farther out than all in question is one of a class without weight, which no row shows.
FARTHEST = 100.0
MOST_EVALUATIONS, MOST_CORRECTIONS = 80, 8
# Steps of differences: forward, on the way; central, along a flat set; and of the fourth order, to find its dimension.
FORWARD, CENTRAL, WIDE = 1e-6, 1e-4, 2e-3
# A singular value below so many times its error is 0; what rounding makes of log p.
ERRORS, ROUNDING = 10.0, 1e-14


class Reference:
    """Functions log p of rows [S, N] of points [S, D], less those at one point, in units of 1 + |log p|."""

    def __init__(self, logs: Callable[[Array], Array], at: Array) -> None:
        self._logs, self._at = logs, logs(at[None])[0]

    def __call__(self, points: Array) -> Array:
        with np.errstate(all="ignore"):
            away = (self._logs(points) - self._at) / (1.0 + np.abs(self._at))
        return np.asarray(np.clip(np.nan_to_num(away, nan=-FAR, posinf=FAR, neginf=-FAR), -FAR, FAR))


@dataclass(frozen=True, eq=False)
class RowLaw:
    """How the law at points differs from that at the Greeks in question, ``at`` [D]: in ``few`` rows, or ``all``."""

    at: Array
    bounded: Mask
    few: Reference
    all: Reference

    def held(self, points: Array) -> Array:
        """Points whose logs and logits are within what an ascent may reach."""
        return within_limits(points, self.bounded)

    def is_same(self, point: Array, within: float = SAME) -> bool:
        """Whether the law at a point [D] is that of the Greeks in question, in all rows."""
        reach = FARTHEST * (1.0 + np.abs(self.at).max(initial=0.0))
        is_near = np.isfinite(point).all() and np.abs(self.held(point)).max(initial=0.0) < reach
        return bool(is_near and np.abs(self.all(self.held(point[None]))).max() < within)

    def inside(self, point: Array) -> Mask:
        """Which coordinates [D] are not at an end of their support, where everything is flat."""
        return np.asarray(~(self.bounded & (np.abs(point) > NEAR)))

    def polished(self, start: Array) -> Array | None:
        """The point of the same law to which least squares lead (Levenberg 1944, Marquardt 1963); None for another."""
        size = len(start)
        moves = np.concatenate([np.zeros((1, size)), FORWARD * np.eye(size)])
        # Its slopes are found with the law at a point, as one batch; MINPACK takes no fewer equations than unknowns.
        last: dict[bytes, Array] = {}

        def residuals(point: Array) -> Array:
            last.clear()
            away = last[point.tobytes()] = self._away(point + moves)
            return np.concatenate([away[0], np.zeros(size)])

        def slopes(point: Array) -> Array:
            away = last.get(point.tobytes())
            away = self._away(point + moves) if away is None else away
            return np.concatenate([(away[1:] - away[0]).T / FORWARD, np.zeros((size, size))])

        settings = {"max_nfev": MOST_EVALUATIONS, "ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15}
        point = self.held(least_squares(residuals, self.held(start), slopes, method="lm", **settings).x)
        return point if self.is_same(point) else None

    def corrected(self, point: Array, rank: int) -> Array | None:
        """The point of the same law next to one near it, by Gauss-Newton steps in ``rank`` directions."""
        for _ in range(MOST_CORRECTIONS):
            away = self._away(point[None])[0]
            if np.abs(away).max() < 1e-3 * SAME:
                break
            left, sizes, right = np.linalg.svd(self._slopes(point), full_matrices=False)
            if np.abs(away).max() >= FAR or not sizes[:rank].all():
                return None
            point = point - right[:rank].T @ ((left[:, :rank].T @ away) / sizes[:rank])
            if not np.isfinite(point).all():
                return None
        return point if self.is_same(point) else None

    def rank(self, point: Array) -> int:
        """In how many directions log p of the rows moves, as far as differences of the fourth order tell."""
        near, far, farther = (self._odd(point, size * WIDE) for size in (1.0, 2.0, 4.0))
        slopes, rough = (8.0 * near - far) / (12.0 * WIDE), (8.0 * far - farther) / (24.0 * WIDE)
        error = 0.25 * float(np.linalg.norm(slopes - rough, 2)) + ROUNDING * np.sqrt(slopes.size) / WIDE
        sizes = np.linalg.svd(slopes[:, self.inside(point)], compute_uv=False)
        return int((sizes >= ERRORS * error).sum())

    def tangent(self, point: Array, rank: int) -> Array:
        """A basis [D, R] of the flat directions at a point of a set along which the slopes have this rank."""
        free = self.inside(point)
        _, _, right = np.linalg.svd(self._slopes(point)[:, free], full_matrices=True)
        basis = np.zeros((len(point), max(int(free.sum()) - rank, 0)))
        basis[free] = right[rank:].T
        return basis

    def _away(self, points: Array) -> Array:
        return self.few(self.held(points))

    def _slopes(self, point: Array) -> Array:
        """The Jacobian [N, D] by central differences."""
        return self._odd(point, CENTRAL) / (2.0 * CENTRAL)

    def _odd(self, point: Array, step: float) -> Array:
        """``f(v + step e) - f(v - step e)`` as [N, D]."""
        moves = step * np.eye(len(point))
        away = self._away(np.concatenate([point + moves, point - moves]))
        return np.asarray((away[: len(point)] - away[len(point) :]).T)


def law_of(density: Density, rows: Density, at: Array, rng: np.random.Generator) -> RowLaw:
    """The law of some rows about a point [D] in the coordinates of a density, which may be of other rows."""
    few = few_rows(rows, rng)
    own, every = (partial(_logs, density, part) for part in (few, rows))
    return RowLaw(at, density.bounded, Reference(own, at), Reference(every, at))


def few_rows(density: Density, rng: np.random.Generator) -> Density:
    """The density of enough of its rows to seek on."""
    most = max(LEAST_ROWS, ROWS_BY_COORDINATE * density.size)
    if density.data.num_units <= 2 * most:
        return density
    chosen = np.sort(rng.permutation(density.data.num_units)[:most])
    return density.of(density.data.units_at(torch.from_numpy(chosen)))


def _logs(density: Density, rows: Density, points: Array) -> Array:
    """log p of rows at coordinates of a density: those of other rows may have another unit."""
    return rows.pointwise(density.draws(points)).numpy()
