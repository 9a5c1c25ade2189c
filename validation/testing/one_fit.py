"""One point fit against a truth, by the likelihood of its rows: how far it falls from its maximum to the truth.

A spread that the same few rows tell is wrong where the estimate is. The likelihood ratio is measured in none: its law
is that of χ² whatever the truth, up to a factor that data sets simulated at the truth give (`bartlett_factor`).
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np

from estimators import Fit, Status
from estimators.contract import Density, Objective, log_likelihood
from validation.scenarios.design import Design, hidden_columns
from validation.statistics.arguments import Array
from validation.statistics.likelihood_ratio import bartlett_factor
from validation.testing.climbs import Mask, climb, maxima, objective_of, point_of, value_at
from validation.testing.held import SAME, Held
from validation.testing.like_rows import REFUSED
from validation.testing.quantities import Quantities, Truth

SIMULATED = 50  # data sets at the truth
POINTS = 41  # on the way from a fit to the truth
MOST_LABELS = 4  # of which every naming is tried; of more, every exchange of two


@dataclass(frozen=True)
class Drop:
    """By how many nats the truth is below the maximum, its degrees of freedom, and the factor of twice its law."""

    nats: float
    freedom: int
    factor: float


def drop_to(fit: Fit, truth: Truth, asked: Quantities, seed: int) -> Drop:
    """Return how far the likelihood falls to what it is where `asked` has its true values, the rest at its best.

    Or as far as it falls from the maximum to the fit, which is no maximum where it is wrong; or, where another naming
    of the classes leads to the truth at a smaller fall on the way, by how much that is smaller: the largest of these.
    Of an estimate that rests on priors, all that of the log joint density. Of a component that has collapsed, infinite.
    Raises ValueError for a fit without rows, for known Greeks, and where no rows can be simulated at the truth.
    """
    density = _density(fit)
    objective = objective_of(fit, density)
    own, held = point_of(fit, density), Held.of(fit, truth, asked, density)
    if Status.COMPONENT_COLLAPSED in fit.findings or not _known_are_true(fit, truth, asked, density):
        return Drop(np.inf, max(held.freedom, 1), 1.0)
    if not held.freedom:
        raise ValueError(f"{', '.join(asked.true(fit, truth))} do not vary, so there is nothing to judge")
    at_truth = held.best(objective)
    ends = (own, at_truth)
    values = [value_at(objective, point) for point in (*ends, *maxima(objective, ends))]
    nats = max(max(values) - min(values[:2]), _by_naming(fit, asked, objective, at_truth))
    return Drop(nats, held.freedom, _factor(fit, density, held, at_truth, seed))


def _density(fit: Fit) -> Density:
    if fit.data is None:
        raise ValueError(
            "fit_or_fits: expected a fit to rows, by which it can be judged alone, or one with draws, got kind "
            f"{fit.kind!r}; give several fits, or say how far off it may be: unit={{'mu_X': 0.3}}"
        )
    density = fit.model.density(fit.data)
    return density if fit.uses_prior else density.beyond_priors()


def _known_are_true(fit: Fit, truth: Truth, asked: Quantities, density: Density) -> bool:
    """Whether Greeks that no rows can change are as they should be."""
    free = set(density.names_at(np.ones(density.size, dtype=bool)))
    known = [name for name in asked.greeks if name not in free]
    return all(np.allclose(np.ravel(fit[name]), np.ravel(truth[name]), rtol=SAME, atol=SAME) for name in known)


# ---------------------------------------------------------------- names of the classes


def _by_naming(fit: Fit, asked: Quantities, objective: Objective, at_truth: Array) -> float:
    """How much farther the likelihood falls on the way to the truth than under another naming of the classes.

    Namings under which the quantities are the same count as the fit's own.
    """
    mine = _flat(asked.of(fit))
    own: list[float] = [_fall(fit, objective, at_truth)]
    others: list[float] = []
    for order in _orders(fit.symmetry.num_labels):
        with suppress(TypeError, ValueError):  # of labels that cannot be renamed
            other = fit.relabel(order)
            is_same = np.allclose(_flat(asked.of(other)), mine, rtol=SAME, atol=SAME)
            (own if is_same else others).append(_fall(other, objective, at_truth))
    return max(0.0, min(own) - min(others, default=np.inf))


def _flat(values: dict[str, Array]) -> Array:
    return np.concatenate(list(values.values()))


def _orders(num_labels: int) -> Iterator[list[int]]:
    labels = list(range(num_labels))
    if num_labels <= MOST_LABELS:
        yield from (list(order) for order in permutations(labels) if list(order) != labels)
        return
    for one, other in combinations(labels, 2):
        yield [{one: other, other: one}.get(label, label) for label in labels]


def _fall(fit: Fit, objective: Objective, end: Array) -> float:
    """How far an objective falls on the straight way from a fit."""
    start = point_of(fit, objective.density)  # type: ignore[arg-type]  # a density of a model, in an objective
    values = objective.value(start + np.linspace(0.0, 1.0, POINTS)[:, None] * (end - start))
    return float(values[0] - np.nan_to_num(values, nan=-np.inf).min())


# ---------------------------------------------------------------- the law at the truth


def _factor(fit: Fit, density: Density, held: Held, at: Array, seed: int) -> float:
    """The mean of twice the drop per degree of freedom, over data sets like the fit's, simulated at the truth.

    Of quantities that are functions of all Greeks, as if these few had all that the Greeks have beyond χ².
    """
    greeks = {name: draw[0] for name, draw in density.draws(at[None]).items()}
    assert fit.data is not None
    design, hidden = Design.of(fit.data), hidden_columns(fit, greeks)
    fixed = held.fixed if held.function is None else np.ones(density.size, dtype=bool)
    ratios, slopes, informations = [], [], []
    for number in np.random.default_rng(seed).integers(2**32, size=SIMULATED):
        try:
            rows = design.simulate(fit.model, greeks, hidden=hidden, seed=int(number))
        except REFUSED as problem:
            raise ValueError(
                f"fit_or_fits: data sets like that of this one fit cannot be simulated at the truth ({problem}), so it "
                "is not known how far off it may be; say so: unit={'mu_X': 0.3}"
            ) from None
        new = density.of(rows)
        there, change = _moved(density, new, at)
        objective = objective_of(fit, new)
        start = climb(objective, there, ~fixed)
        values = [value_at(objective, point) for point in (start, *maxima(objective, (start,)))]
        ratios.append(2 * (max(values) - values[0]))
        slopes.append(change.T @ Objective(new, log_likelihood).value_and_gradient(there)[1])
        informations.append(change.T @ new.information(there) @ change)
    information = np.mean(informations, axis=0)
    scores = [_score_statistic(slope, information, ~fixed) for slope in slopes]
    count = int(fixed.sum())
    beyond = (bartlett_factor(np.array(ratios), np.array(scores), count) - 1) * count
    return 1 + beyond / held.freedom


def _moved(one: Density, other: Density, at: Array) -> tuple[Array, Array]:
    """A point [D] in the coordinates of a density of other rows, whose units are others, and its change [D, D]."""
    moves = np.concatenate([at[None], at + np.eye(len(at))])
    moved = other.unconstrain(one.constrain(moves))
    return moved[0], (moved[1:] - moved[0]).T


def _score_statistic(slope: Array, information: Array, free: Mask) -> float:
    """``uᵀ I⁻¹ u`` of the coordinates that are not free, with those at their best; NaN where I is singular."""
    try:
        rest = slope[free] @ np.linalg.solve(information[np.ix_(free, free)], slope[free])
        return float(slope @ np.linalg.solve(information, slope) - rest)
    except np.linalg.LinAlgError:
        return float("nan")
