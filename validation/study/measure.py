"""Measure one fit against its target, through the public interface of a fit alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from estimators import Data, Fit
from validation.measures.calibration import rank_among
from validation.measures.exactness import distribution_gap, sample_wasserstein
from validation.measures.interventional import (
    discrete_divergence,
    discrete_wasserstein,
    kl_divergence,
    knots,
    quadrature,
    support,
    wasserstein,
)
from validation.measures.recovery import central_interval, columns
from validation.scenarios import Draw, Intervention, Scenario, Seeds, Truth
from validation.scenarios.asymptotics import differences_of, quantities
from validation.scenarios.outcomes import Outcome, Predicted
from validation.scenarios.quantities import LOG_LIKELIHOOD, is_query
from validation.study.answers import answers_of
from validation.study.effective_draws import effective_sizes
from validation.study.row import LEVEL, RANKED, Answer, Curve, Exactness, Interval, Prediction

Array = NDArray[np.float64]
CURVE_POINTS = 81
EXPERIMENT_ROWS = 200  # of the fresh simulated experiment on which predictions are scored
MAX_ELEMENTS = 4_000_000  # of draws times rows held at one time
DIAGNOSTICS = ("min_ess", "max_r_hat", "num_divergences", "label_certainty")


@dataclass(frozen=True, eq=False)
class Target:
    """What a fit is compared with.

    True quantities by name, the true distribution of each intervention's outcome, rows of a fresh experiment under it,
    and draws [S] of each quantity from the exact posterior, where that is known.
    """

    quantities: Mapping[str, float]
    outcomes: tuple[Outcome, ...]
    experiments: tuple[Array, ...]
    posterior: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Measures:
    """What was measured on one fit; the fields of a row."""

    estimate: Mapping[str, float]
    intervals: Mapping[str, Interval]
    predictions: tuple[Prediction, ...]
    exactness: Mapping[str, Exactness]
    diagnostics: Mapping[str, float]
    answers: Mapping[str, Answer]


def target_of(scenario: Scenario, drawn: Draw, reference: Fit | None, seeds: Seeds) -> Target:
    """Return what fits to a replicate are compared with: its truth, or the exact posterior where nobody knows it.

    Raises ValueError where there is neither.
    """
    draws = {} if reference is None else _draws_of_quantities(scenario, arranged(scenario, reference))
    if drawn.outcomes is not None:
        outcomes = tuple(drawn.outcomes[intervention.name] for intervention in scenario.interventions)
        return Target(_true_queries(scenario, outcomes), outcomes, _experiments(outcomes, seeds), draws)
    if drawn.greeks is not None:
        truth = Fit.from_greeks(scenario.model, drawn.greeks)
    elif reference is not None:
        truth = arranged(scenario, reference)
    else:
        raise ValueError(f"scenario {scenario.name}: neither a truth nor an exact posterior to compare with")
    known = quantities(scenario, truth)
    if scenario.source.truth is Truth.RANDOM:  # the Greeks are not the same in any two replicates
        known = {name: value for name, value in known.items() if is_query(name)}
    if scenario.source.truth is Truth.PRIOR:
        known[LOG_LIKELIHOOD] = float(_log_likelihoods(truth, drawn.data)[0])
    outcomes = tuple(Predicted.by(truth, intervention) for intervention in scenario.interventions)
    return Target(known, outcomes, _experiments(outcomes, seeds), draws)


def measure(scenario: Scenario, fit: Fit, target: Target, data: Data, seeds: Seeds, *, keep_curves: bool) -> Measures:
    """Return estimates, intervals, ranks, interventional distances and, where known, those to the exact posterior."""
    # Where components may overlap, posteriors are calibrated under one fixed map, applied to truth and draws alike.
    fit = arranged(scenario, fit)
    draws = _draws_of_quantities(scenario, fit)
    estimate = {name: float(values.mean()) for name, values in draws.items()}
    intervals = {}
    if fit.num_draws > 1:
        if LOG_LIKELIHOOD in target.quantities:
            draws[LOG_LIKELIHOOD] = _log_likelihoods(fit, data)
        intervals = _intervals(fit, draws, target.quantities, seeds)
    x = _curve_grid(target) if keep_curves else None
    predictions = tuple(
        _prediction(intervention, Predicted.by(fit, intervention), true, rows, x)
        for intervention, true, rows in zip(scenario.interventions, target.outcomes, target.experiments, strict=True)
    )
    exactness = _exactness(draws, target.posterior) if fit.num_draws > 1 else {}
    known = {name: float(fit.stats[name]) for name in DIAGNOSTICS if name in fit.stats}
    return Measures(estimate, intervals, predictions, exactness, known, answers_of(scenario, fit))


def summarised(scenario: Scenario, fit: Fit) -> dict[str, dict[str, float | None]]:
    """Return value and central interval (None for a point) of every quantity of a scenario, as a fit estimates it."""
    summary: dict[str, dict[str, float | None]] = {}
    for name, values in _draws_of_quantities(scenario, arranged(scenario, fit)).items():
        lower, upper = central_interval(values, LEVEL) if len(values) > 1 else (None, None)
        summary[name] = {"value": float(values.mean()), "lower": lower, "upper": upper}
    return summary


def arranged(scenario: Scenario, fit: Fit) -> Fit:
    """Return a fit with each draw's components sorted where the scenario sorts them."""
    if not scenario.sorts:
        return fit
    draws = scenario.arranged({name: np.asarray(value, dtype=np.float64) for name, value in fit.draws.items()})
    return replace(fit, draws={name: torch.as_tensor(value) for name, value in draws.items()})


