"""The law of one row as a fit has it: densities of its variables, class by class and draw by draw.

``p(x) = Σ_k p(Z = k) p(x | Z = k)``: each class's part is drawn at its share, so that the parts sum to the whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from estimators.contract import Answer, Predictive, Variable
from estimators.isolation import isolated
from estimators.optimise.arrays import Array
from estimators.plots.fitted import Fitted
from estimators.queries.estimate import Estimate
from estimators.queries.query import Query
from estimators.queries.source import Source

# Draws by which densities are drawn: their mean is within a sixth of a posterior standard deviation of that of all.
MOST_DRAWS = 40
LEVEL = 0.9


@dataclass(frozen=True, eq=False)
class Curves:
    """Densities, or probabilities, at points [P]: ``whole`` [P], what classes add to it [K, P], ``band`` [2, P]."""

    whole: Array
    parts: Array
    band: Array | None


@dataclass(frozen=True, eq=False)
class RowLaw:
    """The law of a new row, nothing set and nothing seen; ``site`` is the hidden site whose classes are shown."""

    query: Query
    draws: Mapping[str, torch.Tensor]
    site: str | None

    @staticmethod
    def of(fit: Fitted, query: Query, site: str | None = None) -> "RowLaw":
        """Of a fit; where it has several hidden sites, classes are of the one that is named, if any is."""
        hidden = list(query.predictive.hidden)
        if site is not None and site not in hidden:
            raise ValueError(f"site: expected a hidden site among {hidden}, got {site!r}")
        return RowLaw(query, fit.draws, hidden[0] if site is None and len(hidden) == 1 else site)

    def thinned(self, most_draws: int = MOST_DRAWS) -> "RowLaw":
        """The law by evenly spaced draws of all: a density is summed over the covariates of all rows at every point."""
        if self.num_draws <= most_draws:
            return self
        return self._at(torch.from_numpy(np.linspace(0, self.num_draws - 1, most_draws).round().astype(int)))

    @cached_property
    def modes(self) -> list[tuple[float, torch.Tensor]]:
        """The share of the draws that each mode has, and which [M] these are, the heaviest first."""
        every = Estimate(_numbers(self.draws).values, source=Source(_numbers, self.query.origin))
        return [(share, part.draws) for share, part in every.by_mode]

    @cached_property
    def heaviest(self) -> "RowLaw":
        """The law in the heaviest mode: what a class is differs between modes."""
        return self._at(self.modes[0][1]) if len(self.modes) > 1 else self

    def about(self, draws: Mapping[str, torch.Tensor], modes: torch.Tensor | None = None) -> "RowLaw":
        """The law at other draws, of which it may be known which modes [S] they are of."""
        origin = replace(self.query.origin, mode_of_draw=modes)
        return RowLaw(replace(self.query, predictive=self.query.anew(draws), origin=origin), draws, self.site)

    def _at(self, chosen: torch.Tensor) -> "RowLaw":
        modes = self.query.origin.mode_of_draw
        draws = {name: value[chosen] for name, value in self.draws.items()}
        return self.about(draws, None if modes is None or len(modes) != self.num_draws else modes[chosen])

    @property
    def num_draws(self) -> int:
        """S, the number of draws."""
        return self.query.predictive.num_draws

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
        """The law in a class."""
        return self.query.predictive.given({self.site or "": k})

    @cached_property
    def by_draw(self) -> list[Predictive]:
        """The law under each draw."""
        each = zip(*(value.split(1) for value in self.draws.values()), strict=True)
        return [self.query.anew(dict(zip(self.draws, draw, strict=True))) for draw in each]

    @cached_property
    def shares(self) -> Array:
        """p(Z = k) of each draw [S, K]."""
        if self.site is None:
            return np.ones((len(self.by_draw), 0))
        levels = torch.arange(self.num_classes, dtype=torch.float64)
        return np.array([_densities(law, self.site, levels) for law in self.by_draw])

    def densities_within(self, k: int, name: str, points: torch.Tensor) -> Array:
        """The density in a class at points [P], or [P, D], under each draw [S, P]."""
        return np.array([_densities(law.given({self.site or "": k}), name, points) for law in self.by_draw])

    def curves(self, name: str, points: torch.Tensor) -> Curves:
        """The density of a variable at points [P], or [P, D]."""
        wholes = np.array([_densities(law, name, points) for law in self.by_draw])
        band = np.quantile(wholes, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0) if len(wholes) > 1 else None
        return Curves(wholes.mean(0), self.heaviest.parts(name, points).mean(0), band)

    def parts(self, name: str, points: torch.Tensor) -> Array:
        """What each class adds to the density under each draw [S, K, P]."""
        parts = np.zeros((len(self.by_draw), self.num_classes, len(points)))
        for s, shares in enumerate(self.shares):
            for k, share in enumerate(shares):
                # A class without any rows has no law given that one is seen in it.
                if share > 0.0:
                    parts[s, k] = share * _densities(self.by_draw[s].given({self.site or "": k}), name, points)
        return parts


def _densities(predictive: Predictive, name: str, points: torch.Tensor) -> Array:
    return np.asarray(np.exp(predictive.log_density(name, points).values.numpy()))


def _numbers(draws: Mapping[str, torch.Tensor]) -> Answer:
    """The number of each draw."""
    return Answer(torch.arange(len(next(iter(draws.values())))))
