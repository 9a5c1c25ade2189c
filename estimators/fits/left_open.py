"""What the rows leave open of a posterior: there the priors answer, and draws look as sure of it as of anything else.

And of a maximum of the likelihood that no search has looked at: there the start answers.

A direction is open if log p of no row moves along it at a draw, and if the likelihood by itself is flat in it at the
maximum above. The first alone may be for want of rows, as where there are fewer than coordinates. The second alone may
be chance: where two classes look like one, the likelihood is often highest at one, and then any shares of it are as
good, while other draws tell them apart.
"""

import numpy as np
import torch

from estimators.contract import Density, Draws, Model, Objective, log_likelihood
from estimators.data.working_rows import working_rows
from estimators.fits.identifiability import OpenGroup
from estimators.fits.mode_findings import flat_directions, groups_in_words, groups_left_open
from estimators.modes.joined import has_joined
from estimators.modes.law_rows import design_of
from estimators.modes.mode import LEAST_TOLD, Mode, is_curvature_affordable, law_at, mode_at
from estimators.modes.mode_search import WORKING_ROWS
from estimators.modes.row_law import few_rows, law_of
from estimators.modes.starts import responsibilities_at
from estimators.optimise.arrays import Array
from estimators.optimise.ascent import ascend, at_end

# The gradient per row at which the likelihood is at a maximum.
TOLERANCE, STATIONARY = 1e-8, 1e-6
# Rows are one where log p is the same to so many digits.
DIGITS, ROWS_BY_COORDINATE = 9, 2
# By differences of this step it is seen which rows a flat direction moves.
STEP = 2e-3
# A combination that rows tell by less than this share of what they do of each coordinate is none that they tell.
LEAST_SHARE = 1e-8
# Places at which log p of the rows is looked at, and from which the likelihood is climbed in turn.
PLACES = 3


@np.errstate(all="ignore")
def left_open(model: Model, density: Density, draws: Draws, best: int) -> str:
    """Which entries of the Greeks the rows leave open, at the ``best`` of draws [S, *shape] and others; "" for none.

    Greeks that no row tells anything of are not named for themselves: their draws are the prior's, which is said there.
    """
    if not density.size:
        return ""
    # Chosen by fixed numbers, so that the same fit has the same status every time.
    rng = np.random.default_rng(0)
    every = density.beyond_priors()
    free = of_some_rows(every, rng)
    few, places = few_rows(free, rng), _places(density, draws, best, rng)
    points = free.unconstrain({name: value.numpy() for name, value in places.items()})
    for number, at in enumerate(points):
        draw = {name: value[number : number + 1] for name, value in places.items()}
        if np.isfinite(at).all() and _are_told(model, free, few, draw, at):
            return ""
    groups = _open_above(free, every, points)
    return "" if all(group.is_untold for group in groups) else groups_in_words(groups)


def open_at_mode(density: Density, mode: Mode) -> str:
    """Which entries of the Greeks the rows leave open at a mode; "" for none, and where a class is lost."""
    is_told = mode.curve is not None and not mode.is_flat
    if is_told or density.at_boundary(mode.point):
        return ""
    if mode.curve is None:
        return open_at_maximum(density, density.draws(mode.point[None]))
    return groups_in_words(groups_left_open(density, mode.point, flat_directions(mode)))


@np.errstate(all="ignore")
def open_at_maximum(density: Density, draws: Draws) -> str:
    """Which entries of the Greeks the rows leave open at a maximum of the likelihood, one draw; "" for none."""
    if not density.size:
        return ""
    part = of_some_rows(density, np.random.default_rng(0))
    point = part.unconstrain({name: value[:1].numpy() for name, value in draws.items()})[0]
    if part is density:
        mode = _mode_above(density, point)
        return "" if mode is None else groups_in_words(groups_left_open(density, mode.point, flat_directions(mode)))
    if not is_curvature_affordable(part) or has_joined(responsibilities_at(part, point)):
        return ""
    # Some rows have another maximum, or none, so that what no row tells of is looked for at that of all.
    free = np.eye(density.size)[:, ~(part.bounded & at_end(point))]
    directions = _moving_no_row(density, part, point[None], _moving_no_row(part, part, point[None], free))
    return groups_in_words(groups_left_open(part, point, directions))


def of_some_rows(density: Density, rng: np.random.Generator) -> Density:
    """The density of some rows, where the curvature of all would take too long: all say best which Greeks are open."""
    if is_curvature_affordable(density):
        return density
    rows, _ = working_rows(density.data, WORKING_ROWS, rng)
    return density if rows is density.data else density.of(rows)


