"""What an efficient estimator would reach on a scenario with known truth, from the Fisher information of the marginal.

The score of a row, ``∂ log p(row | φ)/∂φ``, is by central differences of the density of rows that a fit at known Greeks
states, in the unconstrained coordinates of the model's density. Its covariance is taken by quadrature where a row is
one continuous number, and over simulated rows of the scenario's own design otherwise.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estimators import Data, Fit
from estimators.contract import Density, Model
from validation.measures.information import covariance_of_scores, cramer_rao, divergence_weights, scores
from validation.measures.interventional import knots, quadrature
from validation.measures.recovery import entries, names_of
from validation.scenarios import Design, FixedTruth, Intervention, Scenario, contrasts
from validation.scenarios.outcomes import Predicted
from validation.scenarios.quantities import shown

Array = NDArray[np.float64]
LOOK = 200  # values looked at to see whether an outcome is discrete
SIMULATED_ROWS = 50_000


@dataclass(frozen=True)
class Asymptotics:
    """Truth and efficient standard deviations by quantity, expected divergence by intervention, and its limiting law.

    The average over interventions of (KL divergence / expected divergence) tends to ``Σ_i kl_weights_i · χ²_1``, of
    mean 1.
    """

    truth: Mapping[str, float]
    sd: Mapping[str, float]
    num_rows: int
    kl: Mapping[str, float]
    kl_weights: tuple[float, ...]

    @property
    def bounds(self) -> dict[str, float]:
        """The Cramér–Rao standard deviations by quantity, of those whose value is not known beforehand."""
        return {name: self.sd[name] for name in shown(self.sd) if self.sd[name] > 0}


def asymptotics(scenario: Scenario, *, seed: int = 0) -> Asymptotics | None:
    """Return a scenario's efficient errors, or None where its truth is not fixed or its information is singular.

    None also where the rows allow more than one answer, or one at an end: errors do not tend to normal ones there.
    """
    source = scenario.source
    if not isinstance(source, FixedTruth) or not (scenario.allowed is None or scenario.allowed.is_regular):
        return None
    model = scenario.model
    greeks = model.check_greeks(source.greeks)
    design = source.rows.of(scenario) if source.design is None else source.design
    coordinates = model.density(design.simulate(model, greeks, hidden=scenario.hidden, seed=seed))
    at = coordinates.unconstrain({name: np.asarray(value) for name, value in greeks.items()})
    information = _information(scenario, coordinates, at, design, seed)
    if np.linalg.cond(information) > 1e12:
        return None
    truth = quantities(scenario, Fit.from_greeks(model, greeks))

    def quantities_at(vector: Array) -> Array:
        values = quantities(scenario, _fit_at(model, coordinates, vector))
        return np.array([values[name] for name in truth])

    sd = dict(zip(truth, cramer_rao(information, quantities_at, at).tolist(), strict=True))
    metrics = {
        intervention.name: _metric(model, coordinates, at, intervention) for intervention in scenario.interventions
    }
    kl = {name: float(divergence_weights(metric, information).sum()) for name, metric in metrics.items()}
    average = np.mean([metric / kl[name] for name, metric in metrics.items()], axis=0)
    return Asymptotics(truth, sd, scenario.num_rows, kl, tuple(divergence_weights(average, information).tolist()))


def quantities(scenario: Scenario, fit: Fit) -> dict[str, float]:
    """Return every quantity at the estimate of a fit: the Greeks' entries, interventional means, contrasts."""
    greeks = entries({name: np.asarray(fit[name]) for name in fit.draws}, names_of(scenario.model))
    means = {intervention.mean_name: Predicted.by(fit, intervention).mean() for intervention in scenario.interventions}
    values = greeks | means | differences_of(means, scenario)
    return {name: values[name] for name in shown(values)}


def differences_of(means: Mapping[str, Any], scenario: Scenario) -> dict[str, Any]:
    """Return the contrasts of a scenario, by name, from the means of its interventions (numbers or draws)."""
    return {
        contrast.name: means[contrast.setting.mean_name] - means[contrast.versus.mean_name]
        for contrast in contrasts(scenario.interventions)
    }


def _fit_at(model: Model, coordinates: Density, vector: Array) -> Fit:
    return Fit.from_greeks(model, {name: value[0] for name, value in coordinates.draws(vector[None]).items()})


def _information(scenario: Scenario, coordinates: Density, at: Array, design: Design, seed: int) -> Array:
    """The Fisher information of a whole data set of the design: the sum over its rows."""
    model = scenario.model
    fit = _fit_at(model, coordinates, at)
    if design.is_plain and len(model.variables) == 1:
        (name,) = model.variables
        settings = [{site: z} for site, K in model.hidden.items() for z in range(K)]
        grid = _grid([Predicted(fit, name, setting) for setting in settings])
        if grid is not None:
            points, weights = grid
            columns: dict[str, Any] = {name: points}
            log_densities = _log_densities(model, coordinates, Data(columns))
            density = np.exp(log_densities(at[None])[0])
            return design.num_rows * covariance_of_scores(scores(log_densities, at), density * weights)
    times = max(1, SIMULATED_ROWS // design.num_rows)
    greeks = {name: value[0] for name, value in fit.draws.items()}
    data = design.repeated(times).simulate(model, greeks, hidden=scenario.hidden, seed=seed)
    score = scores(_log_densities(model, coordinates, data), at)
    # Units of one data set have the design's own weights; `times` such data sets are averaged.
    counts = np.ones(data.num_units) if data.unit_weights is None else np.asarray(data.unit_weights)
    return covariance_of_scores(score, counts / times)


def _metric(model: Model, coordinates: Density, at: Array, intervention: Intervention) -> Array:
    """The Fisher information of one value of an outcome under an intervention."""

    def predicted(vector: Array) -> Predicted:
        return Predicted.by(_fit_at(model, coordinates, vector), intervention)

    grid = _grid([predicted(at)])
    points, weights = grid if grid is not None else (_points(predicted(at)), np.array(1.0))
    if points is None:
        raise ValueError(f"outcome {intervention.outcome}: neither discrete nor with a density on a line")
    score = scores(lambda vectors: np.stack([predicted(vector).logpdf(points) for vector in vectors]), at)
    return covariance_of_scores(score, np.exp(predicted(at).logpdf(points)) * weights)


def _grid(outcomes: list[Predicted]) -> tuple[Array, Array] | None:
    """Points over the mass of continuous outcomes with the weights of a quadrature; None where discrete."""
    if any(_points(outcome) is not None for outcome in outcomes):
        return None
    return quadrature(*(knots(outcome.cdf, outcome.mean(), tail=1e-14) for outcome in outcomes))


def _points(outcome: Predicted) -> Array | None:
    return outcome.points(outcome.draw(LOOK, seed=0))


def _log_densities(model: Model, coordinates: Density, data: Data) -> Callable[[Array], Array]:
    """log p of each row [S, N] at vectors [S, P]."""
    density = model.density(data)
    return lambda vectors: np.asarray(density.pointwise(coordinates.draws(vectors)))
