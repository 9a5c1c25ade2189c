"""The best point of a density at which quantities have their true values."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from estimators import Fit
from estimators.contract import Density, Objective
from validation.statistics.arguments import Array
from validation.testing.climbs import Mask, climb, inside, loss_of, value_at
from validation.testing.quantities import Quantities, Truth

STEP = 1e-5  # of central differences
SAME = 1e-6  # of its size: what is nearer is the same

Function = Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class Held:
    """Points with true values of some quantities: `fixed` coordinates [D], or values of a function of all."""

    starts: list[Array]
    fixed: Mask
    function: Function | None = None

    @staticmethod
    def of(fit: Fit, truth: Truth, asked: Quantities, density: Density) -> "Held":
        """What is asked of a fit, at its truth; other Greeks start from the truth, as far as that goes, and the fit."""
        true = asked.true(fit, truth)
        mine = {name: value.numpy()[0] for name, value in fit.draws.items()}
        known = {name: np.asarray(truth[name], dtype=np.float64) for name in mine if name in truth}
        shaped = {name: np.reshape(value, mine[name].shape) for name, value in known.items()}
        start = inside(density, density.unconstrain({**mine, **shaped}))
        fixed = np.zeros(density.size, dtype=bool)
        if asked.greeks:
            owners = [density.names_at(mark)[0] for mark in np.eye(density.size, dtype=bool)]
            fixed = np.array([owner in asked.greeks for owner in owners], dtype=bool)
            named = {name: shaped[name] for name in asked.greeks}
            return Held([start, inside(density, density.unconstrain({**mine, **named}))], fixed)

        def off(point: Array) -> Array:
            greeks = {name: draw[0] for name, draw in density.draws(point[None]).items()}
            values = asked.of(Fit.from_greeks(fit.model, greeks))
            return np.array([float(values[name][0]) - true[name] for name in true])

        return Held([start], fixed, off)

    @property
    def freedom(self) -> int:
        """How many numbers are held."""
        if self.function is None:
            return int(self.fixed.sum())
        return int(np.linalg.matrix_rank(_jacobian(self.function, self.starts[0]), tol=SAME))

    def best(self, objective: Objective) -> Array:
        """The best of these points that ascents from their starts lead to."""
        if self.fixed.all():
            return self.starts[0]
        if self.function is None:
            ends = [climb(objective, start, ~self.fixed) for start in self.starts]
        else:
            ends = [self.starts[0], _constrained(objective, self.starts[0], self.function)]
        return max(ends, key=lambda point: value_at(objective, point))


def _constrained(objective: Objective, start: Array, function: Function) -> Array:
    """Where an objective is greatest and a function 0, from a point where it is (SLSQP; Kraft 1988)."""
    unit = np.maximum(np.abs(_jacobian(function, start)).max(1), 1e-12)
    constraint = {
        "type": "eq",
        "fun": lambda point: function(point) / unit,
        "jac": lambda point: _jacobian(function, point) / unit[:, None],
    }
    with np.errstate(all="ignore"):
        found = minimize(loss_of(objective), start, jac=True, method="SLSQP", constraints=constraint).x
    is_held = np.isfinite(found).all() and (np.abs(function(found)) <= SAME * unit).all()
    return np.asarray(found) if is_held else start


def _jacobian(function: Function, point: Array) -> Array:
    moves = STEP * np.eye(len(point))
    return np.stack([(function(point + move) - function(point - move)) / (2 * STEP) for move in moves], axis=1)
