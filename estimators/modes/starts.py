"""Random starts: responsibilities [C, K, N] of many kinds, which an M-step turns into Greeks, whatever the mechanisms.

Seeds follow Arthur & Vassilvitskii (2007), "k-means++: the advantages of careful seeding".
"""

from collections.abc import Callable

import numpy as np

from estimators.modes.rows import Rows
from estimators.parameters.parameter import Array

Rng = np.random.Generator
# From the rows, K, and how many starts.
Shares = Callable[[Rows, int, int, Rng], Array]
# Share of each row that is spread over all classes, so that none starts as a spike.
SOFTNESS = 0.1


def nearest_seeds(rows: Rows, K: int, count: int, rng: Rng) -> Array:
    """Each row in the class of the nearest of K seeds: means of rows known to be in a class, k-means++ for others."""
    known = [k for k in range(K) if (rows.known == k).any()]
    away = np.full((count, K, rows.num_rows), np.inf)
    for k in known + [k for k in range(K) if k not in known]:
        if k in known:
            seeds = np.tile(rows.points[rows.known == k].mean(0), (count, 1))
        else:
            nearest = away.min(1)
            far = np.where(np.isfinite(nearest).all(1, keepdims=True), nearest, 1.0)
            far = np.where(far.sum(1, keepdims=True) > 0, far, 1.0).cumsum(1)
            drawn = rng.random((count, 1)) * far[:, -1:]
            seeds = rows.points[np.minimum((far <= drawn).sum(1), rows.num_rows - 1)]
        away[:, k] = ((rows.points - seeds[:, None]) ** 2).sum(2)
    return _soft((away.argmin(1)[:, None] == np.arange(K)[:, None]) * 1.0, rows, rng)


def few_rows(rows: Rows, K: int, count: int, rng: Rng) -> Array:
    """A few random rows for each class: nearness says little of which line a row lies on."""
    ranks = rng.random((count, K, rows.num_rows)).argsort(2).argsort(2)
    few = rng.integers(2, rows.points.shape[1] + 3, size=(count, 1, 1))
    is_known = rows.known == np.arange(K)[:, None]
    return _soft(((ranks < few) | is_known) * 1.0, rows, rng)


def balls(rows: Rows, K: int, count: int, rng: Rng) -> Array:
    """The rows next to a random row, few or many, by some of the columns, for each class but the first."""
    shares = np.zeros((count, K, rows.num_rows))
    least, most = min(4, rows.num_rows), max(rows.num_rows / 3, 5.0)
    for k in range(1, K):
        columns = rng.random((count, 1, rows.points.shape[1])) < 0.7
        centres = rows.points[rng.integers(rows.num_rows, size=count)][:, None]
        away = (((rows.points - centres) * columns) ** 2).sum(2)
        sizes = np.exp(rng.uniform(np.log(least), np.log(most), size=(count, 1))).astype(int)
        # Rows that are equally near are taken in random order.
        order = np.lexsort((rng.random(away.shape), away), axis=1)
        np.put_along_axis(shares[:, k], order, (np.arange(rows.num_rows) < sizes) * 1.0, axis=1)
    shares[:, 0] = shares.sum(1) == 0
    return np.asarray(0.98 * shares / shares.sum(1, keepdims=True) + 0.02 / K)


def random_shares(rows: Rows, K: int, count: int, rng: Rng) -> Array:
    """Shares from a Dirichlet, row by row."""
    concentrations = rng.choice([0.1, 1.0], size=(count, 1, 1))
    gammas = rng.standard_gamma(concentrations, (count, K, rows.num_rows)) + 1e-300
    return np.asarray(gammas / gammas.sum(1, keepdims=True))


def _soft(hard: Array, rows: Rows, rng: Rng) -> Array:
    count, K, _ = hard.shape
    softness = SOFTNESS * rng.uniform(0.1, 2.0, size=(count, 1, 1)) * rows.evenness
    return np.asarray((1.0 - softness) * hard + softness / K)
