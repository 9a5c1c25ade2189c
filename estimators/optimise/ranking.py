"""Starts in order of the density that is to be climbed from them."""

from collections.abc import Callable

import numpy as np

from estimators.optimise.objective import Objective
from estimators.parameters.parameter import Array


def best_first(objective: Objective, looks_collapsed: Callable[[Array], bool], coordinates: Array) -> Array:
    """Distinct starts [B', D] in order of their log density, those with a component as narrow as a point last."""
    values = objective.value(coordinates)
    collapsed = np.array([looks_collapsed(point) for point in coordinates])
    values = np.where(np.isfinite(values), values, -np.inf)
    order = np.lexsort((-values, collapsed))
    # Starts that differ by a permutation of the labels have the same density: one of them is enough.
    distinct = [order[0]]
    for index in order[1:]:
        if values[index] == -np.inf:
            break
        if abs(values[index] - values[distinct[-1]]) > 1e-9 * (1.0 + abs(values[index])):
            distinct.append(index)
    return coordinates[distinct]
