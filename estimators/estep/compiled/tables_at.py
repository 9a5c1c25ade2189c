"""The tables of a model from their addresses: one array for all at every call, which is what nutpie can hold."""

from typing import Any

import numpy as np
from numba import carray

from estimators.estep.compiled.layout import Tables
from estimators.mechanisms.compiled.jit import EXACT, compiled, pointer_to

# One address for each field, below: one more field without another line would read what is no table.
assert len(Tables._fields) == 13


@compiled(**EXACT)
def tables_at(where: Any) -> Any:
    """Tables of arrays at the addresses [13, 3], in the order of their fields."""
    return Tables(
        carray(pointer_to(where[0, 0]), where[0, 1], np.int64),
        carray(pointer_to(where[1, 0]), (where[1, 1], where[1, 2]), np.int64),
        carray(pointer_to(where[2, 0]), (where[2, 1], where[2, 2]), np.int64),
        carray(pointer_to(where[3, 0]), where[3, 1], np.int64),
        carray(pointer_to(where[4, 0]), (where[4, 1], where[4, 2]), np.int64),
        carray(pointer_to(where[5, 0]), where[5, 1], np.int64),
        carray(pointer_to(where[6, 0]), where[6, 1], np.float64),
        carray(pointer_to(where[7, 0]), (where[7, 1], where[7, 2]), np.float64),
        carray(pointer_to(where[8, 0]), where[8, 1], np.float64),
        carray(pointer_to(where[9, 0]), (where[9, 1], where[9, 2]), np.float64),
        carray(pointer_to(where[10, 0]), (where[10, 1], where[10, 2]), np.int64),
        carray(pointer_to(where[11, 0]), where[11, 1], np.float64),
        carray(pointer_to(where[12, 0]), (where[12, 1], where[12, 2]), np.int64),
    )
