"""The weights theta of the hidden cause, as a term of the E-step."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.ops.indexing import Vindex
from torch import Tensor

from estimators.estep.variable import level_of_table
from estimators.mechanisms.protocol import Reference
from estimators.parameters.parameter import LOG_ZERO, TINY, Array, Parameter
from estimators.parameters.transforms import LOGS

WEIGHTS = "theta"
LOG_WEIGHTS = LOGS[0].format(WEIGHTS)


@dataclass(frozen=True, eq=False)
class Weights:
    """``log theta[levels of the latent parents, k]``, once for each row of the table of Z's observed causes."""

    parents: tuple[str, ...]
    levels: tuple[int, ...]
    parameters: tuple[Parameter, ...]

    @property
    def width(self) -> int:
        """F, the rows of the table."""
        return prod(self.levels)

    is_centred = False

    def level(self, columns: Mapping[str, Any]) -> Any:
        """The row of the table that each row's observed causes are in."""
        return level_of_table(self.parents, self.levels, columns)

    def distribution(self, greeks: Mapping[str, Tensor], columns: Mapping[str, Tensor]) -> TorchDistributionMixin:
        """p(Z | observed causes) for every row."""
        if not self.levels:
            return dist.Categorical(greeks[WEIGHTS])
        theta = greeks[WEIGHTS]
        flat = theta.reshape(*theta.shape[: theta.ndim - len(self.levels) - 1], self.width, theta.shape[-1])
        level = self.level({parent: torch.as_tensor(columns[parent]) for parent in self.parents})
        return dist.Categorical(Vindex(flat)[..., level, :])

    def features(self, columns: Mapping[str, Array], reference: Reference, component: int | None = None) -> Array:
        """Which row of the table each row is in, as [F, N]; all ones where Z has no observed cause."""
        if not self.levels:
            return np.ones((1, len(next(iter(columns.values())))))
        return np.asarray((self.level(columns) == np.arange(self.width)[:, None]) * 1.0)

    def offset(self, columns: Mapping[str, Array]) -> Array | None:
        """Nothing is added."""
        return None

    def coefficients(self, greeks: Mapping[str, Array], reference: Reference) -> Array:
        """log theta as [..., K, F]."""
        logs = greeks[LOG_WEIGHTS] if LOG_WEIGHTS in greeks else log_weights(greeks[WEIGHTS])
        return np.swapaxes(self._flat(logs), -1, -2) if self.levels else logs[..., None]

    def recentred(self, greeks: Mapping[str, Array], reference: Reference) -> Reference:
        """Nothing to centre."""
        return reference

    def gradient(self, greeks: Mapping[str, Array], sums: Array, reference: Reference) -> dict[str, Array]:
        """S / theta; with respect to log theta, where it is given, S."""
        counts = self._shaped(np.swapaxes(sums, -1, -2)) if self.levels else sums[..., 0]
        return {LOG_WEIGHTS: counts} if LOG_WEIGHTS in greeks else {WEIGHTS: counts / np.maximum(greeks[WEIGHTS], TINY)}

    def argmax(self, greeks: Mapping[str, Array], sums: Array, reference: Reference) -> dict[str, Array]:
        """Shares of the rows; a level without rows keeps its weights."""
        counts = np.swapaxes(sums, -1, -2)
        total = counts.sum(-1, keepdims=True)
        shares = np.where(total > 0, counts / np.where(total > 0, total, 1.0), self._flat(greeks[WEIGHTS]))
        return {WEIGHTS: self._shaped(shares)}

    def _flat(self, theta: Array) -> Array:
        """theta, or its log, as [..., F, K]."""
        return theta.reshape(*theta.shape[: theta.ndim - len(self.levels) - 1], self.width, theta.shape[-1])

    def _shaped(self, flat: Array) -> Array:
        return flat.reshape(*flat.shape[:-2], *self.levels, flat.shape[-1])


def log_weights(weights: Array) -> Array:
    """The logarithm, with LOG_ZERO for a weight of 0."""
    if weights.item(weights.argmin()) > 0:
        return np.asarray(np.log(weights))
    return np.where(weights > 0, np.log(np.maximum(weights, 5e-324)), LOG_ZERO)
