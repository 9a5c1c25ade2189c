"""The features Φ of a data set's rows, stacked [F, N], and the two products with them: L = C Φ and S = R Φᵀ."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from estimators.mechanisms.base import Reference
from estimators.nodes import RowTerm
from estimators.parameters import Array


class Rows:
    """The features of some rows, stacked as [F, n]: the 1 of all terms with no entry left out is stored once.

    ``columns`` hold all rows, ``active`` the terms with entries left out (set, say) and a 0 for each of these.
    """

    def __init__(
        self,
        terms: Mapping[str, RowTerm],
        columns: Mapping[str, Array],
        active: Mapping[str, Array],
        weights: Array | None,
        index: NDArray[np.intp],
        references: Mapping[str, Reference],
    ) -> None:
        self.terms, self.num_rows = terms, len(index)
        self.weighted = weights is not None
        self.weights = np.ones(len(index)) if weights is None else weights[index]
        self._columns = {name: column[index] for name, column in columns.items()}
        self._active = {name: mask[index] for name, mask in active.items()}
        self.places: dict[str, list[int]] = {}
        stacked, size = [np.ones((1, len(index)))], 1
        for name, term in terms.items():
            features = self.of(name, references[name])
            if term.has_constant and name not in self._active:
                self.places[name] = [0, *range(size, size + len(features) - 1)]
                features = features[1:]
            else:
                self.places[name] = list(range(size, size + len(features)))
            stacked.append(features)
            size += len(features)
        self.features = np.concatenate(stacked)
        self._slices: dict[str, slice | list[int]] = {
            name: slice(places[0], places[-1] + 1) if places[-1] - places[0] + 1 == len(places) else places
            for name, places in self.places.items()
        }

    def active(self, name: str) -> Array:
        """1 for the rows where a term counts, 0 where its entry is left out."""
        return self._active.get(name, np.ones(self.num_rows))

    def of(self, name: str, reference: Reference, which: Any = slice(None), component: int | None = None) -> Array:
        """One term's features [F, n], zero where its entry is left out."""
        columns = {key: column[which] for key, column in self._columns.items()}
        features = self.terms[name].features(columns, reference, component)
        return features * self._active[name][which] if name in self._active else features

    def stack(self, coefficients: Mapping[str, Array]) -> Array:
        """The coefficients of the stacked features, [..., K, F]."""
        first = next(iter(coefficients.values()))
        stacked = np.zeros((*first.shape[:-1], len(self.features)))
        for name, places in self.places.items():
            mine = coefficients[name]
            stacked[..., places[0]] += mine[..., 0]
            if len(places) > 1:
                stacked[..., places[1] : places[-1] + 1] = mine[..., 1:]
        return stacked

    def split(self, collected: Array) -> dict[str, Array]:
        """Each term's statistics [..., K, F] out of the stacked ones."""
        return {name: collected[..., places] for name, places in self._slices.items()}


class Features(Protocol):
    """L = C Φ of a chunk, and S += R Φᵀ."""

    def joint(self, coefficients: Array, rows: slice) -> Array: ...
    def collect(self, responsibilities: Array, rows: slice, into: Array) -> None: ...


class Shared:
    """One Φ for all components: two matrix products."""

    def __init__(self, rows: Rows) -> None:
        self._features = rows.features

    def joint(self, coefficients: Array, rows: slice) -> Array:
        return coefficients @ self._features[:, rows]

    def collect(self, responsibilities: Array, rows: slice, into: Array) -> None:
        into += responsibilities @ self._features[:, rows].T


class PerComponent:
    """Φ centred at each component's own mean, (x - mu_k)² directly, where a shared centre would lose digits of x²."""

    def __init__(self, rows: Rows, references: Mapping[str, Reference], num_components: int) -> None:
        self._rows, self._K = rows, num_components
        self._moved = {name: reference for name, reference in references.items() if reference.by_cell}

    def _features(self, k: int, rows: slice) -> Array:
        stacked = self._rows.features[:, rows].copy()
        for name, reference in self._moved.items():
            places = self._rows.places[name]
            features = self._rows.of(name, reference, rows, k)
            if places[0] != 0:
                stacked[places[0]] = features[0]
            stacked[places[1] : places[-1] + 1] = features[1:]
        return stacked

    def joint(self, coefficients: Array, rows: slice) -> Array:
        return np.stack([coefficients[k] @ self._features(k, rows) for k in range(self._K)])

    def collect(self, responsibilities: Array, rows: slice, into: Array) -> None:
        for k in range(self._K):
            into[k] += self._features(k, rows) @ responsibilities[k]
