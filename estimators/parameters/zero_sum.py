"""Coefficients that sum to zero over classes: their support, a normal law, and their unconstrained coordinates.

With orthonormal contrasts Q [K, K - 1], whose columns sum to zero, ``beta = Q g`` for any g [K - 1, P]. A density of
beta is that of g, whichever contrasts are taken: no class is a reference, so that labels permute by indexing alone.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import biject_to, constraints, transforms

from estimators.optimise.arrays import Array
from estimators.parameters.transforms import CONTRASTS, TabulatedMap

# What a sum may be of the sum of absolute values.
ROUNDING = 1e-9


@cache
def contrasts(num_components: int) -> Array:
    """Q [K, K - 1]: each component but the first against the mean of those before it (Helmert)."""
    found = np.triu(np.ones((num_components, num_components - 1)))
    steps = np.arange(1.0, num_components)
    found[np.arange(1, num_components), np.arange(num_components - 1)] = -steps
    return found / np.sqrt(steps * (steps + 1.0))


class ZeroSum(constraints.Constraint):
    """Matrices [K, P] whose columns sum to zero."""

    is_discrete = False
    event_dim = 2

    def check(self, value: Tensor) -> Tensor:
        """Whether they do, to rounding."""
        return (value.sum(-2).abs() <= ROUNDING * (1.0 + value.abs().sum(-2))).all(-1)

    def __repr__(self) -> str:
        return "ZeroSum (coefficients that sum to zero over classes, beta - beta.mean(0))"


zero_sum = ZeroSum()


class _ByContrasts(transforms.Transform):
    """``Q g`` of g [..., K - 1, P]."""

    domain = constraints.independent(constraints.real, 2)
    codomain = zero_sum
    bijective = True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByContrasts)

    def _call(self, x: Tensor) -> Tensor:
        return torch.from_numpy(contrasts(x.shape[-2] + 1)).to(x) @ x

    def _inverse(self, y: Tensor) -> Tensor:
        return torch.from_numpy(contrasts(y.shape[-2])).to(y).mT @ y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x.new_zeros(x.shape[:-2])

    def forward_shape(self, shape: Any) -> Any:
        return torch.Size((*shape[:-2], shape[-2] + 1, shape[-1]))

    def inverse_shape(self, shape: Any) -> Any:
        return torch.Size((*shape[:-2], shape[-2] - 1, shape[-1]))


@biject_to.register(ZeroSum)  # type: ignore[untyped-decorator]
def _by_contrasts(constraint: ZeroSum) -> _ByContrasts:
    return _ByContrasts()


class ZeroSumNormal(dist.TorchDistribution):
    """``Normal(0, scale)`` of every class's coefficients, given that they sum to zero; scale [K, P], alike in classes.

    ``log p = Σ_jp log Normal(g_jp; 0, scale_p)`` for ``beta = Q g``: the same in every order of the classes.
    """

    arg_constraints = {"scale": constraints.independent(constraints.positive, 2)}  # noqa: RUF012
    support = zero_sum
    has_rsample = True

    def __init__(self, scale: Tensor, validate_args: bool | None = None) -> None:
        self.scale = scale
        super().__init__(scale.shape[:-2], scale.shape[-2:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "ZeroSumNormal":
        """The same for each entry of a batch."""
        return ZeroSumNormal(self.scale.expand(*batch_shape, *self.event_shape), validate_args=False)

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """Independent normals less their mean over classes."""
        drawn = self.scale * torch.randn(self._extended_shape(sample_shape), dtype=self.scale.dtype)
        return drawn - drawn.mean(-2, keepdim=True)

    def log_prob(self, value: Tensor) -> Tensor:
        """That of independent normals, whose constant is there once too often."""
        if self._validate_args:
            self._validate_sample(value)
        each = dist.Normal(torch.zeros_like(self.scale), self.scale, validate_args=False)
        log: Tensor = each.log_prob(value).sum((-1, -2)) - each.log_prob(each.mean)[..., 0, :].sum(-1)
        return log


@dataclass(frozen=True, eq=False)
class Contrasts:
    """``beta_k = matrix @ (Q v)_k``: coordinates v [..., (K - 1) P] of coefficients [..., K P]."""

    matrix: Array
    num_components: int
    bounded = False
    has_logs = False

    def size(self, shape: tuple[int, ...]) -> int:
        return (self.num_components - 1) * len(self.matrix)

    def forward(self, coordinates: Array) -> Array:
        return self._flat(contrasts(self.num_components) @ (self._rows(coordinates) @ self.matrix.T))

    far = forward

    def inverse(self, value: Array) -> Array:
        rows = contrasts(self.num_components).T @ self._rows(value)
        return self._flat(np.swapaxes(np.linalg.solve(self.matrix, np.swapaxes(rows, -1, -2)), -1, -2))

    def standardised(self, value: Array) -> Array:
        return self._flat(contrasts(self.num_components).T @ self._rows(value))

    def tabulated(self, shape: tuple[int, ...]) -> TabulatedMap | None:
        whole = np.kron(contrasts(self.num_components), self.matrix)
        numbers = np.concatenate([[float(whole.shape[1])], whole.reshape(-1)])
        return TabulatedMap(CONTRASTS, 1, len(whole), numbers, self._log_determinant)

    def log_jacobian(self, value: Array) -> Array | float:
        return self._log_determinant

    def jacobian_slope(self, value: Array) -> Array | float:
        return 0.0

    def pull_back(self, value: Array, gradient: Array) -> Array:
        return self._flat(contrasts(self.num_components).T @ self._rows(gradient) @ self.matrix)

    @property
    def _log_determinant(self) -> float:
        return float(np.linalg.slogdet(self.matrix)[1] * (self.num_components - 1))

    def _rows(self, flat: Array) -> Array:
        """[..., rows * P] as [..., rows, P]."""
        return flat.reshape(*flat.shape[:-1], flat.shape[-1] // len(self.matrix), len(self.matrix))

    def _flat(self, rows: Array) -> Array:
        return np.asarray(rows.reshape(*rows.shape[:-2], rows.shape[-2] * rows.shape[-1]))
