"""What quantities are at all Greeks of one law: at the points that a search found, and on walks along flat sets."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from estimators.fits.identification import Extent, Verdict
from estimators.fits.quantities import Asked
from estimators.modes.equivalents import Equivalents
from estimators.modes.flat_walk import climb_along, is_walkable, scattered, slope, wander
from estimators.modes.labelling import Labelling
from estimators.modes.row_law import RowLaw
from estimators.optimise.arrays import Array

# Two answers that differ by less than this share of their size, and of how steep the quantity is, are one.
SAME_ANSWER = 1e-4
# Answers that are kept apart; more than so many, each found once, are a range.
FINITE = 6
# Points from which walks in directions at random set out, and their steps.
MOST_WANDERED, WANDER_STEPS = 3, 8


class Judged(NamedTuple):
    """The verdicts, all points [P, D] of the law that were seen, and whether some of them are a continuum."""

    verdicts: list[Verdict]
    points: Array
    is_continuous: bool


class Judge:
    """A law's points that a search found, and the labels that are free.

    Where the law has further coordinates, as of a measure that nobody has made, these come after those of the Greeks.
    """

    def __init__(self, law: RowLaw, found: Equivalents, labelling: Labelling, rng: np.random.Generator) -> None:
        self._law, self._found, self._labelling, self._rng = law, found, labelling, rng
        self._size = labelling.size
        self._ranks = dict[int, int | None]()
        self._walks = list[Array]()
        for number, start in enumerate(found.points[:MOST_WANDERED]):
            rank = self._rank(number)
            if rank is None:
                self._keep(start, scattered(law, start, law.rank(start), rng))
            else:
                self._keep(start, wander(law, start, rank, WANDER_STEPS, rng))

    def judged(self, directed: Sequence[Asked], others: Sequence[Asked]) -> Judged:
        """Verdicts on quantities that walks are made for, and on others that are looked at on the way."""
        for asked in directed:
            self._walk_for(asked)
        verdicts = [self._verdict(asked) for asked in (*directed, *others)]
        points = np.concatenate([self._found.points, *self._walks])
        return Judged(verdicts, points[:, : self._size], bool(self._walks))

    def _rank(self, number: int) -> int | None:
        """The rank of the law's slopes at a point that was found; None where no walk leads from it."""
        if number not in self._ranks:
            point = self._found.points[number]
            rank = self._law.rank(point)
            self._ranks[number] = rank if is_walkable(self._law, point, rank, self._rng) else None
        return self._ranks[number]

    def _keep(self, start: Array, points: Array) -> None:
        if len(points):
            self._walks.append(np.concatenate([start[None], points]))

    def _walk_for(self, asked: Asked) -> None:
        """Walk down and up from the found point where a quantity is lowest, or highest, and from the one in question.

        From an end of the support, where everything is flat, no walk leads back: points inside come first.
        """
        points = self._found.points
        values = asked.at(points[:, : self._size])
        num_inside = np.array([self._law.inside(point).sum() for point in points])
        for sign in (-1.0, 1.0):
            order = np.lexsort((-sign * values, -num_inside))[:MOST_WANDERED]
            start = next((int(number) for number in order if self._rank(int(number)) is not None), 0)
            for number in {start, 0}:
                rank = self._rank(number)
                if rank is not None:
                    walk = climb_along(self._law, points[number], rank, partial(_of_core, asked, self._size), sign)
                    self._keep(points[number], walk.points)

    def _verdict(self, asked: Asked) -> Verdict:
        images = self._labelling.images(self._found.points[:, : self._size])
        # By label [I, M], the labels nearest to those of the Greeks in question first.
        own = asked.at(self._found.points[:, : self._size])
        orbits = np.sort(np.array([asked.at(image) for image in images]), axis=0)
        walks = [asked.at(walk[:, : self._size]) for walk in self._walks]
        near = self._nearness(asked, own)
        by_label = _distinct(orbits[:, 0], near)
        labels = tuple(by_label) if len(by_label) > 1 else ()
        apart = [0]
        for number in range(1, len(own)):
            if all(np.abs(orbits[:, number] - orbits[:, known]).max() > near for known in apart):
                apart.append(number)
        is_range = any(np.ptp(values) > near for values in walks)
        is_range = is_range or (self._found.is_endless and len(apart) > FINITE)
        if is_range or (len(apart) > 1 and any(self._leads_on(asked, number, near) for number in apart)):
            every = np.concatenate([own, *walks])
            return Verdict(asked.name, Extent.RANGE, (float(every.min()), float(every.max())), labels)
        extent = Extent.IDENTIFIED if len(apart) == 1 else Extent.SET
        return Verdict(asked.name, extent, tuple(sorted(float(own[number]) for number in apart)), labels)

    def _leads_on(self, asked: Asked, number: int, near: float) -> bool:
        """Whether the law leaves a quantity open to first order at a point that was found: it is then not alone."""
        point = self._found.points[number]
        basis = self._law.tangent(point, self._law.rank(point))
        return bool(np.linalg.norm(basis.T @ slope(partial(_of_core, asked, self._size), point)) > near)

    def _nearness(self, asked: Asked, values: Array) -> float:
        steep = float(np.linalg.norm(slope(asked.at, self._law.at[: self._size])))
        return SAME_ANSWER * max(float(np.abs(values).max()), steep) + 4.0 * asked.error + 1e-12


def _of_core(asked: Asked, size: int, points: Array) -> Array:
    """A quantity at points of which the first coordinates are those of the Greeks."""
    return asked.at(points[:, :size])


def _distinct(values: Array, near: float) -> list[float]:
    """Sorted values without those that are one with the value before."""
    kept = list[float]()
    for value in np.sort(values):
        if not kept or value - kept[-1] > near:
            kept.append(float(value))
    return kept
