"""Climbs from many starts at once: a few EM steps, starts that have met go on as one, Newton's method to the end."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from estimators.contract import Density, Objective
from estimators.modes.labelling import Labelling
from estimators.optimise.arrays import Array
from estimators.optimise.ascent import climb as lbfgs
from estimators.optimise.stationary import MOST_COORDINATES, rises_without_end, stationary_points
from estimators.parameters.symmetry import Indices

# Cycles of EM between looks at which starts have met, and the gain (nats) below which Newton's method goes on.
ROUNDS = (3, 4, 5)
GAIN = 1e-3
# A round that leaves more than this share of the points is the last one.
FEW_MET = 0.9
LONGEST_CYCLE = 64.0
# Starts have met within so many standard deviations of one class's rows, and so many nats.
MET, MET_NATS = 2.0, 0.1
# Steps of Newton's method between looks at which climbs have met, and how often these are taken.
STEPS, TURNS = 10, 12
# Points whose images are computed together.
AHEAD = 16
# Logs and logits at which starts are held.
FAR = 25.0
# Nats below the best mode, after EM steps, at which a climb is given up.
HOPELESS = 40.0
# Where coordinates are many: climbs, their steps, and the gradients by row from which on they look for an end that
# others have reached, at which they end, and at which they stand still.
MOST_COSTLY, MOST_STEPS, ROUGH, GRADIENT, STILL = 8, 500, 1e-4, 1e-8, 1e-5


class Met(NamedTuple):
    """Points [G, D] after EM steps, their log-likelihoods [G], and which of them each start became [S] (-1: none)."""

    points: Array
    values: Array
    group: Indices


class Arrivals(NamedTuple):
    """Stationary points [E, D], their values [E], and at which each point arrived [G] (-1: none).

    ``spikes`` [X, D] are points from which the density rises without end.
    """

    points: Array
    values: Array
    at: Indices
    spikes: Array


@np.errstate(all="ignore")
def climb(
    objective: Objective, density: Density, labelling: Labelling, points: Array, least: float = -np.inf
) -> Arrivals:
    """From points [G, D] to the ends of their climbs, by Newton's method; what rises without end has none.

    Now and then those that have met go on as one, and what came to a saddle goes on to both of its sides. What is below
    ``least``, and at the rate at which it rises would be there at the end too, is given up.
    """
    if objective.size > MOST_COORDINATES:
        return _one_by_one(objective, density, labelling, points)
    places, values = points.copy(), objective.value(points)
    leads_to, has_arrived = np.arange(len(points)), np.zeros(len(points), dtype=bool)
    under_way, spikes = np.arange(len(points)), [np.zeros((0, objective.size))]
    for turn in range(1, TURNS + 1):
        if not len(under_way):
            break
        ends, before = stationary_points(objective, places[under_way], STEPS), values[under_way]
        places[under_way], values[under_way], has_arrived[under_way] = ends.points, ends.values, ends.stationary
        spikes.append(ends.points[ends.spikes])
        sides = len(places) + np.arange(len(ends.ways))
        # The first of its two sides is where a climb to a saddle has led.
        leads_to[under_way[ends.origins[::-1]]] = sides[::-1]
        goes_on = ends.values + (TURNS - turn) * (ends.values - before) >= least
        under_way = under_way[ends.under_way & goes_on]
        together = np.concatenate([np.flatnonzero(has_arrived), under_way])
        met = meeting(density, labelling, places[together], values[together])
        leads_to[together] = np.where(met.becomes >= 0, together[met.kept][met.becomes], together)
        under_way = under_way[leads_to[under_way] == under_way]
        places, values = np.concatenate([places, ends.ways]), np.append(values, np.full(len(sides), -np.inf))
        leads_to, has_arrived = np.append(leads_to, sides), np.append(has_arrived, np.zeros(len(sides), dtype=bool))
        under_way = np.append(under_way, sides)
    for _ in range(TURNS):
        leads_to = leads_to[leads_to]
    arrived = np.flatnonzero(has_arrived & (leads_to == np.arange(len(places))))
    number = np.full(len(places), -1)
    number[arrived] = np.arange(len(arrived))
    return Arrivals(places[arrived], values[arrived], number[leads_to[: len(points)]], np.concatenate(spikes))


def _one_by_one(objective: Objective, density: Density, labelling: Labelling, points: Array) -> Arrivals:
    """By L-BFGS, where second derivatives would take more evaluations than the climb; the best few alone.

    One that comes to where another has ended goes no farther.
    """
    values = objective.value(points)
    ends, spikes, at, least = list[Array](), list[Array](), np.full(len(points), -1), -np.inf

    def known(point: Array) -> int | None:
        """At which of the ends a climb through a point [D] is certain to end."""
        reached = np.array([*ends, point])
        met = meeting(density, labelling, reached, objective.value(reached))
        first = met.kept[met.becomes[-1]] if met.becomes[-1] >= 0 else len(ends)
        return first if first < len(ends) else None

    def has_met(point: Array) -> bool:
        return known(point) is not None

    for index in np.argsort(-values, kind="stable")[:MOST_COSTLY]:
        if values[index] < least:
            break
        end = lbfgs(objective, points[index], gradient=ROUGH, max_steps=MOST_STEPS)
        first = known(end)
        if first is None:
            # Most steps are those of probabilities that run to 0.
            end = lbfgs(objective, end, gradient=GRADIENT, max_steps=MOST_STEPS, has_met=has_met)
            first = known(end)
        if first is not None:
            at[index] = first
            continue
        value, slope = objective.value_and_gradient(end)
        if np.abs(slope).max(initial=0.0) < STILL * objective.total_weight:
            at[index] = len(ends)
            ends.append(end)
            least = least if density.is_spurious(end) else max(least, value - HOPELESS)
        elif rises_without_end(objective, end, slope).any():
            spikes.append(end)
    found = np.array(ends).reshape(len(ends), objective.size)
    return Arrivals(found, objective.value(found), at, np.array(spikes).reshape(len(spikes), objective.size))


def em_climb_by_few(few: Density, density: Density, labelling: Labelling, starts: Array) -> Met:
    """As `em_climb`, but for a last cycle on few of a density's rows, which tell as well which starts meet."""
    apart = em_climb(few, Labelling(few, labelling.symmetry), few.unconstrain(density.constrain(starts)))
    met = em_climb(density, labelling, density.unconstrain(few.constrain(apart.points)), rounds=(1,))
    return met._replace(group=_led_to(met.group, apart.group))


