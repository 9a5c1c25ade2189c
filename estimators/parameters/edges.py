"""What ran to the end of its support, in words: which entries of which Greeks, and what to do about them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from estimators.data.words import few
from estimators.optimise.arrays import Array, Mask

# Entries that are named for each piece of advice.
MOST_NAMED = 4


class End(Enum):
    """What ran to an end of its support: what to do, and whether that is a maximum like any other.

    A probability of 0 or 1 is the estimate where the rows show one case alone, as in textbook latent class analyses.
    """

    is_maximum: bool

    WEIGHT = "the data support fewer components; lower K, or raise `concentration` and use MAP or NUTS", False
    POLE = (
        "the prior is infinite there, so that it is no maximum; with a prior that has no pole (`concentration=1` or "
        "more, `Beta(1, 1)`) MAP has one, there or elsewhere, and NUTS weighs the pole as it is",
        False,
    )
    PROBABILITY = "the rows show no other case; a prior keeps it off its end (MAP, NUTS)", True
    SHARE = (
        "what it is the probability of does not occur; leave it out, or use a prior that keeps it off 0 (MAP, NUTS)",
        True,
    )
    SEPARATED = (
        "no finite value is best: its parents tell the outcomes apart where it counts (complete separation), and the "
        "likelihood is at its supremum here; a prior holds it, as `model.scaled_to(data)` has with MAP or NUTS",
        True,
    )
    SIMPLER = "the rows are as under the simpler law at that end; a prior keeps it off (MAP, NUTS)", True
    PRIOR = "the data ask for values beyond; use a wider prior, or check the units of the column", False
    SUPPORT = "the density still grows there; use a prior that keeps away from the end of the support", False

    def __new__(cls, words: str, is_maximum: bool) -> "End":
        """A member whose value is what to do."""
        member = object.__new__(cls)
        member._value_, member.is_maximum = words, is_maximum
        return member


@dataclass(frozen=True)
class Edge:
    """An entry of a Greek at an end of its support; ``index`` is None for some entry, ``because`` a reason if known."""

    greek: str
    index: tuple[int, ...] | None
    end: str
    kind: End
    because: str = ""

    @property
    def advice(self) -> str:
        """The reason, or what to do."""
        return self.because or self.kind.value

    @property
    def entry(self) -> str:
        """As in ``mu_X[0]``."""
        return f"{self.greek}[{', '.join(map(str, self.index))}]" if self.index else self.greek

    @property
    def words(self) -> str:
        """As in ``mu_X[0] at the upper end of its prior, 5``."""
        return f"{self.entry} at {self.end}"


def edges_where(greek: str, marked: Mask, end: str, kind: End) -> list[Edge]:
    """The marked entries of a Greek."""
    return [Edge(greek, tuple(index), end, kind) for index in np.argwhere(marked).tolist()]


def edges_of_prior(greek: str, marked: Mask, ends: Array, side: str) -> list[Edge]:
    """The marked entries of a Greek whose prior ends, below or above, at the given numbers."""
    ends = np.broadcast_to(ends, marked.shape)
    indices = np.argwhere(marked).tolist()
    return [
        Edge(greek, tuple(index), f"the {side} end of its prior, {ends[tuple(index)]:g}", End.PRIOR)
        for index in indices
    ]


def words_of_edges(edges: Sequence[Edge]) -> str:
    """All of them, with what to do: ``theta[1] at 0 (the data support fewer components; ...)``."""
    phrases = []
    for advice in dict.fromkeys(edge.advice for edge in edges):
        entries = [edge.words for edge in edges if edge.advice == advice]
        phrases.append(f"{few(entries, MOST_NAMED)} ({advice})")
    return "; ".join(phrases)
