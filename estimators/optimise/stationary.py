"""Newton's method in |H| from many points at once: to maxima, to ends of the support, and away from saddles.

With H = Q Λ Q' the second derivatives, a step is ``Q |Λ|⁻¹ Q' g``, which leads up in every direction, at saddles too
(Dauphin et al. 2014, "Identifying and attacking the saddle point problem", with H whole).
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from estimators.optimise.arrays import Array, Mask
from estimators.optimise.ascent import LIMIT, at_end, within_limits

Places = NDArray[np.intp]
MAX_STEPS = 100
# Up to so many coordinates this takes fewer gradients than L-BFGS, whose steps are tiny where curvatures differ much.
MOST_COORDINATES = 100
# A step moves no coordinate by more.
LONGEST = 2.0
# Nats that one more step would gain at a stationary point, and at one that rounding stopped near it.
STATIONARY, NEARLY = 1e-9, 1e-6
# Steps of differences, forward on the way and central at the end.
STEP, CENTRAL_STEP = 1e-5, 1e-4
# From here on a log or a logit that still climbs is tried at its end; how much the density may still grow there.
TRY, LEFT_TO_GROW = 5.0, 1e-3
# From here on a coordinate without slope and curvature is at its end; it is let go of it so often at most on the way,
# and again where all else stands still, to here.
NEAR, NOTHING = 12.0, 1e-3
RETURNS, INSIDE = 2, 8.0
# Curvatures below this share of the largest, and this size, are taken to be so large.
LEAST_SHARE, LEAST = 1e-9, 1e-8
# A direction that curves upwards by more than this share makes a saddle; how far it is left, along the way out.
SADDLE_SHARE = 1e-5
WAYS = (0.01, 0.1, 0.5, 2.0)
SHORTER, HALVINGS, SUFFICIENT = 0.35, 12, 1e-4
# Second derivatives are found anew after so many steps, and carried on by the gradients in between.
FRESH = 5
# Of no more coordinates of all climbs together than this they are found anew at each step, which costs next to nothing.
FEW = 64


class Batched(Protocol):
    """A smooth function of points [S, D]; ``bounded`` marks logs and logits."""

    @property
    def size(self) -> int:
        """D."""

    @property
    def bounded(self) -> Mask:
        """Which coordinates [D] are logs or logits."""

    def evaluate(self, points: Array) -> tuple[Array, Array]:
        """Values [S] and gradients [S, D]."""


class Ends(NamedTuple):
    """Where climbs ended [S, D]: values [S], whether they stand still [S], and starts [W, D] beside saddles.

    Those of ``spikes`` [S] rise without end, those ``under_way`` [S] have taken all their steps. ``ways`` leave the
    saddle at which the climb ``origins`` [W] ended, up to both sides.
    """

    points: Array
    values: Array
    stationary: Mask
    saddles: Mask
    spikes: Mask
    under_way: Mask
    ways: Array
    origins: Places


@dataclass
class _State:
    """Points under way with their values, slopes and second derivatives.

    ``returns`` counts how often each coordinate was let go of an end, ``ages`` the steps since second derivatives were
    found by differences: from FRESH on they are stale.
    """

    points: Array
    values: Array
    slopes: Array
    curves: Array
    ages: Places
    returns: Places

    def put(self, which: Places, points: Array, values: Array, slopes: Array) -> None:
        """Move some points to where the second derivatives are not known."""
        self.points[which], self.values[which], self.slopes[which] = points, values, slopes
        self.ages[which] = FRESH

    def step(self, which: Places, points: Array, values: Array, slopes: Array) -> None:
        """Move some points a step, and update H by what it makes of it (symmetric rank one; Conn et al. 1991)."""
        moves, change = points - self.points[which], slopes - self.slopes[which]
        left = change - np.einsum("aij,aj->ai", self.curves[which], moves)
        scale = (left * moves).sum(1)
        size = np.linalg.norm(left, axis=1) * np.linalg.norm(moves, axis=1)
        update = left[:, :, None] * left[:, None, :] / np.where(scale == 0, 1.0, scale)[:, None, None]
        self.curves[which] += np.where((np.abs(scale) > 1e-8 * size)[:, None, None], update, 0.0)
        self.points[which], self.values[which], self.slopes[which] = points, values, slopes
        self.ages[which] += 1


def stationary_points(objective: Batched, starts: Array, max_steps: int = MAX_STEPS) -> Ends:
    """Climb from starts [S, D]."""
    points, (count, size) = np.array(starts, dtype=np.float64), starts.shape
    if not count:
        none = np.zeros(0, dtype=bool)
        return Ends(points, np.zeros(0), none, none, none, none, points, np.zeros(0, dtype=int))
    values, slopes = objective.evaluate(points)
    ages, returns = np.full(count, FRESH), np.zeros((count, size), dtype=int)
    state = _State(points, values, slopes, np.zeros((count, size, size)), ages, returns)
    finite = np.isfinite(state.values) & np.isfinite(state.slopes).all(1)
    gains, saddles, spikes = np.full(count, np.inf), np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    ways, origins = [np.zeros((0, size))], list[int]()
    active = np.flatnonzero(finite)
    for _ in range(max_steps):
        if not len(active):
            break
        _to_ends(objective, state, active)
        spikes[active] = rises_without_end(objective, state.points[active], state.slopes[active]).any(1)
        active = active[~spikes[active]]
        stale = FRESH if len(active) * size > FEW else 1
        _refresh(objective, state, active[state.ages[active] >= stale], STEP)
        held, returned = _held(objective, state, active)
        moves, gains[active] = _steps(_free(state.curves[active], held), np.where(held, 0.0, state.slopes[active]))
        gains[active[returned]] = np.inf
        near = gains[active] < STATIONARY
        returned[near] = _let_go(objective, state, active[near], held[near])
        gains[active[returned]], near = np.inf, near & ~returned
        if near.any():
            # What led here is too rough to tell a maximum from a saddle.
            finished, exact = active[near], held[near]
            _refresh(objective, state, finished, CENTRAL_STEP)
            curves = _free(state.curves[finished], exact)
            moves[near], gains[finished] = _steps(curves, np.where(exact, 0.0, state.slopes[finished]))
            for index, curve in zip(finished, curves, strict=True):
                out = _ways_out(objective, state, index, curve)
                saddles[index] = out is not None
                if out is not None:
                    ways.append(out)
                    origins += [int(index)] * len(out)
        moving = gains[active] >= STATIONARY
        active, moves, returned = active[moving], moves[moving], returned[moving]
        # A point that was let go of an end has its step at the next turn, when its curvature is known.
        stepped = _moved(objective, state, active[~returned], moves[~returned], gains[active[~returned]])
        # Where no step leads up, second derivatives that were carried on are the reason, once.
        is_stale = (state.ages[active[~returned]] > 0) & (state.ages[active[~returned]] < FRESH)
        state.ages[active[~returned][~stepped & is_stale]] = FRESH
        active = np.concatenate([active[returned], active[~returned][stepped | is_stale]])
    under_way = np.isin(np.arange(count), active)
    stationary = finite & (gains < NEARLY) & ~saddles & ~under_way
    ways_out = np.concatenate(ways), np.array(origins, dtype=int)
    return Ends(state.points, state.values, stationary, saddles, spikes, under_way, *ways_out)


def _refresh(objective: Batched, state: _State, which: Places, step: float) -> None:
    """Second derivatives [A, D, D] by forward or central differences of the gradient."""
    if not len(which):
        return
    count, size = len(which), objective.size
    moves, own = step * np.eye(size), state.points[which][:, None]
    _, slopes = objective.evaluate((own + moves).reshape(count * size, size))
    if step == STEP:
        curves = (slopes.reshape(count, size, size) - state.slopes[which][:, None]) / step
    else:
        _, behind = objective.evaluate((own - moves).reshape(count * size, size))
        curves = (slopes - behind).reshape(count, size, size) / (2.0 * step)
    state.curves[which] = 0.5 * (curves + np.swapaxes(curves, 1, 2))
    state.ages[which] = 0


def _free(curves: Array, held: Mask) -> Array:
    """H where held coordinates are alone, and curve downwards."""
    open_pairs = ~held[:, :, None] & ~held[:, None, :]
    kept = np.where(open_pairs & np.isfinite(curves), curves, 0.0)
    return kept - np.eye(held.shape[1]) * held[:, None, :]


def _steps(curves: Array, slopes: Array) -> tuple[Array, Array]:
    """Steps [A, D] in |H|, and what each would gain [A]."""
    values, vectors = np.linalg.eigh(curves)
    sizes = np.abs(values)
    floor = LEAST_SHARE * sizes.max(1, keepdims=True, initial=0.0) + LEAST
    along = np.einsum("aij,ai->aj", vectors, slopes)
    by = along / np.maximum(sizes, floor)
    # Direction by direction: one in which next to nothing changes, and rounding moves far, must not shorten the others.
    held = LONGEST / np.maximum(np.abs(vectors).max(1, initial=0.0), 1e-300)
    return np.einsum("aij,aj->ai", vectors, np.clip(by, -held, held)), 0.5 * (along * by).sum(1)


def _moved(objective: Batched, state: _State, active: Places, moves: Array, gains: Array) -> Mask:
    """Go along the moves as far as the value rises; which points [A] have moved."""
    moved = np.zeros(len(active), dtype=bool)
    slope, length = (state.slopes[active] * moves).sum(1), 1.0
    for _ in range(HALVINGS):
        left = np.flatnonzero(~moved)
        if not len(left):
            break
        own = active[left]
        target = within_limits(state.points[own] + length * moves[left], objective.bounded)
        values, slopes = objective.evaluate(target)
        rises = values >= state.values[own] + SUFFICIENT * length * slope[left]
        # The last steps gain less than rounding.
        rises |= (length == 1.0) & (gains[left] < NEARLY) & (values >= state.values[own] - STATIONARY)
        rises &= np.isfinite(slopes).all(1)
        state.step(own[rises], target[rises], values[rises], slopes[rises])
        moved[left[rises]] = True
        length *= SHORTER
    return moved


# ---------------------------------------------------------------- ends of the support


def _held(objective: Batched, state: _State, active: Places) -> tuple[Mask, Mask]:
    """Which coordinates [A, D] are at an end of their support, and which points [A] were let go of one.

    There slope and curvature are next to nothing, in proportion to the probability; it is let go where the density
    rises inwards.
    """
    points, slopes = state.points[active], state.slopes[active]
    own = np.diagonal(state.curves[active], axis1=1, axis2=2)
    ended = objective.bounded & (np.abs(points) >= NEAR) & (np.abs(slopes) < NOTHING) & (np.abs(own) < NOTHING)
    back = ended & _rise_inwards(points, slopes) & (state.returns[active] < RETURNS)
    _put_inside(objective, state, active, back)
    return ended & ~back, np.asarray(back.any(1))


def _let_go(objective: Batched, state: _State, finished: Places, held: Mask) -> Mask:
    """Which points [A] were let go of an end from which the density rises, as it is seen from inside.

    At the end itself the slope is in proportion to the probability, and rounding is not.
    """
    points, back = state.points[finished], held & (state.returns[finished] < 2 * RETURNS)
    asked = np.flatnonzero(back.any(1))
    if len(asked):
        inside = np.where(back, np.sign(points) * INSIDE, points)[asked]
        back[asked] &= _rise_inwards(inside, objective.evaluate(inside)[1])
        _put_inside(objective, state, finished, back)
    return np.asarray(back.any(1))


def _rise_inwards(points: Array, slopes: Array) -> Mask:
    return np.asarray(-slopes * np.sign(points) > 1e-3 * np.exp(-np.abs(points)))


def _put_inside(objective: Batched, state: _State, which: Places, back: Mask) -> None:
    """Let points go of an end in some coordinates [A, D]."""
    returned = back.any(1)
    if returned.any():
        own = which[returned]
        moved = np.where(back[returned], np.sign(state.points[own]) * INSIDE, state.points[own])
        state.put(own, moved, *objective.evaluate(moved))
        state.returns[own] += back[returned]


def _to_ends(objective: Batched, state: _State, active: Places) -> None:
    """Move what climbs towards an end of its support there at once, where that is no worse and no spike."""
    points = state.points[active]
    climbing = objective.bounded & (np.abs(points) > TRY) & ~at_end(points)
    climbing &= state.slopes[active] * points > 0
    for row in np.flatnonzero(climbing.any(1)):
        which = np.flatnonzero(climbing[row])
        if not _try_ends(objective, state, active[row], which) and len(which) > 1:
            for one in which:
                _try_ends(objective, state, active[row], np.array([one]))


def rises_without_end(objective: Batched, points: Array, slopes: Array) -> Mask:
    """In which coordinates [A, D] points are far towards an end of the support, and climb still: to no maximum."""
    far = objective.bounded & (np.abs(points) > NEAR)
    return np.asarray(far & (slopes * np.sign(points) > NOTHING))


def _try_ends(objective: Batched, state: _State, index: int, which: Places) -> bool:
    point = state.points[index]
    far, near = point.copy(), point.copy()
    far[which] = np.sign(point[which]) * LIMIT
    near[which] = np.sign(point[which]) * np.maximum(LIMIT - 10.0, np.abs(point[which]))
    values, slopes = objective.evaluate(np.stack([far, near]))
    least = state.values[index] - 1e-12 * abs(state.values[index])
    # A density that grows on and on has no maximum there.
    if not (values[0] >= least and values[0] - values[1] < LEFT_TO_GROW and np.isfinite(slopes[0]).all()):
        return False
    state.put(np.array([index]), far[None], values[:1], slopes[:1])
    return True


# ---------------------------------------------------------------- saddles


def _ways_out(objective: Batched, state: _State, index: int, curve: Array) -> Array | None:
    """Points [2, D] uphill to both sides of a saddle; None where the point is none."""
    if not len(curve):
        return None
    values, vectors = np.linalg.eigh(curve)
    if values[-1] <= SADDLE_SHARE * max(abs(values[0]), 1.0):
        return None
    lengths = np.array([*WAYS, 1.0 / np.sqrt(values[-1])])
    found = []
    for side in (-1.0, 1.0):
        tried = state.points[index] + side * lengths[:, None] * vectors[:, -1]
        heights = np.nan_to_num(objective.evaluate(tried)[0], nan=-np.inf)
        best = int(heights.argmax())
        if heights[best] > state.values[index] + STATIONARY:
            found.append(tried[best])
    return np.array(found) if found else None
