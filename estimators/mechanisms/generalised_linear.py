"""What regressions by a linear predictor have in common: ``eta = beta · (1, parents)``, for each class.

`Regression` is a law of eta and, perhaps, of positive Greeks, whose logs stand after the line in C.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, ClassVar, Self

import numpy as np
import pyro.distributions as dist
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor
from torch.distributions import constraints

from estimators.data.remarks import Remark
from estimators.mechanisms.compiled.code import GeneralCode
from estimators.mechanisms.defaults import General
from estimators.mechanisms.gaussian.line import line_about, line_of, line_prior
from estimators.mechanisms.known_or_prior import KnownOrPrior
from estimators.mechanisms.protocol import Greeks, Reference, Terms, Turn, VariableTable
from estimators.optimise.arrays import Array
from estimators.parameters.parameter import Parameter
from estimators.parameters.priors import default_prior
from estimators.parameters.transforms import Positive, Transform


def weak_line() -> TorchDistributionMixin:
    """The prior of coefficients that says little, where inputs are of the size of 1."""
    return default_prior(dist.Normal, 0.0, 5.0)


class Regression(General):
    """A family whose first Greek is the line ``beta`` [K, 1 + P], the intercept first.

    What a family says is its law, log density, and the slopes of that in eta and in the log of each of its other
    Greeks, of rows [n], predictors [S, K, n] and logs [S, K, 1]. The last parent may be an exposure, whose log is added
    to eta.
    """

    coefficients: Any
    # The compiled functions.
    code: ClassVar[GeneralCode]
    # The prior sd of a slope of a standardised input, which `scaled_to` proposes.
    slope_width: ClassVar[float] = 2.5

    is_regression = True

    def law_at(self, eta: Tensor, *others: Tensor) -> TorchDistributionMixin:
        """The variable's distribution, of eta and of the other Greeks."""
        raise NotImplementedError

    def log_density(self, column: Array, eta: Array, *logs: Array) -> Array:
        """log p."""
        raise NotImplementedError

    def slopes(self, column: Array, eta: Array, *logs: Array) -> tuple[Array, ...]:
        """d log p / d eta, and in each of the logs."""
        raise NotImplementedError

    def turn(self, value: Tensor | None, *others: Tensor) -> tuple[Tensor, Tensor] | None:
        """Where log p of a value turns in eta, and within what width; of the mean where it is None."""
        return None

    def columns(self, table: VariableTable, inputs: Sequence[Array]) -> list[Array]:
        """The columns [N] that the compiled functions take after the variable's own: inputs, and what a family adds."""
        return list(inputs)

    def line_entry(self, size: int) -> tuple[int, ...]:
        """The shape of what one cell has of the line, of 1 + P numbers."""
        return (size,)

    # ---------------------------------------------------------------- the line

    def take_line(self, **others: KnownOrPrior) -> None:
        """Keep what is given for the line and for the other Greeks, and put an exposure last among the parents."""
        beta = KnownOrPrior("coefficients", self.coefficients, constraints.real, self.line_entry(1))
        self.take({"beta": beta, **others})
        if self.exposure is not None:
            causes = (*(parent for parent in self.parents if parent != self.exposure), self.exposure)
            object.__setattr__(self, "parents", causes)

    def need_parents(self, family: str, plain: str) -> None:
        """Raise a ValueError where there are none."""
        if not self.num_slopes(len(self.parents)):
            raise ValueError(f"parents: expected at least one; a {family} without observed causes is {plain}")

    def log_exposure(self, table: VariableTable) -> Array:
        """The log of each row's exposure [N]; 0 where there is none."""
        return np.zeros(len(table.column)) if self.exposure is None else np.log(table.inputs[:, -1])

    def num_slopes(self, num_inputs: int) -> int:
        """P, the inputs that have a coefficient."""
        return num_inputs - (self.exposure is not None)

    def term(self, terms: Terms) -> None:
        terms.compiled(self)

    def tabulate(self, table: VariableTable) -> None:
        inputs = np.ascontiguousarray(table.inputs.T)
        columns = self.columns(table, list(inputs[: self.num_slopes(len(inputs))]))
        table.general(self.given, "beta", list(self.given)[1:], self.code, columns)

    def num_numbers(self, num_inputs: int) -> int:
        """The line, and the logs of the other Greeks."""
        sizes = [self.line_entry(1 + self.num_slopes(num_inputs)), *(one.entry for _, one in self.logged)]
        return sum(prod(size) for size in sizes)

    @property
    def logged(self) -> list[tuple[str, KnownOrPrior]]:
        """The Greeks after the line, whose logs are what C has of them."""
        return list(self.given.items())[1:]

    def parameters(self, table: tuple[int, ...], num_inputs: int) -> tuple[Parameter, ...]:
        entry = self.line_entry(1 + self.num_slopes(num_inputs))
        others = (p for symbol, one in self.logged for p in one.parameter(symbol, table, one.entry))
        return (*self.given["beta"].parameter("beta", table, entry), *others)

    def transform(self, parameter: Parameter, reference: Reference) -> Transform:
        """The line in standardised inputs; other Greeks by their logs."""
        if parameter.name != "beta":
            return Positive()
        return line_of(reference).coordinates

    def reference(self, column: Array, inputs: Array) -> Reference:
        """Centres and spreads of the inputs (1 where they are constant)."""
        return line_about(inputs[:, : self.num_slopes(inputs.shape[-1])])

    def predictor(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> Tensor:
        """eta of some rows."""
        size = self.num_slopes(inputs.shape[-1])
        line = self.given["beta"].in_cell(greeks.get("beta"), cell)
        line = line.expand(*line.shape[:-1], 1 + size)
        eta: Tensor = line[..., 0] + (line[..., 1:] * inputs[..., :size]).sum(-1)
        return eta if self.exposure is None else eta + inputs[..., size].log()

    def distribution(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> TorchDistributionMixin:
        return self.law_at(self.predictor(greeks, cell, inputs), *self._others(greeks, cell))

    def _others(self, greeks: Mapping[str, Tensor], cell: Tensor) -> list[Tensor]:
        return [one.in_cell(greeks.get(symbol), cell) for symbol, one in self.logged]

    def turning(
        self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor, value: Tensor | None
    ) -> Sequence[Turn]:
        turn = self.turn(value, *self._others(greeks, cell))
        return () if turn is None else (Turn(self.predictor(greeks, cell, inputs), *turn),)

    def natural_parameters(self, greeks: Greeks, reference: Reference) -> Array:
        beta = self.array("beta", greeks)
        entry = self.line_entry(1 + len(line_of(reference).input_scale))
        lead = beta.shape[: beta.ndim - len(entry)]
        parts = [np.broadcast_to(beta, (*lead, *entry)).reshape(*lead, -1)]
        for symbol, one in self.logged:
            value = np.log(self.array(symbol, greeks))
            parts.append(value if one.entry else value[..., None])
        shape = np.broadcast_shapes(*(part.shape[:-1] for part in parts))
        return np.concatenate([np.broadcast_to(part, (*shape, part.shape[-1])) for part in parts], -1)

    def gradient(self, greeks: Greeks, statistics: Array, reference: Reference) -> dict[str, Array]:
        entry = self.line_entry(1 + len(line_of(reference).input_scale))
        size = prod(entry)
        line = statistics[..., :size].reshape(*statistics.shape[:-1], *entry)
        found = {"beta": line} if "beta" in greeks else {}
        for symbol, one in self.logged:
            own = statistics[..., size : size + prod(one.entry)]
            size += own.shape[-1]
            if symbol in greeks:
                found[symbol] = (own if one.entry else own[..., 0]) / greeks[symbol]
        return found

    def remarks(self, column: Array, inputs: Mapping[str, Array]) -> list[Remark]:
        """What is wrong with the inputs that have a coefficient, and a column with one value."""
        return super().remarks(column, {name: values for name, values in inputs.items() if name != self.exposure})

    def scaled_to(self, column: Array, inputs: Mapping[str, Array]) -> Self:
        """Slopes ``Normal(0, 2.5 / sd(t))``, and an intercept as wide as these let it be at t = 0.

        Entries are independent, so the predictor at the inputs' means is the wider the further these are from 0: its sd
        is ``2.5 sqrt(1 + 2 Σ (mean(t) / sd(t))²)``. Inputs about 0 have a prior of the same width at every row.
        """
        slopes = {name: values for name, values in inputs.items() if name != self.exposure}
        line = line_prior(slopes, 0.0, self.slope_width)
        return self.with_priors({"beta": line.expand(self.line_entry(1 + len(slopes)))})

    # ---------------------------------------------------------------- rows

    def log_joint(self, numbers: Array, column: Array, inputs: Array) -> Array:
        return self.log_density(column, *self._split(numbers, column, inputs)[1:])

    def pullback(self, numbers: Array, column: Array, inputs: Array, shares: Array) -> Array:
        design, *given = self._split(numbers, column, inputs)
        of_eta, *of_logs = self.slopes(column, *given)
        return np.concatenate([(shares * of_eta) @ design, *((shares * one).sum(-1)[..., None] for one in of_logs)], -1)

    def _split(self, numbers: Array, column: Array, inputs: Array) -> tuple[Array, ...]:
        """(1, inputs) [n, 1 + P], eta [S, K, n], and each of the logs [S, K, 1]."""
        size = self.num_slopes(inputs.shape[-1])
        design = np.concatenate([np.ones((len(column), 1)), inputs[:, :size]], -1)
        eta = numbers[..., : 1 + size] @ design.T
        eta = eta if self.exposure is None else eta + np.log(inputs[:, size])
        return design, eta, *np.moveaxis(numbers[..., 1 + size :, None], -2, 0)
