"""Measure one fit against its target, through the public interface of a fit alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from estimators import Fit
from validation.measures import (
    central_interval,
    columns,
    distribution_gap,
    entries,
    kl_divergence,
    sample_wasserstein,
    sort_components,
    support,
    wasserstein,
)
from validation.record import LEVEL, Curve, Exactness, Interval, Prediction
from validation.scenarios import Distribution, Scenario, Truth

Array = NDArray[np.float64]
OUTCOME = "X"
CURVE_POINTS = 81


@dataclass(frozen=True)
class Queried:
    """The distribution of the outcome under an intervention, as a fit predicts it, with SciPy's names."""

    fit: Fit
    z: int

    def logpdf(self, x: Array) -> Array:
        """Return the log of the predictive density, averaged over draws."""
        return np.asarray(self.fit.do(Z=self.z).log_density(OUTCOME, torch.as_tensor(x)).detach())

    def cdf(self, x: Array) -> Array:
        """Return the predictive distribution function."""
        return np.asarray(self.fit.do(Z=self.z).cdf(OUTCOME, torch.as_tensor(x)).detach())

    def mean(self) -> float:
        """Return the predictive mean."""
        return float(self.fit.do(Z=self.z).mean(OUTCOME).value)


@dataclass(frozen=True)
class Target:
    """What a fit is compared with: entries, interventional distributions by z, and draws of the exact posterior."""

    entries: Mapping[str, float]
    outcomes: tuple[Distribution, ...]
    posterior: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Measures:
    """What was measured on one fit; the fields of a row."""

    estimate: Mapping[str, float]
    intervals: Mapping[str, Interval]
    predictions: tuple[Prediction, ...]
    exactness: Mapping[str, Exactness]


def known_target(scenario: Scenario, truth: Mapping[str, Array], reference: Fit | None) -> Target:
    """Return the target where the Greeks are known: interventional truth from SciPy, not from the code under test."""
    outcomes = tuple(scenario.outcome(truth, z) for z in range(scenario.model.K))
    posterior = {} if reference is None else _draws(reference, sort=True)
    return Target(entries(truth) | _contrasts(outcomes), outcomes, posterior)


def reference_target(scenario: Scenario, reference: Fit) -> Target:
    """Return the target where nobody knows the Greeks: mean and predictions of the exact posterior."""
    outcomes = tuple(Queried(reference, z) for z in range(scenario.model.K))
    posterior = _draws(reference, sort=True)
    means = entries({name: draws.mean(0) for name, draws in posterior.items()})
    return Target(means | _contrasts(outcomes), outcomes, posterior)


def measure(scenario: Scenario, fit: Fit, target: Target, *, keep_curves: bool) -> Measures:
    """Return estimates, intervals, interventional distances and, where it is known, distance to the exact posterior."""
    # Where components may overlap, posteriors are calibrated under one fixed map, applied to truth and draws alike.
    draws = _draws(fit, sort=scenario.source.truth is not Truth.FIXED)
    estimate = entries({name: value.mean(0) for name, value in draws.items()})
    intervals = _intervals(draws, target.entries) if _has_spread(draws) else {}
    for z in range(1, scenario.model.K):
        contrast = fit.contrast(OUTCOME, do={"Z": z}, versus={"Z": 0})
        estimate[f"contrast[{z}]"] = float(contrast.value)
        if intervals:
            lower, upper = (float(bound) for bound in contrast.interval(LEVEL))
            rank = float((contrast.draws < target.entries[f"contrast[{z}]"]).double().mean())
            intervals[f"contrast[{z}]"] = Interval(float(contrast.draws.std()), lower, upper, rank)
    x = _curve_grid(target.outcomes) if keep_curves else None
    predictions = tuple(_prediction(fit, z, true, x) for z, true in enumerate(target.outcomes))
    exactness = _exactness(_draws(fit, sort=True), target.posterior) if _has_spread(draws) else {}
    return Measures(estimate, intervals, predictions, exactness)


def _draws(fit: Fit, *, sort: bool) -> dict[str, Array]:
    draws = {name: np.asarray(value.detach(), dtype=np.float64) for name, value in fit.draws.items()}
    return sort_components(draws, by=f"mu_{OUTCOME}") if sort else draws


def _has_spread(draws: Mapping[str, Array]) -> bool:
    return all(len(value) > 1 for value in draws.values())


def _contrasts(outcomes: tuple[Distribution, ...]) -> dict[str, float]:
    means = [float(outcome.mean()) for outcome in outcomes]
    return {f"contrast[{z}]": means[z] - means[0] for z in range(1, len(means))}


def _intervals(draws: Mapping[str, Array], truth: Mapping[str, float]) -> dict[str, Interval]:
    found = {}
    for name, column in columns(draws).items():
        lower, upper = central_interval(column, LEVEL)
        found[name] = Interval(float(column.std(ddof=1)), lower, upper, float(np.mean(column < truth[name])))
    return found


def _prediction(fit: Fit, z: int, true: Distribution, x: Array | None) -> Prediction:
    predicted = Queried(fit, z)
    inner = support(true.cdf, true.mean())
    outer = support(predicted.cdf, predicted.mean())
    both = (min(inner[0], outer[0]), max(inner[1], outer[1]))
    curve = None if x is None else Curve(*map(_rounded, (x, np.exp(true.logpdf(x)), np.exp(predicted.logpdf(x)))))
    return Prediction(
        z, kl_divergence(true.logpdf, predicted.logpdf, inner), wasserstein(true.cdf, predicted.cdf, both), curve
    )


def _curve_grid(outcomes: tuple[Distribution, ...]) -> Array:
    """Return one grid over the bulk of all outcomes, so that a prediction for the wrong label is seen."""
    ends = np.array([support(each.cdf, each.mean(), tail=1e-3) for each in outcomes])
    return np.linspace(ends.min(), ends.max(), CURVE_POINTS)


def _rounded(values: Array) -> tuple[float, ...]:
    return tuple(float(f"{value:.4g}") for value in values)


def _exactness(draws: Mapping[str, Array], posterior: Mapping[str, Array]) -> dict[str, Exactness]:
    ours = columns(draws)
    return {
        name: Exactness(tuple(distribution_gap(ours[name], exact).tolist()), sample_wasserstein(ours[name], exact))
        for name, exact in columns(posterior).items()
    }
