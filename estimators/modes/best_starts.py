"""Starts for those that do not search: some of a search's random starts, refined a little, the best first."""

from collections.abc import Iterator
from itertools import chain, islice

import numpy as np
import torch

from estimators.contract import Combination, Density, Model, Objective, log_likelihood
from estimators.data.data import Data
from estimators.data.working_rows import working_rows
from estimators.modes.climb import best_of_each, em_cycles
from estimators.modes.labelling import Labelling
from estimators.modes.starts import RandomStarts
from estimators.optimise.arrays import Array
from estimators.optimise.ascent import climb_inside

Rng = np.random.Generator
# Starts are found on at most this many rows, weighted up to all of them.
WORKING_ROWS = 4_000
# Kinds in turn: seeds are the best of many classes, the others of lines and narrow classes.
TURNS = ("seeds", "balls", "seeds", "lines", "seeds", "shares")
# Where few starts are wanted, twice as many are tried: so many at least, and no more than so many for that.
LEAST, ENOUGH = 8, 40
# Draws of the prior in their place, where each M-step is a climb of its own.
PRIOR_DRAWS = 200
# There, and of many rows, the best few are climbed from: how many, how far (in gradient by row), by how many steps of
# L-BFGS, and by how many cycles of EM where its steps have a closed form.
NUM_CLIMBED, CLIMBED, CLIMB_STEPS, CYCLES = 8, 1e-6, 50, 6
# Nats by row that a start may lie below the best of the working rows: these tell less than a tenth of it apart.
RELEVANT = 0.1


def best_starts(
    model: Model,
    density: Density,
    combination: Combination,
    count: int,
    rng: Rng,
    *,
    refinements: int,
    unrefined: bool = False,
) -> Iterator[Array]:
    """At most so many distinct starts [D], best first, after a few EM steps on all at once.

    Where ``unrefined``, the points before these steps are starts too, and there may be twice as many. Those that have
    met under some naming of the classes are one. Where M-steps have no closed form, the best draws of the prior
    instead, after a short climb.
    """
    rows = _weighed(density.data, rng)
    part = density if rows is density.data else density.of(rows)
    objective = Objective(part, combination)
    labelling = Labelling.of(model, part, uses_prior=combination is not log_likelihood)
    tried = _tried(part, count, rng, refinements, unrefined=unrefined)
    best = _best_first(objective, labelling, part, tried)
    ordered: Iterator[Array] = islice(best, (1 + unrefined) * count)
    if not (part.has_closed_form and part is density):
        # A climb of all rows is shorter from a maximum of some of them, which costs next to nothing.
        ordered = _best_first(objective, labelling, part, _climbed(objective, part, np.array(list(ordered))))
    if part is density:
        yield from ordered
        return
    first = next(ordered)
    least = objective.value(first) - RELEVANT * part.total_weight
    for start in chain([first], ordered):
        if objective.value(start) >= least:
            # The coordinates are relative to the rows that they were found on.
            yield density.unconstrain(part.constrain(start))


@np.errstate(all="ignore")
def _tried(density: Density, count: int, rng: Rng, refinements: int, *, unrefined: bool) -> Array:
    """Points [S, D] of which the best are wanted."""
    if not density.has_closed_form:
        return density.draw_prior(max(count, PRIOR_DRAWS), rng)
    _, found = RandomStarts(density).drawn(max(count, LEAST, min(2 * count, ENOUGH)), rng, TURNS)
    refined = found
    for _ in range(refinements):
        _, refined = density.em_steps(refined)
    return np.concatenate([found, refined]) if unrefined else refined


def _weighed(data: Data, rng: Rng) -> Data:
    """At most WORKING_ROWS rows, weighted up to all rows."""
    part, scale = working_rows(data, WORKING_ROWS, rng)
    if part is data:
        return data
    weights = torch.ones(part.num_rows, dtype=torch.float64) if part.weights is None else part.weights
    return part.replace(weights=weights * scale)


@np.errstate(all="ignore")
def _climbed(objective: Objective, density: Density, starts: Array) -> Array:
    """Starts [B, D] with the first few where a climb from them leads to; not into a spike."""
    climbed = starts.copy()
    if density.has_closed_form:
        few = climbed[:NUM_CLIMBED]
        ends, values = em_cycles(density, few, np.full(len(few), -np.inf), CYCLES)
        few[np.isfinite(values)] = ends[np.isfinite(values)]
        return climbed
    for number, start in enumerate(starts[:NUM_CLIMBED]):
        end = climb_inside(objective, start, density.data.num_units, gradient=CLIMBED, max_steps=CLIMB_STEPS)
        climbed[number] = start if end is None else end
    return climbed


def _best_first(objective: Objective, labelling: Labelling, density: Density, points: Array) -> Iterator[Array]:
    """The distinct points [D] among some in order of the objective, those with a collapsed class last."""
    with np.errstate(all="ignore"):
        values, gradients = objective.evaluate(points)
    narrow, has_any = list[Array](), False
    for index, _ in best_of_each(density, labelling, points, values):
        has_any = True
        with np.errstate(all="ignore"):
            is_narrow = density.has_collapsed(points[index], gradients[index])
        if is_narrow:
            narrow.append(points[index])
        else:
            yield points[index]
    yield from narrow if has_any else points[:1]
