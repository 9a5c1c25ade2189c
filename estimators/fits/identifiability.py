"""Which Greeks the data inform: the likelihood's information at an estimate, set against the prior's.

That is near the estimate; `law_search` looks elsewhere, for other Greeks with the same law of the rows.

With L the observed information of the likelihood and P that of the prior, both in the unconstrained coordinates v, the
eigenvalues of ``L u = r P u`` say how many times as much the data tell about the combination u as the prior does. The
directions u are a basis in which the prior is a standard normal, so that ``(J u)²``, with J = dφ/dv, divide up what the
prior leaves open about each entry of the Greeks: its share in the directions with r < 1 is what the data leave open.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from estimators.contract import Density, Objective, log_jacobian, log_likelihood, log_posterior, log_prior
from estimators.data.words import LINE, cut, first_lines
from estimators.fits.advice import advice_on
from estimators.fits.identification import Identification
from estimators.fits.law_search import identification
from estimators.fits.quantities import Question
from estimators.fits.rows import density_behind, fitted_rows
from estimators.fits.summary import entries_of
from estimators.isolation import own_modes
from estimators.optimise.arrays import Array
from estimators.optimise.ascent import ascend
from estimators.optimise.curvature import curvature
from estimators.status import Status

if TYPE_CHECKING:
    import pandas as pd

    from estimators.fits.fit import Fit

# Below this ratio the data tell less about a direction than the prior (or one row) does.
THRESHOLD = 1.0
# An entry is named if over half of its posterior variance lies in flat directions, and in one sentence with another
# if their correlation within these directions is above 0.1 in size; smaller ones may come of numerical differences.
MOST, TOGETHER = 0.5, 0.1
# Below these a curvature of the Jacobian, and an eigenvalue of a matrix scaled to ones, are rounding.
ZERO, ROUNDING = 1e-9, 1e-6
# So many of the draws are compared to find the best, from which the mode is climbed to.
CLIMBERS = 100
# Directions that are printed.
MOST_DIRECTIONS = 8
RIVALS = "that is what endless rows would tell; with these other answers remain, which `fit.modes` lists"
EDGE = "the estimate is at the edge of the Greeks' support, where nothing is flat or steep"
NOT_POSITIVE = " (the prior is flat, or not log-concave, in some direction)"


@dataclass(frozen=True, eq=False, repr=False)
class Identifiability:
    """What the data tell about the Greeks at an estimate: ``ratios`` [D], in increasing order, and words.

    ``L u = r P u``, with L the likelihood's ``information`` [D, D] and P the ``prior_information`` in unconstrained
    coordinates, or, where the prior is not positive or was not used (EM), what one row tells (``comparison`` says
    which). A direction with a ratio below ``threshold`` is flat. ``groups`` are the entries of the Greeks that flat
    directions move together, and ``directions`` say so in words, a sentence for each group. ``uninformed`` is, of each
    entry of the Greeks, the share of what P leaves open that lies in flat directions.
    ``problem`` says why nothing can be said, as at a BOUNDARY; the arrays are then empty.
    All this is near the estimate. ``globally``, a search that is made when it is first asked for, says whether other
    Greeks give the rows the same law, as endless rows would tell; ``has_rivals`` where these rows do not.

    >>> fit = EM().fit(GaussianMixture(2), {"X": [0.0, 1.0, 10.0, 11.0, 12.0]}, seed=0)
    >>> fit.identifiability().is_identified
    True
    """

    ratios: Array
    information: Array
    prior_information: Array
    uninformed: Mapping[str, float]
    groups: tuple[tuple[str, ...], ...]
    directions: tuple[str, ...]
    comparison: str
    threshold: float = THRESHOLD
    problem: str | None = None
    search: Callable[[], Identification] | None = None
    has_rivals: bool = False

    @cached_property
    def globally(self) -> Identification | None:
        """What the law of the rows at the estimate determines; None where there is no estimate, as at a spike."""
        if self.search is None:
            return None
        with own_modes():
            return self.search()

    @property
    def eigenvalues(self) -> Array:
        """The eigenvalues [D] of the likelihood's information, in increasing order."""
        return np.asarray(np.linalg.eigvalsh(self.information), dtype=np.float64)

    @property
    def prior_eigenvalues(self) -> Array:
        """The eigenvalues [D] of the prior's information, in increasing order."""
        return np.asarray(np.linalg.eigvalsh(self.prior_information), dtype=np.float64)

    @property
    def is_identified(self) -> bool:
        """Whether the data inform every combination of the Greeks, near this estimate: `globally` looks elsewhere."""
        return self.problem is None and not self.directions

    def table(self) -> "pd.DataFrame":
        """One row per entry of the Greeks: the share that the data leave open, and the sentence that names it."""
        import pandas as pd  # a quarter of a second, which only tables need

        named = list(zip(self.groups, self.directions, strict=True))
        sentences = [next((words for group, words in named if entry in group), "") for entry in self.uninformed]
        shares = list(self.uninformed.values())
        index = pd.Index(list(self.uninformed), name="Greek")
        return pd.DataFrame({"uninformed": shares, "finding": sentences}, index=index)

    def __str__(self) -> str:
        lines = [self._local_words, *([] if self.globally is None else [str(self.globally)])]
        return "\n".join([*lines, RIVALS] if self.has_rivals else lines)

    def __repr__(self) -> str:
        # Not the whole of it, which is a search.
        return cut(f"Identifiability({self._head}; print it for what else gives the rows their law)", LINE)

    @property
    def _head(self) -> str:
        if self.problem is not None:
            return f"identifiability is not known near the estimate: {self.problem}"
        least = f"smallest ratio {self.ratios[0]:.3g}" if len(self.ratios) else "nothing to estimate"
        return f"{'identified' if self.is_identified else 'not identified'} locally ({least}): {self.comparison}"

    @property
    def _local_words(self) -> str:
        directions = [f"- {words}" for words in self.directions]
        return "\n".join([self._head, *first_lines(directions, MOST_DIRECTIONS, "the table() has all of them")])


