"""What an effect is on: the mean of a variable, or the probability of one of its values."""

from dataclasses import dataclass
from typing import Any

from estimators.queries.estimate import Estimate
from estimators.queries.query import Query, number_of_value


@dataclass(frozen=True)
class Outcome:
    """A variable, and an ``event``, one of its values, where its probability is meant and not the mean."""

    name: str
    event: Any = None

    def asked_of(self, query: Query) -> Estimate:
        """It in the situation of a query."""
        if self.event is None:
            return query.mean(self.name)
        return query.probability(self.name, number_of_value(query, "event", self.name, self.event))
