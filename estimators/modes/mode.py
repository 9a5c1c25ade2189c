"""A mode: a stationary point with its basin, modulo label symmetry."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from estimators.contract import Density, Objective
from estimators.optimise.ascent import LIMIT
from estimators.optimise.curvature import Curvature, curvature
from estimators.parameters.edges import Mask
from estimators.parameters.parameter import Array

# A point of the law of rows: weighted differences of log p(row) below this, in nats, are none.
SAME_LAW = 0.1
# Distance in the mode's own standard deviations below which two ends are one mode.
SAME_POINT = 0.1


@dataclass(eq=False)
class Mode:
    """``log p`` and its curvature in the free coordinates at a maximum [D]; ``law`` [N] is log p of each row there.

    ``hits`` counts the starts that ended here by their kind.
    """

    point: Array
    value: float
    law: Array
    free: Mask
    curve: Curvature
    is_spurious: bool
    hits: Counter[str] = field(default_factory=Counter)

    @property
    def num_flat(self) -> int:
        """The directions in which nothing changes, of the coordinates that are not at an end."""
        return int(self.curve.is_flat.sum())

    def is_near(self, point: Array, law: Array, weights: Array) -> bool:
        """Whether a stationary point, in the labelling nearest to this one, is this mode."""
        if not np.sqrt((weights * (self.law - law) ** 2).sum()) < SAME_LAW:
            return False
        if self.num_flat and _Free.num_at_ends(point, self) == 0:
            # Along a ridge of one law all points are one.
            return True
        away = (point - self.point)[self.free]
        ends = np.abs((point - self.point)[~self.free]).max(initial=0.0)
        return bool(away @ self.curve.information @ away < SAME_POINT**2 and ends < 1.0)


@dataclass(frozen=True, eq=False)
class _Free:
    """An objective of some coordinates, the others held at a point's."""

    objective: Objective
    point: Array
    free: Mask

    @staticmethod
    def num_at_ends(point: Array, mode: Mode) -> int:
        """How many coordinates are at an end at a point where they are free at a mode, or the other way round."""
        return int(((np.abs(point) >= LIMIT - 1e-6) & mode.free).sum())

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


def mode_at(objective: Objective, density: Density, point: Array, is_spurious: bool) -> Mode:
    """The mode at a stationary point, polished by Newton's method."""
    free = ~(density.bounded & (np.abs(point) >= LIMIT - 1e-6))
    own = _Free(objective, point, free)
    curve = curvature(own, point[free])
    point = own.whole(_polished(own, point[free], curve))
    value, _ = objective.value_and_gradient(point)
    return Mode(point, value, law_at(density, point[None])[0], free, curve, is_spurious)


def law_at(density: Density, points: Array) -> Array:
    """log p(row) at points, [S, N]."""
    return np.asarray(density.pointwise(density.draws(points)).numpy())


def _polished(objective: _Free, point: Array, curve: Curvature) -> Array:
    """Newton's method while it shrinks the gradient."""
    _, gradient = objective.value_and_gradient(point)
    for _ in range(3):
        moved = point + curve.newton_step(gradient)
        _, slope = objective.value_and_gradient(moved)
        if not (np.isfinite(slope).all() and np.abs(slope).max(initial=0.0) < np.abs(gradient).max(initial=0.0)):
            break
        point, gradient = moved, slope
    return point
