"""Where a prior is infinite: at a weight of 0 under a concentration below 1, at an end of some Betas."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from estimators.contract import Density, Objective
from estimators.modes.labelling import Labelling
from estimators.modes.mode import mode_at
from estimators.optimise.arrays import Array, Mask
from estimators.optimise.ascent import LIMIT, within_limits
from estimators.optimise.stationary import NOTHING, TRY, rises_without_end


@dataclass(frozen=True, eq=False)
class Pole:
    """A point [D] from which a prior, and it alone, rises without end in the coordinates that are ``far`` [D].

    ``value`` is the objective there but for the factor that is infinite: what it would be under a prior without a pole.
    """

    point: Array
    far: Mask
    value: float

    @classmethod
    def highest(cls, objective: Objective, density: Density, points: Array) -> Self | None:
        """The highest of those at points [X, D] from which an objective rises; None where there is none."""
        if not len(points):
            return None
        # What is on its way to an end would keep a part of a factor that has none.
        slopes = objective.evaluate(points)[1]
        rises = objective.bounded & (np.abs(points) > TRY) & (slopes * np.sign(points) > NOTHING)
        points = np.where(rises, np.sign(points) * LIMIT, points)
        parts, gradients = density.evaluate(points)
        values, slopes = objective.combination(parts), objective.combination(gradients)
        far = rises_without_end(objective, points, slopes)
        # Where a class shrinks onto a value, the likelihood rises: that is no answer.
        is_of_prior = far.any(1) & ~(far & (np.abs(gradients.likelihood) > NOTHING)).any(1)
        if not is_of_prior.any():
            return None
        # A pole θ^(α - 1) is a slope of α - 1 in log θ.
        finite = values - np.where(far, np.abs(slopes * points), 0.0).sum(1)
        best = int(np.argmax(np.where(is_of_prior, finite, -np.inf)))
        return cls(points[best], far[best], float(finite[best]))

    def polished(self, objective: Objective, density: Density) -> "Pole":
        """The same with all else at its best, as far as Newton's method finds it."""
        return (
            higher(self, Pole.highest(objective, density, mode_at(objective, density, self.point).point[None])) or self
        )

    def named_as(self, best: Array, labelling: Labelling, objective: Objective, density: Density) -> "Pole":
        """The same in the labelling that is nearest to an answer [D]."""
        point = within_limits(labelling.nearest(self.point, best), objective.bounded)
        return Pole.highest(objective, density, point[None]) or self


def higher(one: Pole | None, other: Pole | None) -> Pole | None:
    """The higher of two, either of which may be none."""
    there = [pole for pole in (one, other) if pole is not None]
    return max(there, key=lambda pole: pole.value, default=None)
