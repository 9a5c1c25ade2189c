"""Where truth and data come from: fixed Greeks, Greeks from the prior, fixed rows, or a world outside the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from estimators import Data
from estimators.contract import LATENT
from validation.scenarios.base import Draw, Seeds, Truth
from validation.scenarios.design import Design
from validation.scenarios.outcomes import Outcome

if TYPE_CHECKING:
    from validation.scenarios.scenario import Scenario

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Partly:
    """Shares of the rows in which Z is set (to each label in turn) and in which it is seen; and rows that share one Z.

    Where several rows are of one unit nothing is set or seen.
    """

    seen: float = 0.0
    set: float = 0.0
    rows_of_unit: int = 1

    def of(self, scenario: "Scenario") -> Design:
        """Return the design of a scenario's rows."""
        model = scenario.model
        if self.rows_of_unit > 1:
            return Design(scenario.num_rows, unit=tuple(row // self.rows_of_unit for row in range(scenario.num_rows)))
        if not self.seen and not self.set:
            return Design(scenario.num_rows)
        if LATENT not in model.hidden:
            raise ValueError(f"scenario {scenario.name}: rows of a Pyro program are plain, with nothing seen or set")
        return Design.partly(scenario.num_rows, K=model.hidden[LATENT], seen=self.seen, set=self.set)


@dataclass(frozen=True)
class FixedTruth:
    """The same Greeks in every replicate (components in ascending order of `sort_by`), fresh rows in each."""

    greeks: Mapping[str, Any]
    rows: Partly = Partly()
    design: Design | None = None
    truth: ClassVar[Truth] = Truth.FIXED

    def draw(self, scenario: "Scenario", seeds: Seeds) -> Draw:
        truth = {name: np.asarray(value, dtype=np.float64) for name, value in self.greeks.items()}
        design = self.rows.of(scenario) if self.design is None else self.design
        return Draw(design.simulate(scenario.model, truth, hidden=scenario.hidden, seed=seeds.data), truth)


@dataclass(frozen=True)
class PriorTruth:
    """Greeks drawn from the model's own prior in each replicate, sorted where labels are free, and rows from them."""

    rows: Partly = Partly()
    truth: ClassVar[Truth] = Truth.PRIOR

    def draw(self, scenario: "Scenario", seeds: Seeds) -> Draw:
        model = scenario.model
        greeks = model.prior_greeks(seed=seeds.truth)
        drawn = {name: np.asarray(value, dtype=np.float64)[None] for name, value in greeks.items()}
        truth = {name: value[0] for name, value in scenario.arranged(drawn).items()}
        design = self.rows.of(scenario)
        return Draw(design.simulate(model, truth, hidden=scenario.hidden, seed=seeds.data), truth)


@dataclass(frozen=True)
class FixedData:
    """The same rows in every replicate; only the estimator's own randomness differs."""

    columns: Mapping[str, tuple[float, ...]]
    truth: ClassVar[Truth] = Truth.EXACT

    def draw(self, scenario: "Scenario", seeds: Seeds) -> Draw:
        columns: dict[str, Any] = dict(self.columns)
        return Draw(Data(columns), None)


@dataclass(frozen=True)
class SampledPosterior:
    """The same rows in every replicate, with the means of their posterior in place of the true Greeks."""

    columns: Mapping[str, Any]
    means: Mapping[str, Any]
    truth: ClassVar[Truth] = Truth.SAMPLED

    def draw(self, scenario: "Scenario", seeds: Seeds) -> Draw:
        means = {name: np.asarray(value, dtype=np.float64) for name, value in self.means.items()}
        return Draw(Data(dict(self.columns)), means)


class Noise(Protocol):
    """A distribution of mean 0 and sd 1, as SciPy's frozen ones."""

    def rvs(self, size: int, random_state: np.random.Generator) -> Array: ...
    def logpdf(self, x: Array) -> Array: ...
    def cdf(self, x: Array) -> Array: ...


@dataclass(frozen=True)
class Located:
    """``location + scale · noise``."""

    noise: Noise
    location: float
    scale: float

    def logpdf(self, x: Array) -> Array:
        return np.asarray(self.noise.logpdf((x - self.location) / self.scale) - np.log(self.scale))

    def cdf(self, x: Array) -> Array:
        return np.asarray(self.noise.cdf((x - self.location) / self.scale))

    def mean(self) -> float:
        return self.location

    def points(self, drawn: Array) -> None:
        """Nothing: it is continuous."""

    def draw(self, size: int, seed: int) -> Array:
        return self.location + self.scale * np.asarray(self.noise.rvs(size, random_state=np.random.default_rng(seed)))


@dataclass(frozen=True)
class OtherNoise:
    """Rows whose noise is not normal: ``X = mean_Z + scale_Z · noise``, with noise of mean 0 and sd 1.

    There are no true Greeks of the model; what is true is each ``p(X | do(Z=z))``, its mean and the contrasts.
    """

    weights: Sequence[float]
    means: Sequence[float]
    scales: Sequence[float]
    noise: Noise
    truth: ClassVar[Truth] = Truth.OUTSIDE

    def draw(self, scenario: "Scenario", seeds: Seeds) -> Draw:
        generator = np.random.default_rng(seeds.data)
        z = generator.choice(len(self.weights), size=scenario.num_rows, p=self.weights)
        noise = np.asarray(self.noise.rvs(scenario.num_rows, random_state=generator))
        x = np.asarray(self.means)[z] + np.asarray(self.scales)[z] * noise
        laws = [Located(self.noise, mean, scale) for mean, scale in zip(self.means, self.scales, strict=True)]
        outcomes: dict[str, Outcome] = {
            intervention.name: laws[int(intervention.do["Z"])] for intervention in scenario.interventions
        }
        return Draw(Data(X=torch.as_tensor(x)), None, outcomes)
