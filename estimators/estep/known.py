"""Rows with Z known: each is in one class, so the statistics of log-linear terms do not depend on the Greeks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estimators.estep.kernel import Point
from estimators.estep.terms import Entries, Index, Terms
from estimators.mechanisms.protocol import Reference
from estimators.parameters.parameter import Array


class KnownRows:
    """The rows known to be in each class."""

    def __init__(
        self,
        terms: Terms,
        entries: Entries,
        index: NDArray[np.integer[Any]],
        num_components: int,
        references: Sequence[Reference],
    ) -> None:
        self._terms, self._index, self._K = terms, index, num_components
        self._latent = entries.latent[index]
        known = entries.rows(index)
        self._classes = [known.rows(np.flatnonzero(self._latent == k)) for k in range(num_components)]
        self._references, self._statistics = references, self._sums(references)

    def statistics(self, references: Sequence[Reference]) -> dict[int, Array]:
        """Σ w Φ over the rows known to be in each class, [K, F] by log-linear term."""
        return self._statistics if references is self._references else self._sums(references)

    def add_to(self, value: Array, sums: dict[int, Array], point: Point) -> Array:
        """Add these rows' sums, and return the value [S] with Σ w log f of these rows added."""
        for slot, known in self.statistics(point.references).items():
            value = value + (point.coefficients[slot] * known).sum((-1, -2))
            sums[slot] = sums[slot] + known
        for slot, term in self._terms.general.items():
            numbers, added = point.coefficients[slot], np.zeros_like(sums[slot])
            for k, rows in enumerate(self._classes):
                shares = np.zeros((*numbers.shape[:-1], rows.num_rows))
                shares[..., k, :] = self._weights(rows) * rows.active.get(slot, 1.0)
                value = value + term.complete(numbers, rows.columns, shares)
                added += term.pullback(numbers, rows.columns, shares)
            sums[slot] = sums[slot] + added
        return value

    def by_row(self, point: Point) -> tuple[Index, Array, Array]:
        """Which rows these are, log p(Z, row) at their own class [S, n], and R [S, K, n]."""
        num_sets = len(point.coefficients[0])
        values, shares = np.zeros((num_sets, len(self._index))), np.zeros((num_sets, self._K, len(self._index)))
        for k in range(self._K):
            own = self._latent == k
            shares[:, k, own] = 1.0
            for slot, reference in enumerate(point.references):
                values[:, own] += self._log_joint(slot, k, point.coefficients[slot], reference)
        return self._index, values, shares

    def _log_joint(self, slot: int, k: int, coefficients: Array, reference: Reference) -> Array:
        rows = self._classes[k]
        if slot in self._terms.log_linear:
            return np.asarray(coefficients[:, k] @ self._features(slot, k, reference))
        own = self._terms.general[slot].log_joint(coefficients, rows.columns)[:, k]
        return np.asarray(own * rows.active.get(slot, 1.0))

    def _sums(self, references: Sequence[Reference]) -> dict[int, Array]:
        sums = {}
        for slot in self._terms.log_linear:
            by_class = (
                self._features(slot, k, references[slot]) * self._weights(r) for k, r in enumerate(self._classes)
            )
            sums[slot] = np.stack([features.sum(-1) for features in by_class])
        return sums

    def _features(self, slot: int, k: int, reference: Reference) -> Array:
        rows = self._classes[k]
        return self._terms.log_linear[slot].features(rows.columns, reference, k) * rows.active.get(slot, 1.0)

    @staticmethod
    def _weights(rows: Entries) -> Array | float:
        return 1.0 if rows.weights is None else rows.weights
