"""Standardised columns as affine functions of other numbers: coefficients [..., M], the constant first."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from estimators.mechanisms.protocol import Equation
from estimators.parameters.parameter import Array

Places = NDArray[np.intp]


def with_one(forms: Array) -> Array:
    """The constant 1 before other forms [..., Q, M]."""
    one = np.zeros((*forms.shape[:-2], 1, forms.shape[-1]))
    one[..., 0] = 1.0
    return np.concatenate([one, forms], -2)


def standard_forms(equation: Equation, noise: Array, centre: Any, scale: Any) -> Array:
    """(1, u) [..., 1 + D, M] for ``u = (intercept + factor ε - centre) / scale`` and ε [..., D, M]."""
    # The difference of the centres first: where they are the same, u is the noise alone, to the last digit.
    forms = equation.factor @ noise
    forms[..., 0] += equation.intercept - centre
    return with_one(forms / np.reshape(scale, (-1, 1)))
