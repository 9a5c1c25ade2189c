"""Climbs from many starts at once: a few EM steps, starts that have met go on as one, Newton's method to the end."""

from typing import NamedTuple

import numpy as np

from estimators.contract import Density, Objective
from estimators.modes.labelling import Labelling
from estimators.optimise.ascent import MOST_FOR_NEWTON, ascend
from estimators.optimise.stationary import stationary_points
from estimators.parameters.parameter import Array
from estimators.symmetry import Indices

# EM steps between looks at which starts have met, and the gain (nats) below which Newton's method goes on.
ROUNDS = (8, 8, 8)
GAIN = 1e-3
# Starts have met within so many standard deviations of one class's rows, and so many nats.
MET, MET_NATS = 0.3, 0.05
# Times a saddle is left.
LEFT = 4
FAR = 25.0


class Met(NamedTuple):
    """Points [G, D] after EM steps, their log-likelihoods [G], and which of them each start became [S] (-1: none)."""

    points: Array
    values: Array
    group: Indices


class Arrivals(NamedTuple):
    """Stationary points [E, D], their values [E], and at which each point arrived [G] (-1: none).

    ``saddles`` counts those that were left.
    """

    points: Array
    values: Array
    at: Indices
    saddles: int


def climb(objective: Objective, points: Array) -> Arrivals:
    """From points [G, D] to the ends of their climbs, by Newton's method; what rises without end has none."""
    if objective.size > MOST_FOR_NEWTON:
        return _one_by_one(objective, points)
    ends = stationary_points(objective, points)
    found, at, saddles = [ends], np.arange(len(points)), int(ends.saddles.sum())
    total = len(points)
    for _ in range(LEFT):
        if not len(ends.ways):
            break
        # What came to a saddle goes on to the first of its two sides.
        before = total - len(ends.points)
        first = {int(origin) + before: total + i for i, origin in reversed(list(enumerate(ends.origins)))}
        at = np.array([first.get(int(place), int(place)) for place in at], dtype=int)
        ends = stationary_points(objective, ends.ways)
        found.append(ends)
        saddles += int(ends.saddles.sum())
        total += len(ends.points)
    stationary = np.concatenate([ends.stationary for ends in found])
    place = np.where(stationary, np.cumsum(stationary) - 1, -1)
    points = np.concatenate([ends.points for ends in found])[stationary]
    return Arrivals(points, np.concatenate([ends.values for ends in found])[stationary], place[at], saddles)


def _one_by_one(objective: Objective, points: Array) -> Arrivals:
    """By L-BFGS, where second derivatives would take more evaluations than the climb."""
    summits = [ascend(objective, point, 1e-7) for point in points]
    good = np.array([np.isfinite(s.value) and s.gradient_norm < 1e-5 for s in summits], dtype=bool)
    ends = np.array([s.coordinates for s in summits]).reshape(len(summits), objective.size)
    values = np.array([s.value for s in summits])
    return Arrivals(ends[good], values[good], np.where(good, np.cumsum(good) - 1, -1), 0)


def em_climb(density: Density, labelling: Labelling, starts: Array) -> Met:
    """Some EM steps from starts [S, D]; those that have met go on as one."""
    points, group = np.clip(starts, -FAR, FAR), np.arange(len(starts))
    for steps in ROUNDS:
        values = np.full(len(points), -np.inf)
        gained = np.full(len(points), np.inf)
        for _ in range(steps):
            moving = np.flatnonzero(gained >= GAIN)
            if not len(moving):
                break
            value, moved = density.em_steps(points[moving])
            finite = np.isfinite(value) & np.isfinite(moved).all(1)
            gained[moving] = np.where(finite, value - values[moving], -np.inf)
            values[moving] = value
            points = points.copy()
            points[moving[finite]] = moved[finite]
        met = _met(density, labelling, points, values)
        points, values = points[met.kept], values[met.kept]
        group = np.where(group >= 0, met.becomes[np.maximum(group, 0)], -1)
    return Met(points, values, group)


def nearness(density: Density, labelling: Labelling) -> float:
    """The distance within which points have met."""
    return float(MET * np.sqrt(labelling.symmetry.num_labels / density.total_weight))


class _Kept(NamedTuple):
    kept: list[int]
    becomes: Indices


def _met(density: Density, labelling: Labelling, points: Array, values: Array) -> _Kept:
    """Of points that have met, the best; those without a value are dropped."""
    near = nearness(density, labelling)
    kept, becomes = list[int](), np.full(len(points), -1)
    waiting = np.flatnonzero(np.isfinite(values))
    waiting = waiting[np.argsort(-values[waiting], kind="stable")]
    while len(waiting):
        first = waiting[0]
        close = waiting[values[first] - values[waiting] < MET_NATS]
        met = close[labelling.distances(points[close], points[first]) < near]
        becomes[met] = becomes[first] = len(kept)
        kept.append(int(first))
        waiting = waiting[becomes[waiting] < 0]
    return _Kept(kept, becomes)
