"""Greeks that are observationally equivalent to given ones: other Greeks with the same law of the rows.

Candidates are the modes of a search on the rows, the Greeks in question with two classes exchanged within a level of a
column, draws of the priors, and random moves. Each is polished until log p of every row agrees, or dropped. "None was
found" is all that this can say. Source: Rothenberg (1971), "Identification in parametric models", Econometrica 39.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from estimators.contract import Density, Model, log_likelihood
from estimators.modes import jumps
from estimators.modes.labelling import Labelling
from estimators.modes.mode_search import Search
from estimators.modes.row_law import NEARLY_SAME, RowLaw, few_rows
from estimators.modes.rows import Rows, rows_of
from estimators.optimise.arrays import Array

Rng = np.random.Generator
# Modes that are tried, draws of the priors, and moves at random from the Greeks in question by so much.
MOST_MODES, PRIOR_DRAWS, MOVES = 20, 12, (0.3, 0.3, 0.3, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0)
# Points from which classes are exchanged, and points that are kept; coordinates that differ by more are of two.
MOST_EXCHANGED, MOST_KEPT, APART = 6, 40, 1e-4
# Where more points than this are found, and this share of all hits is of points hit once, they are no finite set.
FINITE, ONCE = 6, 0.3


@dataclass(frozen=True, eq=False)
class Equivalents:
    """Points [M, D] of one law, the Greeks in question first, in the labelling nearest to these; ``hits`` [M]."""

    points: Array
    hits: Sequence[int]
    num_starts: int

    @property
    def is_endless(self) -> bool:
        """Whether starts end at ever new points, as along a set that has no end or that ends at a boundary."""
        once = sum(count == 1 for count in self.hits[1:])
        return len(self.hits) > FINITE and once > ONCE * sum(self.hits)


def equivalents(model: Model, density: Density, law: RowLaw, labelling: Labelling, rng: Rng) -> Equivalents:
    """Search for points of the law of a density's rows at ``law.at``."""
    search = _Search(law, labelling)
    # Where each M-step is a climb, modes are sought on fewer rows.
    sought = density if density.has_closed_form else few_rows(density, rng)
    found = Search().sought(model, sought, log_likelihood, rng)
    search.take([_moved(sought, density, mode.point) for mode in (*found.modes, *found.spurious)[:MOST_MODES]])
    rows, exchanged = rows_of(sought.data), 0
    while exchanged < min(len(search.points), MOST_EXCHANGED):
        swapped = exchanges(sought, rows, _moved(density, sought, search.points[exchanged]), rng)
        search.take([_moved(sought, density, point) for point in swapped])
        exchanged += 1
    search.take(list(density.draw_prior(PRIOR_DRAWS, rng)))
    search.take([law.at + size * rng.standard_normal(density.size) for size in MOVES])
    return Equivalents(np.array(search.points), search.hits, search.num_starts + found.num_starts)


def equivalents_from(
    law: RowLaw, starts: Sequence[Array], labelling: Labelling | None = None, *, most: int = MOST_KEPT
) -> Equivalents:
    """The points of a law to which some starts lead; without a labelling a point and its images are several."""
    search = _Search(law, labelling, most)
    # What all but has the law may never come nearer: it is at an end of the support.
    is_near = [law.is_same(start, NEARLY_SAME) for start in starts]
    search.keep([start for start, near in zip(starts, is_near, strict=True) if near])
    search.take([start for start, near in zip(starts, is_near, strict=True) if not near])
    return Equivalents(np.array(search.points), search.hits, search.num_starts)


def exchanges(density: Density, rows: Rows, point: Array, rng: Rng) -> list[Array]:
    """M-steps from a point's responsibilities with two classes exchanged within a level of a column."""
    site = density.latent[0] if density.latent else None
    shares = density.responsibilities(density.draws(point[None]), site).numpy()[0]
    # Rows with more than one hidden value each are no rows of a class.
    if shares.ndim != 2:
        return []
    swapped = jumps.level_swaps(np.moveaxis(shares, -1, 0), rows, rng, softness=0.0)
    if not swapped:
        return []
    return list(density.under(np.tile(point, (len(swapped), 1)), np.moveaxis(np.stack(swapped), 1, -1), site))


def _moved(one: Density, other: Density, point: Array) -> Array:
    """A point in the coordinates of the same density of other rows."""
    return point if one is other else other.unconstrain(one.constrain(point))


class _Search:
    """Points of a law found so far, and how often each."""

    def __init__(self, law: RowLaw, labelling: Labelling | None, most: int = MOST_KEPT) -> None:
        self._law, self._labelling, self._most = law, labelling, most
        self.points, self.hits, self.num_starts = [law.at], [0], 0

    def take(self, starts: Sequence[Array]) -> None:
        """Polish each start, and keep those whose law is the same."""
        for start in starts:
            if len(self.points) >= self._most:
                break
            self.num_starts += 1
            point = self._law.polished(start) if np.isfinite(start).all() else None
            if point is not None:
                self._place(point)

    def keep(self, points: Sequence[Array]) -> None:
        """Keep points as they are."""
        for point in points[: self._most - 1]:
            self._place(point)
        self.num_starts += len(points)

    def _place(self, point: Array) -> None:
        known = np.array(self.points)
        if self._labelling is None:
            away = np.abs(known - point).max(1)
        else:
            away = self._labelling.distances(known, self._labelling.images(point[None])[:, 0])
            point = self._labelling.nearest(point, self._law.at)
        nearest = int(away.argmin())
        if away[nearest] < APART:
            self.hits[nearest] += 1
            return
        self.points.append(point)
        self.hits.append(1)
