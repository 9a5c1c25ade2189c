"""The E-step on one page: a kernel that is meant to be read, and to which tests hold the fast one.

    L[s, k, n] = Σ_terms log f(row n; C_k of parameter set s)      ℓ = logsumexp_k L      R = exp(L - ℓ)

where a term is left out of rows in which its variable was set, and L = -inf for the classes that row n is known not to
be in. The log-likelihood is Σ_n w_n ℓ_n, and its gradient in C are the terms' sums: Σ_n w_n R Φ for a log-linear term,
its pullback for a general one.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.special import logsumexp

from estimators.estep.kernel import Point
from estimators.estep.terms import Entries, Index, Terms
from estimators.mechanisms.protocol import Reference
from estimators.parameters.parameter import Array


class ReferenceKernel:
    """Everything at once: no blocks, nothing kept."""

    def __init__(self, terms: Terms, entries: Entries, num_components: int, references: Sequence[Reference]) -> None:
        self._terms, self._entries, self._K = terms, entries, num_components
        self._weights = np.ones(entries.num_rows) if entries.weights is None else entries.weights
        latent, classes = entries.latent, np.arange(num_components)[:, None]
        self._is_possible = (latent < 0) | (latent == classes)

    def sums(self, point: Point) -> tuple[Array, dict[int, Array]]:
        """Σ_n w ℓ [S], and each term's sums [S, K, width]."""
        _, values, shares = next(self.by_row(point))
        sums = self._of_log_linear(shares, point.references)
        for slot, term in self._terms.general.items():
            counted = shares * self._weights * self._active(slot)
            sums[slot] = term.pullback(point.coefficients[slot], self._entries.columns, counted)
        return values @ self._weights, sums

    def by_row(self, point: Point) -> Iterator[tuple[Index, Array, Array]]:
        """All rows: ℓ [S, N] and R [S, K, N]."""
        joint = np.zeros((len(point.coefficients[0]), self._K, self._entries.num_rows))
        for slot in self._terms.log_linear:
            for k in range(self._K):
                features = self._features(slot, k, point.references)
                joint[:, k] += point.coefficients[slot][:, k] @ features
        for slot, term in self._terms.general.items():
            joint += self._active(slot) * term.log_joint(point.coefficients[slot], self._entries.columns)
        joint = np.where(self._is_possible, joint, -np.inf)
        values = logsumexp(joint, axis=1)
        yield slice(None), values, np.exp(joint - values[:, None])

    def sums_given(self, shares: Array, references: Sequence[Reference]) -> dict[int, Array]:
        """The sums of log-linear terms under R [S, K, N], one-hot where Z is known."""
        is_known = self._entries.latent >= 0
        return self._of_log_linear(np.where(is_known, self._is_possible, shares), references)

    def _of_log_linear(self, shares: Array, references: Sequence[Reference]) -> dict[int, Array]:
        counted, sums = shares * self._weights, {}
        for slot in self._terms.log_linear:
            by_class = [counted[:, k] @ self._features(slot, k, references).T for k in range(self._K)]
            sums[slot] = np.stack(by_class, axis=1)
        return sums

    def _features(self, slot: int, k: int, references: Sequence[Reference]) -> Array:
        """Φ of a term [F, N], about the centre of component k."""
        features = self._terms.log_linear[slot].features(self._entries.columns, references[slot], k)
        return features * self._active(slot)

    def _active(self, slot: int) -> Array | float:
        return self._entries.active.get(slot, 1.0)
