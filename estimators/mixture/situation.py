"""A mixture with some variables set and some seen, for draws of its Greeks: what is left of its factorisation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from estimators.data.data import LATENT
from estimators.estep.inputs import tensor_inputs
from estimators.estep.variable import Node
from estimators.estep.weights import WEIGHTS
from estimators.mixture.graph import causes
from estimators.mixture.program import MixtureProgram
from estimators.parameters.laws import is_integer

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

    @property
    def num_draws(self) -> int:
        """S."""
        return len(self.draws[WEIGHTS])

    @property
    def num_rows(self) -> int:
        """M."""
        given: list[Tensor] = [v for v in (*self.settings.values(), *self.seen.values()) if isinstance(v, Tensor)]
        return max([value.shape[1] for value in given], default=1)

    def repeated(self, times: int) -> "Situation":
        """Every row as often as said, one after the other."""

        def repeat(value: Tensor) -> Tensor:
            return value.repeat_interleave(times, 1) if value.shape[1] > 1 else value

        settings = {n: repeat(value) if isinstance(value, Tensor) else value for n, value in self.settings.items()}
        return replace(self, settings=settings, seen={name: repeat(value) for name, value in self.seen.items()})

    @cached_property
    def edges(self) -> dict[str, list[str]]:
        """Direct causes of every variable, none of one that is set."""
        found = causes(self.model.mechanisms, self.model.latent_parents)
        return {name: [] if name in self.settings else direct for name, direct in found.items()}

    def above(self, names: Sequence[str]) -> list[str]:
        """The variables that these depend on, themselves included, in causal order, but for those with a set value."""
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self.edges[name]
        fixed = {name for name, value in self.settings.items() if isinstance(value, Tensor)}
        return [name for name in self.order if name in found - fixed]

    @cached_property
    def order(self) -> list[str]:
        """Every variable, Z included, causes first."""
        above = [name for name, node in self.model.nodes.items() if not node.is_below]
        return [*above, LATENT, *(name for name, node in self.model.nodes.items() if node.is_below)]

    def is_cause(self, name: str, names: Sequence[str]) -> bool:
        """Whether one of the variables has this one among its direct causes."""
        return any(name in self.edges[other] for other in names)

    # ---------------------------------------------------------------- one variable

    def node(self, name: str) -> Node:
        """A variable's place in the model."""
        return self.model.nodes[name]

    def is_integer_valued(self, name: str) -> bool:
        """Whether the values of a variable are whole numbers."""
        given = self.settings.get(name)
        if given is not None:
            return not isinstance(given, Tensor) and is_integer(given)
        if name == LATENT or self.node(name).mechanism.num_levels is not None:
            return True
        nothing = {cause: torch.zeros(1, 1, 1, dtype=torch.float64) for cause in (LATENT, *self.node(name).parents)}
        return is_integer(self.distribution(name, nothing))

    def log_masses(self, name: str) -> Tensor:
        """log p of every level [S, cells, L] of a discrete variable with finitely many levels."""
        if name == LATENT:
            theta = self.draws[WEIGHTS]
            return theta.reshape(self.num_draws, -1, theta.shape[-1]).log()
        node = self.node(name)
        return all_draws(node.mechanism.log_masses(node.local(self.draws)), self.num_draws, 2)  # type: ignore[attr-defined]

    def cell(self, name: str, values: Mapping[str, Tensor]) -> Tensor:
        """Which cell of a variable's table is meant, [S | 1, M | 1, C | 1]."""
        if name == LATENT:
            level = self.model.weights.level(values)
            return torch.as_tensor(level).long().reshape(1, 1, 1) if isinstance(level, int) else level
        node = self.node(name)
        level = node.level(values)
        found = values[LATENT].long() * node.num_levels + level if node.is_below else torch.as_tensor(level).long()
        return found.reshape(1, 1, 1) if found.ndim < 3 else found

    def distribution(self, name: str, values: Mapping[str, Tensor]) -> Any:
        """p(name | configuration) with batch shape [S, M, C]."""
        given = self.settings.get(name)
        if given is not None and not isinstance(given, Tensor):
            return given
        if name == LATENT:
            return dist.Categorical(pick(self.log_masses(name), self.cell(name, values)).exp())
        node = self.node(name)
        local = {symbol: value[:, None, None] for symbol, value in node.local(self.draws).items()}
        return node.mechanism.distribution(
            local, self.cell(name, values), tensor_inputs(node.parents, node.widths, values)
        )


def all_draws(value: Tensor, num_draws: int, own: int) -> Tensor:
    """[S, cells, ...] of a Greek's, or known, values [(S,) (cells,) ...] whose last `own` axes are its own."""
    if value.ndim < own:
        value = value.reshape(*[1] * (own - value.ndim), *value.shape)
    return value if value.ndim > own else value.expand(num_draws, *value.shape)


def pick(value: Tensor, cell: Tensor) -> Tensor:
    """Values [S, cells, ...] at cells [S | 1, M | 1, C | 1], as [S, M, C, ...]."""
    if value.shape[1] == 1:
        return value[:, None].expand(len(value), 1, 1, *value.shape[2:])
    return value[torch.arange(len(value))[:, None, None], cell]


def along(value: Tensor, own: int, axis: int) -> Tensor:
    """A value as [1, 1, 1, ...], or values per row along an axis of [S, M, C, ...], beside `own` axes of their own."""
    if value.ndim == own:
        return value.reshape(1, 1, 1, *value.shape)
    shape = [1, 1, 1]
    shape[axis] = len(value)
    return value.reshape(*shape, *value.shape[1:])
