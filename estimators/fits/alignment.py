"""One naming of the components for all draws: Stephens' KL relabelling (2000, JRSS B 62, algorithm 2)."""

from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch

from estimators.contract import Density
from estimators.data.data import NOT_SEEN
from estimators.fits.rows import in_blocks
from estimators.optimise.arrays import Array
from estimators.parameters.symmetry import Draws, Indices, Symmetry, assigned

# Responsibilities of at most this many rows, evenly spaced in the data, decide the alignment; their cost is scaled up
# to all rows.
MAX_ROWS = 128
# At most so many responsibilities are held at one time, so that no [S, N, K] array arises.
MAX_ELEMENTS = 1_000_000
MAX_SWEEPS = 50
# Responsibilities that are kept from sweep to sweep, 64 MB of them.
MOST_KEPT = 8_000_000
FLOOR = 1e-12


class Alignment(NamedTuple):
    """The permutation of each draw [S, K], and how sure it is.

    ``weights`` [S, 1 + P] are the softmax weights, by minus the cost, of the permutation as it is and after each of the
    single swaps [P, 2] of two labels.
    """

    permutations: Indices
    swaps: Indices
    weights: Array


def aligned(density: Density, symmetry: Symmetry, draws: Draws, best: int) -> Alignment:
    """Stephens' algorithm, from the draw ``best``.

    Minimises ``Σ_s Σ_n w_n Σ_k P_s[n, π_s(k)] log(P_s[n, π_s(k)] / Q[n, k])`` over π_s and Q in turn, with P the
    responsibilities of some rows, each of which stands for as many of all, and π_s in the symmetry group; ``Σ P log P``
    is the same for all of these, and left out. Where a row has several sites that have the labels, each is a row.
    """
    density, repeats = _of_some_rows(density, symmetry)
    data, num_draws = density.data, len(next(iter(draws.values())))
    per_row = repeats * (np.ones(data.num_units) if data.unit_weights is None else data.unit_weights.numpy())
    target = _responsibilities(density, symmetry, {name: value[best : best + 1] for name, value in draws.items()})[0]
    weights = np.repeat(per_row, len(target) // len(per_row))[:, None]
    permutations = np.tile(np.arange(target.shape[1]), (num_draws, 1))
    blocks = list(in_blocks(draws, target.size, MAX_ELEMENTS))
    # Where they take little memory, responsibilities are computed once, and not at every sweep.
    are_few = num_draws * target.size <= MOST_KEPT
    kept = [_responsibilities(density, symmetry, block) for block in blocks] if are_few else None
    swaps = [pair for group in symmetry.groups for pair in combinations(group, 2)]
    sure: list[Array] = []
    for _ in range(MAX_SWEEPS):
        log_target = (np.log(np.maximum(target, FLOOR)) * weights).T
        chosen, total, sure = list[Indices](), np.zeros_like(target), []
        for shares in kept or (_responsibilities(density, symmetry, block) for block in blocks):
            costs = -(log_target @ shares)
            chosen.append(assigned(costs, symmetry.groups))
            sure.append(_weights(costs, chosen[-1], swaps))
            total += _sum_of_permuted(shares, chosen[-1])
        previous, permutations, target = permutations, np.concatenate(chosen), total / num_draws
        if np.array_equal(permutations, previous):
            break
    return Alignment(permutations, np.array(swaps, dtype=np.intp).reshape(-1, 2), np.concatenate(sure))


def _sum_of_permuted(shares: Array, chosen: Indices) -> Array:
    """The sum over draws of shares [S, N, K] with component k replaced by ``chosen[s, k]``, as [N, K]."""
    total = np.zeros(shares.shape[1:])
    # A permutation as one string of bytes, of which sorting takes a fiftieth of the time of rows.
    small = np.ascontiguousarray(chosen, dtype=np.min_scalar_type(chosen.shape[1]))
    words = small.view(f"S{small[0].nbytes}")[:, 0]
    _, first, numbers = np.unique(words, return_index=True, return_inverse=True)
    if len(first) == 1:
        return np.asarray(shares.sum(0)[:, chosen[0]])
    for number, order in enumerate(chosen[first]):
        total += shares[numbers == number].sum(0)[:, order]
    return total


def _of_some_rows(density: Density, symmetry: Symmetry) -> tuple[Density, float]:
    """The density of at most MAX_ROWS rows with the cause hidden, and how many rows each of them stands for."""
    data = density.data
    hidden = data.counts()
    for site in symmetry.sites:
        if site in data.columns:
            hidden = hidden & (data.columns[site].reshape(data.num_rows, -1) == NOT_SEEN).any(1)
    hidden = data.of_units(hidden)
    if not bool(hidden.any()):
        hidden = torch.arange(data.num_units) == data.of_units(data.counts()).int().argmax()
    number = int(np.count_nonzero(hidden.numpy()))
    if number == data.num_units <= MAX_ROWS:
        return density, 1.0
    # At random, but always the same: rows may come in a period that even steps would keep.
    some = np.random.default_rng(0).choice(number, min(number, MAX_ROWS), replace=False)
    keep = torch.from_numpy(np.sort(some))
    if number < data.num_units:
        keep = hidden.nonzero()[keep, 0]
    return density if len(keep) == data.num_units else density.of(data.units_at(keep)), number / len(keep)


def _responsibilities(density: Density, symmetry: Symmetry, draws: Draws) -> Array:
    """p(label | row) as [S, N·M, K], for the M sites that have the labels, those in inner plates of a row included."""
    by_site = [density.responsibilities(draws, site) for site in symmetry.sites]
    per_row = [shares.reshape(*shares.shape[:2], -1, shares.shape[-1]) for shares in by_site]
    return np.asarray(torch.cat(per_row, 2).flatten(1, 2).numpy())


def _weights(costs: Array, chosen: Indices, swaps: list[tuple[int, int]]) -> Array:
    """The softmax weights [S, 1 + P] of the chosen permutations and all their single swaps, by minus the cost."""
    # crossed[s, k, m]: what label k would cost with the component that label m now has.
    crossed = np.take_along_axis(costs, chosen[:, None, :], axis=2)
    weights = np.ones((len(costs), 1 + len(swaps)))
    for number, (k, m) in enumerate(swaps, 1):
        extra = crossed[:, k, m] + crossed[:, m, k] - crossed[:, k, k] - crossed[:, m, m]
        weights[:, number] = np.exp(-np.maximum(extra, 0.0))
    return np.asarray(weights / weights.sum(1, keepdims=True))
