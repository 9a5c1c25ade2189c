"""Modes as a fit keeps them: numbers alone, by which another estimator may go on, and a person may compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from estimators.optimise.arrays import Array
from estimators.parameters.symmetry import permute

# A mode of this share of the posterior, or of the likelihood (4.6 nats below the best), counts. Two modes of one law
# fit rows by chance: the right one is often more than the 1.92 nats below at which a point is excluded at .95.
SHARE = 0.01


@dataclass(frozen=True, eq=False)
class Modes:
    """M modes within reach of the best, that one first.

    ``greeks`` [M, *shape]; ``values`` [M] of the log-likelihood or log joint; ``weights`` [M], shares of the posterior
    (by Laplace), or of the likelihood; ``hits`` [M], the starts that ended there; ``ends`` what is at an end of its
    support, and ``opens`` what of the Greeks the rows leave open there, in words. ``chance`` is the Good-Turing
    estimate that another random start ends at a mode that is not here.
    """

    greeks: Mapping[str, Tensor]
    values: Array
    weights: Array
    hits: Array
    ends: tuple[str, ...]
    opens: tuple[str, ...]
    num_starts: int
    chance: float
    is_settled: bool
    is_many: bool

    def __len__(self) -> int:
        return len(self.values)

    @property
    def rivals(self) -> list[int]:
        """The modes beside the first that count."""
        return [number for number in range(1, len(self)) if self.weights[number] >= SHARE]

    @property
    def numbers(self) -> dict[str, Array]:
        """What there is one of for each mode, as arrays."""
        return {"values": self.values, "weights": self.weights, "hits": self.hits}

    @property
    def words(self) -> dict[str, Any]:
        """The rest, as JSON holds it."""
        names = ("num_starts", "chance", "is_settled", "is_many")
        return {"ends": list(self.ends), "opens": list(self.opens), **{name: getattr(self, name) for name in names}}

    def ordered(self, order: Sequence[int]) -> "Modes":
        """The same modes in another order."""
        places = list(order)
        return replace(
            self,
            greeks={name: value[places] for name, value in self.greeks.items()},
            values=self.values[places],
            weights=self.weights[places],
            hits=self.hits[places],
            ends=tuple(self.ends[place] for place in places),
            opens=tuple(self.opens[place] for place in places),
        )

    def renamed(self, axes: Mapping[str, Sequence[int]], order: Sequence[int]) -> "Modes":
        """The same where component k is renamed to what ``order[k]`` was, in every mode."""
        return replace(self, greeks=permute(dict(self.greeks), axes, np.tile(order, (len(self), 1))))
