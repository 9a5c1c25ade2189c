"""Which labels of a mixture are free, in words."""

from collections.abc import Mapping, Sequence

from estimators.data.data import LATENT
from estimators.symmetry import Symmetry

Groups = Sequence[Sequence[int]]


def symmetry_of(groups: Groups, axes: Mapping[str, Sequence[int]], variable: str, *, by_prior: bool) -> Symmetry:
    """The symmetry of labels in groups, put in order by the mean of a variable, or ``by_prior``."""
    rule = named_by_prior(groups, variable) if by_prior else described(groups, variable)
    return Symmetry(groups, axes, (LATENT,), rule, is_fixed=True, by_prior=by_prior, renames_pinned=True)


def described(groups: Groups, variable: str) -> str:
    """How labels were fixed, in words."""
    pinned = [group[0] for group in groups if len(group) == 1]
    free = [list(group) for group in groups if len(group) > 1]
    if not free:
        return "labels are fixed by rows with known Z or by unequal priors" if len(groups) > 1 else "one component"
    ordered = f"aligned across draws and ordered by the mean of {variable}"
    if pinned:
        return f"labels {pinned} are fixed by known Z or unequal priors; {free} are {ordered} within each group"
    return f"labels are {ordered}"


def named_by_prior(groups: Groups, variable: str) -> str:
    """How labels that the likelihood leaves free were fixed by priors that differ, in words."""
    pinned = [group[0] for group in groups if len(group) == 1]
    free = [list(group) for group in groups if len(group) > 1]
    chosen = f"free in the likelihood, and named by the highest prior density (by the mean of {variable} where equal)"
    if pinned:
        return f"labels {pinned} are fixed by known Z or known values; {free} are {chosen}"
    return f"labels are {chosen}"
