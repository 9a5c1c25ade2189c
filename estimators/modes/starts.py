"""Random starts: responsibilities [C, K, N] of many kinds, which an M-step turns into Greeks, whatever the mechanisms.

Seeds follow Arthur & Vassilvitskii (2007), "k-means++: the advantages of careful seeding".
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice

import numpy as np

from estimators.contract import Density
from estimators.modes.rows import Rows, rows_of
from estimators.optimise.arrays import Array, Mask

Rng = np.random.Generator
# From the rows, K, and how many starts.
Shares = Callable[[Rows, int, int, Rng], Array]
# Share of each row that is spread over all classes, so that none starts as a spike.
SOFTNESS = 0.1
# Numbers that are held at one time.
MOST_NUMBERS = 4_000_000


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
    hard = (away.argmin(1)[:, None] == np.arange(K)[:, None]) * 1.0
    return _soft(hard, _softness(rows, count, rng), rng)


def few_rows(rows: Rows, K: int, count: int, rng: Rng) -> Array:
    """A few random rows for each class: nearness says little of which line a row lies on."""
    ranks = rng.random((count, K, rows.num_rows)).argsort(2).argsort(2)
    few = rng.integers(2, rows.points.shape[1] + 3, size=(count, 1, 1))
    is_known = rows.known == np.arange(K)[:, None]
    return _soft(((ranks < few) | is_known) * 1.0, _softness(rows, count, rng), rng)


def balls(rows: Rows, K: int, count: int, rng: Rng) -> Array:
    """The rows next to a random row for each class but the first."""
    shares = np.zeros((count, K, rows.num_rows))
    for k in range(1, K):
        shares[:, k] = near_rows(rows, count, rng)
    shares[:, 0] = shares.sum(1) == 0
    return _soft(shares / shares.sum(1, keepdims=True), 0.02, rng)


def near_rows(rows: Rows, count: int, rng: Rng) -> Mask:
    """The rows [C, N] next to a random row, few or many, by some of the columns."""
    near = np.zeros((count, rows.num_rows), dtype=bool)
    least, most = min(4, rows.num_rows), max(rows.num_rows / 3, 5.0)
    columns = rng.random((count, 1, rows.points.shape[1])) < 0.7
    centres = rows.points[rng.integers(rows.num_rows, size=count)][:, None]
    away = (((rows.points - centres) * columns) ** 2).sum(2)
    sizes = np.exp(rng.uniform(np.log(least), np.log(most), size=(count, 1))).astype(int)
    # Rows that are equally near are taken in random order.
    order = np.lexsort((rng.random(away.shape), away), axis=1)
    np.put_along_axis(near, order, np.arange(rows.num_rows) < sizes, axis=1)
    return near


def random_shares(rows: Rows, K: int, count: int, rng: Rng) -> Array:
    """Shares from a Dirichlet, row by row."""
    concentrations = rng.choice([0.1, 1.0], size=(count, 1, 1))
    gammas = rng.standard_gamma(concentrations, (count, K, rows.num_rows)) + 1e-300
    return np.asarray(gammas / gammas.sum(1, keepdims=True))


def _softness(rows: Rows, count: int, rng: Rng) -> Array:
    return np.asarray(SOFTNESS * rng.uniform(0.1, 2.0, size=(count, 1, 1)) * rows.evenness)


def _soft(shares: Array, softness: Array | float, rng: Rng) -> Array:
    """Shares [C, K, N] with some of each row spread over all classes, at random: classes that are alike stay so."""
    spread = rng.random(shares.shape) + 1e-300
    return np.asarray((1.0 - softness) * shares + softness * spread / spread.sum(1, keepdims=True))


FROM_SHARES: Mapping[str, Shares] = {
    "seeds": nearest_seeds,
    "balls": balls,
    "lines": few_rows,
    "shares": random_shares,
}
PRIOR = "prior"
KINDS = (*FROM_SHARES, PRIOR)


def responsibilities_at(density: Density, point: Array) -> Array:
    """Those of the first hidden site [K, N, ...] at a point [D]."""
    shares = density.responsibilities(density.draws(point[None]), _first_site(density))
    return np.moveaxis(shares.numpy()[0], -1, 0)


def _first_site(density: Density) -> str | None:
    return density.latent[0] if density.latent else None


class RandomStarts:
    """Starts on the rows of one density: M-steps from responsibilities, and draws of the priors."""

    def __init__(self, density: Density) -> None:
        self._density, self.rows = density, rows_of(density.data)
        self._site = _first_site(density)
        shares = self.responsibilities(np.zeros(density.size))
        self._num_classes = len(shares)
        # Rows with more than one hidden value each are no rows of a class.
        self.has_classes = shares.ndim == 2 and density.has_closed_form

    def responsibilities(self, point: Array) -> Array:
        """Those of the hidden site [K, N, ...] at a point [D]."""
        return responsibilities_at(self._density, point)

    def drawn(self, count: int, rng: Rng, turns: Sequence[str]) -> tuple[list[str], Array]:
        """Starts of some kinds in turn: what they are, and points [S, D]; without classes all are from the prior."""
        kinds = list(islice(cycle(turns), count))
        counts = {kind: kinds.count(kind) if self.has_classes else 0 for kind in FROM_SHARES}
        num_prior = count - sum(counts.values())
        prior = self._density.draw_prior(num_prior, rng) if num_prior else np.zeros((0, self._density.size))
        shares, together = list[Array](), max(MOST_NUMBERS // max(self.rows.points.size, 1), 1)
        for kind, number in counts.items():
            for first in range(0, number, together):
                shares += [*FROM_SHARES[kind](self.rows, self._num_classes, min(together, number - first), rng)]
        made = [kind for kind, number in counts.items() for _ in range(number)] + [PRIOR] * len(prior)
        return made, np.concatenate([self.under(np.zeros(self._density.size), shares), prior])

    def under(self, point: Array, shares: Sequence[Array]) -> Array:
        """M-steps [S, D] from responsibilities [K, N, ...]; what these do not tell is as at the point [D]."""
        if not shares:
            return np.zeros((0, self._density.size))
        points = np.tile(point, (len(shares), 1))
        return self._density.under(points, np.moveaxis(np.stack(shares), 1, -1), self._site)
