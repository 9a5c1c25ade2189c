"""What regressions by a linear predictor have in common: ``eta = beta · (1, parents)``, for each class."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import pyro.distributions as dist
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from estimators.compiled.code import GeneralCode
from estimators.data.remarks import Remark, of_inputs
from estimators.mechanisms.defaults import General
from estimators.mechanisms.gaussian.family import spread
from estimators.mechanisms.gaussian.forms import Places, pairs
from estimators.mechanisms.gaussian.line import Line, centre_of_most, line_of
from estimators.mechanisms.protocol import Greeks, Reference, Terms, Turn, VariableTable
from estimators.parameters.parameter import Array, Parameter
from estimators.parameters.priors import default_prior
from estimators.parameters.transforms import Linear, Transform


class GeneralisedLinear(General):
    """A family with one Greek, the line ``beta`` [K, 1 + P], the intercept first.

    What a family says is its law, mean, log density, and the first two derivatives of that, all in eta, of rows [n]
    and predictors [S, K, n].
    """

    coefficients: Any
    # The compiled functions.
    code: ClassVar[GeneralCode]
    # The prior sd of a slope of a standardised input, which `scaled_to` proposes.
    slope_width: ClassVar[float] = 2.5

    is_regression = True

    def law_at(self, eta: Tensor) -> TorchDistributionMixin:
        """The variable's distribution."""
        raise NotImplementedError

    def mean_at(self, eta: Tensor) -> Tensor:
        """Its mean."""
        raise NotImplementedError

    def log_density(self, column: Array, eta: Array) -> Array:
        """log p."""
        raise NotImplementedError

    def slope(self, column: Array, eta: Array) -> Array:
        """d log p / d eta."""
        raise NotImplementedError

    def steepness(self, column: Array, eta: Array) -> Array:
        """-d² log p / d eta²."""
        raise NotImplementedError

    def turn(self, value: Tensor | None) -> tuple[Tensor, Tensor] | None:
        """Where log p of a value turns in eta, and within what width; the mean where it is None."""
        raise NotImplementedError

    # ---------------------------------------------------------------- the line

    def term(self, terms: Terms) -> None:
        terms.compiled(self)

    def tabulate(self, table: VariableTable) -> None:
        table.general(self.given, "beta", "", self.code)

    def num_numbers(self, num_inputs: int) -> int:
        """1 + P: C is the line itself."""
        return 1 + num_inputs

    def parameters(self, table: tuple[int, ...], num_inputs: int) -> tuple[Parameter, ...]:
        return self.given["beta"].parameter("beta", table, (1 + num_inputs,))

    def transform(self, parameter: Parameter, reference: Reference) -> Transform:
        """The line in standardised inputs."""
        matrix = line_of(reference).matrix
        return Linear(np.asarray(np.linalg.inv(matrix)), np.zeros(len(matrix)))

    def reference(self, column: Array, inputs: Array) -> Reference:
        """Centres and spreads of the inputs (1 where they are constant)."""
        width = inputs.shape[-1]
        centre, scale = np.zeros(width), np.ones(width)
        if len(column) and width:
            centre = centre_of_most(inputs)
            scale = spread(inputs, centre)
        return Line(np.zeros(1 + width), 1.0, False, centre, scale)

    def predictor(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> Tensor:
        """eta of some rows."""
        line = self.given["beta"].in_cell(greeks.get("beta"), cell)
        line = line.expand(*line.shape[:-1], 1 + inputs.shape[-1])
        return line[..., 0] + (line[..., 1:] * inputs).sum(-1)

    def distribution(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> TorchDistributionMixin:
        return self.law_at(self.predictor(greeks, cell, inputs))

    def mean(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> Tensor:
        """E[x | cell, inputs]."""
        return self.mean_at(self.predictor(greeks, cell, inputs))

    def turning(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor, value: Tensor | None) -> Turn | None:
        turn = self.turn(value)
        return None if turn is None else Turn(self.predictor(greeks, cell, inputs), *turn)

    def natural_parameters(self, greeks: Greeks, reference: Reference) -> Array:
        beta = self.array("beta", greeks)
        return np.broadcast_to(beta, (*beta.shape[:-1], 1 + len(line_of(reference).input_scale)))

    def gradient(self, greeks: Greeks, statistics: Array, reference: Reference) -> dict[str, Array]:
        return {"beta": statistics} if "beta" in greeks else {}

    def remarks(self, column: Array, inputs: Mapping[str, Array]) -> list[Remark]:
        """What is wrong with the inputs, and a column with one value."""
        return [*super().remarks(column, inputs), *of_inputs(inputs)]

    def scaled_to(self, column: Array, inputs: Mapping[str, Array]) -> Self:
        """Slopes ``Normal(0, 2.5 / sd(t))``, and an intercept as wide as these let it be at t = 0."""
        design = np.reshape(list(inputs.values()), (len(inputs), len(column))).T
        centre = design.mean(0)
        widths = self.slope_width / spread(design, centre)
        width = np.sqrt(self.slope_width**2 + ((widths * centre) ** 2).sum())
        line = default_prior(dist.Normal, np.zeros(1 + len(widths)), np.array([width, *widths]))
        return self.with_priors({"beta": line})

    # ---------------------------------------------------------------- rows

    def log_joint(self, numbers: Array, column: Array, inputs: Array) -> Array:
        return self.log_density(column, numbers @ _design(inputs, numbers).T)

    def pullback(self, numbers: Array, column: Array, inputs: Array, shares: Array) -> Array:
        design = _design(inputs, numbers)
        return np.asarray((shares * self.slope(column, numbers @ design.T)) @ design)

    def curvature(self, numbers: Array, column: Array, inputs: Array, shares: Array) -> Array:
        design = _design(inputs, numbers)
        weights = shares * self.steepness(column, numbers @ design.T)
        first, second = pairs(design.shape[-1])
        return _square(weights @ (design[:, first] * design[:, second]), first, second, design.shape[-1])


def _design(inputs: Array, numbers: Array) -> Array:
    """(1, inputs) [n, 1 + P]."""
    return np.concatenate([np.ones((len(inputs), 1)), inputs[:, : numbers.shape[-1] - 1]], -1)


def _square(entries: Array, first: Places, second: Places, size: int) -> Array:
    """A symmetric matrix by its entries above the diagonal."""
    out = np.empty((*entries.shape[:-1], size, size))
    out[..., first, second] = out[..., second, first] = entries
    return out


def check_line(parents: Sequence[str], family: str, plain: str) -> None:
    """Raise a ValueError where there are no parents."""
    if not parents:
        raise ValueError(f"parents: expected at least one; a {family} without observed causes is {plain}")
