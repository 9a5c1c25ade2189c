"""The distribution of an outcome under an intervention, as a fit predicts it or as it truly is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from estimators import Estimate, Fit
from validation.scenarios.intervention import Intervention

Array = NDArray[np.float64]
RARE = 1e-9  # probability of the values of a count that are left out
MOST_VALUES = 1_000_000  # of a count, whose probabilities are held at one time


class Outcome(Protocol):
    """A distribution of one variable: its log density (of a discrete one, log probability), CDF, mean and draws.

    `points` are its values [P] where draws show it to be discrete, else None.
    """

    def logpdf(self, x: Array) -> Array: ...
    def cdf(self, x: Array) -> Array: ...
    def mean(self) -> float: ...
    def points(self, drawn: Array) -> Array | None: ...
    def draw(self, size: int, seed: int) -> Array: ...


def predicted_mean(fit: Fit, do: Mapping[str, Any], outcome: str) -> Estimate:
    """Return E[outcome | do(...)], of levels the mean of their numbers, which tests may compare in any order."""
    if fit.data is None or not fit.data.levels:
        return fit.do(**do).mean(outcome)
    by_number = replace(fit, data=fit.data.replace(dict(fit.data.columns)))
    return by_number.do(**fit.labels.numbered("do", do)).mean(outcome)


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a fit says of an outcome under ``do(...)``: the predictive distribution, over all its draws."""

    fit: Fit
    outcome: str
    do: dict[str, Any]

    @staticmethod
    def by(fit: Fit, intervention: Intervention) -> "Predicted":
        """Return what a fit says of an intervention's outcome."""
        return Predicted(fit, intervention.outcome, intervention.settings)

    @cached_property
    def _query(self) -> Any:
        return self.fit.do(**self.do)

    def logpdf(self, x: Array) -> Array:
        return np.asarray(self._query.log_density(self.outcome, torch.as_tensor(x)).detach())

    def cdf(self, x: Array) -> Array:
        return np.asarray(self._query.cdf(self.outcome, torch.as_tensor(x)).detach())

    def mean(self) -> float:
        return float(self.means.mean())

    @cached_property
    def means(self) -> Array:
        """The mean under each draw of the Greeks [S]."""
        return np.asarray(predicted_mean(self.fit, self.do, self.outcome).draws.detach(), dtype=np.float64)

    def draw(self, size: int, seed: int) -> Array:
        return np.asarray(self._query.sample(size, seed=seed)[self.outcome], dtype=np.float64)

    def points(self, drawn: Array) -> Array | None:
        """Return the values 0, 1, … of a discrete outcome but for the rarest, or None for a continuous one.

        Raises ValueError where they are too many to sum over.
        """
        if not np.all(np.mod(drawn, 1) == 0):
            return None
        last = float(self._query.quantile(self.outcome, 1 - RARE))
        if not last < MOST_VALUES:
            raise ValueError(
                f"outcome {self.outcome}: its predicted counts reach {last:.3g}, more than the {MOST_VALUES:,} values "
                "that distances are summed over; measure it in a larger unit"
            )
        return np.arange(0.0, 1.0 + last)
