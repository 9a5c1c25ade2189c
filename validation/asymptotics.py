"""What an efficient estimator would reach on a scenario with known truth, from the Fisher information of the model.

The density of a row, ``p(x) = Σ_k θ_k p(x | do(Z=k))``, is built from the scenario's own outcome distributions, so
this is independent of the code under test.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from validation.measures import cramer_rao, divergence_weights, entries, fisher_information, support
from validation.scenarios import FixedTruth, Scenario

Array = NDArray[np.float64]
GRID = 4001


@dataclass(frozen=True)
class Asymptotics:
    """Truth and efficient standard deviations by entry, expected divergence by z, and its limiting law.

    The average over z of (KL divergence / expected divergence) tends to ``Σ_i kl_weights_i · χ²_1``, of mean 1.
    """

    truth: Mapping[str, float]
    sd: Mapping[str, float]
    kl: tuple[float, ...]
    kl_weights: tuple[float, ...]


@dataclass(frozen=True)
class _Coordinates:
    """Greeks as one vector of free numbers: all weights but the last, then everything else."""

    scenario: Scenario
    greeks: Mapping[str, Array]

    def vector(self) -> Array:
        rest = [value.ravel() for name, value in self.greeks.items() if name != "theta"]
        return np.concatenate([self.greeks["theta"][:-1], *rest])

    def unpack(self, vector: Array) -> dict[str, Array]:
        start = len(self.greeks["theta"]) - 1
        unpacked: dict[str, Array] = {"theta": np.append(vector[:start], 1 - vector[:start].sum())}
        for name, value in self.greeks.items():
            if name != "theta":
                unpacked[name] = vector[start : start + value.size].reshape(value.shape)
                start += value.size
        return unpacked

    def log_outcome(self, vector: Array, x: Array, z: int) -> Array:
        return np.asarray(self.scenario.outcome(self.unpack(vector), z).logpdf(x))

    def log_row(self, vector: Array, x: Array) -> Array:
        log_theta = np.log(self.unpack(vector)["theta"])
        parts = [log_theta[z] + self.log_outcome(vector, x, z) for z in range(len(log_theta))]
        return np.asarray(logsumexp(parts, axis=0))

    def quantities(self, vector: Array) -> dict[str, float]:
        greeks = self.unpack(vector)
        means = [float(self.scenario.outcome(greeks, z).mean()) for z in range(len(greeks["theta"]))]
        return entries(greeks) | {f"contrast[{z}]": means[z] - means[0] for z in range(1, len(means))}


def asymptotics(scenario: Scenario) -> Asymptotics | None:
    """Return the efficient errors of a scenario, or None where its truth is not fixed."""
    if not isinstance(scenario.source, FixedTruth):
        return None
    greeks = {name: np.asarray(value, dtype=np.float64) for name, value in scenario.source.greeks.items()}
    at = _Coordinates(scenario, greeks)
    parameters = at.vector()
    x, rows = _grid(scenario, greeks), scenario.num_rows
    information = fisher_information(at.log_row, parameters, x)
    truth = at.quantities(parameters)
    sd = cramer_rao(information, lambda v: np.array(list(at.quantities(v).values())), parameters, rows)
    metrics = [
        fisher_information(lambda v, x, z=z: at.log_outcome(v, x, z), parameters, x)  # type: ignore[misc]
        for z in range(scenario.model.K)
    ]
    kl = [float(divergence_weights(metric, information, rows).sum()) for metric in metrics]
    average = np.mean([metric / mean for metric, mean in zip(metrics, kl, strict=True)], axis=0)
    weights = divergence_weights(average, information, rows)
    return Asymptotics(truth, dict(zip(truth, sd.tolist(), strict=True)), tuple(kl), tuple(weights.tolist()))


def _grid(scenario: Scenario, greeks: Mapping[str, Array]) -> Array:
    outcomes = [scenario.outcome(greeks, z) for z in range(scenario.model.K)]
    ends = [support(outcome.cdf, outcome.mean(), tail=1e-14) for outcome in outcomes]
    return np.linspace(min(low for low, _ in ends), max(high for _, high in ends), GRID)
