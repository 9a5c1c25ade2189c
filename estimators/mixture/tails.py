"""Means that are infinite, or rest on values too far out to be averaged over: what a log link makes of a long tail."""

from collections.abc import Collection, Mapping
from itertools import product
from math import prod

import torch
from torch import Tensor

from estimators.data.data import LATENT
from estimators.mixture.integration import Weighed
from estimators.mixture.situation import Situation
from estimators.parameters.laws import NUM_NODES, bounds_of, log_mass
from estimators.parameters.parameter import LOG_ZERO

# The end of what is averaged over has no probability to speak of, and so must have no part in a mean.
END, PART = 1e-10, 1e-6
# Means from here on are where the predictor of a log link is held.
HELD = 1e99
# Where a mean is looked at, and at twice that: one that is a product of seven lines there is at most 2⁷ times as large.
LOOKS = 10.0 ** torch.arange(-3.0, 13.0, dtype=torch.float64)
EXPONENTIAL = 5.0
# Where other numbers are that it has products with, and how many of their combinations, with levels, are looked at.
OTHERS = torch.tensor([1.0, -1.0, 1e2, -1e2, 1e4, -1e4], dtype=torch.float64)
MOST_COMBINATIONS = 100
# The shape of a tail, by Hill's estimate, from which on a mean of draws and its error do not settle.
HEAVY = 0.7


def rests_on_an_end(weighed: Weighed, name: str, sizes: Tensor, means: Tensor, *, is_drawn_alone: bool) -> Tensor:
    """Whether the mean of a variable [S, R, ...] is made where its nodes end, or where its terms are held.

    ``means`` [S, R, Q, C, ...] are those given the configurations, ``sizes`` the absolute values of what each of them
    adds; where it ``is_drawn_alone`` the tail of these is the mean's own, not that of what is seen or of a bounded one.
    """
    least = PART * sizes.sum((2, 3))
    # A Gaussian has no link, and may be so large in its units.
    held = torch.inf if name in weighed.joint.gaussian else HELD
    found = torch.where(means.abs() >= held, sizes, 0.0).sum((2, 3)) > least
    if weighed.is_simulated:
        return found | _has_heavy_tail(sizes.sum(3)) if is_drawn_alone else found
    if weighed.nodes is None:
        return found
    alive = weighed.nodes.log_weights > LOG_ZERO / 2
    place = alive.long().cumsum(2)
    for is_at_end in (place <= NUM_NODES, place > place[:, :, -1:] - NUM_NODES):
        at_end = (alive & is_at_end).double()
        is_improbable = (at_end * weighed.log_weights.exp()).sum((2, 3)) < END
        at_end, is_improbable = (one.reshape(*one.shape, *[1] * (sizes.ndim - 4)) for one in (at_end, is_improbable))
        found = found | (is_improbable & ((at_end * sizes).sum((2, 3)) > least))
    return found


def _has_heavy_tail(sizes: Tensor) -> Tensor:
    """Whether what nodes add [S, R, Q, ...], of all draws together, has a tail that drawn ones do not reach."""
    together = sizes.movedim(2, 1).flatten(0, 1)
    largest = together.topk(int(3 * len(together) ** 0.5), 0).values
    shape = (largest[:-1] / largest[-1]).log().mean(0)
    return (shape > HEAVY)[None]


def is_infinite(situation: Situation, name: str) -> Tensor:
    """Whether the mean of a variable [S | 1, M | 1] grows exponentially in a cause whose tail no exponential has.

    Asked of causes that are neither set nor informed by what is seen. Exact numbers of draws would not show it.
    """
    mechanisms, informed = situation.model.mechanisms, situation.above(list(situation.seen))
    found, num_rows = torch.zeros(1, 1, dtype=torch.bool), situation.num_rows
    causes = [c for c in situation.above([name]) if c not in (LATENT, name, *informed, *situation.laws)]
    heavy = [cause for cause in causes if mechanisms[cause].has_heavy_tails]
    others = _in_products(situation, name, informed) if heavy else {}
    size = len(next(iter(others.values()), torch.zeros(1, dtype=torch.float64)))
    rows = situation.repeated(size)
    at = {other: values.repeat(num_rows).reshape(1, -1, 1) for other, values in others.items()}
    for cause in heavy:
        for side in (1.0,) if mechanisms[cause].is_positive else (1.0, -1.0):
            for look in side * LOOKS:
                once, twice = (_mean_at(rows, name, cause, value, at) for value in (look, 2.0 * look))
                grows = (twice.log() - once.log() > EXPONENTIAL).any(-1)
                found = found | grows.expand(-1, num_rows * size).unflatten(1, (num_rows, size)).any(-1)
    return found


def _in_products(situation: Situation, name: str, informed: Collection[str]) -> dict[str, Tensor]:
    """Values [A] together of what is random, or averaged over, and has a product in a line above a variable."""
    nodes, lines = situation.model.nodes, {*situation.above([name])} - {LATENT, *situation.laws}
    products = [factors for line in lines for factors in nodes[line].design.inputs if len(factors) > 1]
    known = {*situation.values, *situation.seen}
    variables = {factor.variable for factors in products for factor in factors} - known
    axes: list[dict[str, Tensor]] = []
    if averaged := [other for other in situation.model.covariates if other in variables]:
        assert situation.covariate_rows is not None
        table = torch.stack([situation.covariate_rows.values[other] for other in averaged])
        # A line's slope is steepest at an end of them.
        extremes = table[:, torch.cat([table.argmin(1), table.argmax(1)]).unique()]
        axes.append(dict(zip(averaged, extremes, strict=True)))
    for other in sorted(variables - set(averaged)):
        law, levels = situation.laws.get(other), situation.levels(other)
        if levels is not None:
            axes.append({other: levels if law is None else levels[log_mass(law, levels) > LOG_ZERO / 2]})
        elif other not in informed:
            ends = torch.tensor([0.0 if situation.model.mechanisms[other].is_positive else -torch.inf, torch.inf])
            axes.append({other: OTHERS.clamp(*(ends if law is None else bounds_of(law))).unique()})
    sizes = [len(next(iter(axis.values()))) for axis in axes]
    places = list(product(*map(range, sizes if prod(sizes) <= MOST_COMBINATIONS else [1] * len(sizes))))
    if len(places) < prod(sizes):
        # One after the other moves, and the rest stay where they are.
        turns = [(axis, place) for axis, size in enumerate(sizes) for place in range(size)]
        places = [tuple(place * (own == axis) for own in range(len(axes))) for axis, place in turns]
    index = torch.tensor(places, dtype=torch.int64).reshape(len(places), len(axes)).T
    return {other: values[own] for axis, own in zip(axes, index, strict=True) for other, values in axis.items()}


def _mean_at(situation: Situation, name: str, cause: str, value: Tensor, others: Mapping[str, Tensor]) -> Tensor:
    """The mean of a variable [S, M, K] where a cause has a value, others theirs, and what is between its own mean."""
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    values: dict[str, Tensor] = {}
    for other in situation.model.order:
        if other in situation.values or other in situation.seen:
            values[other] = situation.values.get(other, situation.seen.get(other))  # type: ignore[assignment]
        elif other == LATENT:
            values[other] = torch.arange(situation.model.K, dtype=torch.float64).reshape(1, 1, -1)
        elif other == cause:
            values[other] = value * one
        elif other == name or (cause in situation.above([other]) and situation.levels(other) is None):
            values[other] = situation.distribution(other, values).mean
        elif other in others:
            values[other] = others[other]
        else:
            values[other] = 0.0 * one if other in situation.laws or situation.levels(other) is not None else one
    return values[name]
