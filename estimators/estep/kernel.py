"""What computes L, ℓ, R and the sums over rows: the protocol of a kernel, and what it is given.

`reference` is the plain one and the oracle of tests, `blocked` the one that is used.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from estimators.estep.terms import Entries, Index, Terms
from estimators.mechanisms.protocol import Reference
from estimators.parameters.parameter import Array


class Point(NamedTuple):
    """Parameter sets whose features are about the same references: which of a batch, and C [S, K, width] by slot.

    Several sets have one centre for all cells; a set with a centre for each cell is a point of its own.
    """

    sets: slice
    coefficients: Sequence[Array]
    references: Sequence[Reference]


class Kernel(Protocol):
    """L[s, k, n] is the sum of the terms' log joints; ℓ = logsumexp_k L; R = softmax_k L, one-hot where Z is known."""

    def sums(self, point: Point) -> tuple[Array, dict[int, Array]]:
        """Σ_n w ℓ as [S], and its gradient in each slot's C: the sums [S, K, width]."""

    def by_row(self, point: Point) -> Iterable[tuple[Index, Array, Array]]:
        """Block by block: which rows, ℓ [S, n] and R [S, K, n]."""

    def sums_given(self, shares: Array, references: Sequence[Reference]) -> dict[int, Array]:
        """The sums of log-linear terms under R [S, K, N] instead of its own; Z is as known where it is known."""


class MakeKernel(Protocol):
    """A kernel of some rows, features about the references where a point has no others."""

    def __call__(
        self, terms: Terms, entries: Entries, num_components: int, references: Sequence[Reference]
    ) -> Kernel: ...


class Part(NamedTuple):
    """Some rows and their features [..., F, n], by component where these differ; designs by slot [..., 1 + D, n]."""

    rows: slice
    features: Any
    designs: dict[int, Array]


class Features(Protocol):
    """The features of the rows, part by part; coefficients are [S K, F], parameter set by parameter set."""

    is_blocked: bool
    # Φ [F, N], where one product with it for one parameter set is small enough, and all that there is.
    few: Array | None

    def parts(self, num_sets: int) -> Iterator[Part]:
        """All rows."""

    def joint(self, coefficients: Array, part: Part) -> Array:
        """L [..., S K, n]."""

    def collect(self, shares: Array, part: Part) -> Array:
        """R Φᵀ [S K, F], from R [..., S, K, n]; 0 for general terms."""
