"""What the modes of a search say of a fit: rivals, what the rows leave open, and whether it is a maximum at all."""

from collections.abc import Sequence

import numpy as np

from estimators.contract import Density
from estimators.data.words import few
from estimators.fits.identifiability import OpenGroup, greek_slopes, open_groups
from estimators.fits.untold_ends import UNMOVED, all_entries
from estimators.modes.found import Found
from estimators.modes.mode import Mode
from estimators.modes.pole import Pole
from estimators.modes.table import SHARE, Modes
from estimators.optimise.arrays import Array, Mask
from estimators.optimise.ascent import at_end
from estimators.parameters.edges import MOST_NAMED
from estimators.status import Status

# A flat direction's curvature stands for none, and any other's for so much more than what the prior tells.
NONE, MUCH = 0.0, 1e12
# Directions in which entries are moved by less, of what they are moved at most, are the same.
ROUGH = 1e-5
# A mode so many nats below another is as high.
SAME = 0.005
# Nats by which a place where a prior is infinite has to be better, but for that, to be named: how much of a pole is
# infinite is known to two or so, by how a weight is a share of what is left of others.
BETTER = 4.0

OPEN_RIVALS = (
    "; at {} the rows leave Greeks open (`fit.modes[k].advice`), so that the answer there may be one of a range, which "
    "`.profile()` gives"
)
NOT_SEARCHED = (
    "No search for modes stands behind this answer: another as good may be there, and `search=modes.Search()` looks "
    "for it."
)


def mode_findings(found: Found, density: Density, kept: Modes, *, uses_prior: bool) -> dict[Status, str]:
    """The statuses that hold of the first mode, and what each is about; the modes once more as a fit has kept them."""
    findings = {}
    best = found.modes[0]
    if best.is_saddle:
        findings[Status.SADDLE] = ""
    if density.at_boundary(best.point):
        # The Greeks of a class without rows are open, and are not the reason.
        return findings
    poles = poles_in_words(found.pole, density, best.value)
    if poles:
        findings[Status.PRIOR_POLE] = poles
    if rivals := kept.rivals:
        about = rivals_in_words(found, rivals, kept.weights, uses_prior=uses_prior)
        num_open = sum(kept.are_open[number] for number in rivals)
        which = "it" if len(rivals) == 1 else f"{num_open} of them"
        findings[Status.RIVAL_MODES] = f"{about}{OPEN_RIVALS.format(which)}" if num_open else about
    return findings


def poles_in_words(pole: Pole | None, density: Density, value: float) -> str:
    """What is at an end where a prior is infinite, if all but that factor is better there than an answer's value."""
    if pole is None or pole.value < value + BETTER:
        return ""
    names = density.names_at(pole.far)
    edges = [edge.words for edge in density.edges(density.constrain(pole.point)) if edge.greek in names]
    what = few(edges or [f"{name} at an end" for name in names], MOST_NAMED)
    return (
        f"with {what}, all but the infinite factor is about {pole.value - value:.2g} nats better; MAP with a prior "
        "that has no pole (`concentration=1` or more, `Beta(1, 1)`) decides it, and NUTS weighs it as it is"
    )


def proportion_remark(about: str, *, are_in_proportion: bool = True) -> str:
    """A sentence for draws that hold several modes, as they should, in place of a warning of rivals."""
    if not are_in_proportion:
        return f"The draws are of several modes, in shares of which the chains disagree: the first and {about}."
    return f"The draws are of all modes in proportion: the first and {about}."


def rivals_in_words(found: Found, rivals: list[int], weights: Array, *, uses_prior: bool) -> str:
    """How many modes there are beside the first, and what they weigh."""
    number = "1 other mode" if len(rivals) == 1 else f"{'many' if found.is_many else len(rivals)} other modes"
    if uses_prior:
        return f"{number}, of {weights[rivals].sum():.0%} of the posterior"
    gap = found.modes[0].value - found.modes[rivals[0]].value
    nearness = "as high" if gap < SAME else f"{gap:.2g} nats below"
    return f"{number} with {SHARE:.0%} of the likelihood or more, the best of them {nearness}"


def flat_directions(mode: Mode) -> Array:
    """Those of a mode [D, A], the largest move of each 1."""
    directions = np.zeros((len(mode.point), 0))
    if mode.curve is not None and mode.is_flat:
        is_flat = mode.curve.is_flat
        directions = np.zeros((len(mode.point), int(is_flat.sum())))
        directions[mode.free] = mode.curve.unit[:, None] * mode.curve.vectors[:, is_flat]
    return np.asarray(directions / np.maximum(np.abs(directions).max(0, initial=0.0), 1e-300))


def groups_left_open(density: Density, point: Array, flat_ways: Array) -> list[OpenGroup]:
    """Which entries of the Greeks flat directions [D, A] at a point [D] move, and together with which.

    What ran to an end is flat there, and is said as that.
    """
    if not flat_ways.shape[1]:
        return []
    greeks, free = density.constrain(point), ~(density.bounded & at_end(point))
    names = all_entries(greeks, density.names)
    gone = {edge.entry for edge in density.edges(greeks)}
    slopes, directions = greek_slopes(density, point)[:, free], flat_ways[free]
    # Beside the flat directions those at right angles to them: the unit of a coordinate that nothing informs is none,
    # and others that are steep in such units would seem to tell of it.
    moves = slopes @ np.linalg.qr(directions, mode="complete")[0]
    # How levels that never occur share what is none of the probability, no Greek shows.
    unit = np.abs(greek_slopes(density, np.zeros(density.size))).max(1, initial=0.0)
    moves_any = (np.abs(moves) > UNMOVED * unit[:, None]).any(0)
    flat = moves_any & (np.arange(len(directions)) < directions.shape[1])
    sizes = np.linalg.norm(moves, axis=1, keepdims=True)
    shares = moves / np.maximum(sizes, 1e-300)
    groups = [
        group for group in open_groups(np.where(flat, NONE, MUCH), moves, names) if not gone.issuperset(group.entries)
    ]
    return [group._replace(is_untold=_are_untold(shares, flat, np.isin(names, group.entries))) for group in groups]


def _are_untold(moves: Array, flat: Mask, group: Mask) -> bool:
    """Whether flat directions move some entries every way that they can go, and no other with them.

    Of the moves [entries, D] of all entries, each 1 in all.
    """
    _, sizes, ways = np.linalg.svd(moves[~group][:, flat], full_matrices=True)
    alone = ways[int((sizes > ROUGH).sum()) :].T
    own = np.linalg.matrix_rank(moves[group], tol=ROUGH)
    return bool(np.linalg.matrix_rank(moves[group][:, flat] @ alone, tol=ROUGH) == own)


def groups_in_words(groups: Sequence[OpenGroup]) -> str:
    """What of the Greeks is open."""
    return "; ".join(group.sentence for group in groups)


def unsearched_remarks(found: object | None) -> tuple[str, ...]:
    """A sentence where no search has found modes."""
    return (NOT_SEARCHED,) if found is None else ()


def spurious_remarks(found: Found) -> list[str]:
    """A sentence where maxima above the best mode were set aside."""
    if not found.modes:
        return []
    above = [mode.value - found.modes[0].value for mode in found.spurious if mode.value > found.modes[0].value]
    if not above:
        return []
    return [
        f"Set aside: {len(above)} maxima of a narrow class on few close rows, up to {max(above):.2g} nats above; "
        "chance makes such places, and a prior on the spread, or `shared=True`, rules them out."
    ]
