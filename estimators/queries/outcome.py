"""What an effect is on: the mean of a variable, or the probability of one of its values."""

from dataclasses import dataclass
from typing import Any

from estimators.queries.estimate import Estimate
from estimators.queries.query import Query


@dataclass(frozen=True)
class Outcome:
    """A variable, and an ``event``, one of its values, where its probability is meant and not the mean."""

    name: str
    event: Any = None

    def under(self, query: Query) -> Estimate:
        """It in the situation of a query."""
        return query.mean(self.name) if self.event is None else query.probability(self.name, self.event)