@np.errstate(all="ignore")
def em_climb(density: Density, labelling: Labelling, starts: Array, rounds: Sequence[int] = ROUNDS) -> Met:
    """Cycles of SQUAREM (see `EM`) from starts [S, D]; those that have met go on as one.

    Where next to none have met in a round, EM is slow, and Newton's method is sooner at the end.
    """
    points = np.where(density.bounded, np.clip(starts, -FAR, FAR), starts)
    group, values = np.arange(len(starts)), np.full(len(starts), -np.inf)
    for cycles in rounds:
        points, values = em_cycles(density, points, values, cycles)
        met, num_before = meeting(density, labelling, points, values), np.isfinite(values).sum()
        points, values = points[met.kept], values[met.kept]
        group = _led_to(met.becomes, group)
        if len(points) > FEW_MET * num_before:
            break
    return Met(points, values, group)


def _led_to(ends: Indices, at: Indices) -> Indices:
    """At which end is what was at some of the points that led there; -1 for none."""
    return np.where(at >= 0, np.append(ends, -1)[at], -1)


def em_cycles(density: Density, starts: Array, heights: Array, cycles: int) -> tuple[Array, Array]:
    """At most so many cycles from starts [S, D] of some heights [S], of each until it gains next to nothing."""
    points, values = starts.copy(), heights.copy()
    moving = np.arange(len(points))
    for _ in range(cycles):
        if not len(moving):
            break
        before = values[moving]
        points[moving], values[moving] = _cycle(density, points[moving])
        moving = moving[values[moving] - before >= GAIN * row_weight(density)]
    return points, values


def _cycle(density: Density, points: Array) -> tuple[Array, Array]:
    """Two EM steps and an extrapolation, or where that is no better an EM step more: points [S, D], and values [S].

    The values are those at points one EM step before; -inf where a step has no end.
    """
    _, first = density.em_steps(points)
    values, second = density.em_steps(first)
    step, bend = first - points, second - 2.0 * first + points
    ratio = np.linalg.norm(step, axis=1) / np.maximum(np.linalg.norm(bend, axis=1), 1e-300)
    length = np.clip(ratio, 1.0, LONGEST_CYCLE)[:, None]
    target = points + 2.0 * length * step + length**2 * bend
    target = np.where(density.bounded, np.clip(target, -FAR, FAR), target)
    better, third = density.em_steps(target)
    worse = ~(better >= values)
    third[worse], values = second[worse], np.where(worse, values, better)
    return third, np.where(np.isfinite(values) & np.isfinite(third).all(1), values, -np.inf)


def nearness(density: Density, labelling: Labelling) -> float:
    """The distance within which points have met."""
    return float(MET * np.sqrt(max(labelling.symmetry.num_labels, 1) / density.count))


def row_weight(density: Density) -> float:
    """What a row weighs, at most 1: where climbs lead does not depend on a factor of all weights."""
    return density.total_weight / density.count


class Meeting(NamedTuple):
    """Which points are kept [G], the best of those that have met, and which of these each has become [S] (-1: none)."""

    kept: list[int]
    becomes: Indices


def meeting(density: Density, labelling: Labelling, points: Array, values: Array) -> Meeting:
    """Points [S, D] that have met; those without a value are dropped."""
    kept, becomes = list[int](), np.full(len(points), -1)
    for first, met in best_of_each(density, labelling, points, values):
        becomes[met] = len(kept)
        kept.append(first)
    return Meeting(kept, becomes)


def best_of_each(density: Density, labelling: Labelling, points: Array, values: Array) -> Iterator[tuple[int, Indices]]:
    """The best of those points [S, D] that have met, in turn, and which they are; without those that have no value."""
    near, nats = nearness(density, labelling), MET_NATS * row_weight(density)
    waiting, images = np.flatnonzero(np.isfinite(values)), dict[int, Array]()
    waiting = waiting[np.argsort(-values[waiting], kind="stable")]
    while len(waiting):
        first = int(waiting[0])
        if first not in images:
            ahead = waiting[:AHEAD]
            images = dict(zip(ahead.tolist(), np.swapaxes(labelling.images(points[ahead]), 0, 1), strict=True))
        is_met = values[first] - values[waiting] < nats
        is_met[is_met] = labelling.distances(points[waiting[is_met]], images[first]) < near
        is_met[0] = True
        yield first, waiting[is_met]
        waiting = waiting[~is_met]
