"""Adam (Kingma & Ba 2015) on an exact gradient, the learning rate decaying to a hundredth."""

from collections.abc import Callable

import numpy as np

from estimators.optimise.arrays import Array
from estimators.optimise.objective import Objective

FIRST_DECAY, SECOND_DECAY = 0.9, 0.999
SMALLEST = 1e-8


def adam(
    objective: Objective, start: Array, *, num_steps: int, learning_rate: float, after_step: Callable[[], object]
) -> tuple[Array, list[float], list[float]]:
    """Where it ends [D], the values that were met and the norms of the gradients.

    The steps are those of Pyro's SVI with AutoDelta and ClippedAdam on these coordinates: the evidence lower bound of
    a point mass is the log density at the point.
    """
    point, first, second = np.array(start), np.zeros_like(start), np.zeros_like(start)
    decay, values, norms = 0.01 ** (1.0 / num_steps), [], []
    for step in range(1, num_steps + 1):
        value, gradient = objective.value_and_gradient(point)
        values.append(value)
        with np.errstate(all="ignore"):
            norms.append(float(np.sqrt((gradient * gradient).sum())))
            first = FIRST_DECAY * first + (1.0 - FIRST_DECAY) * gradient
            second = SECOND_DECAY * second + (1.0 - SECOND_DECAY) * gradient * gradient
            size = learning_rate * decay**step * np.sqrt(1.0 - SECOND_DECAY**step) / (1.0 - FIRST_DECAY**step)
            point = point + size * first / (np.sqrt(second) + SMALLEST)
        after_step()
    return point, values, norms