def identify(fit: "Fit", query: Question | Mapping[str, Question] | None = None) -> Identifiability:
    """What the data tell near a fit, and a search for other Greeks with the law that the rows have there."""
    data = fitted_rows(fit, "identifiability")
    if Status.COMPONENT_COLLAPSED in fit.findings:
        return _unknown(f"{EDGE}. {advice_on(fit, Status.COMPONENT_COLLAPSED)}")
    density = density_behind(fit, data)
    if not density.size:
        return _unknown(None)
    objective = Objective(density, log_posterior if fit.uses_prior else log_likelihood)
    at = _mode(objective, density, fit.draws)
    draws = fit.draws if fit.num_draws == 1 else density.draws(at[None])
    # The steps of the search are fixed, so that the same fit has the same answer every time.
    search = partial(identification, fit, dict(draws), query, 0)
    return replace(_locally(fit, density, at), search=search, has_rivals=Status.RIVAL_MODES in fit.findings)


def _locally(fit: "Fit", density: Density, at: Array) -> Identifiability:
    """The likelihood against the prior at a point fit, or at the mode that the best of several draws climbs to."""
    draws, uses_prior = fit.draws, fit.uses_prior
    if Status.BOUNDARY in fit.findings:
        return _unknown(f"{EDGE}. {advice_on(fit, Status.BOUNDARY)}")
    if not np.isfinite(at).all() or _is_at_edge(density, at):
        return _unknown(EDGE)
    with np.errstate(all="ignore"):
        information = density.information(at)
        of_prior = curvature(Objective(density, log_prior), at)
    prior = of_prior.information
    if not (np.isfinite(information).all() and np.isfinite(prior).all()):
        return _unknown("the density is not finite, or not smooth, next to the estimate")
    # A prior is compared with if it informs every direction, by more than rounding.
    is_against_prior = uses_prior and density.has_prior and not of_prior.is_flat.any()
    reference = prior if is_against_prior else np.diag(_row_information(density, information, at))
    entries = entries_of(fit)
    names = [entry for name in density.names for entry in entries[name]]
    other = "the prior does" if is_against_prior else "one row would" + NOT_POSITIVE * uses_prior
    ratios, vectors = generalised_eigen(information, reference)
    moves = greek_slopes(density, at) @ vectors
    groups = open_groups(ratios, moves, names)
    return Identifiability(
        ratios=ratios,
        information=information,
        prior_information=prior,
        uninformed=dict(zip(names, _shares(moves, ratios < THRESHOLD).tolist(), strict=True)),
        groups=tuple(group.entries for group in groups),
        directions=tuple(group.sentence for group in groups),
        comparison=f"{_point_in_words(draws, fit.status)}, what the data tell in each direction over what {other}",
    )


def _unknown(problem: str | None) -> Identifiability:
    none = np.zeros((0, 0))
    return Identifiability(np.zeros(0), none, none, {}, (), (), "nothing was compared", problem=problem)


