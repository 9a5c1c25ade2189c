"""The E-step on one page: a kernel that is meant to be read, and to which tests hold the fast one.

    L[k, n] = Σ_terms log f(row n; C_k)      ℓ = logsumexp_k L      R = exp(L - ℓ)

where a term is left out of rows in which its variable was set, and L = -inf for the classes that row n is known not to
be in. Where rows of a unit share one Z, L is summed within units first, ℓ and R are theirs, and each row of a unit has
its R. The log-likelihood is Σ_n w_n ℓ_n, and its gradient in C are the terms' sums: Σ_n w_n R Φ for a log-linear term,
its pullback for a general one. It takes any term, also those whose functions are not compiled.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.special import logsumexp

from estimators.estep.centring import ParameterSet, parameter_sets
from estimators.estep.terms import Entries, Terms
from estimators.estep.units import EachRow, Grouped, Index, grouped, parts_of
from estimators.mechanisms.protocol import Greeks, Reference
from estimators.optimise.arrays import Array

# Elements of L that are held at one time.
MOST_NUMBERS = 1_000_000


class ReferenceKernel:
    """Some rows after the other, one parameter set at a time; nothing is kept."""

    def __init__(self, terms: Terms, entries: Entries, references: Sequence[Reference]) -> None:
        self._terms, self._K, self._references = terms, terms.K, references
        step = max(MOST_NUMBERS // self._K, 1)
        rows = [entries.rows(index) for index in parts_of(entries.units, entries.num_rows, step)]
        self._parts = [(part, grouped(part.units)) for part in rows]

    def sums(self, greeks: Greeks) -> tuple[Array, dict[int, Array]]:
        sets = parameter_sets(self._terms, greeks, self._references)
        sums = {slot: np.zeros((len(sets), self._K, term.width)) for slot, term in enumerate(self._terms.all)}
        value = np.zeros(len(sets))
        for s, one in enumerate(sets):
            for rows, units in self._parts:
                values, shares = self._normalised(one, rows, units)
                weights = np.ones(rows.num_rows) if rows.weights is None else rows.weights
                value[s] += (values * units.first(weights)).sum()
                counted = units.spread(shares) * weights
                for slot in self._terms.log_linear:
                    for k in range(self._K):
                        sums[slot][s, k] += self._features(slot, k, one, rows) @ counted[k]
                for slot, term in self._terms.general.items():
                    numbers, active = one.coefficients[slot][None], (counted * self._active(slot, rows))[None]
                    sums[slot][s] += term.pullback(numbers, rows.columns, active)[0]
        return value, sums

    def by_unit(self, greeks: Greeks) -> Iterator[tuple[slice, Index, Array, Array]]:
        for s, one in enumerate(parameter_sets(self._terms, greeks, self._references)):
            start = 0
            for rows, units in self._parts:
                values, shares = self._normalised(one, rows, units)
                yield slice(s, s + 1), slice(start, start := start + len(values)), values[None], shares[None]

    def values_by_unit(self, greeks: Greeks) -> Iterator[tuple[slice, Index, Array]]:
        for which, units, values, _ in self.by_unit(greeks):
            yield which, units, values

    def _normalised(self, one: ParameterSet, rows: Entries, units: Grouped | EachRow) -> tuple[Array, Array]:
        """ℓ [u] and R [K, u]."""
        joint = np.zeros((self._K, rows.num_rows))
        for slot, linear in self._terms.log_linear.items():
            if (offset := linear.offset(rows.columns)) is not None:
                joint += self._active(slot, rows) * offset
            for k in range(self._K):
                joint[k] += one.coefficients[slot][k] @ self._features(slot, k, one, rows)
        for slot, term in self._terms.general.items():
            own = term.log_joint(one.coefficients[slot][None], rows.columns)[0]
            joint += self._active(slot, rows) * own
        is_possible = (rows.latent < 0) | (rows.latent == np.arange(self._K)[:, None])
        joint = units.total(np.where(is_possible, joint, -np.inf))
        values = logsumexp(joint, axis=0)
        return values, np.exp(joint - values)

    def _features(self, slot: int, k: int, one: ParameterSet, rows: Entries) -> Array:
        """Φ of a term [F, n], about the centre of component k."""
        features = self._terms.log_linear[slot].features(rows.columns, one.references[slot], k)
        return features * self._active(slot, rows)

    @staticmethod
    def _active(slot: int, rows: Entries) -> Array | float:
        return rows.active.get(slot, 1.0)
