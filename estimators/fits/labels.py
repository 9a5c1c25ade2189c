"""What the labels of Z mean: one rule for every fit, so that do(Z=1) has an answer.

The posterior is symmetric under permuting components that share priors and have no row with that Z known. Draws are
aligned within that symmetry by Stephens' KL relabelling, from the draw of highest density, then put in order of the
first variable that differs between the classes beyond its uncertainty: of draws, or of Laplace's approximation about a
point. The certainty is the posterior probability of what is so said, times that of the naming that known rows or
unequal priors give.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor

from estimators.contract import Density, Model
from estimators.fits.advice import with_labels
from estimators.fits.alignment import Alignment, aligned
from estimators.fits.label_doubt import CERTAIN
from estimators.fits.label_order import Doubt, Order, ascending, first_that_differs, orders_within, probability_of
from estimators.fits.mirror_images import probability_of_names
from estimators.fits.point_draws import draws_about_all
from estimators.fits.sample import Rivals, Sample
from estimators.parameters.symmetry import Draws, Indices, Symmetry, permute

# Keys of one draw that differ by less of their size are equal, wherever a climb ended.
EQUAL = 1e-6
# Of a point and its rivals, as many in all are aligned.
POINTS = 50


@dataclass(frozen=True)
class Labelling:
    """Relabelled draws, the permutation of each draw [S, K], and how and how surely labels were fixed.

    ``key`` is what they were put in order by; "" where nothing was. Those of the sites ``unfixed`` mean nothing.
    """

    draws: Draws
    permutations: Indices
    certainty: float
    rule: str
    unfixed: tuple[str, ...] = ()
    key: str = ""

    @property
    def stats(self) -> dict[str, Any]:
        """What a fit says of its labels."""
        stats: dict[str, Any] = {"label_certainty": self.certainty, "labels": self.rule}
        if self.key:
            stats["labels_by"] = self.key
        return {**stats, "labels_unfixed": list(self.unfixed)} if self.unfixed else stats


def label(
    model: Model,
    density: Density,
    draws: Draws,
    best: int = 0,
    *,
    ordered: bool = True,
    uses_prior: bool = True,
    rivals: Rivals | None = None,
) -> Labelling:
    """Align the draws' labels and order them; ``best`` is the draw to start at (the highest density).

    With ``ordered=False`` labels keep the names that they have in that draw. Draws found without a prior
    (``uses_prior=False``) may have labels that the priors tell apart in any order: they are put in the likeliest.
    Of one draw, a point, what is said of its labels may be wrong of its ``rivals``.
    """
    symmetry = model.symmetry(density.data, {name: value[best] for name, value in draws.items()}, uses_prior=uses_prior)
    num_draws = len(next(iter(draws.values())))
    if not symmetry.axes or symmetry.num_labels < 2:
        same = np.tile(np.arange(symmetry.num_labels), (num_draws, 1))
        return Labelling(draws, same, 1.0, symmetry.sentence, symmetry.unfixed)
    if num_draws == 1:
        found, moved = _ordered_at_once(model, symmetry, draws)
        sample, alignment = _about_a_point(density, symmetry, moved, rivals, uses_prior=uses_prior)
    else:
        alignment = aligned(density, symmetry, draws, best)
        moved = permute(draws, symmetry.axes, alignment.permutations)
        sample, found = Sample(moved, np.full(num_draws, 1.0 / num_draws), best), alignment.permutations
    keys_of = partial(model.order_keys, free=symmetry)
    names = probability_of_names(density, symmetry, keys_of, sample, uses_prior=uses_prior)
    if not symmetry.is_nontrivial:
        rule = _doubted(symmetry.rule, names) + symmetry.proviso
        return Labelling(moved, found, min(names, 1.0), rule, symmetry.unfixed)
    keys, at = keys_of(sample.draws), keys_of(moved)
    centre = {name: value[best] if not ordered else value.mean(0) for name, value in at.items()}
    doubt = Doubt(sample.weights[:, None] * alignment.weights, alignment.swaps)
    order = first_that_differs(keys, centre, symmetry.groups, doubt)
    if symmetry.by_prior and ordered:
        components = model.likeliest_order(density.data, moved, symmetry, centre[order.key])
        alike = model.symmetry(density.data, {name: value[best] for name, value in moved.items()}).groups
        certainty = names * probability_of(keys[order.key], alike, components, doubt)
        certainty *= _prior_share(density, symmetry, sample, components, alike)
        rule = f"{symmetry.rule} (by {order.key} where equal)"
    else:
        components = order.components if ordered else np.arange(symmetry.num_labels)
        certainty = names * order.probability
        rule = _in_order(symmetry.rule, order, keys) if ordered else "labels are those of the point fit"
    return Labelling(
        draws=permute(moved, symmetry.axes, np.tile(components, (num_draws, 1))),
        permutations=found[:, components],
        certainty=min(float(certainty), 1.0),
        rule=_doubted(rule, names) + symmetry.proviso,
        unfixed=symmetry.unfixed,
        key=order.key,
    )


def labelled_alike(
    model: Model, density: Density, draws: Draws, key: str, *, uses_prior: bool
) -> tuple[Draws, Callable[[str], str]]:
    """One draw with its free labels in order of the key that another was put in order by; and what renames words."""
    symmetry = model.symmetry(density.data, {name: value[0] for name, value in draws.items()}, uses_prior=uses_prior)
    if not key or not symmetry.is_nontrivial:
        return draws, str
    values = model.order_keys(draws, symmetry)[key][0]
    order = ascending(symmetry.groups, values.numpy())
    if symmetry.by_prior:
        order = model.likeliest_order(density.data, draws, symmetry, values)
    return permute(draws, symmetry.axes, order[None]), partial(with_labels, axes=symmetry.axes, order=order.tolist())


def _ordered_at_once(model: Model, symmetry: Symmetry, draws: Draws) -> tuple[Indices, Draws]:
    """The permutation [1, K] that puts a point's labels in an order that is the same wherever a climb ended."""
    order = np.arange(symmetry.num_labels)
    for key in model.order_keys(draws, symmetry).values():
        values = key[0].numpy()
        ascended = ascending(symmetry.groups, values)
        gaps = [np.diff(values[ascended][sorted(group)]).min(initial=np.inf) for group in symmetry.groups]
        if min(gaps) > EQUAL * np.abs(values).max():
            order = ascended
            break
    return order[None], permute(draws, symmetry.axes, order[None])