def _draws_of_quantities(scenario: Scenario, fit: Fit) -> dict[str, Array]:
    """The draws [S] of every Greek's entry, interventional mean and contrast."""
    greeks = columns({name: np.asarray(value, dtype=np.float64) for name, value in fit.draws.items()})
    means = {intervention.mean_name: Predicted.by(fit, intervention).means() for intervention in scenario.interventions}
    return greeks | means | differences_of(means, scenario)


def _true_queries(scenario: Scenario, outcomes: tuple[Outcome, ...]) -> dict[str, float]:
    means = {
        intervention.mean_name: outcome.mean()
        for intervention, outcome in zip(scenario.interventions, outcomes, strict=True)
    }
    return means | differences_of(means, scenario)


def _log_likelihoods(fit: Fit, data: Data) -> Array:
    """log p(data | φ) of every draw [S], Z summed out."""
    density = fit.model.density(data)
    weights = torch.ones(data.num_rows, dtype=torch.float64) if data.weights is None else data.weights
    step = max(1, MAX_ELEMENTS // data.num_rows)
    chunks = [
        density.pointwise({name: value[start : start + step] for name, value in fit.draws.items()}) @ weights
        for start in range(0, fit.num_draws, step)
    ]
    return np.asarray(torch.cat(chunks).detach(), dtype=np.float64)


def _intervals(fit: Fit, draws: Mapping[str, Array], truth: Mapping[str, float], seeds: Seeds) -> dict[str, Interval]:
    generator = np.random.default_rng(seeds.ranks)
    names = [name for name in draws if name in truth]
    intervals = {}
    for name, ess in zip(names, effective_sizes(fit, [draws[name] for name in names]), strict=True):
        values = draws[name]
        lower, upper = central_interval(values, LEVEL)
        rank = rank_among(values, truth[name], num_ranked=RANKED, ess=ess, generator=generator)
        intervals[name] = Interval(float(values.std(ddof=1)), lower, upper, rank, ess)
    return intervals


def _experiments(outcomes: tuple[Outcome, ...], seeds: Seeds) -> tuple[Array, ...]:
    children = np.random.SeedSequence(seeds.experiment).generate_state(len(outcomes))
    seeded = zip(outcomes, children, strict=True)
    return tuple(outcome.draw(EXPERIMENT_ROWS, seed=int(seed)) for outcome, seed in seeded)


def _prediction(
    intervention: Intervention, predicted: Predicted, true: Outcome, experiment: Array, x: Array | None
) -> Prediction:
    points = true.points(experiment)
    if points is not None:
        predicted_points = predicted.points(experiment)
        # What the prediction holds possible beyond the truth's last value is far off, and counts.
        if predicted_points is not None and len(predicted_points) >= len(points):
            points = predicted_points
        log_p, log_q = true.logpdf(points), predicted.logpdf(points)
        kl = discrete_divergence(log_p, log_q)
        distance = discrete_wasserstein(true.cdf(points), predicted.cdf(points))
        curve = None if x is None else Curve(*map(_rounded, (points, np.exp(log_p), np.exp(log_q))))
    else:
        inner, outer = knots(true.cdf, true.mean()), knots(predicted.cdf, predicted.mean())
        kl = kl_divergence(true.logpdf, predicted.logpdf, *quadrature(inner))
        distance = wasserstein(true.cdf, predicted.cdf, *quadrature(inner, outer))
        curve = None if x is None else Curve(*map(_rounded, (x, np.exp(true.logpdf(x)), np.exp(predicted.logpdf(x)))))
    regret = float(np.mean(true.logpdf(experiment) - predicted.logpdf(experiment)))
    if np.isnan([kl, distance, regret]).any():
        raise ValueError(f"the prediction of {intervention.name} is not a distribution: its distances are not numbers")
    return Prediction(intervention.name, kl, distance, regret, curve)


def _curve_grid(target: Target) -> Array:
    """One grid over the bulk of all continuous outcomes, so that a prediction for the wrong label is seen."""
    drawn = zip(target.outcomes, target.experiments, strict=True)
    continuous = [outcome for outcome, values in drawn if outcome.points(values) is None]
    if not continuous:
        return np.zeros(0)
    ends = np.array([support(outcome.cdf, outcome.mean(), tail=1e-3) for outcome in continuous])
    return np.linspace(ends.min(), ends.max(), CURVE_POINTS)


def _rounded(values: Array) -> tuple[float, ...]:
    return tuple(float(f"{value:.4g}") for value in values)


def _exactness(draws: Mapping[str, Array], posterior: Mapping[str, Array]) -> dict[str, Exactness]:
    return {
        name: Exactness(tuple(distribution_gap(draws[name], exact).tolist()), sample_wasserstein(draws[name], exact))
        for name, exact in posterior.items()
    }
