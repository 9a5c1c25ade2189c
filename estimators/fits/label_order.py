"""What free labels are put in order by: the first thing that differs between the classes beyond its uncertainty."""

from collections.abc import Mapping
from itertools import combinations, permutations, product
from math import factorial, prod
from typing import NamedTuple

import numpy as np
from torch import Tensor

from estimators.optimise.arrays import Array
from estimators.parameters.symmetry import Groups, Indices

# The order of a key is sure at two standard deviations.
DIFFERS = 0.975
# Orders of labels that are all compared.
MOST_ORDERS = 24


class Order(NamedTuple):
    """The component of every label [K], by which key, and the probability that this is its order."""

    components: Indices
    key: str
    probability: float
    # What comes before it, and does not differ.
    is_first: bool


class Doubt(NamedTuple):
    """Weights [S, 1 + P] of the labels of each draw as they are, and after each swap [P, 2] of two of them."""

    weights: Array
    swaps: Indices


def first_that_differs(keys: Mapping[str, Tensor], centre: Mapping[str, Tensor], groups: Groups, doubt: Doubt) -> Order:
    """The order of the first key [S, K] that has one with a probability of DIFFERS, or else of the surest key.

    ``centre`` are the keys [K] whose order is asked about; a draw has it if all labels of a group ascend.
    """
    surest = None
    for number, (name, values) in enumerate(keys.items()):
        components = ascending(groups, centre[name].numpy())
        order = Order(components, name, probability_of(values, groups, components, doubt), not number)
        if order.probability >= DIFFERS:
            return order
        surest = order if surest is None or order.probability > surest.probability else surest
    assert surest is not None
    return surest


def ascending(groups: Groups, key: Array) -> Indices:
    """The component of every label [K]: within each group in order of the key [K].

    >>> ascending([[0, 2], [1]], np.array([5.0, 9.0, 4.0])).tolist()
    [2, 1, 0]
    """
    order = np.arange(len(key))
    for group in groups:
        labels = sorted(group)
        order[labels] = sorted(labels, key=lambda k: float(key[k]))
    return order


def orders_within(groups: Groups, stated: Indices) -> list[Indices]:
    """All other orders [K] of labels within their groups, or of many those that differ from the stated by one swap."""
    if prod(factorial(len(group)) for group in groups) > MOST_ORDERS:
        pairs = [pair for group in groups for pair in combinations(group, 2)]
        found = []
        for one, other in pairs:
            order = stated.copy()
            order[[one, other]] = stated[[other, one]]
            found.append(order)
        return found
    found = []
    for parts in product(*(permutations(group) for group in groups)):
        order = stated.copy()
        for group, part in zip(groups, parts, strict=True):
            order[list(group)] = stated[list(part)]
        found.append(order)
    return found[1:]


def probability_of(key: Tensor, groups: Groups, components: Indices, doubt: Doubt) -> float:
    """The share of draws whose key [S, K] ascends within each group, of ties half; label k is ``components[k]``."""
    values = key.numpy()[:, components]
    place = np.argsort(components)
    held = doubt.weights[:, 0] * _ascends(values, groups)
    for number, (one, other) in enumerate(place[doubt.swaps], 1):
        swapped = np.arange(values.shape[1])
        swapped[[one, other]] = other, one
        held += doubt.weights[:, number] * _ascends(values[:, swapped], groups)
    return float(held.sum() / doubt.weights.sum())


def _ascends(key: Array, groups: Groups) -> Array:
    held = np.ones(len(key))
    for group in groups:
        gaps = np.diff(key[:, sorted(group)], axis=1)
        held *= np.where(gaps > 0, 1.0, np.where(gaps < 0, 0.0, 0.5)).prod(1)
    return held
