"""The sums of log-linear terms under given responsibilities, about the references that all cells share."""

from collections.abc import Sequence

import numpy as np

from estimators.estep.terms import Entries, Terms
from estimators.mechanisms.protocol import Reference
from estimators.parameters.parameter import Array

# Rows whose features are made at one time.
TOGETHER = 65_536


def sums_given(terms: Terms, entries: Entries, shares: Array, references: Sequence[Reference]) -> dict[int, Array]:
    """Σ_n w R Φ by slot [S, K, width], for R [S, K, N]."""
    sums = {slot: np.zeros((*shares.shape[:-1], term.width)) for slot, term in terms.log_linear.items()}
    for start in range(0, entries.num_rows, TOGETHER):
        which = slice(start, start + TOGETHER)
        rows = entries.rows(which)
        counted = shares[..., which] if rows.weights is None else shares[..., which] * rows.weights
        for slot, term in terms.log_linear.items():
            features = term.features(rows.columns, references[slot]) * rows.active.get(slot, 1.0)
            # einsum, not a matrix product, whose sums depend on the thread count.
            sums[slot] += np.einsum("...n,fn->...f", counted, features)
    return sums
