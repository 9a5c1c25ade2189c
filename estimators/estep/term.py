"""What one variable, or the weights, add to the log joint of a row."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from estimators.mechanisms.protocol import Reference
from estimators.parameters.parameter import Array


class RowTerm(Protocol):
    """What contributes ``C_k · Φ(row)`` to a row's log joint: a variable's mechanism, or the weights of Z."""

    @property
    def width(self) -> int:
        """F, the number of features."""

    @property
    def has_constant(self) -> bool:
        """Whether the first feature is the constant 1."""

    def features(self, columns: Mapping[str, Array], reference: Reference, component: int | None = None) -> Array:
        """Φ as [F, N]; of one component, where the reference has one centre for each cell."""

    def coefficients(self, greeks: Mapping[str, Array], reference: Reference) -> Array:
        """C as [..., K, F]."""

    def gradient(self, greeks: Mapping[str, Array], sums: Array, reference: Reference) -> dict[str, Array]:
        """d(Σ_k C_k · S_k)/dφ by the Greeks' names, from S [..., K, F]."""

    def argmax(self, greeks: Mapping[str, Array], sums: Array, reference: Reference) -> dict[str, Array]:
        """The M-step."""


def level_of_table(parents: Sequence[str], levels: Sequence[int], columns: Mapping[str, Any]) -> Any:
    """The place of the parents' values in a table, the last parent fastest; 0 without parents."""
    found: Any = 0
    for parent, size in zip(parents, levels, strict=True):
        value = columns[parent]
        found = found * size + (value.long() if isinstance(value, Tensor) else value.astype(np.intp))
    return found