def _places(density: Density, draws: Draws, best: int, rng: np.random.Generator) -> Draws:
    """The best of draws [S, *shape] and others; beside a point, where classes may be one, draws of the prior."""
    num_draws = len(next(iter(draws.values())))
    others, chosen = draws, np.linspace(0, num_draws - 1, PLACES - 1).astype(int)
    if num_draws == 1:
        others, chosen = density.draws(density.draw_prior(PLACES - 1, rng)), np.arange(PLACES - 1)
    return {name: torch.cat([value[best : best + 1], others[name][chosen]]) for name, value in draws.items()}


def _are_told(model: Model, density: Density, few: Density, draw: Draws, at: Array) -> bool:
    """Whether log p of some row moves in every direction at a point [D]; of few rows, whether that of more would."""
    rng = np.random.default_rng(0)
    if law_of(density, few, at, rng).rank(at) == density.size:
        return True
    if len(np.unique(law_at(few, at[None])[0].round(DIGITS))) >= ROWS_BY_COORDINATE * density.size:
        return False
    try:
        simulated = model.density(design_of(model, draw, density.data).rows(0).data)
    except ValueError:
        # A draw of the prior may have rows that no data set can hold.
        return False
    more = few_rows(simulated, rng)
    return law_of(density, more, at, rng).rank(at) == density.size


def _mode_above(density: Density, start: Array) -> Mode | None:
    """The maximum of the likelihood above a point [D].

    None where it has not all classes, where the set of maxima has a corner at the ends of several Greeks, or where the
    curvature would take too long.
    """
    if not is_curvature_affordable(density):
        return None
    objective = Objective(density, log_likelihood)
    end, (_, slope) = start, objective.value_and_gradient(start)
    # A fit is at its maximum.
    if np.abs(slope).max() > TOLERANCE * density.total_weight:
        summit = ascend(objective, start, TOLERANCE)
        end, slope = summit.coordinates, summit.gradient
    if np.abs(slope).max() > STATIONARY * density.total_weight or density.has_collapsed(end, slope):
        return None
    if density.at_boundary(end):
        return None
    if has_joined(responsibilities_at(density, end)):
        return None
    return mode_at(objective, density, end)


def _open_above(density: Density, every: Density, points: Array) -> list[OpenGroup]:
    """What is open at the first maximum above points [S, D] where anything is.

    Where rows are some of ``every``, only what the others do not tell at any of these, as those of a rare level may.
    """
    points = points[np.isfinite(points).all(1)]
    for start in points:
        mode = _mode_above(density, start)
        if mode is None:
            continue
        directions = flat_directions(mode)
        groups = groups_left_open(density, mode.point, directions)
        if groups and every is not density:
            directions = _moving_no_row(every, density, np.concatenate([points, mode.point[None]]), directions)
            return groups_left_open(density, mode.point, directions)
        if groups:
            return groups
    return []


def _moving_no_row(density: Density, part: Density, points: Array, directions: Array) -> Array:
    """The directions [D, A] among some, in the coordinates of a part, that move log p of no row at points [S, D]."""
    if not directions.shape[1]:
        return directions
    steps, weights = STEP * directions.T, density.data.unit_weights
    counts = np.ones(density.data.num_units, dtype=bool) if weights is None else (weights > 0).numpy()
    changes = [
        (density.pointwise(part.draws(point + steps)) - density.pointwise(part.draws(point - steps))).numpy()[:, counts]
        for point in points
    ]
    moves = np.concatenate(changes, axis=1) / (2.0 * STEP)
    moves = moves[:, np.isfinite(moves).all(0)]
    # A row that is far out in a narrow class moves by so much that all others would be rounding.
    moves = moves / np.maximum(np.linalg.norm(moves, axis=0), 1.0)
    information = moves @ moves.T
    # What is left out of a difference is of second order in the step.
    least = LEAST_TOLD + moves.shape[1] * STEP**4
    unmoved = np.diag(information) < least
    unit = np.where(unmoved, 1.0, 1.0 / np.sqrt(np.maximum(np.diag(information), least)))
    scaled = np.where(unmoved | unmoved[:, None], 0.0, information * np.outer(unit, unit))
    sizes, told = np.linalg.eigh(scaled)
    left = directions @ (unit[:, None] * told[:, sizes < LEAST_SHARE])
    return np.asarray(left / np.maximum(np.abs(left).max(0, initial=0.0), 1e-300))
