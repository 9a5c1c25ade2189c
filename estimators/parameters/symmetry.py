"""Which labels a density leaves free, and the axes of the Greeks that they index."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

Indices = NDArray[np.intp]
Draws = dict[str, Tensor]
Groups = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Symmetry:
    """Groups of labels that may be exchanged, the axes of the Greeks that they index, and the sites that have them.

    Where ``renames_pinned``, a label that is not free can be given another number too, its priors and rows with it.
    ``rule`` says how labels are fixed, in words, up to what free ones are ordered by. The labels of the sites
    ``unfixed`` mean nothing in particular, and ``proviso`` says so after the rule. Where ``by_prior``, the labels are
    free in the likelihood alone, and priors that differ by class say which is which.
    """

    groups: Sequence[Sequence[int]]
    axes: Mapping[str, Sequence[int]]
    sites: tuple[str, ...]
    rule: str
    unfixed: tuple[str, ...] = ()
    proviso: str = ""
    by_prior: bool = False
    renames_pinned: bool = False

    @property
    def is_fixed(self) -> bool:
        """Whether all labels mean something."""
        return not self.unfixed

    @property
    def sentence(self) -> str:
        """The rule, and what it does not say."""
        return f"{self.rule}{self.proviso}"

    @property
    def num_labels(self) -> int:
        """K, the number of labels."""
        return sum(len(group) for group in self.groups)

    @property
    def is_nontrivial(self) -> bool:
        """Whether any labels are free."""
        return any(len(group) > 1 for group in self.groups)


def permute(draws: Mapping[str, Tensor], axes: Mapping[str, Sequence[int]], permutations: Indices) -> Draws:
    """Return draws whose component k is the old component ``permutations[s, k]``, along the given axes of each Greek.

    >>> permute({"theta": torch.tensor([[0.25, 0.75]])}, {"theta": [0]}, np.array([[1, 0]]))["theta"].tolist()
    [[0.75, 0.25]]
    """
    index = torch.as_tensor(permutations, dtype=torch.long)
    moved = dict(draws)
    for name, label_axes in axes.items():
        for axis in label_axes:
            value = moved[name]
            shape = [len(index), *[1] * axis, index.shape[1], *[1] * (value.ndim - axis - 2)]
            index_along = index.reshape(shape).expand(value.shape)
            moved[name] = torch.gather(value, axis + 1, index_along)
    return moved


def assigned(costs: Any, groups: Groups) -> Indices:
    """The permutations [S, K] within groups of labels of the least cost, from costs [S, K, K]."""
    chosen = np.tile(np.arange(costs.shape[-1]), (len(costs), 1))
    for group in groups:
        if len(group) == 2:
            one, other = group
            stay, swap = costs[:, one, one] + costs[:, other, other], costs[:, one, other] + costs[:, other, one]
            chosen[swap < stay, one], chosen[swap < stay, other] = other, one
        elif len(group) > 2:
            members = np.asarray(group)
            for draw, cost in enumerate(costs):
                chosen[draw, members] = members[linear_sum_assignment(cost[np.ix_(group, group)])[1]]
    return chosen


def entries_by_label(draws: Mapping[str, Tensor], axes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Every entry of the Greeks that labels index, by its name without the label, as [S, K].

    Of a matrix with two axes of labels, the diagonal.

    >>> entries = entries_by_label({"p": torch.tensor([[[0.25, 0.5], [0.75, 0.5]]])}, {"p": [1]})
    >>> {name: value.tolist() for name, value in entries.items()}
    {'p[0]': [[0.25, 0.5]], 'p[1]': [[0.75, 0.5]]}
    """
    entries = {}
    for name, label_axes in axes.items():
        value = draws[name].movedim([axis + 1 for axis in label_axes], list(range(1, len(label_axes) + 1)))
        for _ in label_axes[1:]:
            value = value.diagonal(dim1=1, dim2=2).movedim(-1, 1)
        shape = value.shape[2:]
        for place in np.ndindex(*shape):
            index = f"[{', '.join(map(str, place))}]" if place else ""
            entries[f"{name}{index}"] = value[(slice(None), slice(None), *place)]
    return entries
