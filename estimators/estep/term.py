"""What the weights of Z, or one variable, add to the log joint L of a row: a term, log-linear or general.

A term is a function of numbers C [S, K, width], one set for each parameter set and class. A log-linear one is their
product with features of the row, whose sums under the responsibilities are all that the data say of it. A general one
is any function of them, given with its derivatives. Of both, the sums are dJ/dC, so the chain rule is the same.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from estimators.mechanisms.protocol import Greeks, Reference
from estimators.optimise.arrays import Array

Columns = Mapping[str, Array]


class Term(Protocol):
    """What both kinds have in common: the way from the Greeks to C and back."""

    @property
    def width(self) -> int:
        """How many numbers C has for each class."""

    def coefficients(self, greeks: Greeks, reference: Reference) -> Array:
        """C as [..., K, width]."""

    def gradient(self, greeks: Greeks, sums: Array, reference: Reference) -> dict[str, Array]:
        """``Σ_k S_k · dC_k/dφ`` by the Greeks' names, from S = dJ/dC [..., K, width]."""


class LogLinear(Term, Protocol):
    """``L[k, n] += C_k · Φ(row n)``, with S = R Φᵀ."""

    @property
    def is_centred(self) -> bool:
        """Whether features are formed about a centre of each cell, because they lose digits about a shared one."""

    def features(self, columns: Columns, reference: Reference, component: int | None = None) -> Array:
        """Φ as [width, N]; of one component, where the reference has one centre for each cell."""

    def offset(self, columns: Columns) -> Array | None:
        """What is added to C Φ that no Greek enters, [N]; None for 0."""

    def argmax(self, greeks: Greeks, sums: Array, reference: Reference) -> dict[str, Array]:
        """The M-step: the Greeks that maximise ``Σ_k C_k · S_k``."""

    def recentred(self, greeks: Greeks, reference: Reference) -> Reference:
        """A reference with a centre for every cell, about which they keep them."""


class General(Term, Protocol):
    """``L[k, n] += log f(row n; C_k)`` for any f: three functions of a block of rows, all classes at once."""

    def log_joint(self, numbers: Array, columns: Columns) -> Array:
        """log f(row; C_k) as [S, K, n]."""

    def pullback(self, numbers: Array, columns: Columns, shares: Array) -> Array:
        """``S = Σ_n R[k, n] d log f / dC_k`` as [S, K, width], from R [S, K, n]."""

    def curvature(self, numbers: Array, columns: Columns, shares: Array, chain: Array) -> Array:
        """``-Σ_kn R[k, n] d² log f / dv²`` as [S, D, D], for C linear in v: ``chain`` [S, K, width, D] is dC/dv."""

    def complete(self, numbers: Array, columns: Columns, shares: Array) -> Array:
        """``Σ_kn R[k, n] log f(row; C_k)`` as [S]."""

    def argmax(self, greeks: Greeks, columns: Columns, shares: Array, reference: Reference) -> dict[str, Array]:
        """Greeks of a higher ``Σ_kn R[k, n] log f``: the M-step has no closed form."""


class Slots(Protocol):
    """Where terms stand by their slot, those of a kind together."""

    log_linear: dict[int, Any]
    general: dict[int, Any]
