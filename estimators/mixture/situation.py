"""A mixture with some variables set and some seen, for draws of its Greeks: what is left of its factorisation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from estimators.data.data import LATENT
from estimators.estep.marginal import num_sets
from estimators.mechanisms.protocol import Turn
from estimators.mixture.covariates import CovariateRows
from estimators.mixture.graph import causes
from estimators.mixture.program import MixtureProgram
from estimators.parameters.laws import is_finite, is_integer, levels

Setting = Tensor | TorchDistributionMixin


@dataclass(frozen=True, eq=False)
class Situation:
    """A model with some variables set and some seen, for draws of its Greeks.

    ``settings`` hold values [S | 1, M | 1, 1] (with D more for a column of vectors) or a distribution, ``seen`` values;
    what is set keeps nothing of its mechanism, what is seen informs about everything above it. ``nodes`` are values
    [S | 1, M | 1, C] of variables that are summed over elsewhere: nothing here weighs them by their own law.
    """

    model: MixtureProgram
    draws: Mapping[str, Tensor]
    settings: Mapping[str, Setting]
    seen: Mapping[str, Tensor]
    nodes: Mapping[str, Tensor] = field(default_factory=dict)
    # Those over which answers are averages, of covariates that are not set.
    covariate_rows: CovariateRows | None = None
    # The law of Z given earlier rows of its unit, log p(Z = k) as [S, M | 1, K], in place of that given its causes.
    log_latent: Tensor | None = None

    @property
    def num_draws(self) -> int:
        """S, the number of draws of the Greeks."""
        return num_sets(self.draws)

    @cached_property
    def values(self) -> dict[str, Tensor]:
        """What is set to values."""
        return {name: value for name, value in self.settings.items() if isinstance(value, Tensor)}

    @cached_property
    def laws(self) -> dict[str, Any]:
        """What is set at random."""
        return {name: law for name, law in self.settings.items() if name not in self.values}

    @property
    def num_rows(self) -> int:
        """M, the number of rows of settings."""
        by_row = [*self.values.values(), *self.seen.values(), *([] if self.log_latent is None else [self.log_latent])]
        return max([value.shape[1] for value in by_row], default=1)

    def repeated(self, times: int) -> "Situation":
        """Every row as often as said, one after the other."""

        def repeat(value: Tensor) -> Tensor:
            return value.repeat_interleave(times, 1) if value.shape[1] > 1 else value

        values, seen = ({n: repeat(v) for n, v in some.items()} for some in (self.values, self.seen))
        latent = None if self.log_latent is None else repeat(self.log_latent)
        return replace(self, settings={**self.laws, **values}, seen=seen, log_latent=latent)

    def at_draws(self, which: Tensor) -> "Situation":
        """The same at some draws of the Greeks."""
        latent = None if self.log_latent is None else self.log_latent[which]
        return replace(self, draws={name: value[which] for name, value in self.draws.items()}, log_latent=latent)

    @cached_property
    def edges(self) -> dict[str, list[str]]:
        """Direct causes of every variable, none of one that is set."""
        edges = causes(self.model.mechanisms, self.model.latent_parents)
        known = {*self.settings, *([] if self.log_latent is None else [LATENT])}
        return {name: [] if name in known else direct for name, direct in edges.items()}

    def above(self, names: Sequence[str]) -> list[str]:
        """The variables that these depend on, themselves included, in causal order, but for those with a set value."""
        ancestors = set(names)
        for name in reversed(self.model.order):
            if name in ancestors:
                ancestors.update(self.edges[name])
        free = self._free_covariates
        return [name for name in self.model.order if name in ancestors and name not in self.values and name not in free]

    @cached_property
    def _free_covariates(self) -> set[str]:
        return set(self.model.covariates) - set(self.settings)

    def averaged(self, names: Sequence[str]) -> CovariateRows | None:
        """The rows of covariates that are summed over where one that is not set is a cause of these, else None."""
        causes = {cause for name in names for cause in self.edges[name] if cause in self._free_covariates}
        if causes and self.covariate_rows is None:
            raise ValueError(
                f"{sorted(causes)[0]} is a covariate, and there are no rows to average over (those of a fit to data; "
                f"the next row of a unit has none): give its value, do({sorted(causes)[0]}=...)"
            )
        return self.covariate_rows if causes else None

    @property
    def num_averaged(self) -> int:
        """How many rows of covariates may be summed over."""
        return 1 if self.covariate_rows is None else len(self.covariate_rows.log_shares)

    def is_cause(self, name: str, names: Sequence[str]) -> bool:
        """Whether one of the variables has this one among its direct causes."""
        return any(name in self.edges[other] for other in names)

    @cached_property
    def joints(self) -> dict[Any, Any]:
        """Joint distributions in closed form by their variables and what is averaged, of the questions asked so far."""
        return {}

    # ---------------------------------------------------------------- one variable

    def levels(self, name: str) -> Tensor | None:
        """The values that a variable can have, where they are finitely many."""
        law = self.laws.get(name)
        if law is not None:
            return levels(law) if is_finite(law) else None
        num_levels = self.model.row_variables[name].num_levels
        return None if num_levels is None else torch.arange(num_levels, dtype=torch.float64)

    def is_integer_valued(self, name: str) -> bool:
        """Whether the values of a variable are whole numbers."""
        law = self.laws.get(name)
        if law is not None:
            return is_integer(law)
        if self.levels(name) is not None:
            return True
        zeros = dict.fromkeys((LATENT, *self.model.nodes[name].parents), torch.zeros(1, 1, 1, dtype=torch.float64))
        return is_integer(self.distribution(name, zeros))

    def has_table(self, name: str) -> bool:
        """Whether the law of a variable that is not set has its masses in a table, rather than as those of a line."""
        if name == LATENT:
            return self.log_latent is not None or self.model.weights.has_table
        return self.levels(name) is not None and not self.model.mechanisms[name].is_regression

    def log_masses(self, name: str) -> Tensor:
        """log p of every level [S, cells, L] of a variable that has a table."""
        if name == LATENT:
            if self.log_latent is not None:
                return self.log_latent
            return self.model.weights.log_masses(self.draws)
        node = self.model.nodes[name]
        return all_draws(node.mechanism.log_masses(node.local(self.draws)), self.num_draws, 2)  # type: ignore[attr-defined]

    def cell(self, name: str, values: Mapping[str, Tensor]) -> Tensor:
        """The cell of a variable's table that its causes are in, [S | 1, M | 1, C | 1]."""
        if name == LATENT and self.log_latent is not None:
            return torch.arange(self.log_latent.shape[1]).reshape(1, -1, 1)
        if name == LATENT:
            cell = self.model.weights.level(values)
        else:
            node = self.model.nodes[name]
            cell = node.level(values)
            if node.is_effect:
                cell = values[LATENT].long() * node.num_levels + cell
        cell = torch.as_tensor(cell).long()
        return cell.reshape(1, 1, 1) if cell.ndim < 3 else cell

    def distribution(self, name: str, values: Mapping[str, Tensor]) -> Any:
        """p(name | configuration) with batch shape [S, M, C]."""
        if name in self.laws:
            return self.laws[name]
        if name == LATENT:
            return self.model.weights.distribution(self._by_row(self.draws), values)
        return self.model.nodes[name].mechanism.distribution(*self._given(name, values))

    def turning(self, name: str, values: Mapping[str, Tensor], value: Tensor | None) -> Sequence[Turn]:
        """Where a regression's density of a value turns in its predictor, [S, M, C]."""
        if name == LATENT:
            return self.model.weights.turning(self._by_row(self.draws), values)
        return self.model.nodes[name].mechanism.turning(*self._given(name, values), value)

    @staticmethod
    def _by_row(greeks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Greeks [S, ...] as [S, 1, 1, ...]."""
        return {name: value[:, None, None] for name, value in greeks.items()}

    def _given(self, name: str, values: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """What a mechanism's law is given: its Greeks, the cell, and its inputs."""
        node = self.model.nodes[name]
        local = self._by_row(node.local(self.draws))
        return local, self.cell(name, values), node.design.tensor(values)


def all_draws(value: Tensor, num_draws: int, num_axes: int) -> Tensor:
    """[S, cells, ...] of a Greek, or of known values, [(S,) (cells,) ...] with so many axes beside that of draws."""
    if value.ndim < num_axes:
        value = value.reshape(*[1] * (num_axes - value.ndim), *value.shape)
    return value if value.ndim > num_axes else value.expand(num_draws, *value.shape)


def pick(value: Tensor, cell: Tensor) -> Tensor:
    """Values [S, cells, ...] at cells [S | 1, M | 1, C | 1], as [S, M, C, ...]."""
    if value.shape[1] == 1:
        return value[:, None].expand(len(value), 1, 1, *value.shape[2:])
    return value[torch.arange(len(value))[:, None, None], cell]


def event_dim_of(model: MixtureProgram, name: str) -> int:
    """How many axes one value of a variable has: 1 of a vector, else 0."""
    return 0 if model.row_variables[name].num_columns is None else 1


def is_per_row(model: MixtureProgram, name: str, value: Setting) -> bool:
    """Whether a variable is set or seen to one value per row."""
    return isinstance(value, Tensor) and value.ndim > event_dim_of(model, name)


def along(value: Tensor, event_dim: int, axis: int) -> Tensor:
    """A value as [1, 1, 1, ...], or values per row along an axis of [S, M, C, ...], beside the axes of an event."""
    if value.ndim == event_dim:
        return value.reshape(1, 1, 1, *value.shape)
    shape = [1, 1, 1]
    shape[axis] = len(value)
    return value.reshape(*shape, *value.shape[1:])
