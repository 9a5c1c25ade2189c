"""A variable in its place in a causal mixture: its mechanism, the table of its cells, and the names of its Greeks.

A node turns the model's Greeks (``mu_X`` [K, levels of the parents...]) into what a mechanism is written for (``mu``
[cells]) and back, and says which row of its table each row's parents are in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from estimators.data.levels import Levels
from estimators.estep.design import Design
from estimators.estep.variable_greeks import Place, VariableGreeks
from estimators.mechanisms.protocol import INTERCEPT, Equation, JointlyGaussian, Mechanism, Reference, variables_of
from estimators.optimise.arrays import Array, Mask
from estimators.parameters.parameter import NamedAxes, Parameter


@dataclass(frozen=True, eq=False)
class Node:
    """A variable of the model: ``levels`` are those of each parent in its table, ``design`` a regression's inputs.

    A variable that is no effect of Z has one cell for all components.
    """

    name: str
    mechanism: Mechanism
    K: int
    is_effect: bool
    levels: tuple[int, ...]
    design: Design
    greeks: VariableGreeks = field(init=False)

    def __post_init__(self) -> None:
        table = (self.K, *self.levels) if self.is_effect else self.levels
        parameters = self.mechanism.parameters(table, self.num_inputs)
        place = Place(self.name, table, self.is_effect, self.shared_coefficients)
        object.__setattr__(self, "greeks", VariableGreeks(place, parameters, self.mechanism))

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The Greeks."""
        return tuple(parameter for block in self.greeks.blocks for parameter in block.parameters)

    @cached_property
    def shared_coefficients(self) -> Mask:
        """Which coefficients [1 + P] of a regression classes share."""
        terms = (INTERCEPT, *self.design.terms)[: 1 + self.num_inputs - (self.mechanism.exposure is not None)]
        return np.array([self.is_effect and term in self.mechanism.shared_terms for term in terms])

    @property
    def parents(self) -> tuple[str, ...]:
        """The observed causes."""
        return variables_of(self.mechanism.parents)

    @cached_property
    def num_levels(self) -> int:
        """Rows of the table, for each component."""
        return prod(self.levels)

    @cached_property
    def num_inputs(self) -> int:
        """P, the numbers that a regression's parents enter as."""
        return self.design.size

    @property
    def num_cells(self) -> int:
        """Rows of the table, of all components together."""
        return self.num_levels * (self.K if self.is_effect else 1)

    # ---------------------------------------------------------------- rows

    def level(self, columns: Mapping[str, Any]) -> Any:
        """The row of the table that each row's parents are in: a whole number (or an array or tensor of them)."""
        return level_of_table(self.parents if self.levels else (), self.levels, columns)

    def inputs(self, columns: Mapping[str, Array]) -> Array:
        """A regression's parents as numbers [N, P]."""
        return self.design.array(columns)

    # ---------------------------------------------------------------- Greeks

    def local(self, greeks: Mapping[str, Any]) -> dict[str, Any]:
        """The mechanism's Greeks under their symbols, flat over cells: ``{'mu': greeks['mu_X']}``."""
        return self.greeks.local(greeks)

    def named_axes(self, levels: Levels) -> NamedAxes:
        """Those over levels, of the parents in its table and its own, and over coefficients of its line."""
        line = (INTERCEPT, *self.design.names(levels)[: len(self.shared_coefficients) - 1])
        return self.greeks.named_axes(self.parents if self.levels else (), line, levels)

    def by_component(self, cells: Array) -> Array:
        """[..., cells, F'] as [..., K, F]."""
        if self.is_effect and not self.levels and cells.ndim > 1 and cells.shape[-2] == self.K:
            return cells
        if cells.ndim < 2 or cells.shape[-2] != self.num_cells:
            # Known numbers serve all cells.
            cells = np.broadcast_to(
                cells if cells.ndim > 1 else cells[None], (*cells.shape[:-2], self.num_cells, cells.shape[-1])
            )
        if self.is_effect and not self.levels:
            return cells
        rows = cells.reshape(*cells.shape[:-2], self.K if self.is_effect else 1, -1)
        return rows if self.is_effect else np.broadcast_to(rows, (*rows.shape[:-2], self.K, rows.shape[-1]))

    def by_cell(self, sums: Array) -> Array:
        """Statistics [..., K, F] as [..., cells, F']."""
        if self.is_effect and not self.levels:
            return sums
        rows = sums if self.is_effect else sums.sum(-2, keepdims=True)
        return rows.reshape(*rows.shape[:-2], -1, rows.shape[-1] // self.num_levels)

    def cells(self, level: NDArray[np.intp]) -> NDArray[np.intp]:
        """The cells [K, N] of some rows of the table [N] in each component."""
        first = np.arange(self.K) * (self.num_levels if self.is_effect else 0)
        return np.asarray(first[:, None] + level)

    def cells_of_sets(self, level: NDArray[np.intp], count: int) -> NDArray[np.intp]:
        """The same of S parameter sets [S, K, N], whose cells stand one after the other."""
        return np.arange(count)[:, None, None] * self.num_cells + self.cells(level)

    def equation(self, greeks: Mapping[str, Array], cells: NDArray[np.intp], count: int) -> Equation:
        """A Gaussian mechanism's equation at some cells [K, N] at S parameter sets, as arrays [S K, N, ...]."""
        parts = cast(JointlyGaussian, self.mechanism).equation(self.local(greeks), self.num_inputs)
        entries = zip(parts, (1, 2, 2), strict=True)
        return Equation(*(_of_sets(part, part.ndim - 1 - entry, cells, count) for part, entry in entries))

    def forms(
        self, equation: Equation, inputs: Array, noise: Array, reference: Reference, cells: NDArray[np.intp]
    ) -> Array:
        """What its features at some cells [..., N] are products of, [..., N, Q, M]."""
        return cast(JointlyGaussian, self.mechanism).forms(equation, inputs, noise, reference.of_cells(cells))

    @cached_property
    def products(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The pairs of forms that the features of one cell are."""
        return cast(JointlyGaussian, self.mechanism).products(self.num_inputs)

    def distribution(
        self, greeks: Mapping[str, Tensor], latent: Tensor, columns: Mapping[str, Tensor]
    ) -> TorchDistributionMixin:
        """p(x | Z = latent, parents) for every row; Greeks are the model's, or one set per row."""
        local = self.local(greeks)
        level = self.level({p: torch.as_tensor(columns[p]) for p in self.parents}) if self.levels else 0
        cell = latent * self.num_levels + level if self.is_effect else torch.as_tensor(level)
        return self.mechanism.distribution(local, cell, self.design.tensor(columns))


def _of_sets(part: Array, axis: int, cells: NDArray[np.intp], count: int) -> Array:
    """Numbers [..., cells, *entry], one cell and one parameter set where these serve all, as [S K, N, *entry]."""
    own = np.take(part, cells if part.shape[axis] > 1 else np.zeros_like(cells), axis)
    shape = own.shape[axis:]
    return np.broadcast_to(own, (count, *shape)).reshape(count * shape[0], *shape[1:])


def level_of_table(parents: Sequence[str], levels: Sequence[int], columns: Mapping[str, Any]) -> Any:
    """The row of a table that the parents' values are in, the last parent fastest; 0 without parents."""
    row: Any = 0
    for parent, size in zip(parents, levels, strict=True):
        value = columns[parent]
        row = row * size + (value.long() if isinstance(value, Tensor) else value.astype(np.intp))
    return row
