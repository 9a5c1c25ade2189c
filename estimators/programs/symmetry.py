"""Which relabellings of the hidden sites leave a program's log joint unchanged, found by trying them.

A component axis is any axis of a Greek as long as the hidden site has values: of a plate of components, of a vector of
weights, both axes of a transition matrix. The smallest set of axes, with that of the Greek that orders the components,
whose common permutation leaves the log joint unchanged is the symmetry.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import chain, combinations, permutations
from math import factorial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from estimators.data.data import NOT_SEEN, Data
from estimators.isolation import program_mode
from estimators.parameters.symmetry import Indices, Symmetry, permute
from estimators.programs.independence import spread
from estimators.programs.marginal import ProgramMarginal

# Rows on which symmetry is tried, the size of the random move from the estimate, and how exact it must be.
SOME_ROWS = 200
NUM_POINTS = 3
JITTER = 0.7
TOLERANCE = 1e-9
MAX_AXES = 12

# The prior densities of all orders of the labels are compared, of at most six labels.
MAX_PERMUTATIONS = 720

BY_KNOWN = "labels are fixed by rows in which the site is known"

Axes = dict[str, tuple[int, ...]]
# The axes that are permuted together, the hidden sites whose values go with them, and how many components there are.
Permutation = tuple[Axes, tuple[str, ...], int]


def symmetry_of_program(
    marginal: ProgramMarginal | None, order_by: str | None, at: Mapping[str, Tensor], *, uses_prior: bool = True
) -> Symmetry:
    """The symmetry that the Greek ``order_by`` orders, near the Greeks ``at``.

    Without ``uses_prior``, where the priors of the classes differ, that of the likelihood.
    """
    if marginal is None:
        return Symmetry([], {}, (), "labels are as given")
    ordered = [greek.name for greek in marginal.coordinates.greeks if greek.is_ordered]
    in_order = {name: sites for name in ordered if (sites := _sites_in_order(marginal, name, at))}
    unseen = tuple(site for site in _unseen(marginal) if site not in set().union(*in_order.values()))
    if in_order and (order_by is None or order_by in in_order):
        rule = f"labels are fixed by the order of {' and '.join(in_order)}"
        return Symmetry([], {}, (), rule, unseen, _proviso(unseen))
    if order_by is None:
        return _as_found(
            unseen,
            marginal.latent,
            "; to fix them, name the Greek that orders the components, PyroModel(fn, order_by=...), or give rows in "
            "which the site is seen",
        )
    permutation, by_prior = _permutation(marginal, order_by, at, uses_prior=True), False
    if permutation is None and not uses_prior:
        permutation, by_prior = _permutation(marginal, order_by, at, uses_prior=False), True
        if permutation is not None and factorial(permutation[2]) > MAX_PERMUTATIONS:
            permutation = None
    if permutation is None:
        return _as_found(
            unseen,
            marginal.latent,
            f": the log joint changes when the components of {order_by} are permuted, with or without any other axis; "
            "write the weights as one Dirichlet vector, or give rows in which the site is seen",
        )
    axes, sites, size = permutation
    groups = _groups(marginal, axes, size, at, uses_prior=not by_prior)
    free = [group for group in groups if len(group) > 1]
    if not free:
        rule = BY_KNOWN
    else:
        pinned = [group[0] for group in groups if len(group) == 1]
        rule = "labels are aligned across draws and ordered"
        if by_prior:
            rule = "free in the likelihood, and named by the highest prior density"
            rule = rule if pinned else f"labels are {rule}"
        rule = f"labels {pinned} are fixed by rows in which the site is known; {free}: {rule}" if pinned else rule
    unfixed = tuple(site for site in unseen if site not in sites)
    return Symmetry(groups, axes, sites, rule, unfixed, _proviso(unfixed), by_prior=by_prior and bool(free))


def _as_found(unseen: tuple[str, ...], latent: Collection[str], way_out: str) -> Symmetry:
    """Labels that no Greek puts in order: rows in which they are seen fix those of a site, or nothing does."""
    if not unseen:
        return Symmetry([], {}, (), BY_KNOWN)
    if set(unseen) == set(latent):
        return Symmetry([], {}, (), "labels are as the estimator found them", unseen, way_out)
    return Symmetry([], {}, (), BY_KNOWN, unseen, _proviso(unseen))


def _proviso(unfixed: Sequence[str]) -> str:
    """What a rule does not say of hidden sites whose labels nothing fixes."""
    if not unfixed:
        return ""
    seen = "it is seen" if len(unfixed) == 1 else "each is seen"
    return (
        f"; those of {', '.join(unfixed)} are as the estimator found them, and may be others in other data; to fix "
        f"them, give rows in which {seen}"
    )


def likeliest_order_of_program(
    marginal: ProgramMarginal, free: Symmetry, greeks: Mapping[str, Tensor], key: Tensor
) -> Indices:
    """The component of every label, of highest prior density among all orders; where equal, in order of the key.

    ``greeks`` are one draw [1, ...].
    """
    orders = [np.array(order) for order in permutations(range(free.num_labels)) if _is_within(order, free.groups)]
    one_row = marginal.of(marginal.data.unweighted_rows(torch.zeros(1, dtype=torch.long)))
    images = (permute(greeks, free.axes, order[None]) for order in orders)
    sets = ({name: value[0] for name, value in image.items()} for image in images)
    with program_mode():
        log_priors = [float(one_row.factors(one).log_prior) for one in sets]
    best = max(log_priors)
    equal = [
        order for order, value in zip(orders, log_priors, strict=True) if best - value <= TOLERANCE * (1.0 + abs(best))
    ]
    # Of equally likely orders, the one in which the keys ascend.
    return min(equal, key=lambda order: key[torch.from_numpy(order)].tolist())


def _is_within(order: Sequence[int], groups: Sequence[Sequence[int]]) -> bool:
    return all({order[k] for k in group} == set(group) for group in groups)


def _permutation(
    marginal: ProgramMarginal, order_by: str, at: Mapping[str, Tensor], *, uses_prior: bool
) -> Permutation | None:
    permutation = _permutation_of(marginal, order_by, at, marginal.latent, uses_prior)
    if permutation is not None and set(marginal.evidence.seen) - set(permutation[1]):
        # A partly seen site whose values are not renamed may depend on the labels, which shows where it is seen.
        permutation = _permutation_of(marginal, order_by, at, permutation[1], uses_prior)
    return permutation


def _permutation_of(
    marginal: ProgramMarginal, order_by: str, at: Mapping[str, Tensor], unseen: Collection[str], uses_prior: bool
) -> Permutation | None:
    structure = marginal.structure
    sizes = {site.cardinality for site in structure.sites.values() if site.is_discrete} - {1}
    greek = next(greek for greek in marginal.coordinates.greeks if greek.name == order_by)
    first = next((axis for axis, length in enumerate(greek.shape) if length in sizes), None)
    if first is None:
        return None
    size = greek.shape[first]
    columns: dict[str, Any] = {
        name: torch.full_like(column, NOT_SEEN) if name in unseen else column
        for name, column in marginal.data.columns.items()
    }
    # Spread over the data, which may be in order of a column that some axis depends on.
    rows = spread(marginal.num_rows, SOME_ROWS)
    some_rows = marginal.of(Data({**columns, **marginal.data.scalars}, missing=marginal.data.missing).rows(rows))
    points = _points(some_rows, at)
    others = [
        (other.name, axis)
        for other in some_rows.coordinates.greeks
        for axis, length in enumerate(other.shape)
        if length == size and (other.name, axis) != (order_by, first)
    ]
    others = others[:MAX_AXES]
    # The fewest axes first.
    for chosen in chain.from_iterable(combinations(others, count) for count in range(len(others) + 1)):
        axes: Axes = {order_by: (first,)}
        for name, axis in chosen:
            axes[name] = (*axes.get(name, ()), axis)
        order = np.roll(np.arange(size), 1)
        if _is_invariant(some_rows, points, axes, order, uses_prior):
            sites = _sites_permuted(some_rows, points, axes, order, size)
            return (axes, sites, size) if sites else None
    return None


def _points(marginal: ProgramMarginal, at: Mapping[str, Tensor]) -> Tensor:
    """A few points [3, D] around the estimate at which no component equals another."""
    centre = marginal.coordinates.unconstrain(at)
    generator = torch.Generator().manual_seed(0)
    return centre + JITTER * torch.randn(NUM_POINTS, len(centre), dtype=torch.float64, generator=generator)


def _is_invariant(marginal: ProgramMarginal, points: Tensor, axes: Axes, order: np.ndarray, uses_prior: bool) -> bool:
    coordinates = marginal.coordinates
    greeks = coordinates.constrain(points)
    other = permute(greeks, axes, order[None])
    ordered = [greek.name for greek in coordinates.greeks if greek.is_ordered]
    # No permutation of an ordered Greek is in its support. Where one is asked about, the rows have a density there too.
    kept = {name: greeks[name] for name in ordered} if next(iter(axes)) in ordered else {}
    if not bool(torch.isfinite(coordinates.unconstrain({**other, **kept})).all()):
        return False
    return all(
        torch.allclose(log_joint, other_log_joint, rtol=TOLERANCE, atol=TOLERANCE)
        for log_joint, other_log_joint in zip(
            _log_joints(marginal, greeks, uses_prior), _log_joints(marginal, other, uses_prior), strict=True
        )
    )


def _log_joints(marginal: ProgramMarginal, greeks: Mapping[str, Tensor], uses_prior: bool) -> list[Tensor]:
    """The log prior and log p(row) of each row, whose differences may cancel in the sum, [1 + N] at each point.

    A few runs of the program itself: to capture it would cost more.
    """
    log_joints = []
    with program_mode():
        for index in range(NUM_POINTS):
            factors = marginal.factors({name: value[index] for name, value in greeks.items()})
            log_global = factors.log_prior + factors.log_global if uses_prior else factors.log_global
            log_joints.append(torch.cat([log_global[None], factors.pointwise()]))
    return log_joints


def _sites_permuted(
    marginal: ProgramMarginal, points: Tensor, axes: Axes, order: np.ndarray, size: int
) -> tuple[str, ...]:
    """The hidden sites whose values are renamed with the components."""
    greeks = {name: value[:1] for name, value in marginal.coordinates.constrain(points).items()}
    sites = [site for site in marginal.hidden if marginal.structure.sites[site].cardinality == size]
    before, after = (
        [marginal.responsibilities(at, site) for site in sites] for at in (greeks, permute(greeks, axes, order[None]))
    )
    return tuple(
        site
        for site, one, other in zip(sites, before, after, strict=True)
        if torch.allclose(one[..., order], other, atol=1e-8)
    )


def _groups(
    marginal: ProgramMarginal, axes: Axes, size: int, at: Mapping[str, Tensor], *, uses_prior: bool
) -> list[list[int]]:
    """Labels that may be exchanged on these data: joined by swaps that leave the log joint unchanged."""
    points = _points(marginal, at)
    parent = list(range(size))
    for a, b in combinations(range(size), 2):
        order = np.arange(size)
        order[[a, b]] = b, a
        if parent[a] != parent[b] and _is_invariant(marginal, points, axes, order, uses_prior):
            parent = [parent[a] if root == parent[b] else root for root in parent]
    return [[k for k in range(size) if parent[k] == root] for root in sorted(set(parent))]


def _unseen(marginal: ProgramMarginal) -> tuple[str, ...]:
    """The hidden sites of which more than one value is seen nowhere, so that known rows do not fix their labels."""
    unseen = []
    for name in marginal.latent:
        values, seen = marginal.structure.sites[name].values.double(), marginal.evidence.seen.get(name)
        num_seen = 0 if seen is None else int(torch.isin(values, seen.double()).sum())
        if num_seen < len(values) - 1:
            unseen.append(name)
    return tuple(unseen)


def _sites_in_order(marginal: ProgramMarginal, ordered: str, at: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The hidden sites whose labels the order of a Greek fixes: those that its permutation would rename."""
    permutation = _permutation_of(marginal, ordered, at, marginal.latent, uses_prior=False)
    return permutation[1] if permutation is not None else ()
