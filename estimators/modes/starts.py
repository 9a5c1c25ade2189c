"""Random starts: responsibilities [K, N] of many kinds, which an M-step turns into Greeks, whatever the mechanisms.

Seeds follow Arthur & Vassilvitskii (2007), "k-means++: the advantages of careful seeding".
"""

from collections.abc import Callable

import numpy as np

from estimators.modes.rows import Rows
from estimators.parameters.parameter import Array

Rng = np.random.Generator
Shares = Callable[[Rows, int, Rng], Array]
# Share of each row that is spread over all classes, so that none starts as a spike.
SOFTNESS = 0.1


def nearest_seeds(rows: Rows, K: int, rng: Rng) -> Array:
    """Each row in the class of the nearest of K seeds: means of rows known to be in a class, k-means++ for others."""
    seeds = np.empty((K, rows.points.shape[1]))
    known = [k for k in range(K) if (rows.known == k).any()]
    distance = np.full(rows.num_rows, np.inf)
    for k in known + [k for k in range(K) if k not in known]:
        if k in known:
            seeds[k] = rows.points[rows.known == k].mean(0)
        else:
            far = distance if np.isfinite(distance).all() and distance.sum() > 0 else np.ones(rows.num_rows)
            seeds[k] = rows.points[rng.choice(rows.num_rows, p=far / far.sum())]
        distance = np.minimum(distance, ((rows.points - seeds[k]) ** 2).sum(1))
    nearest = ((rows.points[:, None, :] - seeds) ** 2).sum(2).argmin(1)
    return _soft((nearest == np.arange(K)[:, None]) * 1.0, rows, rng)


def few_rows(rows: Rows, K: int, rng: Rng) -> Array:
    """A few random rows for each class: nearness says little of which line a row lies on."""
    shares = np.asarray((rows.known == np.arange(K)[:, None]) * 1.0)
    few = min(int(rng.integers(2, rows.points.shape[1] + 3)), rows.num_rows)
    for k in range(K):
        shares[k, rng.choice(rows.num_rows, size=few, replace=False)] = 1.0
    return _soft(shares, rows, rng)


def balls(rows: Rows, K: int, rng: Rng) -> Array:
    """The rows next to a random row, few or many, by some of the columns, for each class but the first."""
    shares = np.zeros((K, rows.num_rows))
    least, most = min(4, rows.num_rows), max(rows.num_rows / 3, 5.0)
    for k in range(1, K):
        columns = rng.random(rows.points.shape[1]) < 0.7
        away = ((rows.points - rows.points[rng.integers(rows.num_rows)])[:, columns] ** 2).sum(1)
        size = int(np.exp(rng.uniform(np.log(least), np.log(most))))
        # Rows that are equally near are taken in random order.
        shares[k, np.lexsort((rng.random(rows.num_rows), away))[:size]] = 1.0
    shares[0] = shares.sum(0) == 0
    return np.asarray(0.98 * shares / shares.sum(0) + 0.02 / K)


def random_shares(rows: Rows, K: int, rng: Rng) -> Array:
    """Shares from a Dirichlet, row by row."""
    return np.asarray(rng.dirichlet(np.full(K, rng.choice([0.1, 1.0])), rows.num_rows).T)


def _soft(hard: Array, rows: Rows, rng: Rng) -> Array:
    K = len(hard)
    softness = SOFTNESS * rng.uniform(0.1, 2.0) * rows.evenness
    return (1.0 - softness) * hard + softness / K