def _about_a_point(
    density: Density, symmetry: Symmetry, point: Draws, rivals: Rivals | None, *, uses_prior: bool
) -> tuple[Sample, Alignment]:
    """Draws about a point and its rivals, whose classes are given the labels of those of the point that they are."""
    points, shares = point, np.ones(1)
    if rivals is not None:
        others = density.draws(rivals.points)
        points, shares = {name: torch.cat([point[name], others[name]]) for name in point}, rivals.shares
    # Each is there as often as it weighs.
    num_points = POINTS if len(shares) > 1 else 1
    times = np.maximum(np.round(num_points * shares / shares.sum()), 1.0).astype(int)
    repeated = np.repeat(np.arange(len(shares)), times)
    index = torch.from_numpy(repeated)
    alignment = aligned(density, symmetry, {name: value[index] for name, value in points.items()}, 0)
    first = np.searchsorted(repeated, np.arange(len(shares)))
    orders = alignment.permutations[first]
    orders = orders[:, np.argsort(orders[0])]
    sample, numbers = draws_about_all(density, permute(points, symmetry.axes, orders), shares, uses_prior=uses_prior)
    return sample, Alignment(orders[numbers], alignment.swaps, alignment.weights[first][numbers])


def _prior_share(
    density: Density, symmetry: Symmetry, sample: Sample, stated: Indices, alike: Sequence[Sequence[int]]
) -> float:
    """The probability, by priors alone, of the order of free labels that is stated, modulo labels that are alike."""
    orders = [stated, *orders_within(symmetry.groups, stated)]
    logs = []
    for order in orders:
        draws = permute(sample.draws, symmetry.axes, np.tile(order, (len(sample.weights), 1)))
        parts = density.log_priors({name: value.numpy() for name, value in draws.items()}).values()
        logs.append(np.sum(list(parts), axis=0))
    # Where the priors exclude all orders they prefer none.
    is_allowed = np.isfinite(logs).any(0)
    shares = softmax(np.where(is_allowed, np.array(logs), 0.0), axis=0)
    own = [all(set(order[list(group)]) == set(stated[list(group)]) for group in alike) for order in orders]
    own = own if len(alike) else [True] + [False] * (len(orders) - 1)
    return float(sample.weights @ shares[own].sum(0))


def _in_order(rule: str, order: Order, keys: Mapping[str, Tensor]) -> str:
    """How labels were fixed that are free, in words."""
    if order.probability < CERTAIN:
        return (
            f"{rule} by {order.key}, which is in this order with probability {order.probability:.2f}: nothing differs "
            "between the classes beyond its uncertainty, and labels mean nothing"
        )
    why = "" if order.is_first else f", as {next(iter(keys))} does not differ beyond its uncertainty"
    return f"{rule} by {order.key}{why}"


def _doubted(rule: str, names: float) -> str:
    """The same, and how probable it is that labels which are known are those of these components."""
    if names >= CERTAIN:
        return rule
    return f"{rule}; what is known tells little, and they are those of these components with probability {names:.2f}"
