"""What the labels of Z mean: one rule for every fit, so that do(Z=1) has an answer.

The posterior is symmetric under permuting components that share priors and have no row with that Z known. Draws are
aligned within that symmetry by Stephens' KL relabelling (Stephens 2000, "Dealing with label switching in mixture
models", JRSS B 62, algorithm 2), from the draw of highest density, then put in order of the first mechanism's mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from estimators.data import Data
from estimators.marginal import Marginal
from estimators.model import CausalMixture
from estimators.parameters import Array, Parameter

Indices = NDArray[np.intp]

Draws = dict[str, Tensor]
Groups = Sequence[Sequence[int]]
# Responsibilities of at most this many rows, evenly spaced in the data, decide the alignment; their cost is scaled up
# to all rows.
MAX_ROWS = 256
# Draws whose responsibilities are held at one time, so that no [S, N, K] array arises.
MAX_ELEMENTS = 1_000_000
MAX_SWEEPS = 50
FLOOR = 1e-12


@dataclass(frozen=True)
class Labelling:
    """Relabelled draws, the permutation of each draw [S, K], and how and how surely labels were fixed."""

    draws: Draws
    permutations: Indices
    certainty: float
    rule: str


def permute(draws: Draws, parameters: Sequence[Parameter], permutations: Indices) -> Draws:
    """Return draws whose component k is the old component ``permutations[s, k]``.

    >>> weights = torch.tensor([[0.25, 0.75]])
    >>> p = Parameter("theta", (2,), None)
    >>> permute({"theta": weights}, [p], np.array([[1, 0]]))["theta"].tolist()
    [[0.75, 0.25]]
    """
    index = torch.as_tensor(permutations, dtype=torch.long)
    moved = dict(draws)
    for parameter in parameters:
        if parameter.by_component:
            value = draws[parameter.name]
            places = index.reshape(*index.shape, *[1] * (value.ndim - 2)).expand(value.shape)
            moved[parameter.name] = torch.gather(value, 1, places)
    return moved


def label(model: CausalMixture, data: Data, draws: Draws, best: int = 0, *, ordered: bool = True) -> Labelling:
    """Align the draws' labels and order them; ``best`` is the draw to start at (the highest density).

    With ``ordered=False`` labels keep the names that they have in that draw.
    """
    groups = model.exchangeable(data)
    num_draws = len(draws["theta"])
    permutations = np.tile(np.arange(model.K), (num_draws, 1))
    certainty = 1.0
    if max(len(group) for group in groups) > 1:
        rows, scale = _some_rows(data)
        permutations, certainty = align(model.marginal(rows), draws, groups, model.parameters, scale, best)
    aligned = permute(draws, model.parameters, permutations)
    if not ordered:
        return Labelling(aligned, permutations, certainty, "labels are those of the point fit")
    order = _order_within(groups, model.order_key(aligned).expand(num_draws, model.K).mean(0))
    return Labelling(
        draws=permute(aligned, model.parameters, np.tile(order, (num_draws, 1))),
        permutations=permutations[:, order],
        certainty=certainty,
        rule=describe(groups, next(iter(model.mechanisms))),
    )


def align(
    marginal: Marginal, draws: Draws, groups: Groups, parameters: Sequence[Parameter], scale: Array, best: int
) -> tuple[Indices, float]:
    """Stephens' algorithm: return the permutation of each draw [S, K] and the label certainty.

    Minimises ``Σ_s Σ_n w_n Σ_k P_s[n, π_s(k)] log(P_s[n, π_s(k)] / Q[n, k])`` over π_s and Q in turn, with π_s in the
    symmetry group. The certainty is the mean softmax weight of π_s against all its single swaps, by minus that cost.
    """
    num_draws, K = draws["theta"].shape
    permutations = np.tile(np.arange(K), (num_draws, 1))
    target = _responsibilities(marginal, draws, slice(best, best + 1))[0]
    for _ in range(MAX_SWEEPS):
        log_target = np.log(np.maximum(target, FLOOR))
        moved = np.empty_like(permutations)
        total = np.zeros_like(target)
        certainty = 0.0
        for part in _parts(num_draws, target.size):
            shares = _responsibilities(marginal, draws, part)
            costs = _costs(shares, log_target, scale)
            moved[part] = [_assign(cost, groups) for cost in costs]
            certainty += sum(_certainty(c, p, groups) for c, p in zip(costs, moved[part], strict=True))
            total += np.take_along_axis(shares, moved[part][:, None, :], axis=2).sum(0)
        settled = np.array_equal(moved, permutations)
        permutations, target = moved, total / num_draws
        if settled:
            break
    return permutations, certainty / num_draws


def describe(groups: Groups, variable: str) -> str:
    """How labels were fixed, in words."""
    pinned = [group[0] for group in groups if len(group) == 1]
    free = [list(group) for group in groups if len(group) > 1]
    if not free:
        return "labels are fixed by rows with known Z or by unequal priors" if len(groups) > 1 else "one component"
    ordered = f"aligned across draws and ordered by the mean of {variable}"
    if pinned:
        return f"labels {pinned} are fixed by known Z or unequal priors; {free} are {ordered} within each group"
    return f"labels are {ordered}"


def _some_rows(data: Data) -> tuple[Data, Array]:
    """At most MAX_ROWS rows with Z hidden, and the weight of each in the cost."""
    hidden = ((data.latent() < 0) & data.counts()).nonzero()[:, 0]
    if not len(hidden):
        hidden = data.counts().nonzero()[:1, 0]
    keep = hidden[torch.linspace(0, len(hidden) - 1, min(len(hidden), MAX_ROWS)).round().long()]
    weights = np.ones(len(keep)) if data.weights is None else data.weights[keep].numpy()
    return data.rows(keep), weights * (len(hidden) / len(keep))


def _parts(num_draws: int, row_size: int) -> list[slice]:
    step = max(MAX_ELEMENTS // max(row_size, 1), 1)
    return [slice(start, min(start + step, num_draws)) for start in range(0, num_draws, step)]


def _responsibilities(marginal: Marginal, draws: Draws, part: slice) -> Array:
    return marginal.responsibilities({name: value[part] for name, value in draws.items()}).numpy()


def _costs(shares: Array, log_target: Array, scale: Array) -> Array:
    """cost[s, k, j]: the KL contribution of giving label k to component j of draw s."""
    weighted = shares * scale[:, None]
    entropy = (weighted * np.log(np.maximum(shares, FLOOR))).sum(1)
    return np.asarray(entropy[:, None, :] - np.einsum("nk,snj->skj", log_target, weighted))


def _assign(cost: Array, groups: Groups) -> Indices:
    chosen = np.arange(len(cost))
    for group in groups:
        if len(group) > 1:
            _, columns = linear_sum_assignment(cost[np.ix_(group, group)])
            chosen[list(group)] = np.asarray(group)[columns]
    return chosen


def _certainty(cost: Array, chosen: Indices, groups: Groups) -> float:
    """The softmax weight of the chosen permutation against all its single swaps, by minus the cost."""
    others = 0.0
    for group in groups:
        for a, k in enumerate(group):
            for m in group[a + 1 :]:
                extra = cost[k, chosen[m]] + cost[m, chosen[k]] - cost[k, chosen[k]] - cost[m, chosen[m]]
                others += float(np.exp(-max(extra, 0.0)))
    return 1.0 / (1.0 + others)


def _order_within(groups: Groups, key: Tensor) -> Indices:
    order = np.arange(len(key))
    for group in groups:
        places = sorted(group)
        order[places] = sorted(places, key=lambda k: float(key[k]))
    return order
