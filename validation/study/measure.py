"""Measure one fit against its target, through the public interface of a fit alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from estimators import Data, Fit
from validation.measures.calibration import rank_among
from validation.measures.exactness import distribution_gap, sample_wasserstein
from validation.measures.recovery import central_interval, columns, names_of
from validation.scenarios import Draw, Scenario, Seeds, Truth
from validation.scenarios.asymptotics import differences_of, quantities
from validation.scenarios.outcomes import Outcome, Predicted
from validation.scenarios.quantities import LOG_LIKELIHOOD, is_query
from validation.study.answers import answers_of
from validation.study.effective_draws import effective_sizes
from validation.study.row import LEVEL, RANKED, Answer, Exactness, Interval, Prediction
from validation.study.true_outcome import TrueOutcome

Array = NDArray[np.float64]
CURVE_POINTS = 81
EXPERIMENT_ROWS = 200  # of the fresh simulated experiment on which predictions are scored
DENSITY_DRAWS = 200  # whose densities are averaged; their mean is as uncertain as 1/200 of the posterior's variance
MAX_ELEMENTS = 4_000_000  # of draws times rows held at one time
DIAGNOSTICS = ("min_ess", "max_r_hat", "num_divergences", "label_certainty")


@dataclass(frozen=True, eq=False)
class Target:
    """What a fit is compared with.

    True quantities by name, the true outcome of each intervention, and draws [S] of each quantity from the exact
    posterior, where that is known.
    """

    quantities: Mapping[str, float]
    outcomes: tuple[TrueOutcome, ...]
    posterior: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class SharedTruth:
    """What all replicates of a truth that does not vary share: the quantities, and the knots of continuous outcomes."""

    quantities: Mapping[str, float]
    knots: tuple[Array | None, ...]


@dataclass(frozen=True)
class Measures:
    """What was measured on one fit; the fields of a row."""

    estimate: Mapping[str, float]
    intervals: Mapping[str, Interval]
    predictions: tuple[Prediction, ...]
    exactness: Mapping[str, Exactness]
    diagnostics: Mapping[str, float]
    answers: Mapping[str, Answer]


def target_of(
    scenario: Scenario, drawn: Draw, reference: Fit | None, seeds: Seeds, shared: SharedTruth | None = None
) -> Target:
    """Return what fits to a replicate are compared with: its truth, or the exact posterior where nobody knows it.

    What is `shared` with other replicates is not computed again. Raises ValueError where nothing is known.
    """
    draws = {}
    if reference is not None:
        reference = arranged(scenario, reference)
        draws = _draws_of_quantities(scenario, reference, _predicted(scenario, reference))
    if drawn.outcomes is not None:
        laws = tuple(drawn.outcomes[intervention.name] for intervention in scenario.interventions)
        return Target(_true_queries(scenario, laws), _true_outcomes(scenario, laws, seeds, shared), draws)
    if drawn.greeks is not None:
        truth = Fit.from_greeks(scenario.model, drawn.greeks)
    elif reference is not None:
        truth = reference
    else:
        raise ValueError(f"scenario {scenario.name}: neither a truth nor an exact posterior to compare with")
    known = quantities(scenario, truth) if shared is None else dict(shared.quantities)
    if scenario.source.truth is Truth.RANDOM:  # the Greeks are not the same in any two replicates
        known = {name: value for name, value in known.items() if is_query(name)}
    if scenario.source.truth.is_calibrating:
        known[LOG_LIKELIHOOD] = float(_log_likelihoods(truth, drawn.data)[0])
    return Target(known, _true_outcomes(scenario, _predicted(scenario, truth), seeds, shared), draws)


def shared_truth(scenario: Scenario, seeds: Seeds) -> SharedTruth | None:
    """Return what all replicates of a scenario share, or None where each has a truth or rows of its own to look at."""
    if scenario.source.truth not in (Truth.FIXED, Truth.OUTSIDE):
        return None
    target = target_of(scenario, scenario.source.draw(scenario, seeds), None, seeds)
    knots = tuple(outcome.knots if outcome.values is None else None for outcome in target.outcomes)
    return SharedTruth(target.quantities, knots)


def measure(scenario: Scenario, fit: Fit, target: Target, data: Data, seeds: Seeds, *, keep_curves: bool) -> Measures:
    """Return estimates, intervals, ranks, interventional distances and, where known, those to the exact posterior."""
    # Where components may overlap, posteriors are calibrated under one fixed map, applied to truth and draws alike.
    as_fitted, fit = fit, arranged(scenario, fit)
    answers = answers_of(scenario, as_fitted, fit)
    predicted = _predicted(scenario, fit)
    draws = _draws_of_quantities(scenario, fit, predicted)
    estimate = {name: float(values.mean()) for name, values in draws.items()}
    intervals = {}
    if fit.num_draws > 1:
        if LOG_LIKELIHOOD in target.quantities:
            draws[LOG_LIKELIHOOD] = _log_likelihoods(fit, data)
        intervals = _intervals(fit, draws, target.quantities, seeds)
    grid = _curve_grid(target) if keep_curves else None
    laws = _predicted(scenario, _some_draws(fit))
    predictions = tuple(outcome.prediction(law, grid) for outcome, law in zip(target.outcomes, laws, strict=True))
    exactness = _exactness(draws, target.posterior) if fit.num_draws > 1 else {}
    known = {name: float(fit.stats[name]) for name in DIAGNOSTICS if name in fit.stats}
    return Measures(estimate, intervals, predictions, exactness, known, answers)


def summarised(scenario: Scenario, fit: Fit) -> dict[str, dict[str, float | None]]:
    """Return value and central interval (None for a point) of every quantity of a scenario, as a fit estimates it."""
    summary: dict[str, dict[str, float | None]] = {}
    fit = arranged(scenario, fit)
    for name, values in _draws_of_quantities(scenario, fit, _predicted(scenario, fit)).items():
        lower, upper = central_interval(values, LEVEL) if len(values) > 1 else (None, None)
        summary[name] = {"value": float(values.mean()), "lower": lower, "upper": upper}
    return summary


def arranged(scenario: Scenario, fit: Fit) -> Fit:
    """Return a fit with each draw's components sorted where the scenario sorts them."""
    if not scenario.sorts:
        return fit
    draws = scenario.arranged({name: np.asarray(value, dtype=np.float64) for name, value in fit.draws.items()})
    return replace(fit, draws={name: torch.as_tensor(value) for name, value in draws.items()})


