"""What ran to the end of its support, in words: which entries of which Greeks, and what to do about each kind."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from estimators.parameters.parameter import Array

Mask = NDArray[np.bool_]

# Entries that are named, of each kind.
MOST_NAMED = 4
WEIGHT = "the data support fewer components; lower K, or raise `concentration` and use MAP or NUTS"
PROBABILITY = "the rows show no other case; a prior keeps it off its end (MAP, NUTS)"
SHARE = "what it is the probability of does not occur; leave it out, or use a prior that keeps it off 0 (MAP, NUTS)"
PRIOR = "the data ask for values beyond; use a wider prior, or check the units of the column"
SUPPORT = "the density still grows there; use a prior that keeps away from the end of the support"


@dataclass(frozen=True)
class Edge:
    """An entry of a Greek at an end of its support; ``place`` is None for some entry of it."""

    greek: str
    place: tuple[int, ...] | None
    end: str
    advice: str

    @property
    def words(self) -> str:
        """As in ``mu_X[0] at the upper end of its prior, 5``."""
        entry = f"[{', '.join(map(str, self.place))}]" if self.place else ""
        return f"{self.greek}{entry} at {self.end}"


def edges_where(greek: str, marked: Mask, end: str, advice: str) -> list[Edge]:
    """The marked entries of a Greek."""
    return [Edge(greek, tuple(place), end, advice) for place in np.argwhere(marked).tolist()]


def edges_of_prior(greek: str, marked: Mask, ends: Array, side: str) -> list[Edge]:
    """The marked entries of a Greek whose prior ends, below or above, at the given numbers."""
    ends = np.broadcast_to(ends, marked.shape)
    places = np.argwhere(marked).tolist()
    return [Edge(greek, tuple(p), f"the {side} end of its prior, {ends[tuple(p)]:g}", PRIOR) for p in places]


def words_of_edges(edges: Sequence[Edge]) -> str:
    """All of them, with what to do: ``theta[1] at 0 (the data support fewer components; ...)``."""
    parts = []
    for advice in dict.fromkeys(edge.advice for edge in edges):
        own = [edge.words for edge in edges if edge.advice == advice]
        more = f" and {len(own) - MOST_NAMED} more" if len(own) > MOST_NAMED else ""
        parts.append(f"{', '.join(own[:MOST_NAMED])}{more} ({advice})")
    return "; ".join(parts)
