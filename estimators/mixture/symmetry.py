"""Which labels of a mixture are free, how they are fixed, in words, and what they may be put in order by."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from estimators.data.data import LATENT
from estimators.estep.marginal import num_sets
from estimators.parameters.symmetry import Symmetry, entries_by_label

if TYPE_CHECKING:
    from estimators.mixture.model import CausalMixture

Groups = Sequence[Sequence[int]]


def exchangeable(model: "CausalMixture", pinned: Collection[int] = (), *, uses_prior: bool = True) -> list[list[int]]:
    """Groups of components whose labels are free: equal priors, and not ``pinned`` by a row with that Z known.

    Without ``uses_prior`` those whose labels are free in the likelihood, where known values alone must be equal.
    """
    keys: list[list[Any]] = [model.weights.exchangeable(uses_prior=uses_prior)]
    keys += [
        node.mechanism.exchangeable(model.K, uses_prior=uses_prior) for node in model.nodes.values() if node.is_effect
    ]
    groups: dict[object, list[int]] = {}
    for k in range(model.K):
        groups.setdefault(("pinned", k) if k in pinned else tuple(key[k] for key in keys), []).append(k)
    return list(groups.values())


def symmetry_of(model: "CausalMixture", pinned: Collection[int], *, uses_prior: bool) -> Symmetry:
    """Which labels are free, and put in order by what differs, or by priors that tell them apart."""
    groups = exchangeable(model, pinned, uses_prior=uses_prior)
    by_prior = not uses_prior and sorted(groups) != sorted(exchangeable(model, pinned))
    words = (_named_by_prior if by_prior else _ordered)(groups)
    axes = model.component_axes
    return Symmetry(groups, axes, (LATENT,), words, by_prior=by_prior, renames_pinned=True)


def order_keys(model: "CausalMixture", draws: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The mean of every variable that Z causes (over its table alike), then the Greeks entry by entry, weights last."""
    found = {}
    for name in model.mechanisms:
        node = model.nodes[name]
        if node.is_effect:
            key = node.mechanism.order_key(node.local(draws))
            key = key.reshape(*key.shape[:-1], model.K, -1).mean(-1) if node.levels and key.ndim else key
            words = f"the intercept of {name}" if node.mechanism.is_regression else f"the mean of {name}"
            found[words] = key.expand(num_sets(draws), model.K)
    of_weights = [parameter.name for parameter in model.weights.parameters]
    others = {name: axes for name, axes in model.component_axes.items() if name not in of_weights}
    return found | entries_by_label(draws, others | {name: model.component_axes[name] for name in of_weights})


def _ordered(groups: Groups) -> str:
    """How labels were fixed, in words."""
    if all(len(group) == 1 for group in groups):
        return "labels are fixed by rows with known Z or by unequal priors" if len(groups) > 1 else "one component"
    where = ", within each group," if any(len(group) == 1 for group in groups) else ""
    return _in_words(groups, "known Z or unequal priors", f"aligned across draws and{where} ordered")


def _named_by_prior(groups: Groups) -> str:
    """How labels that the likelihood leaves free were fixed by priors that differ, in words."""
    return _in_words(
        groups, "known Z or known values", "free in the likelihood, and named by the highest prior density"
    )


def _in_words(groups: Groups, pins: str, rule: str) -> str:
    pinned = [group[0] for group in groups if len(group) == 1]
    if not pinned:
        return f"labels are {rule}"
    free = [list(group) for group in groups if len(group) > 1]
    return f"labels {pinned} are fixed by {pins}; {free} are {rule}"