def _mode(objective: Objective, density: Density, draws: Mapping[str, Tensor]) -> Array:
    """A point fit as it is; of draws, the mode above the best: their mean may lie between two modes, near neither."""
    points = density.unconstrain({name: value.numpy() for name, value in draws.items()})
    if len(points) == 1:
        return np.asarray(points[0])
    points = points[:: -(-len(points) // CLIMBERS)]
    values = np.where(np.isfinite(points).all(1), objective.value(points), -np.inf)
    return ascend(objective, points[int(values.argmax())], 1e-6).coordinates


def _is_at_edge(density: Density, at: Array) -> bool:
    """Whether the likelihood, or a prior, ends there: known Greeks may be where a prior would not let an estimate."""
    greeks = density.constrain(at)
    return bool(density.edges(greeks) or density.beyond_priors().edges(greeks))


def _point_in_words(draws: Mapping[str, Tensor], status: Status) -> str:
    words = "at the mode" if len(next(iter(draws.values()))) == 1 else "at the mode nearest to the best draw"
    return words if status is Status.CONVERGED else f"{words} of a fit that ended as {status.name}"


def _row_information(density: Density, information: Array, at: Array) -> Array:
    """What one row would tell about each coordinate [D].

    About a logit, p (1 - p), which is half of what a flat prior of p tells; about a log, or a location in units of its
    column, 1; about a location in a program, whose unit nobody states, all rows' information over their number.
    """
    own = np.abs(np.diag(information))
    # Logits are told from logs by their Jacobian, in whichever coordinates the density has.
    logit = 0.5 * np.diag(curvature(Objective(density, log_jacobian), at).information)
    location = density.row_information(own, at)
    is_logit = density.bounded & (logit > ZERO * (1.0 + own))
    return np.where(is_logit, logit, np.where(density.bounded, 1.0, location))


def generalised_eigen(information: Array, reference: Array) -> tuple[Array, Array]:
    """The generalised eigenvalues r [D] and eigenvectors u [D, D], with ``u' P u = 1``."""
    if not len(reference):
        return np.zeros(0), np.zeros((0, 0))
    unit = 1.0 / np.sqrt(np.diag(reference))
    ratios, vectors = eigh(information * np.outer(unit, unit), reference * np.outer(unit, unit))
    return ratios, unit[:, None] * vectors


def greek_slopes(density: Density, at: Array) -> Array:
    """J = dφ/dv as [entries, D], by central differences."""
    step = 1e-5
    moved = at + step * np.concatenate([np.eye(density.size), -np.eye(density.size)])
    greeks = density.constrain(moved)
    flat = np.concatenate([np.asarray(greeks[name]).reshape(len(moved), -1) for name in density.names], 1)
    return np.asarray((flat[: density.size] - flat[density.size :]).T / (2.0 * step))


def _shares(moves: Array, flat: NDArray[np.bool_]) -> Array:
    """The share of each entry's variance that lies in flat directions; 0 for a constant entry."""
    total = (moves**2).sum(1)
    return np.asarray((moves[:, flat] ** 2).sum(1) / np.where(total > 0, total, 1.0))


class OpenGroup(NamedTuple):
    """Entries of the Greeks that flat directions move together; whether nothing at all is told of them."""

    entries: tuple[str, ...]
    is_untold: bool

    @property
    def sentence(self) -> str:
        """What the rows leave open."""
        if len(self.entries) == 1:
            return f"{self.entries[0]} is {'not' if self.is_untold else 'only partly'} informed by these data"
        listed = f"{', '.join(self.entries[:-1])} and {self.entries[-1]}"
        if self.is_untold:
            return f"{listed} are not informed by these data"
        return f"{listed} cannot be told apart from these data"


def open_groups(ratios: Array, moves: Array, names: Sequence[str]) -> list[OpenGroup]:
    """The entries that flat directions move together, whatever their basis."""
    flat = ratios < THRESHOLD
    if not flat.any():
        return []
    # In these directions what data and prior together leave open is the 1 / (1 + r)-th part of what the prior does.
    left_open = _shares(moves / np.sqrt(1.0 + np.maximum(ratios, 0.0)), flat)
    moves = moves / np.sqrt(np.maximum((moves**2).sum(1, keepdims=True), 1e-300))
    together = moves[:, flat] @ moves[:, flat].T
    own = np.sqrt(np.maximum(np.diag(together), 1e-300))
    joined = np.abs(together / np.outer(own, own)) > TOGETHER
    open_entries = np.flatnonzero(left_open >= min(MOST, left_open.max()))
    num_groups, group_of = connected_components(joined[np.ix_(open_entries, open_entries)], directed=False)
    groups = []
    for number in range(num_groups):
        group = open_entries[group_of == number]
        is_untold = _are_untold(moves[group][:, flat], moves[group])
        groups.append(OpenGroup(tuple(names[i] for i in group), is_untold))
    return groups


def _are_untold(flat: Array, moves: Array) -> bool:
    """Whether the data leave all of what these entries can do open, and not only a combination of them."""
    whole = moves @ moves.T
    free = np.linalg.matrix_rank(whole, tol=ROUNDING * len(whole), hermitian=True)
    return bool(np.trace(np.linalg.pinv(whole, rcond=ROUNDING, hermitian=True) @ flat @ flat.T) > free - 0.5)
