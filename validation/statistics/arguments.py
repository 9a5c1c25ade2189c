"""Arrays as a check accepts them, or an error that names the argument, what was expected and what came."""

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def as_array(name: str, value: Any, *, ndim: int = 1, least: int = 1, finite: bool = True) -> Array:
    """Return numbers as an array [n] or [C, S] (ndim=2); raise TypeError or ValueError if they are not that."""
    if hasattr(value, "detach"):  # a torch tensor, which torch need not be imported to recognise
        value = value.detach().cpu().numpy()
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected numbers, got {value!r}") from None
    if array.ndim != ndim:
        axes = "chains by draws" if ndim == 2 else "one dimension"
        hint = "; give chains=True for an array of chains" if (array.ndim, ndim) == (2, 1) else ""
        raise ValueError(f"{name}: expected {axes}, got shape {array.shape}{hint}")
    if array.size < least:
        raise ValueError(f"{name}: expected at least {least}, got {array.size}")
    wrong = ~np.isfinite(array) if finite else np.isnan(array)
    if wrong.any():
        indices = [tuple(map(int, index)) if ndim > 1 else int(index[0]) for index in np.argwhere(wrong)[:3]]
        raise ValueError(f"{name}: expected {'finite ' if finite else ''}numbers, got {array[wrong][:3]} at {indices}")
    return array


def spread_of(name: str, array: Array) -> float:
    """Return the sample standard deviation; raise a ValueError for constant samples, which show no chance at all."""
    if np.ptp(array) <= 4 * np.finfo(np.float64).eps * np.max(np.abs(array)):
        raise ValueError(f"{name}: all {array.size} are {array.flat[0]:g}; without spread there is nothing to judge by")
    return float(np.std(array, ddof=1))


def as_count(name: str, value: Any, *, least: int = 0) -> int:
    """Return a whole number; raise TypeError or ValueError if it is something else or below `least`."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: expected a whole number, got {value!r}")
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected a whole number, got {value!r}") from None
    if count < least:
        raise ValueError(f"{name}: expected {least} or more, got {count}")
    return count
