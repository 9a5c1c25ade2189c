"""The law of one row as a fit has it: densities of its variables, class by class and draw by draw.

``p(x) = Σ_k p(Z = k) p(x | Z = k)``: each class's part is drawn at its share, so that the parts sum to the whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from estimators.contract import Predictive, Variable
from estimators.isolation import isolated
from estimators.optimise.arrays import Array
from estimators.plots.fitted import Fitted
from estimators.queries.query import Query

# Draws by which bands and the parts of classes are drawn: evenly spaced ones of all.
MOST_DRAWS = 40
LEVEL = 0.9


@dataclass(frozen=True, eq=False)
class Curves:
    """Densities, or probabilities, at points [P]: ``whole`` [P] over all draws, ``parts`` [K, P], ``band`` [2, P]."""

    whole: Array
    parts: Array
    band: Array | None


@dataclass(frozen=True, eq=False)
class RowLaw:
    """The law of a new row, nothing set and nothing seen; ``site`` is the hidden site whose classes are shown."""

    query: Query
    draws: Mapping[str, torch.Tensor]
    site: str | None
    most_draws: int

    @staticmethod
    def of(fit: Fitted, query: Query, site: str | None = None, most_draws: int = MOST_DRAWS) -> "RowLaw":
        """Of a fit; where it has several hidden sites, classes are of the one that is named, if any is."""
        hidden = list(query.predictive.hidden)
        if site is not None and site not in hidden:
            raise ValueError(f"site: expected a hidden site among {hidden}, got {site!r}")
        return RowLaw(query, fit.draws, hidden[0] if site is None and len(hidden) == 1 else site, most_draws)

    @cached_property
    def variables(self) -> dict[str, Variable]:
        """The observed variables that have a law."""
        found = self.query.predictive.variables
        return {name: one for name, one in found.items() if one.has_law and name not in self.query.predictive.hidden}

    def check_names(self, call: str, names: str | Sequence[str] | None) -> list[str]:
        """The variables that were asked for, or all; ValueError for one that the model does not have."""
        if names is None:
            return list(self.variables)
        asked = [names] if isinstance(names, str) else list(names)
        unknown = [name for name in asked if name not in self.variables]
        if unknown or not asked:
            got = repr(unknown[0]) if unknown else "none"
            raise ValueError(f"{call}: expected variables among {list(self.variables)}, got {got}")
        return asked

    @property
    def num_classes(self) -> int:
        """K; 0 where it is not said of which hidden site."""
        levels = None if self.site is None else self.query.predictive.levels(self.site)
        return 0 if levels is None else len(levels)

    @property
    def class_names(self) -> list[str]:
        """What classes are called: ``Z = 0``, or by the names of labels."""
        return [] if self.site is None else [f"{self.site} = {name}" for name in self.level_names(self.site)]

    def level_names(self, name: str) -> list[str]:
        """What the values of a discrete variable are called."""
        levels = self.query.predictive.levels(name)
        numbers = [] if levels is None else [f"{level:g}" for level in levels.tolist()]
        return [str(word) for word in self.query.labels.by_variable.get(name, numbers)]

    @property
    def hidden(self) -> list[str]:
        """The hidden sites."""
        return list(self.query.predictive.hidden)

    @property
    def caution(self) -> str:
        """What a legend says above the classes, where labels may not be relied on."""
        return "" if not self.query.labels.doubts or self.num_classes < 2 else "Labels are uncertain: see fit.advice"

    def sample(self, name: str, k: int | None, num_rows: int) -> Array:
        """Values [N, ...] of a variable, of everyone or in a class, by the same random numbers every time."""
        law = self.query.predictive if k is None else self.within(k)
        with isolated(0):
            return np.asarray(law.sample(num_rows)[name].double().numpy())

    def within(self, k: int) -> Predictive:
        """The law in a class, under every draw."""
        return self.query.predictive.given({self.site or "": k})

    def log_densities_within(self, k: int, name: str, points: torch.Tensor) -> Array:
        """The logarithm of a density in a class, under each of the thinned draws [S, P]."""
        laws = (self.query.anew(draw).given({self.site or "": k}) for draw in self.thinned)
        return np.array([law.log_density(name, points).values.numpy() for law in laws])

    @cached_property
    def thinned(self) -> list[dict[str, torch.Tensor]]:
        """Some draws of the Greeks, one at a time."""
        total = len(next(iter(self.draws.values())))
        chosen = np.linspace(0, total - 1, min(total, self.most_draws)).round().astype(int)
        return [{name: value[s : s + 1] for name, value in self.draws.items()} for s in chosen.tolist()]

    @cached_property
    def shares(self) -> Array:
        """p(Z = k) of each of the thinned draws [S, K]."""
        if self.site is None:
            return np.ones((len(self.thinned), 0))
        levels = torch.arange(self.num_classes, dtype=torch.float64)
        return np.array([_densities(self.query.anew(draw), self.site, levels) for draw in self.thinned])

    def curves(self, name: str, points: torch.Tensor) -> Curves:
        """The density of a variable at points [P], or [P, D]."""
        whole = _densities(self.query.predictive, name, points)
        parts = np.array([self._parts(number, name, points) for number in range(len(self.thinned))])
        sums = (
            parts.sum(1)
            if self.num_classes
            else np.array([_densities(self.query.anew(draw), name, points) for draw in self.thinned])
        )
        band = np.quantile(sums, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0) if len(sums) > 1 else None
        return Curves(whole, parts.mean(0), band)

    def _parts(self, number: int, name: str, points: torch.Tensor) -> Array:
        """What each class adds to the density under one draw [K, P]."""
        predictive, shares = self.query.anew(self.thinned[number]), self.shares[number]
        parts = np.zeros((self.num_classes, len(points)))
        for k in range(self.num_classes):
            # A class without any rows has no law given that one is seen in it.
            if shares[k] > 0.0 and self.site is not None:
                parts[k] = shares[k] * _densities(predictive.given({self.site: k}), name, points)
        return parts


def _densities(predictive: Predictive, name: str, points: torch.Tensor) -> Array:
    return np.asarray(np.exp(predictive.log_density(name, points).values.numpy()))
