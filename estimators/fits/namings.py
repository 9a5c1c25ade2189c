"""Namings of components, as a key says which component is which: of draws, and all others that these are held against.

A key has a value for each component, as its mean. In ascending order of it components have places, and a naming says
at which place the component with each label is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from estimators.fits.label_order import orders_within
from estimators.fits.sample import Sample
from estimators.optimise.arrays import Array, Mask
from estimators.parameters.symmetry import Draws, Groups, Indices, Symmetry, permute

# The places of the components of each group of labels, one group after the other, each group's in order.
Name = tuple[int, ...]
# What the keys of draws [S, ...] are, [S, K] each.
Keys = Callable[[Draws], Mapping[str, Tensor]]


@dataclass(frozen=True, eq=False)
class Namings:
    """Draws with their components in order of a key, and M namings with an order [K] of each.

    The first naming is that of the point that is asked about, else the one that most draws have, in weight.
    """

    symmetry: Symmetry
    places_of: Callable[[Draws], Indices]
    in_order: Draws
    places: Indices
    orders: Mapping[Name, Indices]

    @staticmethod
    def by(key: str, keys_of: Keys, symmetry: Symmetry, sample: Sample) -> "Namings":
        """Those by a key."""

        def sorted_by(draws: Draws) -> Indices:
            return np.argsort(keys_of(draws)[key].numpy(), axis=1, kind="stable")

        def places_of(draws: Draws) -> Indices:
            return np.argsort(sorted_by(draws), axis=1)

        in_order = permute(sample.draws, symmetry.axes, sorted_by(sample.draws))
        places = places_of(sample.draws)
        votes = sample.weights
        if sample.is_about_point:
            votes = (np.arange(len(votes)) == sample.best).astype(float)
        orders = _compared(places, votes, symmetry.groups)
        return Namings(symmetry, places_of, in_order, places, orders)

    @property
    def numbers(self) -> Indices:
        """Which naming each draw has [S], -1 for none of these."""
        return self._numbered(self.places)

    def number(self, draws: Draws) -> Indices:
        """Which naming other draws have."""
        return self._numbered(self.places_of(draws))

    def kept(self, which: Mask) -> "Namings":
        """The same with the first and some others of the namings [M]."""
        named = enumerate(self.orders.items())
        return replace(self, orders={name: order for place, (name, order) in named if which[place] or not place})

    def sorted_draws(self, places: Sequence[int] | Indices) -> Draws:
        """Some of the draws, their components in order of the key."""
        index = torch.as_tensor(np.array(places, dtype=np.intp))
        return {name: value[index] for name, value in self.in_order.items()}

    def draws_of(self, number: int, most: int) -> Draws | None:
        """Draws of one naming as they are, evenly spaced; None where there are none."""
        own = np.flatnonzero(self.numbers == number)
        if not len(own):
            return None
        chosen = own[:: max(-(-len(own) // most), 1)]
        return permute(self.sorted_draws(chosen), self.symmetry.axes, self.places[chosen])

    def images(self, draws: Draws) -> list[Draws]:
        """Draws whose components are in order of the key, under each naming."""
        count = len(next(iter(draws.values())))
        return [permute(draws, self.symmetry.axes, np.tile(order, (count, 1))) for order in self.orders.values()]

    def _numbered(self, places: Indices) -> Indices:
        known = {name: number for number, name in enumerate(self.orders)}
        return np.array([known.get(name, -1) for name in _names(places, self.symmetry.groups)], dtype=np.intp)


def surest_first(keys: Mapping[str, Tensor], weights: Array) -> list[str]:
    """Keys [S, K] by how far their nearest neighbours are apart, in standard deviations of their difference."""
    ordered = {name: np.sort(key.numpy(), axis=1) for name, key in keys.items()}
    nearest = {
        name: min(_gap(key[:, place : place + 2], weights) for place in range(key.shape[1] - 1))
        for name, key in ordered.items()
    }
    return sorted(nearest, key=lambda name: -nearest[name])


def _gap(pair: Array, weights: Array) -> float:
    gaps = np.abs(pair[:, 1] - pair[:, 0])
    mean = float(np.average(gaps, weights=weights))
    spread = float(np.sqrt(np.average((gaps - mean) ** 2, weights=weights)))
    return mean / max(spread, 1e-9 * mean, 1e-300)


def _names(places: Indices, groups: Groups) -> list[Name]:
    """The places [M, K] of labels, modulo those that are free."""
    return list(map(tuple, np.hstack([np.sort(places[:, list(group)], axis=1) for group in groups]).tolist()))


def _compared(places: Indices, weights: Array, groups: Groups) -> dict[Name, Indices]:
    """The namings that are compared, the one that most draws have first."""
    totals: dict[Name, float] = {}
    names = _names(places, groups)
    for name, weight in zip(names, weights.tolist(), strict=True):
        totals[name] = totals.get(name, 0.0) + weight
    stated = places[names.index(max(totals, key=lambda name: totals[name]))]
    orders, compared = np.array([stated, *orders_within([range(len(stated))], stated)]), dict[Name, Indices]()
    for name, order in zip(_names(orders, groups), orders, strict=True):
        compared.setdefault(name, order)
    return compared
