"""The parametric bootstrap of a point fit: the same model fitted to rows like those of the data, again and again.

Where few rows were fitted, or a Greek is at an end of its support, no normal approximation says how far an estimate is
from the truth. Making rows from known Greeks, and fitting these, does (Efron & Tibshirani 1993, An Introduction to the
Bootstrap, ch. 6).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from estimators import Data, EstimationError, Fit, Status
from estimators.contract import Combination, Density, Objective, Parts, log_joint, log_likelihood
from validation.refutation.label_names import named_as
from validation.scenarios.design import Design

Array = NDArray[np.float64]
# Logs and logits are held within e^±20; the gradient per row at which a climb is at its end, and its steps.
LIMIT, TOLERANCE, MOST_STEPS = 20.0, 1e-5, 500
# Data sets whose fit loses a class are made anew, up to so many for each that is kept.
MOST_TRIES = 5
# Data sets are simulated several at a time.
SETS_AT_A_TIME, ROWS_AT_A_TIME = 100, 100_000


@dataclass(frozen=True, eq=False)
class Refits:
    """The Greeks that rows were made from, as a fit of one draw, and the fits to these rows as one of many."""

    truth: Fit
    fits: Fit


def refits(fit: Fit, count: int, seed: int) -> Refits:
    """Fit the model to `count` data sets like the fit's own, each from the fit's modes on.

    The rows are made from ``argmax log p(data | φ(v)) + ½ log |dφ/dv|``, near the estimate and inside the support where
    that is at an end (a share of 0 in n rows becomes half a row in n + 1): rows made from a probability of 0 would say
    that it is known. Data sets whose fit loses a class are made anew, as one of the data that had lost one would not be
    tested. Raises EstimationError where the fit itself has, or most data sets do.
    """
    data = rows_behind(fit)
    if fit.status in (Status.BOUNDARY, Status.COMPONENT_COLLAPSED):
        raise EstimationError(f"refute: the fit has no estimate of every class to hold rows against. {fit.advice[0]}")
    density, combination = _density(fit, data), log_joint if fit.uses_prior else log_likelihood
    starts = _modes(fit)
    inside = _climbed(Objective(density, _inside(combination)), density, density.unconstrain(starts)[:1])
    truth = named_as(fit, _with_points(fit, density, inside[None]))
    known = {name: value[0] for name, value in truth.draws.items()}
    kept = list[dict[str, Array]]()
    for num_tried, rows in enumerate(_data_sets(fit, data, known, seed), 1):
        one = density.of(rows)
        point = _climbed(Objective(one, combination), one, one.unconstrain(starts))
        _, gradient = Objective(one, combination).value_and_gradient(point)
        if not (one.has_collapsed(point, gradient) or one.at_boundary(point)):
            kept.append(one.constrain(point))
        if len(kept) == count:
            break
        if num_tried == MOST_TRIES * count:
            raise EstimationError(
                f"refute: of {num_tried} data sets like the one fitted, the fits to {num_tried - len(kept)} lose a "
                "class, so that nothing says how far the estimate may be off; use more rows, fewer classes, or NUTS()"
            )
    draws = {name: torch.from_numpy(np.stack([greeks[name] for greeks in kept])) for name in fit.draws}
    return Refits(truth, named_as(fit, replace(fit, draws=draws, info={})))


def _data_sets(fit: Fit, data: Data, greeks: Mapping[str, torch.Tensor], seed: int) -> Iterator[Data]:
    """Data sets like the one fitted without end, many made at a time."""
    design, hidden = Design.of(data), _hidden(fit, data)
    seeds = np.random.default_rng([seed, 2])
    at_a_time = min(max(ROWS_AT_A_TIME // design.num_rows, 1), SETS_AT_A_TIME)
    while True:
        rows = design.repeated(at_a_time).simulate(fit.model, greeks, hidden=hidden, seed=int(seeds.integers(2**31)))
        for start in range(0, rows.num_rows, design.num_rows):
            yield rows.rows(torch.arange(start, start + design.num_rows))


def rows_behind(fit: Fit) -> Data:
    """The rows that were fitted."""
    if fit.data is None:
        raise ValueError(f"fit: expected one that holds its data, got kind {fit.kind!r} without; fit the model again")
    return fit.data


def _density(fit: Fit, data: Data) -> Density:
    """The density that was maximised."""
    density = fit.model.density(data)
    return density if fit.uses_prior else density.beyond_priors()


def _hidden(fit: Fit, data: Data) -> tuple[str, ...]:
    """The sites that no estimator sees."""
    greeks = {name: value[0] for name, value in fit.draws.items()}
    sites = fit.model.hidden or fit.model.simulate(1, greeks, seed=0).keys() - set(data.columns)
    return tuple(sites)


def _modes(fit: Fit) -> dict[str, Array]:
    """The Greeks [M, *shape] of the fit, and of its rivals."""
    draws = {name: value.numpy() for name, value in fit.draws.items()}
    if fit.found is None or not fit.found.rivals:
        return draws
    return {
        name: np.concatenate([value, fit.found.greeks[name][fit.found.rivals].numpy()]) for name, value in draws.items()
    }


def _inside(combination: Combination) -> Combination:
    """The sum whose maximum is inside the support."""

    def penalised(parts: Parts) -> Array:
        return np.asarray(combination(parts) + 0.5 * parts.jacobian)

    return penalised


def _climbed(objective: Objective, density: Density, starts: Array) -> Array:
    """The best [D] of where climbs from the starts [M, D] end."""
    points = np.where(density.bounded, np.clip(starts, -LIMIT, LIMIT), starts)
    ends = [_climb(objective, point) for point in points]
    return ends[int(np.argmax([value for value, _ in ends]))][1]


def _climb(objective: Objective, start: Array) -> tuple[float, Array]:
    """The value and the point [D] where L-BFGS ends."""
    total = objective.total_weight

    def loss(point: Array) -> tuple[float, Array]:
        value, gradient = objective.value_and_gradient(point)
        return (-value / total, -gradient / total) if np.isfinite(value) else (1e300, np.zeros_like(point))

    bounds = [(-LIMIT, LIMIT) if bounded else (None, None) for bounded in objective.bounded]
    options: dict[str, Any] = {"maxiter": MOST_STEPS, "ftol": 0.0, "gtol": TOLERANCE}
    end = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return -float(end.fun), np.asarray(end.x)


def _with_points(fit: Fit, density: Density, points: Array) -> Fit:
    """The fit with the Greeks at points [S, D] for draws."""
    return replace(fit, draws=density.draws(points), info={})
