"""Weights of Z by a logit of its causes as an M-step takes them: by compiled functions, on rows that stay the same."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from estimators.estep.compiled import completed_gate
from estimators.estep.compiled.layout import BLOCK
from estimators.estep.compiled.threads import LEAST_WORK, in_ranges
from estimators.estep.gated import GatedWeights
from estimators.estep.term import Columns
from estimators.optimise.arrays import Array


@dataclass(frozen=True, eq=False)
class CompiledGate(GatedWeights):
    """J and its derivatives in C compiled: the same sums on any number of threads."""

    # The columns of the last call and their design [1 + P, n]: an M-step has the same ones many times.
    _last: list[tuple[Columns, Array]] = field(default_factory=list, init=False)

    @classmethod
    def of(cls, weights: GatedWeights) -> Self:
        """The same weights."""
        return cls(weights.gate, weights.design, weights.num_components)

    def pullback(self, numbers: Array, columns: Columns, shares: Array) -> Array:
        return self._found(completed_gate.slopes, numbers, columns, shares, numbers.shape[-2:])

    def curvature(self, numbers: Array, columns: Columns, shares: Array, chain: Array) -> Array:
        shape = self.num_components, self.num_components, self.width, self.width
        pairs = self._found(completed_gate.curvatures, numbers, columns, shares, shape)
        return np.asarray(np.einsum("skpi,sklpq,slqj->sij", chain, pairs, chain, optimize=True))

    def complete(self, numbers: Array, columns: Columns, shares: Array) -> Array:
        return self._found(completed_gate.complete, numbers, columns, shares, ())

    def _found(
        self, of: Callable[..., None], numbers: Array, columns: Columns, shares: Array, shape: tuple[int, ...]
    ) -> Array:
        """What a function finds, of a shape, for each parameter set; shares may be the same for all."""
        if not (self._last and self._last[0][0] is columns):
            self._last[:] = [(columns, np.ascontiguousarray(self._design(columns).T))]
        (_, design), sets = self._last[0], numbers.shape[:-2]
        C = np.array(numbers, order="C").reshape(-1, *numbers.shape[-2:])
        R = np.array(np.broadcast_to(shares, (*sets, *shares.shape[-2:])), order="C").reshape(len(C), len(C[0]), -1)
        out = np.zeros((len(C), *shape))

        def part(a: int, b: int) -> None:
            of(C[a:b], design, R[a:b], out[a:b], np.empty((self.num_components + 3, BLOCK)))

        in_ranges(part, len(C), R.size // LEAST_WORK)
        return out.reshape((*sets, *shape))
