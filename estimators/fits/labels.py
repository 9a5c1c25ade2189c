"""What the labels of Z mean: one rule for every fit, so that do(Z=1) has an answer.

The posterior is symmetric under permuting components that share priors and have no row with that Z known. Draws are
aligned within that symmetry by Stephens' KL relabelling (Stephens 2000, "Dealing with label switching in mixture
models", JRSS B 62, algorithm 2), from the draw of highest density, then put in order of the first mechanism's mean.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from estimators.contract import Density, Model
from estimators.data.data import NOT_SEEN
from estimators.fits.rows import in_blocks
from estimators.parameters.parameter import Array
from estimators.symmetry import Draws, Groups, Indices, Symmetry, assigned, permute

# Responsibilities of at most this many rows, evenly spaced in the data, decide the alignment; their cost is scaled up
# to all rows.
MAX_ROWS = 256
# At most so many responsibilities are held at one time, so that no [S, N, K] array arises.
MAX_ELEMENTS = 1_000_000
MAX_SWEEPS = 50
# Responsibilities that are kept from sweep to sweep, 64 MB of them.
MOST_KEPT = 8_000_000
FLOOR = 1e-12


@dataclass(frozen=True)
class Labelling:
    """Relabelled draws, the permutation of each draw [S, K], and how and how surely labels were fixed."""

    draws: Draws
    permutations: Indices
    certainty: float
    rule: str
    is_fixed: bool = True

    @property
    def stats(self) -> dict[str, Any]:
        """What a fit says of its labels."""
        stats: dict[str, Any] = {"label_certainty": self.certainty, "labels": self.rule}
        return stats if self.is_fixed else {**stats, "labels_fixed": False}


def label(
    model: Model, density: Density, draws: Draws, best: int = 0, *, ordered: bool = True, uses_prior: bool = True
) -> Labelling:
    """Align the draws' labels and order them; ``best`` is the draw to start at (the highest density).

    With ``ordered=False`` labels keep the names that they have in that draw. Draws found without a prior
    (``uses_prior=False``) may have labels that the priors tell apart in any order: they are put in the likeliest.
    """
    symmetry = model.symmetry(density.data, {name: value[best] for name, value in draws.items()}, uses_prior=uses_prior)
    num_draws = len(next(iter(draws.values())))
    if not symmetry.is_nontrivial:
        permutations = np.tile(np.arange(symmetry.num_labels), (num_draws, 1))
        return Labelling(draws, permutations, 1.0, symmetry.rule, symmetry.is_fixed)
    deciding, repeats = _of_some_rows(density, symmetry)
    permutations, certainty = align(deciding, symmetry, draws, repeats, best)
    aligned = permute(draws, symmetry.axes, permutations)
    if not ordered:
        return Labelling(aligned, permutations, certainty, "labels are those of the point fit")
    key = model.order_key(aligned, symmetry).expand(num_draws, symmetry.num_labels).mean(0)
    order = _order_within(symmetry.groups, key)
    if symmetry.by_prior:
        order = model.likeliest_order(density.data, aligned, symmetry, key)
    return Labelling(
        draws=permute(aligned, symmetry.axes, np.tile(order, (num_draws, 1))),
        permutations=permutations[:, order],
        certainty=certainty,
        rule=symmetry.rule,
    )


def align(density: Density, symmetry: Symmetry, draws: Draws, repeats: float, best: int) -> tuple[Indices, float]:
    """Stephens' algorithm: return the permutation of each draw [S, K] and the label certainty.

    Minimises ``Σ_s Σ_n w_n Σ_k P_s[n, π_s(k)] log(P_s[n, π_s(k)] / Q[n, k])`` over π_s and Q in turn, with P the
    responsibilities of the density's rows, each of which stands for as many as ``repeats`` says, and π_s in the
    symmetry group; ``Σ P log P`` is the same for all of these, and left out. The certainty is
    the mean softmax weight of π_s against all its single swaps, by minus that cost.
    """
    data, num_draws = density.data, len(next(iter(draws.values())))
    weights = repeats * (np.ones(data.num_rows) if data.weights is None else data.weights.numpy())
    target = _responsibilities(density, symmetry, {name: value[best : best + 1] for name, value in draws.items()})[0]
    permutations = np.tile(np.arange(target.shape[1]), (num_draws, 1))
    blocks = list(in_blocks(draws, target.size, MAX_ELEMENTS))
    # Where they take little memory, responsibilities are computed once, and not at every sweep.
    are_few = num_draws * target.size <= MOST_KEPT
    kept = [_responsibilities(density, symmetry, block) for block in blocks] if are_few else None
    for _ in range(MAX_SWEEPS):
        log_target = np.log(np.maximum(target, FLOOR))
        chosen, total, certainty = list[Indices](), np.zeros_like(target), 0.0
        for shares in kept or (_responsibilities(density, symmetry, block) for block in blocks):
            costs = -np.einsum("nk,snj->skj", log_target * weights[:, None], shares)
            chosen.append(assigned(costs, symmetry.groups))
            certainty += float(_certainties(costs, chosen[-1], symmetry.groups).sum())
            total += np.take_along_axis(shares, chosen[-1][:, None, :], axis=2).sum(0)
        previous, permutations, target = permutations, np.concatenate(chosen), total / num_draws
        if np.array_equal(permutations, previous):
            break
    return permutations, certainty / num_draws


def _of_some_rows(density: Density, symmetry: Symmetry) -> tuple[Density, float]:
    """The density of at most MAX_ROWS rows with the cause hidden, and how many rows each of them stands for."""
    data = density.data
    hidden = data.counts()
    for site in symmetry.sites:
        if site in data.columns:
            hidden = hidden & (data.columns[site].reshape(data.num_rows, -1) == NOT_SEEN).any(1)
    rows = hidden.nonzero()[:, 0]
    if not len(rows):
        rows = data.counts().nonzero()[:1, 0]
    keep = rows[torch.linspace(0, len(rows) - 1, min(len(rows), MAX_ROWS), dtype=torch.float64).round().long()]
    return density if len(keep) == data.num_rows else density.of(data.rows(keep)), len(rows) / len(keep)


def _responsibilities(density: Density, symmetry: Symmetry, draws: Draws) -> Array:
    """p(label | row) as [S, N, K], averaged over every site that has the labels, and over the inner plates of each."""
    by_site = [density.responsibilities(draws, site) for site in symmetry.sites]
    per_row = [shares.reshape(*shares.shape[:2], -1, shares.shape[-1]).mean(2) for shares in by_site]
    return np.asarray(torch.stack(per_row).mean(0).numpy())


def _certainties(costs: Array, chosen: Indices, groups: Groups) -> Array:
    """The softmax weight [S] of the chosen permutations against all their single swaps, by minus the cost."""
    # crossed[s, k, m]: what label k would cost with the component that label m now has.
    crossed = np.take_along_axis(costs, chosen[:, None, :], axis=2)
    others = np.zeros(len(costs))
    for group in groups:
        for k, m in combinations(group, 2):
            extra = crossed[:, k, m] + crossed[:, m, k] - crossed[:, k, k] - crossed[:, m, m]
            others += np.exp(-np.maximum(extra, 0.0))
    return 1.0 / (1.0 + others)


def _order_within(groups: Groups, key: Tensor) -> Indices:
    order = np.arange(len(key))
    for group in groups:
        labels = sorted(group)
        order[labels] = sorted(labels, key=lambda k: float(key[k]))
    return order
