"""Logs and logits that ran to an end by chance, as nothing tells of them."""

import numpy as np

from estimators.optimise.arrays import Array
from estimators.optimise.objective import Objective

# A log or logit so far out has run towards an end; by chance where it changes fewer nats for a row of weight 1.
FAR, UNTOLD = 8.0, 1e-6


def moved_inside(objective: Objective, row_weight: float, point: Array) -> Array:
    """A point [D] with every log or logit that is far out in the middle, if the objective is the same there.

    ``row_weight`` is that of the lightest row. Of what a class has next to no rows, an M-step asks the one that is
    least unlike the class, and ends where that is.
    """
    for number in np.flatnonzero(objective.bounded & (np.abs(point) > FAR)):
        moved = point.copy()
        moved[number] = 0.0
        before, after = objective.value(np.array([point, moved]))
        if abs(after - before) < UNTOLD * row_weight:
            point = moved
    return point
