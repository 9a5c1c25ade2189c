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
SENTENCES = ("ends", "opens", "left_to_priors")


@dataclass(frozen=True, eq=False)
class Modes:
    """M modes within reach of the best, that one first.

    ``greeks`` [M, *shape]; ``values`` [M] of the log-likelihood or log joint; ``weights`` [M], shares of the posterior
    (by Laplace), or of the likelihood; ``hits`` [M], the starts that ended there. In words, ``ends`` what is at an end
    of its support there, ``opens`` what of the Greeks the rows leave open, and ``left_to_priors`` what of them priors
    answer. ``chance`` is the Good-Turing estimate that another random start ends at a mode that is not here.
    """

    greeks: Mapping[str, Tensor]
    values: Array
    weights: Array
    hits: Array
    ends: tuple[str, ...]
    opens: tuple[str, ...]
    left_to_priors: tuple[str, ...]
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
    def open_in_words(self) -> tuple[str, ...]:
        """What the rows leave open at each mode, whether priors answer it or nothing does."""
        both = zip(self.opens, self.left_to_priors, strict=True)
        return tuple("; ".join(words for words in of_mode if words) for of_mode in both)

    @property
    def are_open(self) -> tuple[bool, ...]:
        """At which modes the rows leave Greeks open."""
        return tuple(bool(words) for words in self.open_in_words)

    @property
    def sentences(self) -> dict[str, tuple[str, ...]]:
        """What is said of each mode in words, which name entries of the Greeks."""
        return {name: getattr(self, name) for name in SENTENCES}

    def saying(self, sentences: Mapping[str, Sequence[str]]) -> "Modes":
        """The same modes, of which other words are said."""
        return replace(self, **{name: tuple(said) for name, said in sentences.items()})  # type: ignore[arg-type]

    @property
    def numbers(self) -> dict[str, Array]:
        """What there is one of for each mode, as arrays."""
        return {"values": self.values, "weights": self.weights, "hits": self.hits}

    @property
    def words(self) -> dict[str, Any]:
        """The rest, as JSON holds it."""
        names = ("num_starts", "chance", "is_settled", "is_many")
        listed = {name: list(sentences) for name, sentences in self.sentences.items()}
        return {**listed, **{name: getattr(self, name) for name in names}}

    def ordered(self, order: Sequence[int]) -> "Modes":
        """The same modes in another order."""
        places = list(order)
        modes = replace(
            self,
            greeks={name: value[places] for name, value in self.greeks.items()},
            values=self.values[places],
            weights=self.weights[places],
            hits=self.hits[places],
        )
        return modes.saying({name: [said[place] for place in places] for name, said in self.sentences.items()})

    def renamed(self, axes: Mapping[str, Sequence[int]], order: Sequence[int]) -> "Modes":
        """The same where component k is renamed to what ``order[k]`` was, in every mode."""
        return replace(self, greeks=permute(dict(self.greeks), axes, np.tile(order, (len(self), 1))))
