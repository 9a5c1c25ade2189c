"""What the truth of a scenario may be, and the protocol of its sources."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from estimators import Data
from estimators.contract import Model
from validation.scenarios.outcomes import Outcome

if TYPE_CHECKING:
    from validation.scenarios.scenario import Scenario

Array = NDArray[np.float64]


class Role(Enum):
    """What can be claimed of errors at a fixed truth."""

    REGULAR = "rows enough for errors to be near those of an efficient estimator, to which they are held"
    HARD = "few rows for what is asked: errors are far from normal, and a fit is held to being right or warning"


class Truth(Enum):
    """What the estimates of a scenario are compared with."""

    FIXED = "the same Greeks in every replicate"
    PRIOR = "Greeks drawn from the model's prior in each replicate"
    EXACT = "nobody knows the Greeks: the exact posterior of fixed data"
    SAMPLED = "nobody knows the Greeks: the posterior of fixed data, as draws of another program have it"
    OUTSIDE = "the same world in every replicate, which is not one of the model's"
    RANDOM = "a model of its own in each replicate, with Greeks drawn for it"
    POSTERIOR = (
        "Greeks drawn from the posterior given the data, in each replicate, and rows of theirs added to the data"
    )

    @property
    def varies(self) -> bool:
        """Whether each replicate has a truth of its own."""
        return self in (Truth.PRIOR, Truth.RANDOM, Truth.POSTERIOR)

    @property
    def is_calibrating(self) -> bool:
        """Whether truths are drawn as a posterior expects, so that its intervals cover and ranks are uniform."""
        return self in (Truth.PRIOR, Truth.POSTERIOR)

    @property
    def is_posterior(self) -> bool:
        """Whether estimates are compared with the mean of a posterior, of the same rows in every replicate."""
        return self in (Truth.EXACT, Truth.SAMPLED)

    @property
    def needs_draws(self) -> bool:
        """Whether it says something only of estimators that draw from the posterior."""
        return self in (Truth.POSTERIOR, Truth.SAMPLED)


class Allowed(Enum):
    """Which answers fit the law of the rows, however many rows there are, where sets of answers are measured."""

    ONE = "one answer"
    AT_AN_END = "one answer, of Greeks that lie at an end of what they can be"
    LABELS = "one answer for each way of labelling, and little that tells which labels are meant"
    SEVERAL = "a few answers far apart"
    RANGE = "every answer in a range"
    MIXED = "one answer, several or a range, as the model of the replicate has it"

    @property
    def is_regular(self) -> bool:
        """Whether errors tend to the efficient ones as rows grow many."""
        return self is Allowed.ONE


class Moments(NamedTuple):
    """Mean and standard deviation of a posterior as draws of another program have them, with Monte Carlo errors."""

    mean: float
    mean_error: float
    sd: float
    sd_error: float


class Seeds(NamedTuple):
    """The independent seeds of one replicate."""

    truth: int
    data: int
    fit: int
    reference: int
    experiment: int
    ranks: int
    search: int = 0


@dataclass(frozen=True, eq=False)
class Draw:
    """One replicate: rows, the Greeks they were made with, and true distributions that are not the model's own.

    `greeks` is None where nobody knows them; `outcomes` is by intervention, None where they follow from the Greeks;
    `model` is that of the replicate, None where it is the scenario's.
    """

    data: Data
    greeks: Mapping[str, Array] | None
    outcomes: Mapping[str, Outcome] | None = None
    model: Model | None = None


class Source(Protocol):
    """Where truth and data come from."""

    @property
    def truth(self) -> Truth: ...

    def draw(self, scenario: "Scenario", seeds: Seeds) -> Draw:
        """Return the rows of one replicate with what is true of them."""
