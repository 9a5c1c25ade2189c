"""Coordinates of a Greek whose prior holds it in a narrower interval than the likelihood does: Uniform(a, b), say.

Both maps are affine in the coordinate before they bend, chosen so that at 0 the Greek is where the family's own map
has it, and moves as fast: a prior far wider than the data does not make the coordinates any worse.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor
from torch.distributions import constraints

from estimators.optimise.arrays import Array
from estimators.parameters.parameter import TINY, Parameter
from estimators.parameters.transforms import INTERVAL, Linear, TabulatedMap, Transform

# A Greek this near to an end of its prior, as a part of the data's own unit, has run into it.
AT_END = 1e-5
# A value outside the interval (an M-step's, which knows no prior) starts this far inside.
INSIDE = 1e-2
Ends = tuple[Tensor, Tensor]
# Which end of a prior, where it is, and the entries that are there.
AtEnd = tuple[str, Array, Any]


def support_of(law: Any) -> Any:
    """The constraint of a law's values; None where the law does not say."""
    try:
        return law.support
    except NotImplementedError:
        return None


def base_support(support: Any) -> Any:
    """The constraint of each number of a vector."""
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support


def innermost(support: Any) -> Any:
    """The constraint of each number: of a vector's entries, of what a mixture mixes."""
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    return support


def bounds_of_support(support: Any) -> Ends:
    """The lower and upper bound that a support says, infinite where it says none."""
    low, high = getattr(support, "lower_bound", -torch.inf), getattr(support, "upper_bound", torch.inf)
    return torch.as_tensor(low, dtype=torch.float64), torch.as_tensor(high, dtype=torch.float64)


def ends_of(support: Any) -> Ends | None:
    """The lower and upper end of a support that is an interval of the real line, else None."""
    support = base_support(support)
    if support.is_discrete or support.event_dim:
        return None
    is_real = isinstance(support, type(constraints.real))
    is_interval = is_real or hasattr(support, "lower_bound") or hasattr(support, "upper_bound")
    return bounds_of_support(support) if is_interval else None


@dataclass(frozen=True, eq=False)
class WithinPrior:
    """A map into a prior's support. ``scale`` is the data's unit of each entry, ``pace`` how fast its coordinate moves.

    Coordinates are as wide as the prior is in units of the data: no number marks the end of the support.
    """

    pace: Array
    scale: Array
    bounded = False
    has_logs = False

    def tabulated(self, shape: tuple[int, ...]) -> TabulatedMap | None:
        return None

    def size(self, shape: tuple[int, ...]) -> int:
        return int(np.prod(shape))


@dataclass(frozen=True, eq=False)
class Interval(WithinPrior):
    """``x = low + (high - low) expit(a + pace v)``, x = middle at v = 0: dx/dv = pace (x - low) (high - x) / width."""

    low: Array
    high: Array
    middle: Array
    # Compiled slopes of a regression's line are in coordinates of the family's own map, so these are not tabulated.
    is_of_line: bool = False

    def tabulated(self, shape: tuple[int, ...]) -> TabulatedMap | None:
        if self.is_of_line:
            return None
        logit = np.log(self.middle - self.low) - np.log(self.high - self.middle)
        constant = (np.log(self.high - self.low) + np.log(self.pace)).sum()
        numbers = np.concatenate([self.low, self.high, self.middle, self.pace, logit])
        return TabulatedMap(INTERVAL, len(self.low), 1, numbers, float(constant))

    def forward(self, coordinates: Array) -> Array:
        move, below, above = self.pace * coordinates, self.middle - self.low, self.high - self.middle
        width = self.high - self.low
        logit = np.log(below / above) + move
        # From the middle, or from the nearer end, whichever it is next to: a wide interval has few digits elsewhere.
        share = expit(logit)
        close = self.middle - above * share * np.expm1(-np.clip(move, -1.0, 1.0))
        near = width * expit(-np.abs(logit))
        far = np.where(logit < 0, self.low + near, self.high - near)
        return np.asarray(np.where(np.abs(move) < 1.0, close, far))

    far = forward

    def inverse(self, value: Array) -> Array:
        margin = INSIDE * np.minimum(self.scale, self.high - self.low)
        inside = np.where(value <= self.low, self.low + margin, np.where(value >= self.high, self.high - margin, value))
        below, above = self.middle - self.low, self.high - self.middle
        up, down = (inside - self.middle) / below, (self.middle - inside) / above
        close = np.log1p(np.maximum(up, -0.9)) - np.log1p(np.maximum(down, -0.9))
        far = np.log((inside - self.low) / below) - np.log((self.high - inside) / above)
        return np.asarray(np.where(np.maximum(np.abs(up), np.abs(down)) < 0.5, close, far) / self.pace)

    standardised = inverse

    def log_jacobian(self, value: Array) -> Array | float:
        low, high = self._shares(value)
        width = np.log(self.high - self.low) + np.log(self.pace)
        return np.asarray((np.log(np.maximum(low, TINY)) + np.log(np.maximum(high, TINY)) + width).sum(-1))

    def jacobian_slope(self, value: Array) -> Array | float:
        low, high = self._shares(value)
        return np.asarray(self.pace * (high - low))

    def pull_back(self, value: Array, gradient: Array) -> Array:
        low, high = self._shares(value)
        return np.asarray(gradient * self.pace * (self.high - self.low) * low * high)

    def at_ends(self, value: Array) -> list[AtEnd]:
        """Which entries have run into an end of the prior."""
        near = AT_END * np.minimum(self.scale, self.high - self.low)
        return [("lower", self.low, value - self.low < near), ("upper", self.high, self.high - value < near)]

    def _shares(self, value: Array) -> tuple[Array, Array]:
        width = self.high - self.low
        return (value - self.low) / width, (self.high - value) / width


