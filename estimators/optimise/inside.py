"""Logs and logits that ran to an end by chance, as nothing tells of them."""

from collections.abc import Callable

import numpy as np

from estimators.optimise.arrays import Array, Mask

# A log or logit so far out has run towards an end; where it changes fewer nats than these, by chance.
FAR, UNTOLD = 8.0, 1e-6


def moved_inside(value: Callable[[Array], Array], bounded: Mask, point: Array) -> Array:
    """A point [D] with every ``bounded`` coordinate that is far out in the middle, if the value is the same there.

    Of what a class has next to no rows, an M-step asks the one that is least unlike the class, and ends where that is.
    """
    for number in np.flatnonzero(bounded & (np.abs(point) > FAR)):
        moved = point.copy()
        moved[number] = 0.0
        before, after = value(np.array([point, moved]))
        if abs(after - before) < UNTOLD:
            point = moved
    return point
