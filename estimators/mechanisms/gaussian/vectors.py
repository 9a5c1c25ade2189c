"""What Gaussians of a column of vectors have in common: a mean and a scale for each of the D numbers in each cell."""

import numpy as np

from estimators.mechanisms.protocol import Equation, Reference
from estimators.optimise.arrays import Array
from estimators.parameters.parameter import Parameter
from estimators.parameters.transforms import Linear, Scale, Transform


def standard_units(parameter: Parameter, reference: Reference) -> Transform:
    """``mu`` in units of the columns' scales from their centres; ``sigma`` as the log of its ratio to them."""
    if parameter.name == "mu":
        return Linear(np.diag(reference.scale), reference.centre)
    return Scale(np.tile(reference.scale, int(np.prod(parameter.shape[:-1]))))


def without_inputs(mu: Array, factor: Array) -> Equation:
    """``x = mu + factor ε``, for means [..., cells | 1, D] and Cholesky factors [..., cells | 1, D, D]."""
    shape = np.broadcast_shapes(mu.shape, factor.shape[:-1])
    mu, factor = np.broadcast_to(mu, shape), np.broadcast_to(factor, (*shape, shape[-1]))
    return Equation(mu, np.zeros((*shape, 0)), factor)
