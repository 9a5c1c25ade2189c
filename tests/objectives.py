"""What estimators climb and sample, of a model on data."""

from collections.abc import Callable

from estimators.contract import Model, Objective, Parts, log_joint, log_likelihood
from estimators.data.data import Data
from estimators.optimise.arrays import Array


def objective_of(model: Model, data: Data, combination: Callable[[Parts], Array] = log_joint) -> Objective:
    """As EM climbs it for the likelihood alone, in coordinates beyond the priors, else within these."""
    density = model.density(data)
    return Objective(density.beyond_priors() if combination is log_likelihood else density, combination)
