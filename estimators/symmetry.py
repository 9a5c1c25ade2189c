"""Which labels a density leaves free, and the axes of the Greeks that they index."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Symmetry:
    """Groups of labels that may be exchanged, the axes of the Greeks that they index, and the sites that have them.

    Where ``renames_pinned``, a label that is not free can be given another number too, its priors and rows with it.
    ``rule`` says how labels are fixed, in words; ``is_fixed`` is False where they mean nothing in particular. Where
    ``by_prior``, the labels are free in the likelihood alone, and priors that differ by class say which is which.
    """

    groups: Sequence[Sequence[int]]
    axes: Mapping[str, Sequence[int]]
    sites: tuple[str, ...]
    rule: str
    is_fixed: bool
    by_prior: bool = False
    renames_pinned: bool = False

    @property
    def num_labels(self) -> int:
        """K, the number of labels."""
        return sum(len(group) for group in self.groups)

    @property
    def is_nontrivial(self) -> bool:
        """Whether any labels are free."""
        return any(len(group) > 1 for group in self.groups)
