"""Forms: standardised columns as affine functions of other numbers, coefficients [..., M] with the constant first."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from estimators.optimise.arrays import Array

Places = NDArray[np.intp]


@cache
def pairs(size: int, apart: int = 0) -> tuple[Places, Places]:
    """The indices i <= j (or i < j, one apart) of the products of forms, or of the entries of a symmetric matrix."""
    first, second = np.nonzero(np.triu(np.ones((size, size)), apart))
    return first, second


def symmetric(entries: Array, size: int) -> Array:
    """Symmetric matrices [..., size, size] out of their entries i <= j."""
    found = np.empty((*entries.shape[:-1], size, size))
    first, second = pairs(size)
    found[..., first, second] = found[..., second, first] = entries
    return found


def with_one(forms: Array) -> Array:
    """The constant 1 before other forms [..., Q, M]."""
    one = np.zeros((*forms.shape[:-2], 1, forms.shape[-1]))
    one[..., 0] = 1.0
    return np.concatenate([one, forms], -2)
