"""What an effect is on: the mean of a variable, or the probability of one of its values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from estimators.checks import did_you_mean
from estimators.contract import Predictive
from estimators.queries.estimate import Estimate
from estimators.queries.query import Query, number_of_value


@dataclass(frozen=True)
class Outcome:
    """A variable, and an ``event``, one of its values, where its probability is meant and not the mean."""

    name: str
    event: Any = None

    def check(self, predictive: Predictive, of: str, seen: Sequence[str] = ()) -> None:
        """Raise a ValueError where the effect of a variable on it, given others, cannot be asked for."""
        variables = list(predictive.variables)
        for name in (self.name, of, *seen):
            if name not in variables:
                raise ValueError(
                    f"effect: expected a variable among {variables}, got {name!r}{did_you_mean(name, variables)}"
                )
        if self.name == of:
            raise ValueError(f"effect: expected two variables, got {of!r} as outcome and as cause")
        if predictive.variables[self.name].num_columns is not None:
            raise ValueError(f"effect: {self.name} is a column of vectors, whose means fit.contrast compares")

    def asked_of(self, query: Query) -> Estimate:
        """It in the situation of a query."""
        if self.event is None:
            return query.mean(self.name)
        return query.probability(self.name, number_of_value(query, "event", self.name, self.event))
