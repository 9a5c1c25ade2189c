"""Starts in order of the density that is to be climbed from them."""

from typing import Protocol

import numpy as np

from estimators.parameters.parameter import Array


class Ranked(Protocol):
    """A density, as far as starts are told apart by it."""

    def value(self, coordinates: Array) -> Array:
        """The log density of a batch of points [B, D]."""

    def looks_collapsed(self, coordinates: Array) -> bool:
        """Whether a component is as narrow as a point."""


def best_first(density: Ranked, coordinates: Array) -> Array:
    """Distinct starts [B', D] in order of their log density, collapsed ones last."""
    values = density.value(coordinates)
    collapsed = np.array([density.looks_collapsed(point) for point in coordinates])
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