@dataclass(frozen=True, eq=False)
class HalfLine(WithinPrior):
    """``x = end ± reach exp(pace v)``: dx/dv = pace (x - end). ``side`` is 1 above the end, -1 below it."""

    end: Array
    side: float
    reach: Array

    def forward(self, coordinates: Array) -> Array:
        # The exponents are held where they are in `Positive`.
        return self._at(np.minimum(np.maximum(self.pace * coordinates, -300.0), 300.0))

    def far(self, coordinates: Array) -> Array:
        return self._at(np.minimum(np.maximum(self.pace * coordinates, -705.0), 705.0))

    def inverse(self, value: Array) -> Array:
        away = self.side * (value - self.end)
        inside = np.where(away > 0, away, INSIDE * self.scale)
        return np.asarray(np.log(inside / self.reach) / self.pace)

    standardised = inverse

    def log_jacobian(self, value: Array) -> Array | float:
        away = np.maximum(self.side * (value - self.end), TINY)
        return np.asarray((np.log(away) + np.log(self.pace)).sum(-1))

    def jacobian_slope(self, value: Array) -> Array | float:
        return self.pace

    def pull_back(self, value: Array, gradient: Array) -> Array:
        return np.asarray(gradient * self.pace * (value - self.end))

    def at_ends(self, value: Array) -> list[AtEnd]:
        """Which entries have run into the end of the prior."""
        side = "lower" if self.side > 0 else "upper"
        return [(side, self.end, self.side * (value - self.end) < AT_END * self.scale)]

    def _at(self, exponent: Array) -> Array:
        return np.asarray(self.end + self.side * self.reach * np.exp(exponent))


def within_prior(parameter: Parameter, own: Transform) -> Transform:
    """The family's own map of a Greek, or, where the prior's support is narrower, one into that support."""
    wide, narrow = ends_of(parameter.support), ends_of(parameter.prior.support)
    if wide is None or narrow is None or all(bool((a == b).all()) for a, b in zip(wide, narrow, strict=True)):
        return own
    low, high = (np.broadcast_to(end.numpy(), parameter.shape).reshape(-1) for end in narrow)
    size = own.size(parameter.shape)
    middle = own.forward(np.zeros(size))
    scale = np.abs(own.forward(np.eye(size)) - middle).max(0)
    if np.isfinite(low).all() and np.isfinite(high).all():
        width = high - low
        margin = np.minimum(1e-3 * width, scale)
        middle = np.clip(middle, low + margin, high - margin)
        slope = (middle - low) * ((high - middle) / width)
        return Interval(np.minimum(scale / slope, 1.0), scale, low, high, middle, isinstance(own, Linear))
    side = 1.0 if np.isfinite(low).all() else -1.0
    end = low if side > 0 else high
    reach = np.maximum(side * (middle - end), scale)
    return HalfLine(np.minimum(scale / reach, 1.0), scale, end, side, reach)


def at_ends_of_prior(transform: Transform, value: Array) -> list[AtEnd]:
    """Which entries of a Greek, flat, are at an end of the prior that holds it."""
    return transform.at_ends(value) if isinstance(transform, Interval | HalfLine) else []
