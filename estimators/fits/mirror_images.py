"""How probable it is that labels which known rows or priors fix are those of these components, and not of others.

A row with Z known, or a prior that differs by class, makes one naming of the components likelier than another. Of a
draw φ, its image gφ under another naming has the density p(gφ), exactly, and no change of volume. With D the draws
whose components are in the order of what tells them apart, and c_g = ∫_D p(gφ) dφ, the probability of a naming is
c_g / Σ_h c_h, and from draws of which n_g are of each naming it is the fixed point of

    c_g = Σ_s p(g φ_s) / Σ_h (n_h / c_h) p(h φ_s),

φ_s in D (Meng & Wong 1996, Stat. Sinica 6; Shirts & Chodera 2008, J. Chem. Phys. 129): chains that never left one
naming tell as much about the others. Where nothing tells two components apart, no other naming is another answer, and
their labels are what they are known to be.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor

from estimators.contract import Density
from estimators.fits.named_modes import shares_about_modes
from estimators.fits.rows import in_blocks
from estimators.fits.sample import Sample
from estimators.parameters.parameter import Array
from estimators.symmetry import Draws, Groups, Indices, Symmetry, permute

# All namings of so many labels are compared; of more, those that differ by one swap.
MOST_LABELS = 4
# Draws that are looked at, evenly spaced.
MOST_DRAWS = 2_000
# Draws that weights are worth, below which proposals about the modes of all namings are drawn.
LEAST_WORTH = 100.0
# Two components are told apart where their keys differ by as many standard deviations.
APART = 2.0
# A naming that is as many nats less likely at the draw of highest density is not another answer.
HOPELESS = 50.0
# Rows whose log density is the same to so many nats do not mind the naming.
SAME = 1e-9
# Log densities of rows that are held at one time.
MOST_NUMBERS = 4_000_000
ITERATIONS, SETTLED = 1_000, 1e-10

# For each group of labels, the places of its components among all in order.
Name = tuple[tuple[int, ...], ...]


# What the keys of draws [S, ...] are, [S, K] each.
Keys = Callable[[Draws], Mapping[str, Tensor]]


def probability_of_names(
    density: Density, symmetry: Symmetry, keys_of: Keys, sample: Sample, *, uses_prior: bool
) -> float:
    """The probability of the naming that most draws have, in weight; keys tell components apart.

    ``symmetry`` says which labels are free: namings that differ within these are one.
    """
    groups = symmetry.groups
    if len(groups) < 2:
        return 1.0
    keys = keys_of(sample.draws)
    surest, key = _surest(keys, sample.weights)
    sort = np.argsort(keys[surest].numpy(), axis=1, kind="stable")
    # The place among the sorted components of each label, of every draw.
    places = np.argsort(sort, axis=1)
    names = [_name(order, groups) for order in places]
    orders = _orders(names, places, sample.weights, groups)
    in_order = permute(sample.draws, symmetry.axes, sort)
    at = _picked(in_order, [sample.best])
    images = _Images.of(density, symmetry, list(orders.values()), at, uses_prior=uses_prior)
    if _is_beyond_doubt(images.log_densities(at)[0], list(orders), names[sample.best]):
        return 1.0
    answers = {
        name: order for name, order in orders.items() if _are_apart(key, sample.weights, next(iter(orders)), name)
    }
    if len(answers) < 2:
        return 1.0

    def numbered(draws: Draws) -> Indices:
        return _numbers(np.argsort(np.argsort(keys_of(draws)[surest].numpy(), axis=1), axis=1), answers, groups)

    numbers = _numbers(places, answers, groups)
    some = np.flatnonzero(numbers >= 0)
    some = some[:: max(-(-len(some) // MOST_DRAWS), 1)]
    images = replace(images, orders=list(answers.values()))
    shares, worth = _shares(images.log_densities(_picked(in_order, some)), numbers[some], sample.weights[some])
    if worth < LEAST_WORTH:
        about_modes = shares_about_modes(density, symmetry, at, list(answers.values()), numbered, uses_prior=uses_prior)
        shares = shares if about_modes is None else about_modes
    return float(shares[0])


def _is_beyond_doubt(logs: Array, known: Sequence[Name], own: Name) -> bool:
    """Whether one draw, of log densities [M] under all namings, is next to impossible under any but its own."""
    if own not in known:
        return False
    place = known.index(own)
    return bool(np.delete(logs, place).max(initial=-np.inf) < logs[place] - HOPELESS)


def _numbers(places: Indices, answers: Mapping[Name, Indices], groups: Groups) -> Indices:
    known = {name: number for number, name in enumerate(answers)}
    return np.array([known.get(_name(order, groups), -1) for order in places], dtype=np.intp)


def _picked(draws: Draws, places: Sequence[int] | Indices) -> Draws:
    index = torch.as_tensor(np.array(places, dtype=np.intp))
    return {name: value[index] for name, value in draws.items()}


def _surest(keys: Mapping[str, Tensor], weights: Array) -> tuple[str, Array]:
    """The key whose nearest neighbours are farthest apart, by name and in ascending order [S, K]."""
    ordered = {name: np.sort(key.numpy(), axis=1) for name, key in keys.items()}
    nearest = {
        name: min(_gap(key, weights, place, place + 1) for place in range(key.shape[1] - 1))
        for name, key in ordered.items()
    }
    surest = max(nearest, key=nearest.__getitem__)
    return surest, ordered[surest]


def _gap(key: Array, weights: Array, one: int, other: int) -> float:
    """How far two columns of a key [S, K] are apart, in standard deviations of their difference."""
    gaps = np.abs(key[:, one] - key[:, other])
    mean = float(np.average(gaps, weights=weights))
    spread = float(np.sqrt(np.average((gaps - mean) ** 2, weights=weights)))
    return mean / max(spread, 1e-9 * mean, 1e-300)


def _name(order: Indices, groups: Groups) -> Name:
    """The places [K] of labels, modulo those that are free."""
    return tuple(tuple(sorted(order[list(group)].tolist())) for group in groups)


def _orders(names: Sequence[Name], orders: Indices, weights: Array, groups: Groups) -> dict[Name, Indices]:
    """The namings that are compared, with an order [K] of each; the first is the one that most draws have."""
    totals: dict[Name, float] = {}
    for name, weight in zip(names, weights.tolist(), strict=True):
        totals[name] = totals.get(name, 0.0) + weight
    stated = orders[names.index(max(totals, key=lambda name: totals[name]))]
    K, found = len(stated), dict[Name, Indices]()
    if K <= MOST_LABELS:
        changes = [np.array(order) for order in permutations(range(K))]
    else:
        changes = [np.arange(K), *(_swap(K, one, other) for one, other in combinations(range(K), 2))]
    for change in changes:
        found.setdefault(_name(stated[change], groups), stated[change])
    return found


def _swap(K: int, one: int, other: int) -> Indices:
    order = np.arange(K)
    order[[one, other]] = other, one
    return order


def _are_apart(key: Array, weights: Array, one: Name, other: Name) -> bool:
    """Whether all components that have other labels in one naming than in the other are told apart by the key."""
    for mine, theirs in zip(one, other, strict=True):
        pairs = zip(sorted(set(mine) - set(theirs)), sorted(set(theirs) - set(mine)), strict=True)
        if any(_gap(key, weights, i, j) < APART for i, j in pairs):
            return False
    return True


@dataclass(frozen=True, eq=False)
class _Images:
    """Log densities of draws under several namings, up to what they have in common."""

    density: Density | None
    symmetry: Symmetry
    orders: Sequence[Indices]
    prior: Density | None

    @staticmethod
    def of(
        density: Density, symmetry: Symmetry, orders: Sequence[Indices], at: Draws, *, uses_prior: bool
    ) -> "_Images":
        """Of those rows alone that mind the naming, at one draw."""
        rows = torch.cat([density.pointwise(permute(at, symmetry.axes, order[None])) for order in orders])
        minds = ((rows - rows[0]).abs() > SAME * (1.0 + rows[0].abs())).any(0) & density.data.counts()
        some = minds.nonzero()[:, 0]
        part = density if len(some) == len(minds) else density.of(density.data.rows(some)) if len(some) else None
        return _Images(part, symmetry, orders, density if uses_prior else None)

    def log_densities(self, draws: Draws) -> Array:
        """``log p(gφ)`` as [S, M]."""
        return np.stack(
            [self._of_one(permute(draws, self.symmetry.axes, self._tiled(order, draws))) for order in self.orders], 1
        )

    def _tiled(self, order: Indices, draws: Draws) -> Indices:
        return np.tile(order, (len(next(iter(draws.values()))), 1))

    def _of_one(self, draws: Draws) -> Array:
        logs = np.zeros(len(next(iter(draws.values()))))
        if self.density is not None:
            weights = self.density.data.weights
            blocks = in_blocks(draws, self.density.row_size, MOST_NUMBERS)
            rows = (self.density.pointwise(block) for block in blocks)
            logs += np.concatenate([((one if weights is None else one * weights).sum(1)).numpy() for one in rows])
        if self.prior is not None:
            greeks = {name: value.numpy() for name, value in draws.items()}
            logs = logs + np.sum(list(self.prior.log_priors(greeks).values()), axis=0)
        return np.asarray(np.nan_to_num(logs, nan=-np.inf, posinf=-np.inf, neginf=-np.inf))


def _shares(logs: Array, places: Indices, weights: Array) -> tuple[Array, float]:
    """The probability of each naming [M], from log densities [S, M] of draws under all, drawn under one each.

    And how many draws the weights of the naming that they tell least about are worth.
    """
    drawn = np.bincount(places, weights, logs.shape[1]) / weights.sum()
    usable = np.isfinite(logs).any(1)
    if not usable.any():
        return np.asarray(drawn), 0.0
    logs, log_weights = logs[usable], np.log(np.maximum(weights[usable], 1e-300))
    with np.errstate(divide="ignore"):
        log_drawn = np.log(drawn)
    shares = np.full(logs.shape[1], -np.log(logs.shape[1]))
    for _ in range(ITERATIONS):
        pooled = logsumexp(logs + log_drawn - shares, axis=1, keepdims=True)
        moved = logsumexp(logs + log_weights[:, None] - pooled, axis=0)
        moved -= logsumexp(moved)
        change, shares = np.abs(np.exp(moved) - np.exp(shares)).max(), np.maximum(moved, -700.0)
        if change < SETTLED:
            break
    own = np.exp(logs + log_weights[:, None] - pooled - shares)
    worth = own.sum(0) ** 2 / np.maximum((own**2).sum(0), 1e-300)
    return np.asarray(np.exp(shares)), float(worth.min())
