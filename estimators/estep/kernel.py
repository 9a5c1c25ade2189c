"""What computes L, ℓ, R and the sums over rows: the protocol of a kernel.

`reference` is the plain one and the oracle of tests, `compiled.kernel` the one that is used.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from estimators.estep.terms import Entries, Terms
from estimators.estep.units import Index
from estimators.mechanisms.protocol import Greeks, Reference
from estimators.optimise.arrays import Array


class Kernel(Protocol):
    """L[s, k, n] is the sum of the terms' log joints; ℓ = logsumexp_k L; R = softmax_k L, one-hot where Z is known.

    Where rows of a unit share one Z, L is summed within units first, and ℓ and R are those of units.

    Greeks are of S parameter sets, [S, *shape]. Features of a term that `is_centred` are about the centres of its cells
    at these, all others about the references that the kernel was made with.
    """

    def sums(self, greeks: Greeks) -> tuple[Array, dict[int, Array]]:
        """Σ_n w ℓ as [S], and its gradient in each slot's C: the sums [S, K, width]."""

    def by_unit(self, greeks: Greeks) -> Iterable[tuple[slice, Index, Array, Array]]:
        """Part by part: which sets, which units in the order of their numbers, ℓ [S', u] and R [S', K, u]."""

    def values_by_unit(self, greeks: Greeks) -> Iterable[tuple[slice, Index, Array]]:
        """The same without R."""


# A kernel of some rows.
MakeKernel = Callable[[Terms, Entries, Sequence[Reference]], Kernel]
