"""What Gaussians of a column of vectors have in common: a mean and a scale for each of the D numbers in each cell."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.ops.indexing import Vindex
from torch import Tensor
from torch.distributions import constraints

from estimators.checks import checked_count
from estimators.isolation import own_modes
from estimators.mechanisms.defaults import LogLinear
from estimators.mechanisms.gaussian.forms import standard_forms
from estimators.mechanisms.protocol import Equation, Greeks, Reference, check_parents
from estimators.parameters.parameter import Array, Parameter
from estimators.parameters.prior_checks import known_or_prior
from estimators.parameters.priors import groups, permuted
from estimators.parameters.transforms import Linear, Positive, Transform


class VectorGaussian(LogLinear):
    """``mu`` and ``sigma`` [cells, D] with priors ``loc`` and ``scale``, or known numbers.

    Priors and numbers may be one for all, [D], or one for each cell and column.
    """

    if TYPE_CHECKING:
        num_columns: int
        loc: Any
        scale: Any
        parents: Sequence[str]

    is_gaussian = True
    has_constant = True

    @own_modes()
    def __post_init__(self) -> None:
        object.__setattr__(self, "num_columns", checked_count("num_columns", self.num_columns, least=1))
        object.__setattr__(self, "loc", known_or_prior("loc", self.loc, constraints.real))
        object.__setattr__(self, "scale", known_or_prior("scale", self.scale, constraints.positive))
        object.__setattr__(self, "parents", check_parents(self.parents))

    def parameters(self, table: tuple[int, ...], num_inputs: int) -> tuple[Parameter, ...]:
        """The Greeks with their priors."""
        shape = (*table, self.num_columns)
        return _parameter("mu", "loc", self.loc, shape) + _parameter("sigma", "scale", self.scale, shape)

    def transform(self, parameter: Parameter, reference: Reference) -> Transform:
        """``mu`` in units of the columns' scales from their centres; ``sigma`` as the log of its ratio to them."""
        if parameter.name == "mu":
            return Linear(np.diag(reference.scale), reference.centre)
        return Positive(np.tile(reference.scale, int(np.prod(parameter.shape[:-1]))))

    def check(self, name: str, column: Tensor) -> Tensor:
        """Any finite real column [N, D] will do."""
        return column.double()

    def reference(self, column: Array, inputs: Array) -> Reference:
        """Means and standard deviations [D] (1 where a column is constant, up to 1e-100); the largest reach of them."""
        if not len(column):
            return Reference(np.zeros(self.num_columns), np.ones(self.num_columns))
        centre = column.mean(0)
        reach = np.abs(column - centre).max(0)
        held = np.where(reach > 1e-100, reach, 1.0)
        # Scaled before squaring, so that columns of 1e±100 neither overflow nor underflow.
        scale = np.where(reach > 1e-100, held * np.sqrt((((column - centre) / held) ** 2).mean(0)), 1.0)
        return Reference(centre, scale, float((reach / scale).max()))

    def points(self, column: Array, reference: Reference) -> Array:
        """The standardised columns."""
        return np.asarray((column - reference.centre) / reference.scale)

    def mean(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> Tensor:
        """E[x | cell] = mu, as [..., D]."""
        mu = self.in_cells("mu", greeks)
        return mu[..., cell, :] if mu.ndim > 1 else mu

    def forms(self, equation: Equation, inputs: Array, noise: Array, reference: Reference) -> Array:
        """(1, u)."""
        return standard_forms(equation, noise, reference.centre, reference.scale)

    def order_key(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """The means of the first column [..., cells], or its scales where one known mean serves all components."""
        mean = self.in_cells("mu", greeks)
        return greeks["sigma"][..., 0] if mean.ndim < 2 and "sigma" in greeks else mean[..., 0]

    def exchangeable(self, num_components: int, *, uses_prior: bool = True) -> list[int]:
        """Components with equal priors (or equal known values) share a number."""
        parts = [part for part in (self.loc, self.scale) if _is_per_cell(part)]
        return groups(parts, num_components, uses_prior=uses_prior)

    def permuted(self, order: Sequence[int]) -> Self:
        """The same mechanism with its components renamed."""
        loc, scale = (permuted(part, order) if _is_per_cell(part) else part for part in (self.loc, self.scale))
        return replace(self, loc=loc, scale=scale)  # type: ignore[type-var]

    def in_cells(self, symbol: str, greeks: Mapping[str, Tensor]) -> Tensor:
        """A Greek [..., cells, D], or its known numbers as [cells, D] or, where they serve all cells, [D]."""
        if symbol in greeks:
            return greeks[symbol]
        known: Tensor = self.loc if symbol == "mu" else self.scale
        return known.reshape(-1, self.num_columns) if known.ndim > 1 else known.expand(self.num_columns)

    def array(self, symbol: str, greeks: Greeks) -> Array:
        """A Greek [..., cells, D], or its known numbers as [cells, D] or [1, D]."""
        if symbol in greeks:
            return greeks[symbol]
        known = (self.loc if symbol == "mu" else self.scale).numpy()
        wide = np.broadcast_to(known, (1, self.num_columns)) if known.ndim < 2 else known.reshape(-1, self.num_columns)
        return np.asarray(wide)

    def equation_of(self, greeks: Greeks, corr: Array) -> Equation:
        """``x = mu + diag(sigma) corr ε`` for correlations' Cholesky factors [..., cells | 1, D, D]."""
        size = corr.shape[-1]
        mu, factor = self.array("mu", greeks), self.array("sigma", greeks)[..., None] * corr
        shape = np.broadcast_shapes(mu.shape[:-1], factor.shape[:-2])
        mu, factor = np.broadcast_to(mu, (*shape, size)), np.broadcast_to(factor, (*shape, size, size))
        return Equation(mu, np.zeros((*mu.shape, 0)), factor)


def of_cell(values: Tensor, cell: Tensor) -> Tensor:
    """The entries [..., D] of some cells, one set of cells per row where there are leading axes."""
    return torch.as_tensor(Vindex(values)[..., cell, :]) if values.ndim > 1 else values


def _parameter(symbol: str, argument: str, part: Any, shape: tuple[int, ...]) -> tuple[Parameter, ...]:
    """A Greek [*table, D] with its prior; none for known numbers."""
    is_prior = isinstance(part, TorchDistributionMixin)
    found = tuple(part.batch_shape if is_prior else part.shape)
    if found not in ((), shape[-1:], shape):
        raise ValueError(f"{argument}: expected one value, or shape {shape[-1:]} or {shape}, got shape {found}")
    support = constraints.real if symbol == "mu" else constraints.positive
    return (Parameter(symbol, shape, part.expand(torch.Size(shape)), support=support),) if is_prior else ()


def _is_per_cell(part: Any) -> bool:
    """Whether there is one for each component, not one for each of the D columns."""
    return (part.ndim if isinstance(part, Tensor) else len(part.batch_shape)) > 1