def _some_draws(fit: Fit) -> Fit:
    """Return a fit with at most DENSITY_DRAWS of its draws, as far apart as can be."""
    if fit.num_draws <= DENSITY_DRAWS:
        return fit
    kept = torch.linspace(0, fit.num_draws - 1, DENSITY_DRAWS).round().long()
    return replace(fit, draws={name: value[kept] for name, value in fit.draws.items()}, num_chains=1)


def _predicted(scenario: Scenario, fit: Fit) -> tuple[Predicted, ...]:
    """What a fit says of each intervention's outcome."""
    return tuple(Predicted.by(fit, intervention) for intervention in scenario.interventions)


def _draws_of_quantities(scenario: Scenario, fit: Fit, predicted: Sequence[Predicted]) -> dict[str, Array]:
    """The draws [S] of every Greek's entry, interventional mean and contrast."""
    draws = {name: np.asarray(value, dtype=np.float64) for name, value in fit.draws.items()}
    greeks = columns(draws, names_of(scenario.model))
    means = {
        intervention.mean_name: law.means for intervention, law in zip(scenario.interventions, predicted, strict=True)
    }
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
    own = data.unit_weights
    weights = torch.ones(data.num_units, dtype=torch.float64) if own is None else own
    step = max(1, MAX_ELEMENTS // data.num_units)
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


def _true_outcomes(
    scenario: Scenario, laws: Sequence[Outcome], seeds: Seeds, shared: SharedTruth | None
) -> tuple[TrueOutcome, ...]:
    children = np.random.SeedSequence(seeds.experiment).generate_state(len(laws))
    known = (None,) * len(laws) if shared is None else shared.knots
    return tuple(
        TrueOutcome(intervention.name, law, law.draw(EXPERIMENT_ROWS, seed=int(seed)), knots)
        for intervention, law, seed, knots in zip(scenario.interventions, laws, children, known, strict=True)
    )


def _curve_grid(target: Target) -> Array:
    """One grid over the bulk of all continuous outcomes, so that a prediction for the wrong label is seen."""
    ends = np.array([outcome.bulk for outcome in target.outcomes if outcome.values is None])
    return np.linspace(ends.min(), ends.max(), CURVE_POINTS) if len(ends) else np.zeros(0)


def _exactness(draws: Mapping[str, Array], posterior: Mapping[str, Array]) -> dict[str, Exactness]:
    return {
        name: Exactness(tuple(distribution_gap(draws[name], exact).tolist()), sample_wasserstein(draws[name], exact))
        for name, exact in posterior.items()
    }
