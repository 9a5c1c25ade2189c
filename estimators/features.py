"""The features Φ of a data set's rows, stacked [F, N], and the two products with them: L = C Φ and S = R Φᵀ."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from estimators.data import LATENT, Data
from estimators.mechanisms.base import Mechanism, Reference
from estimators.parameters import Array


class Rows:
    """The features of some rows, stacked as [F, n]: the 1 of all mechanisms with no set entry is stored once."""

    def __init__(
        self,
        mechanisms: Mapping[str, Mechanism],
        data: Data,
        index: NDArray[np.intp],
        references: Mapping[str, Reference],
    ) -> None:
        self.mechanisms, self.num_rows = mechanisms, len(index)
        self.weighted = data.weights is not None
        self.weights = np.ones(len(index)) if data.weights is None else data.weights.numpy()[index]
        self.informs_theta = 1.0 - data.is_set(LATENT).numpy()[index]
        self._columns = {name: m.check(name, data.columns[name]).numpy()[index] for name, m in mechanisms.items()}
        self._active = {name: 1.0 - data.is_set(name).numpy()[index] for name in mechanisms if name in data.intervened}
        self.places: dict[str, list[int]] = {}
        stacked = [np.ones((1, len(index)))]
        for name in mechanisms:
            features = self.of(name, references[name])
            first = sum(len(part) for part in stacked)
            if name in self._active:
                self.places[name] = list(range(first, first + len(features)))
                stacked.append(features)
            else:
                self.places[name] = [0, *range(first, first + len(features) - 1)]
                stacked.append(features[1:])
        self.features = np.concatenate(stacked)
        self._slices: dict[str, slice | list[int]] = {
            name: slice(places[0], places[-1] + 1) if places[-1] - places[0] + 1 == len(places) else places
            for name, places in self.places.items()
        }

    def of(self, name: str, reference: Reference, which: Any = slice(None)) -> Array:
        """One mechanism's features [F, n], zero where its entry was set."""
        features = self.mechanisms[name].features(self._columns[name][which], reference)
        return features * self._active[name][which] if name in self._active else features

    def stack(self, log_weights: Array, coefficients: Mapping[str, Array]) -> Array:
        """The coefficients of the stacked features, [..., K, F]."""
        stacked = np.zeros((*log_weights.shape, len(self.features)))
        stacked[..., 0] = log_weights
        for name, places in self.places.items():
            mine = coefficients[name]
            stacked[..., places[0]] += mine[..., 0]
            stacked[..., places[1] : places[-1] + 1] = mine[..., 1:]
        return stacked

    def split(self, collected: Array) -> dict[str, Array]:
        """Each mechanism's statistics [..., K, F] out of the stacked ones."""
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
        self._rows, self._references, self._K = rows, references, num_components

    def _features(self, k: int, rows: slice) -> Array:
        stacked = self._rows.features[:, rows].copy()
        for name, places in self._rows.places.items():
            features = self._rows.of(name, of_component(self._references[name], k), rows)
            stacked[places[1] : places[-1] + 1] = features[1:]
        return stacked

    def joint(self, coefficients: Array, rows: slice) -> Array:
        return np.stack([coefficients[k] @ self._features(k, rows) for k in range(self._K)])

    def collect(self, responsibilities: Array, rows: slice, into: Array) -> None:
        for k in range(self._K):
            into[k] += self._features(k, rows) @ responsibilities[k]


def of_component(reference: Reference, k: int) -> Reference:
    """The reference of component k, whose centre is a number."""
    if isinstance(reference.centre, float):
        return reference
    return Reference(float(reference.centre[..., k]), reference.scale, reference.reach)
