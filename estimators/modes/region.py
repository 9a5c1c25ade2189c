"""Where a density is not far below its maximum, and the least and greatest value of a quantity there.

``min / max q(v)  subject to  f(v) >= bound`` by sequential quadratic programming (SLSQP, Kraft 1988), in axes in which
the density is round at the point where the search begins. An end counts as settled if nothing along the edge of the
region would move the quantity: there its gradient is a multiple of the density's (Karush, Kuhn and Tucker).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, nnls

from estimators.optimise.arrays import Array
from estimators.optimise.ascent import LIMIT, at_end, within_limits
from estimators.optimise.curvature import curvature, eigen
from estimators.optimise.objective import Objective

# The unit of a log or logit that the data leave open, and the shares of the curvature that each coordinate has alone
# below which a direction is stepped along as if it had this much.
OPEN, LEAST_SHARE = 2.0, 1e-2
# How far ends are from a mode, in its sds, as a rule: 1.6 at the level .9.
TYPICAL = 1.6
# Central differences of the quantity.
STEP = 1e-5
MOST_STEPS = 30
# By how much, in nats, an end may miss the bound; the share of the quantity's slope that may be left at a settled end.
SLACK, SETTLED = 1e-3, 2e-2
# The slope, in nats, from which on the objective rises at a limit of logs and logits.
RISING = 1e-3
# In place of what is not a number.
FAR_BELOW = -1e100

# A quantity [S] at points [S, D].
Quantity = Callable[[Array], Array]


class End(NamedTuple):
    """The quantity where a search ended, the point [D], what is left of the slope, and whether that is next to nothing.

    A step of an sd along the edge would move the quantity by ``left``.
    """

    value: float
    point: Array
    left: float
    is_settled: bool


class Shape(NamedTuple):
    """Axes [D, D], as columns, in which an objective falls alike; where it hardly falls [D]; and whether not at all."""

    axes: Array
    is_open: NDArray[np.bool_]
    is_flat: bool


@dataclass(frozen=True, eq=False)
class Region:
    """The points v [D] at which an objective is at least ``bound``, and a quantity of them."""

    objective: Objective
    quantity: Quantity
    bound: float
    # Where a search ends the next begins, and each asks at its ends again.
    _known: dict[bytes, tuple[float, Array]] = field(default_factory=dict, repr=False)

    def held(self, points: Array) -> Array:
        """Points [..., D] whose logs and logits are within what an ascent may reach."""
        return within_limits(points, self.objective.bounded)

    def excess(self, points: Array) -> Array:
        """By how much the objective is above the bound [S] at points [S, D]."""
        values = self.objective.value(self.held(points)) - self.bound
        return np.asarray(np.where(np.isfinite(values), values, FAR_BELOW))

    def excess_and_slope(self, point: Array) -> tuple[float, Array]:
        """The same at one point [D], and its gradient [D]."""
        value, gradient = self.objective.value_and_gradient(self.held(point))
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return FAR_BELOW, np.zeros_like(point)
        return value - self.bound, gradient

    def quantity_and_slope(self, point: Array) -> tuple[float, Array]:
        """The quantity at one point [D] and its gradient [D], by central differences in one call."""
        known = point.tobytes()
        if known not in self._known:
            self._known[known] = self._differences(point)
        return self._known[known]

    def _differences(self, point: Array) -> tuple[float, Array]:
        moves = STEP * np.eye(len(point))
        values = self.quantity(self.held(np.concatenate([point[None], point + moves, point - moves])))
        ahead, behind = values[1 : len(point) + 1], values[len(point) + 1 :]
        return float(values[0]), slope_between(ahead, behind)

    def shape(self, point: Array) -> "Shape":
        """How the objective falls around a point."""
        curve = curvature(self.objective, point)
        information = np.nan_to_num(curve.information)
        own = np.abs(np.diag(information))
        unit = np.where(own > 1e-10, 1.0 / np.sqrt(np.maximum(own, 1e-10)), 1.0)
        unit = np.where(self.objective.bounded, np.minimum(unit, OPEN), unit)
        values, vectors = eigen(information * np.outer(unit, unit))
        axes = unit[:, None] * vectors / np.sqrt(np.maximum(values, LEAST_SHARE))
        return Shape(axes, values < LEAST_SHARE, bool(curve.is_flat.any()))

    def farthest(self, start: Array, axes: Array, sign: float, reach: float) -> End:
        """Where ``sign`` times the quantity is greatest, searched no farther than ``reach`` along any axis."""
        value, slope = self.quantity_and_slope(start)
        unit, least = float(np.linalg.norm(axes.T @ slope)), rounding_of_slopes(value, axes)
        if unit <= least:
            return End(value, start, unit, True)
        problem = _Problem(self, start, axes, sign * TYPICAL / unit)
        constraints = [{"type": "ineq", "fun": problem.excess, "jac": problem.slope_of_excess}]
        sides = self._sides(np.abs(start) + reach * np.abs(axes).sum(1))
        if len(sides):
            room, moves = LIMIT - sides @ start, sides @ axes
            constraints.append({"type": "ineq", "fun": lambda w: room - moves @ w, "jac": lambda w: -moves})
        options = {"maxiter": MOST_STEPS, "ftol": 1e-8}
        with np.errstate(all="ignore"):
            found = minimize(
                problem.loss,
                np.zeros(len(start)),
                jac=True,
                method="SLSQP",
                bounds=[(-reach, reach)] * len(start),
                constraints=constraints,
                options=options,
            ).x
        point = self._inside(start, self.held(start + axes @ np.nan_to_num(found)))
        end, slope = self.quantity_and_slope(point)
        left = self._left(point, sign * axes.T @ slope, axes)
        return End(end, point, left, left <= SETTLED * abs(end - value) + least)

    def _inside(self, start: Array, end: Array) -> Array:
        """The end, or the last point of the line from a start inside to it that is in the region."""
        way = np.append(np.linspace(0.0, 1.0, 101), 1.0)
        points = start + way[:, None] * (end - start)
        points[-1] = end
        is_inside = self.excess(points) >= -SLACK
        return np.asarray(points[int(np.flatnonzero(is_inside)[-1])] if is_inside.any() else start)

    def _sides(self, farthest: Array) -> Array:
        """The outward normals [M, D] of the limits of logs and logits that are as far as this [D]."""
        units = np.eye(len(farthest))[self.objective.bounded & at_end(farthest)]
        return np.concatenate([units, -units])

    def _left(self, point: Array, slope: Array, axes: Array) -> float:
        """The quantity's slope along the axes that is left at an end, aside from what leads out of the region.

        Beyond a limit up to which the objective rises the region goes on: what leads there is left.
        """
        excess, gradient = self.excess_and_slope(point)
        sides = self._sides(np.abs(point))
        outward = [side for side in sides if side @ point > 0.0 and side @ gradient <= RISING]
        outward += [-gradient] if excess < 10.0 * SLACK and gradient.any() else []
        return float(nnls(axes.T @ np.transpose(outward), slope)[1]) if outward else float(np.linalg.norm(slope))


def slope_between(ahead: Array, behind: Array) -> Array:
    """The gradient [D] by values [D] a step ahead and a step behind in each coordinate."""
    with np.errstate(invalid="ignore"):  # a ratio is infinite on both sides
        return np.nan_to_num((ahead - behind) / (2.0 * STEP))


def rounding_of_slopes(value: float, axes: Array) -> float:
    """What a slope along the axes may be by rounding alone."""
    return 1e-15 * abs(value) / STEP * float(np.linalg.norm(axes)) + 1e-300


class _Problem:
    """The search in coordinates w, ``v = start + axes w``, and the quantity in a unit in which few steps are needed.

    In the normal approximation, where the objective falls by |w|² / 2, the bound's multiplier is the quantity's slope
    over |w|: with a slope of |w| the Lagrangian's curvature is 1, which is what the first step takes it to be.
    """

    def __init__(self, region: Region, start: Array, axes: Array, factor: float) -> None:
        self._region, self._start, self._axes, self._factor = region, start, axes, factor
        self._last: tuple[Array, float, Array] | None = None

    def loss(self, w: Array) -> tuple[float, Array]:
        value, slope = self._region.quantity_and_slope(self._start + self._axes @ w)
        return -self._factor * value, -self._factor * (self._axes.T @ slope)

    def excess(self, w: Array) -> float:
        return self._at(w)[1]

    def slope_of_excess(self, w: Array) -> Array:
        return np.asarray(self._axes.T @ self._at(w)[2])

    def _at(self, w: Array) -> tuple[Array, float, Array]:
        # SLSQP asks for the value and the slope one after the other.
        if self._last is None or not np.array_equal(self._last[0], w):
            self._last = np.array(w), *self._region.excess_and_slope(self._start + self._axes @ w)
        return self._last
