"""The parametric bootstrap of a point fit: the same model fitted to rows like those of the data, again and again.

Where few rows were fitted, or a Greek is at an end of its support, no normal approximation says how far an estimate is
from the truth. Making rows from known Greeks, and fitting these, does (Efron & Tibshirani 1993, An Introduction to the
Bootstrap, ch. 6).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from estimators import Data, EstimationError, Fit, Status
from estimators.contract import Combination, Density, Objective, Parts, log_joint, log_likelihood
from validation.refutation.label_names import named_as
from validation.scenarios.design import Design, hidden_columns

Array = NDArray[np.float64]
Greeks = Mapping[str, Array]
# Logs and logits are held within e^±20; the gradient per row at which a climb is at its end, and its steps.
LIMIT, TOLERANCE, MOST_STEPS = 20.0, 1e-5, 500
# Data sets whose fit loses a class are made anew, up to so many for each that is kept.
MOST_TRIES = 5
# Different truths at most: an error is averaged over these.
MOST_TRUTHS = 99


@dataclass(frozen=True, eq=False)
class Refits:
    """The Greeks that each data set was made from, as draws of a fit, and those of the fits to these, likewise."""

    truths: Fit
    fits: Fit


def refits(fit: Fit, count: int, seed: int) -> Refits:
    """Fit the model to `count` data sets like the fit's own, each from the fit on.

    A data set's truth is itself a fit to rows that were made from the estimate: errors are not of one size at all
    truths that the rows allow, and a fit to few rows looks surer than it is. Truths are maxima of
    ``log p(data | φ(v)) + ½ log |dφ/dv|``, near the estimate and inside the support where that is at an end (a share
    of 0 in n rows becomes half a row in n + 1): rows made from a probability of 0 would say that it is known. Data sets
    whose fit loses a class are made anew, as one of the data that had lost one would not be tested. Raises
    EstimationError where the fit itself has, or most data sets do.
    """
    data = rows_behind(fit)
    if not fit.findings.keys().isdisjoint((Status.BOUNDARY, Status.COMPONENT_COLLAPSED)):
        causes = (Status.PRIOR_CONFLICT, Status.COMPONENT_COLLAPSED, Status.BOUNDARY)
        why = " ".join(said for status, said in zip(fit.findings, fit.advice, strict=False) if status in causes)
        raise EstimationError(f"refute: the fit has no estimate of every class to hold rows against. {why}")
    combination = log_joint if fit.uses_prior else log_likelihood
    refitted = _Refitted(fit, data, _density(fit, data), np.random.default_rng([seed, 2]))
    estimate, _ = refitted.maximum(data, _inside(combination))
    truths = refitted.from_rows_at([estimate], min(count, MOST_TRUTHS), _inside(combination))
    return Refits(
        named_as(fit, _with_draws(fit, [truths[place % len(truths)] for place in range(count)])),
        named_as(fit, _with_draws(fit, refitted.from_rows_at(truths, count, combination))),
    )


@dataclass(frozen=True, eq=False)
class _Refitted:
    """Makes data sets like the one fitted, and finds the maximum of each."""

    fit: Fit
    data: Data
    density: Density
    rng: np.random.Generator

    def from_rows_at(self, truths: Sequence[Greeks], count: int, combination: Combination) -> list[Greeks]:
        """The Greeks of `count` fits, number n to rows made at truth n modulo their number."""
        kept: dict[int, Greeks] = {}
        for number, truth in enumerate(truths):
            places = list(range(number, count, len(truths)))
            for _ in range(MOST_TRIES):
                for rows in self._data_sets(truth, len(places)):
                    greeks, keeps_classes = self.maximum(rows, combination)
                    if keeps_classes:
                        kept[places.pop()] = greeks
                if not places:
                    break
            else:
                raise EstimationError(
                    f"refute: of {MOST_TRIES} times as many data sets like the one fitted as were needed, the fits to "
                    "most lose a class, so that nothing says how far the estimate may be off; use more rows, fewer "
                    "classes, or NUTS()"
                )
        return [kept[place] for place in range(count)]

    def maximum(self, rows: Data, combination: Combination) -> tuple[Greeks, bool]:
        """The Greeks where a climb from the fit ends, and whether no class is lost there."""
        density = self.density.of(rows)
        objective = Objective(density, combination)
        start = density.unconstrain({name: value.numpy() for name, value in self.fit.draws.items()})[0]
        point = _climb(objective, np.where(density.bounded, np.clip(start, -LIMIT, LIMIT), start))
        _, gradient = objective.value_and_gradient(point)
        is_lost = density.has_collapsed(point, gradient) or density.at_boundary(point) or density.is_spurious(point)
        return density.constrain(point), not is_lost

    def _data_sets(self, greeks: Greeks, count: int) -> list[Data]:
        """Data sets like the one fitted, made at once."""
        design, hidden = Design.of(self.data), hidden_columns(self.fit, greeks)
        seed = int(self.rng.integers(2**31))
        rows = design.repeated(count).simulate(self.fit.model, greeks, hidden=hidden, seed=seed)
        firsts = range(0, rows.num_rows, design.num_rows)
        return [rows.rows(torch.arange(first, first + design.num_rows)) for first in firsts]


def rows_behind(fit: Fit) -> Data:
    """The rows that were fitted."""
    if fit.data is None:
        raise ValueError(f"fit: expected one that holds its data, got kind {fit.kind!r} without; fit the model again")
    return fit.data


def _density(fit: Fit, data: Data) -> Density:
    """The density that was maximised."""
    density = fit.model.density(data)
    return density if fit.uses_prior else density.beyond_priors()


def _inside(combination: Combination) -> Combination:
    """The sum whose maximum is inside the support."""

    def penalised(parts: Parts) -> Array:
        return np.asarray(combination(parts) + 0.5 * parts.jacobian)

    return penalised


def _climb(objective: Objective, start: Array) -> Array:
    """The point [D] where L-BFGS ends."""
    total = objective.total_weight

    def loss(point: Array) -> tuple[float, Array]:
        value, gradient = objective.value_and_gradient(point)
        return (-value / total, -gradient / total) if np.isfinite(value) else (1e300, np.zeros_like(point))

    bounds = [(-LIMIT, LIMIT) if bounded else (None, None) for bounded in objective.bounded]
    options: dict[str, Any] = {"maxiter": MOST_STEPS, "ftol": 0.0, "gtol": TOLERANCE}
    end = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return np.asarray(end.x)


def _with_draws(fit: Fit, greeks: Sequence[Greeks]) -> Fit:
    """The fit with these Greeks for draws."""
    draws = {name: torch.from_numpy(np.stack([each[name] for each in greeks])) for name in fit.draws}
    return replace(fit, draws=draws, info={})
