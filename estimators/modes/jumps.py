"""Starts made of one mode's responsibilities, where another mode is likely to be."""

from itertools import combinations, permutations

import numpy as np

from estimators.modes.rows import Rows
from estimators.modes.starts import near_rows
from estimators.optimise.arrays import Array, Mask
from estimators.parameters.symmetry import Symmetry

Rng = np.random.Generator
MOST_SWAPS, SPLITS, BALLS, MOST_MIRRORS = 12, 4, 6, 23


def level_swaps(shares: Array, rows: Rows, rng: Rng, *, softness: float = 0.02) -> list[Array]:
    """Two classes exchanged within a level of a column (or where just one of two columns has its level).

    Which class of one level is which of the other, a hidden cause of two columns does not say by itself: the classes
    may be paired anew, with another effect of the one column on the other.
    """
    swaps = [(cell, pair) for cell in rows.cells for pair in combinations(range(shares.shape[0]), 2)]
    chosen = rng.permutation(len(swaps))[:MOST_SWAPS]
    return [_softened(_exchanged(shares, *swaps[i]), softness) for i in chosen]


def splits(shares: Array, rows: Rows, rng: Rng) -> list[Array]:
    """Two classes joined and a third one, or the joined one, split by a random plane."""
    K, found = len(shares), list[Array]()
    for _ in range(SPLITS if K > 1 else 0):
        kept, freed = rng.permutation(K)[:2]
        others = [k for k in range(K) if k != freed]
        split = kept if K < 3 or rng.random() < 0.3 else rng.choice(others)
        moved = shares.copy()
        moved[kept] += moved[freed]
        moved[freed] = 0.0
        side = rows.points @ rng.standard_normal(rows.points.shape[1])
        own = rows.weights * moved[split].reshape(rows.num_rows, -1).mean(1) + 1e-12
        half = side > np.average(side, weights=own)
        moved[freed, half], moved[split, half] = moved[split, half], 0.0
        found.append(_softened(moved, 0.05))
    return found


def balls(shares: Array, rows: Rows, rng: Rng) -> list[Array]:
    """One class dissolved into the others, and made anew of the rows next to a random one."""
    found, count = list[Array](), BALLS if len(shares) > 1 else 0
    for ball in near_rows(rows, count, rng):
        freed = int(rng.integers(len(shares)))
        moved = shares + 1e-3
        moved[freed] = 0.0
        moved = moved / moved.sum(0)
        moved[:, ball] = 0.0
        moved[freed] = ball.reshape(-1, *[1] * (shares.ndim - 2))
        found.append(_softened(moved, 0.02))
    return found


def mirrors(shares: Array, symmetry: Symmetry) -> list[Array]:
    """The same classes under other labels, where known rows or priors tell labels apart."""
    labels = range(len(shares))
    group = {k: number for number, members in enumerate(symmetry.groups) for k in members}
    if len(symmetry.groups) < 2:
        return []
    seen, found = set[tuple[tuple[int, ...], ...]](), list[Array]()
    for order in permutations(labels):
        # Orders that differ within free groups are one.
        kind = tuple(tuple(sorted(order[k] for k in labels if group[k] == g)) for g in range(len(symmetry.groups)))
        if kind not in seen and len(found) < MOST_MIRRORS + 1:
            found.append(_softened(shares[list(order)], 0.02))
        seen.add(kind)
        if len(found) > MOST_MIRRORS:
            break
    return found[1:]


def _exchanged(shares: Array, cell: Mask, pair: tuple[int, int]) -> Array:
    one, other = pair
    moved = shares.copy()
    moved[one, cell], moved[other, cell] = shares[other, cell], shares[one, cell]
    return moved


def _softened(shares: Array, softness: float) -> Array:
    return (1.0 - softness) * shares + softness / len(shares)
