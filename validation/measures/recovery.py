"""Recovery of the Greeks: one number per entry, intervals, and one fixed order of the components."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from estimators.contract import Model

Array = NDArray[np.float64]
# By Greek and axis, what its places are called.
AxisNames = Mapping[int, Sequence[str]]
Names = Mapping[str, AxisNames]
UNNAMED_AXES: AxisNames = MappingProxyType({})
UNNAMED: Names = MappingProxyType({})


def names_of(model: Model) -> Names:
    """Return what a model calls coefficients: ``{'beta_Y': {1: ('intercept', 'T')}}``."""
    return {greek: {axis: one.names for axis, one in axes.items()} for greek, axes in model.named_axes({}).items()}


def entries(greeks: Mapping[str, Array], names: Names = UNNAMED) -> dict[str, float]:
    """Return every entry of every Greek by name: ``{'mu_X': [a, b]}`` gives ``{'mu_X[0]': a, 'mu_X[1]': b}``."""
    whole = columns({greek: np.asarray(value)[None] for greek, value in greeks.items()}, names)
    return {name: float(column[0]) for name, column in whole.items()}


def entry_name(greek: str, index: tuple[int, ...], names: AxisNames = UNNAMED_AXES) -> str:
    """Return the name of an entry: ``p_T[0, 0]``, ``beta_Y[0, intercept]``, or the Greek's own if it is one number."""
    places = [names[axis][place] if axis in names else str(place) for axis, place in enumerate(index)]
    return f"{greek}[{', '.join(places)}]" if index else greek


def columns(draws: Mapping[str, Array], names: Names = UNNAMED) -> dict[str, Array]:
    """Return the draws [S] of every entry of every Greek [S, …], by the entry's name."""
    flat: dict[str, Array] = {}
    for greek, value in draws.items():
        array = np.asarray(value, dtype=np.float64)
        for index in np.ndindex(array.shape[1:]):
            flat[entry_name(greek, index, names.get(greek, UNNAMED_AXES))] = array[:, *index]
    return flat


def sort_components(
    draws: Mapping[str, Array], *, by: str, axes: Mapping[str, int | None] | None = None
) -> dict[str, Array]:
    """Return the draws [S, ...] with the components of each draw in ascending order of the Greek `by` [S, K].

    One fixed map for truth and draws alike, never an alignment of one to the other. `axes` says which axis of each
    Greek runs over components (None: none of them); without it, the first, where it has length K.
    """
    key = np.asarray(draws[by], dtype=np.float64)
    order = np.argsort(key, axis=1, kind="stable")
    arranged: dict[str, Array] = {}
    for name, value in draws.items():
        array = np.asarray(value, dtype=np.float64)
        axis = axes.get(name) if axes is not None else 0 if array.shape[1:2] == key.shape[1:] else None
        if axis is not None and array.ndim > 1:
            shape = [1] * array.ndim
            shape[0], shape[1 + axis] = order.shape
            array = np.take_along_axis(array, order.reshape(shape), axis=1 + axis)
        arranged[name] = array
    return arranged


def central_interval(draws: Array, level: float) -> tuple[float, float]:
    """Return the central interval of draws [S]: their (1-level)/2 and (1+level)/2 quantiles."""
    lower, upper = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(lower), float(upper)
