"""What estimators climb and sample, of a model on data."""

from collections.abc import Callable

import numpy as np

from estimators.contract import Density, Model, Objective, Parts, log_joint, log_likelihood
from estimators.data.data import Data
from estimators.optimise.arrays import Array


def objective_of(model: Model, data: Data, combination: Callable[[Parts], Array] = log_joint) -> Objective:
    """As EM climbs it for the likelihood alone, in coordinates beyond the priors, else within these."""
    density = model.density(data)
    return Objective(density.beyond_priors() if combination is log_likelihood else density, combination)


def by_differences(density: Density, at: Array, step: float = 1e-5) -> Parts:
    """The gradients at a point [D] by central differences, in one batch."""
    steps = step * np.eye(density.size)
    ahead, behind = density.values(at + steps), density.values(at - steps)
    return Parts(*((above - below) / (2 * step) for above, below in zip(ahead, behind, strict=True)))
