"""Which labels of a mixture are free, and how they are fixed, in words."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from estimators.data.data import LATENT
from estimators.symmetry import Symmetry

if TYPE_CHECKING:
    from estimators.mixture.model import CausalMixture

Groups = Sequence[Sequence[int]]


def exchangeable(model: "CausalMixture", pinned: Collection[int] = (), *, uses_prior: bool = True) -> list[list[int]]:
    """Groups of components whose labels are free: equal priors, and not ``pinned`` by a row with that Z known.

    Without ``uses_prior`` those whose labels are free in the likelihood, where known values alone must be equal.
    """
    keys = [model.concentration.tolist()] if uses_prior else [[0] * model.K]
    keys += [
        node.mechanism.exchangeable(model.K, uses_prior=uses_prior) for node in model.nodes.values() if node.is_below
    ]
    groups: dict[object, list[int]] = {}
    for k in range(model.K):
        groups.setdefault(("pinned", k) if k in pinned else tuple(key[k] for key in keys), []).append(k)
    return list(groups.values())


def symmetry_of(model: "CausalMixture", pinned: Collection[int], *, uses_prior: bool) -> Symmetry:
    """Which labels are free, put in order by the mean of the first variable, or by priors that tell them apart."""
    groups = exchangeable(model, pinned, uses_prior=uses_prior)
    by_prior = not uses_prior and sorted(groups) != sorted(exchangeable(model, pinned))
    words = (_named_by_prior if by_prior else _ordered)(groups, model.ordering)
    axes = model.component_axes
    return Symmetry(groups, axes, (LATENT,), words, is_fixed=True, by_prior=by_prior, renames_pinned=True)


def _ordered(groups: Groups, variable: str) -> str:
    """How labels were fixed, in words."""
    if all(len(group) == 1 for group in groups):
        return "labels are fixed by rows with known Z or by unequal priors" if len(groups) > 1 else "one component"
    rule = f"aligned across draws and ordered by the mean of {variable}"
    return _in_words(groups, "known Z or unequal priors", rule, " within each group")


def _named_by_prior(groups: Groups, variable: str) -> str:
    """How labels that the likelihood leaves free were fixed by priors that differ, in words."""
    rule = f"free in the likelihood, and named by the highest prior density (by the mean of {variable} where equal)"
    return _in_words(groups, "known Z or known values", rule)


def _in_words(groups: Groups, pins: str, rule: str, where_pinned: str = "") -> str:
    pinned = [group[0] for group in groups if len(group) == 1]
    if not pinned:
        return f"labels are {rule}"
    free = [list(group) for group in groups if len(group) > 1]
    return f"labels {pinned} are fixed by {pins}; {free} are {rule}{where_pinned}"
