"""Greeks of a column of vectors: one number or prior for all entries and classes, or one for each."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.ops.indexing import Vindex
from torch import Tensor
from torch.distributions import constraints

from estimators.mechanisms.protocol import Equation, Greeks, Reference
from estimators.parameters.parameter import Array, Parameter
from estimators.parameters.priors import groups, permuted
from estimators.parameters.transforms import Linear, Positive, Transform


def vector_parameter(symbol: str, argument: str, part: Any, shape: tuple[int, ...]) -> tuple[Parameter, ...]:
    """A Greek [*table, D] with its prior; none for known numbers. Both may be one for all, [D], or one for each."""
    is_prior = isinstance(part, TorchDistributionMixin)
    found = tuple(part.batch_shape if is_prior else part.shape)
    if found not in ((), shape[-1:], shape):
        raise ValueError(f"{argument}: expected one value, or shape {shape[-1:]} or {shape}, got shape {found}")
    support = constraints.real if symbol == "mu" else constraints.positive
    return (Parameter(symbol, shape, part.expand(torch.Size(shape)), support=support),) if is_prior else ()


def vector_transform(parameter: Parameter, reference: Reference) -> Transform:
    """Coordinates of ``mu`` or ``sigma`` [*table, D] in units of the columns."""
    if parameter.name == "mu":
        return Linear(np.diag(reference.scale), reference.centre)
    return Positive(np.tile(reference.scale, int(np.prod(parameter.shape[:-1]))))


def vector_reference(column: Array, num_columns: int) -> Reference:
    """Means and standard deviations [D] (1 where a column is constant); the largest reach of them."""
    if not len(column):
        return Reference(np.zeros(num_columns), np.ones(num_columns))
    centre = column.mean(0)
    reach = np.abs(column - centre).max(0)
    held = np.where(reach > 1e-100, reach, 1.0)
    # Scaled before squaring, so that columns of 1e±100 neither overflow nor underflow.
    scale = np.where(reach > 1e-100, held * np.sqrt((((column - centre) / held) ** 2).mean(0)), 1.0)
    return Reference(centre, scale, float((reach / scale).max()))


def vector_of(symbol: str, greeks: Mapping[str, Tensor], known: Any, num_columns: int) -> Tensor:
    """A Greek [..., cells, D], or its known numbers as [cells, D] or, where they serve all cells, [D]."""
    if symbol in greeks:
        return greeks[symbol]
    values: Tensor = known
    return values.reshape(-1, num_columns) if values.ndim > 1 else values.expand(num_columns)


def of_cell(values: Tensor, cell: Tensor) -> Tensor:
    """The entries [..., D] of some cells, one set of cells per row where there are leading axes."""
    return torch.as_tensor(Vindex(values)[..., cell, :]) if values.ndim > 1 else values


def vector_array(greek: Array | None, known: Any, num_columns: int) -> Array:
    """A Greek [..., cells, D], or known numbers as [cells, D] or [1, D]."""
    if greek is not None:
        return greek
    values = known.numpy()
    return np.asarray(np.broadcast_to(values, (1, num_columns)) if values.ndim < 2 else values.reshape(-1, num_columns))


def vector_equation(greeks: Greeks, loc: Tensor, scale: Tensor, corr: Array) -> Equation:
    """``x = mu + diag(sigma) corr ε`` for correlations' Cholesky factors [..., cells | 1, D, D]."""
    size = corr.shape[-1]
    mu, sigma = vector_array(greeks.get("mu"), loc, size), vector_array(greeks.get("sigma"), scale, size)
    factor = sigma[..., None] * corr
    shape = np.broadcast_shapes(mu.shape[:-1], factor.shape[:-2])
    mu, factor = np.broadcast_to(mu, (*shape, size)), np.broadcast_to(factor, (*shape, size, size))
    return Equation(mu, np.zeros((*mu.shape, 0)), factor)


def vector_order_key(greeks: Mapping[str, Tensor], loc: Any, num_columns: int) -> Tensor:
    """The means of the first column [..., cells], or its scales where one known mean serves all components."""
    mean = vector_of("mu", greeks, loc, num_columns)
    return greeks["sigma"][..., 0] if mean.ndim < 2 and "sigma" in greeks else mean[..., 0]


def vector_groups(parts: Sequence[Any], num_components: int, *, uses_prior: bool = True) -> list[int]:
    """A group number per component, by the priors (or known numbers) that differ between components."""
    return groups([part for part in parts if _is_per_cell(part)], num_components, uses_prior=uses_prior)


def vector_permuted(part: Any, order: Sequence[int]) -> Any:
    """A prior, or known numbers, with its components in another order."""
    return permuted(part, order) if _is_per_cell(part) else part


def _is_per_cell(part: Any) -> bool:
    """Whether there is one for each component, not one for each of the D columns."""
    return (part.ndim if isinstance(part, Tensor) else len(part.batch_shape)) > 1
