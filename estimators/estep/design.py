"""The numbers that a line is in: a regression's observed causes, levels as indicators, and products of these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from operator import mul
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from estimators.mechanisms.protocol import INTERACTION
from estimators.optimise.arrays import Array


class Factor(NamedTuple):
    """A variable as itself, or, with a level, whether it is at that."""

    variable: str
    level: int | None

    def of(self, value: Any) -> Any:
        """Its numbers, of an array or tensor of the variable's."""
        return value if self.level is None else (value == self.level)

    def name(self, levels: Sequence[str] | None) -> str:
        """``age``, ``C=2``, or ``C=high`` where levels have names."""
        if levels is None:
            return self.variable if self.level is None else f"{self.variable}={self.level}"
        return f"{self.variable}={levels[1 if self.level is None else self.level]}"


@dataclass(frozen=True, eq=False)
class Design:
    """The inputs of a line, in the order of its terms: each is the product of its factors.

    A variable of L > 2 levels enters as L - 1 indicators, level 0 the baseline; any other as itself. An interaction
    ``T:age`` has the product of every input of one with every input of the other, that of the last fastest.
    """

    inputs: tuple[tuple[Factor, ...], ...] = ()
    # Of each input, the term that it belongs to.
    terms: tuple[str, ...] = ()

    @classmethod
    def of(cls, terms: Sequence[str], num_levels: Mapping[str, int | None]) -> "Design":
        """That of terms such as ``T`` and ``T:age``."""
        inputs, names = list[tuple[Factor, ...]](), list[str]()
        for term in terms:
            variables = term.split(INTERACTION)
            own = list(product(*(_factors(variable, num_levels[variable]) for variable in variables)))
            inputs += own
            names += [term] * len(own)
        return cls(tuple(inputs), tuple(names))

    @property
    def size(self) -> int:
        """P."""
        return len(self.inputs)

    def array(self, columns: Mapping[str, Array]) -> Array:
        """The inputs [N, P]."""
        if not self.inputs:
            return np.zeros((len(next(iter(columns.values()))), 0))
        return np.stack([self.product(factors, columns) for factors in self.inputs], -1)

    @staticmethod
    def product(factors: Sequence[Factor], columns: Mapping[str, Array]) -> Array:
        """The product [N] of some factors."""
        return np.asarray(reduce(mul, [factor.of(columns[factor.variable]) for factor in factors]), dtype=np.float64)

    def tensor(self, columns: Mapping[str, Tensor]) -> Tensor:
        """The inputs [..., P]; the columns' shapes broadcast."""
        if not self.inputs:
            return torch.zeros(0, dtype=torch.float64)
        products = [self.tensor_product(factors, columns) for factors in self.inputs]
        return torch.stack(torch.broadcast_tensors(*products), -1)

    @staticmethod
    def tensor_product(factors: Sequence[Factor], columns: Mapping[str, Tensor]) -> Tensor:
        """The product [...] of some factors."""
        one = torch.ones((), dtype=torch.float64)
        return reduce(mul, [factor.of(torch.as_tensor(columns[factor.variable])).double() for factor in factors], one)

    def names(self, levels: Mapping[str, Sequence[str]]) -> list[str]:
        """What the inputs are called, with the names of levels that have any: ``age``, ``T=treated:age``."""
        return [INTERACTION.join(f.name(levels.get(f.variable)) for f in factors) for factors in self.inputs]

    def named(self, columns: Mapping[str, Array], levels: Mapping[str, Sequence[str]]) -> dict[str, Array]:
        """The inputs [N] by name."""
        return dict(zip(self.names(levels), self.array(columns).T, strict=True)) if self.inputs else {}


def _factors(variable: str, num_levels: int | None) -> list[Factor]:
    if num_levels is None or num_levels == 2:
        return [Factor(variable, None)]
    return [Factor(variable, level) for level in range(1, num_levels)]
