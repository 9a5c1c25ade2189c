"""A mode: a stationary point with its basin, modulo label symmetry."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import torch

from estimators.contract import Density, Objective, log_likelihood
from estimators.optimise.arrays import Array, Mask
from estimators.optimise.ascent import at_end, newton
from estimators.optimise.curvature import Curvature, curvature
from estimators.optimise.inside import moved_inside
from estimators.optimise.ridge import with_ridges

# Weighted differences of log p(row), in nats, below which two points have one law of the rows.
SAME_LAW = 0.1
# And where they have it to the last digits.
EXACT_LAW = 1e-4
# Distance in the mode's own standard deviations below which two ends are one mode.
SAME_POINT = 0.1
# Rows, or units, whose log p tells laws apart, where there are more.
MOST_OF_LAW = 100_000
# Where the curvature would take more log densities of a row and class than this, it is not looked at.
MOST_WORK = 2e7
# What is told by less than this share of a row is not told.
LEAST_TOLD = 1e-6
# Evaluations of a curvature for each coordinate.
EVALUATIONS = 6


@dataclass(eq=False)
class Mode:
    """A maximum [D] and its value; ``law`` [N] is log p of each row there, or of many rows of some.

    ``curve`` is the curvature in the coordinates that are ``free``, not at an end; None where it would take too long.
    ``hits`` counts the starts that ended here by their kind.
    """

    point: Array
    value: float
    law: Array
    free: Mask
    curve: Curvature | None
    is_spurious: bool
    hits: Counter[str] = field(default_factory=Counter)

    @property
    def is_flat(self) -> bool:
        """Whether nothing changes in some direction of the coordinates that are not at an end."""
        return self.curve is not None and bool(self.curve.is_flat.any())

    @property
    def is_saddle(self) -> bool:
        """Whether the density still grows in some direction."""
        return self.curve is not None and self.curve.way_up() is not None

    def has_law(self, law: Array, weights: Array, within: float) -> bool:
        """Whether log p of each row [N] is as here, in nats over all rows."""
        return bool(np.sqrt((weights * (self.law - law) ** 2).sum()) < within)

    def is_near(self, point: Array, law: Array, weights: Array, near: float) -> bool:
        """Whether a stationary point, in the labelling nearest to this one, is this mode.

        Without a curvature, whether all coordinates are within ``near``.
        """
        if not self.has_law(law, weights, SAME_LAW):
            return False
        away = point - self.point
        if self.curve is None:
            return bool(np.abs(away).max(initial=0.0) < near)
        is_exact = self.has_law(law, weights, EXACT_LAW)
        if self.curve.is_flat.any() or (is_exact and (at_end(point).any() or not self.free.all())):
            # Along a ridge of one law all points are one, its ends included.
            return True
        inside = away[self.free] @ self.curve.information @ away[self.free]
        return bool(inside < SAME_POINT**2 and np.abs(away[~self.free]).max(initial=0.0) < 1.0)


def law_at(density: Density, points: Array) -> tuple[Array, Array]:
    """log p(row) at points [S, N], and how often each row counts [N]; of many, of the same MOST_OF_LAW at every call.

    At random, as rows may come in a period that even steps would keep.
    """
    data, scale = density.data, 1.0
    if data.num_units > MOST_OF_LAW:
        index = np.sort(np.random.default_rng(0).choice(data.num_units, MOST_OF_LAW, replace=False))
        density, scale = density.of(data.units_at(torch.from_numpy(index))), data.num_units / MOST_OF_LAW
    weights = density.data.unit_weights
    law = np.asarray(density.pointwise(density.draws(points)).numpy())
    return law, scale * (np.ones(law.shape[1]) if weights is None else weights.numpy())


def is_curvature_affordable(density: Density) -> bool:
    """Whether a curvature takes few enough log densities of a row and class to be looked at."""
    return EVALUATIONS * density.size * density.row_size <= MOST_WORK


def mode_at(objective: Objective, density: Density, point: Array) -> Mode:
    """The mode at a stationary point, polished by Newton's method."""
    point = moved_inside(objective, density.data.least_weight, point)
    free = ~(density.bounded & at_end(point))
    curve = None
    if is_curvature_affordable(density):
        own = _Free(objective, point, free)
        curve = curvature(own, point[free])
        if objective.combination is log_likelihood:
            curve = curve.without(_told_by_no_row(density, point, free, curve))
        curve = with_ridges(own, point[free], curve)
        point = own.whole(newton(own, point[free], curve))
    value, _ = objective.value_and_gradient(point)
    return Mode(point, value, law_at(density, point[None])[0][0], free, curve, density.is_spurious(point))


def _told_by_no_row(density: Density, point: Array, free: Mask, curve: Curvature) -> Mask:
    """The free coordinates [F] of which so little is told; a log or logit is at its end before it is."""
    information = np.zeros(len(free))
    information[free] = np.abs(np.diag(curve.information))
    of_row = density.row_information(information, point) * density.data.least_weight
    return np.asarray((~density.bounded & (information < LEAST_TOLD * of_row))[free])


@dataclass(frozen=True, eq=False)
class _Free:
    """An objective of some coordinates, the others held at a point's."""

    objective: Objective
    point: Array
    free: Mask

    @property
    def size(self) -> int:
        return int(self.free.sum())

    @property
    def bounded(self) -> Mask:
        return np.asarray(self.objective.bounded[self.free])

    @property
    def total_weight(self) -> float:
        return self.objective.total_weight

    def whole(self, points: Array) -> Array:
        """Points [..., D] of the free coordinates [..., F]."""
        out = np.broadcast_to(self.point, (*points.shape[:-1], len(self.point))).copy()
        out[..., self.free] = points
        return out

    def value_and_gradient(self, coordinates: Array) -> tuple[float, Array]:
        value, gradient = self.objective.value_and_gradient(self.whole(coordinates))
        return value, gradient[self.free]

    def gradients(self, points: Array) -> Array:
        return self.objective.gradients(self.whole(points))[:, self.free]
