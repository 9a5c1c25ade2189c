"""What a scenario is: a frozen value with a model, a source of truth and data, and what is known about the truth."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from estimators import CausalMixture, Data
from validation.measures import sort_components

Array = NDArray[np.float64]
Greeks = Mapping[str, Array]


class Role(Enum):
    """What the scenario's claims count for."""

    JUDGED = "its claims count in the exit status"
    REPORTED = "a known hard case, shown with its figures and not judged"


class Truth(Enum):
    """What the estimates of a scenario are compared with."""

    FIXED = "the same Greeks in every replicate"
    PRIOR = "Greeks drawn from the model's prior in each replicate"
    EXACT = "nobody knows the Greeks: the exact posterior of fixed data"


class Seeds(NamedTuple):
    """The independent seeds of one replicate."""

    truth: int
    data: int
    fit: int
    reference: int


class Distribution(Protocol):
    """A distribution of one variable, with SciPy's names."""

    def logpdf(self, x: Array) -> Array: ...
    def cdf(self, x: Array) -> Array: ...
    def mean(self) -> float: ...


class Outcome(Protocol):
    """The true distribution of the outcome under ``do(Z=z)``, written without the code under test."""

    def __call__(self, greeks: Greeks, z: int) -> Distribution: ...


class Source(Protocol):
    """Where truth and data come from: the truth is None where the data are fixed and nobody knows it."""

    @property
    def truth(self) -> Truth: ...
    def draw(self, model: CausalMixture, num_rows: int, seeds: Seeds) -> tuple[dict[str, Array] | None, Data]: ...


@dataclass(frozen=True)
class NormalOutcome:
    """``p(X | do(Z=z)) = Normal(mu_X[z], sigma_X[z])``, with `scale` where the scale is known."""

    scale: float | None = None

    def __call__(self, greeks: Greeks, z: int) -> Distribution:
        """Return the frozen SciPy distribution under ``do(Z=z)``."""
        scale = self.scale if self.scale is not None else np.broadcast_to(greeks["sigma_X"], greeks["mu_X"].shape)[z]
        frozen: Distribution = stats.norm(greeks["mu_X"][z], scale)
        return frozen


@dataclass(frozen=True)
class FixedTruth:
    """The same Greeks in every replicate (components in ascending order of mu_X), fresh rows in each."""

    greeks: Mapping[str, tuple[float, ...]]
    truth: ClassVar[Truth] = Truth.FIXED

    def draw(self, model: CausalMixture, num_rows: int, seeds: Seeds) -> tuple[dict[str, Array] | None, Data]:
        """Return the Greeks and rows simulated from them."""
        truth = {name: np.asarray(value, dtype=np.float64) for name, value in self.greeks.items()}
        return truth, _simulate(model, num_rows, truth, seeds.data)


@dataclass(frozen=True)
class PriorTruth:
    """Greeks drawn from the model's own prior in each replicate, components sorted by mu_X, and rows from them."""

    truth: ClassVar[Truth] = Truth.PRIOR

    def draw(self, model: CausalMixture, num_rows: int, seeds: Seeds) -> tuple[dict[str, Array] | None, Data]:
        """Return Greeks from the prior and rows simulated from them."""
        drawn = {name: value.numpy()[None] for name, value in model.prior_greeks(seed=seeds.truth).items()}
        truth = {name: value[0] for name, value in sort_components(drawn, by="mu_X").items()}
        return truth, _simulate(model, num_rows, truth, seeds.data)


@dataclass(frozen=True)
class FixedData:
    """The same rows in every replicate; only the estimator's own randomness differs."""

    columns: Mapping[str, tuple[float, ...]]
    truth: ClassVar[Truth] = Truth.EXACT

    def draw(self, model: CausalMixture, num_rows: int, seeds: Seeds) -> tuple[dict[str, Array] | None, Data]:
        """Return no truth and the rows."""
        columns: dict[str, Any] = dict(self.columns)
        return None, Data(**columns)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A situation in which estimators are compared.

    `make_model` builds the model, so that a scenario is a small value that can be sent to another process.
    `replicates` is the default number of repetitions. `sentence` is for the reader of the report. `exact` says that
    K^N is small enough for `Exact` to be run and to serve as the yardstick. `expected` holds, by estimator, entries
    of the Greeks that are known in closed form for fixed data.
    """

    name: str
    sentence: str
    make_model: Callable[[], CausalMixture]
    source: Source
    num_rows: int
    replicates: int
    outcome: Outcome
    role: Role = Role.JUDGED
    exact: bool = False
    expected: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def model(self) -> CausalMixture:
        """The model, built afresh."""
        return self.make_model()


def _simulate(model: CausalMixture, num_rows: int, truth: Greeks, seed: int) -> Data:
    greeks = {name: torch.as_tensor(value, dtype=torch.float64) for name, value in truth.items()}
    rows = model.simulate(num_rows, greeks=greeks, seed=seed)
    return Data(X=rows["X"])
