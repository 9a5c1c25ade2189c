"""Unconstrained coordinates of a program's Greeks: Pyro's `biject_to` of each support, one flat vector for all."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from estimators.optimise.arrays import Mask
from estimators.programs.logs import KeptLogs, logs_of
from estimators.programs.sites import Greek


class Coordinates:
    """``v [..., D] ↔ φ``, in the order of the Greeks."""

    def __init__(self, greeks: Sequence[Greek]) -> None:
        self.greeks = tuple(greeks)
        shapes = [torch.Size(greek.transform.inverse_shape(torch.Size(greek.shape))) for greek in self.greeks]
        ends = np.cumsum([0, *(shape.numel() for shape in shapes)]).tolist()
        # Each Greek, which of the coordinates are its own, and the shape in which its transform takes them.
        self._blocks = [
            (greek, slice(start, end), shape)
            for greek, (start, end), shape in zip(self.greeks, itertools.pairwise(ends), shapes, strict=True)
        ]
        self.size = int(ends[-1])
        masks = [greek.bounded(shape).reshape(-1) for greek, _, shape in self._blocks]
        self.bounded = torch.cat([torch.zeros(0, dtype=torch.bool), *masks]).numpy()
        self._logs = {greek.name: logs for greek in self.greeks if (logs := logs_of(greek.transform)) is not None}
        self.scales = self.mask([greek.is_scale for greek in self.greeks])

    def constrain(self, coordinates: Tensor) -> dict[str, Tensor]:
        """φ(v), differentiable."""
        return {
            greek.name: greek.transform(coordinates[..., own].reshape((*coordinates.shape[:-1], *shape)))
            for greek, own, shape in self._blocks
        }

    def kept_logs(self, coordinates: Tensor, greeks: Mapping[str, Tensor]) -> KeptLogs:
        """A context in which log probabilities are computed from v [D], where φ(v) has them rounded to 0 or 1."""
        return KeptLogs(
            (greeks[greek.name], self._logs[greek.name](coordinates[own].reshape(shape)))
            for greek, own, shape in self._blocks
            if greek.name in self._logs
        )

    def unconstrain(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """v(φ)."""
        blocks = []
        for greek, _, shape in self._blocks:
            value = greeks[greek.name].double()
            batch = value.shape[: value.ndim - len(greek.shape)]
            # `greek.transform` is a new object at each call: torch's transforms keep the last value and its inverse.
            blocks.append(greek.transform.inv(value).reshape((*batch, shape.numel())))
        return torch.cat(blocks, -1)

    def log_jacobian(self, coordinates: Tensor, greeks: Mapping[str, Tensor]) -> Tensor:
        """log |dφ/dv|."""
        total = torch.zeros((), dtype=torch.float64)
        for greek, own, shape in self._blocks:
            before = coordinates[own].reshape(shape)
            total = total + greek.transform.log_abs_det_jacobian(before, greeks[greek.name]).sum()
        return total

    def names_at(self, marked: Mask) -> list[str]:
        """The Greeks of which some coordinate is marked [D]."""
        return [greek.name for greek, own, _ in self._blocks if marked[own].any()]

    def mask(self, flags: Sequence[bool]) -> np.ndarray:
        """One flag per Greek as one per coordinate [D]."""
        sizes = np.array([shape.numel() for _, _, shape in self._blocks], dtype=int)
        return np.repeat(np.array(flags, dtype=bool), sizes)
