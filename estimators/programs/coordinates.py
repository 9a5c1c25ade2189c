"""Unconstrained coordinates of a program's Greeks: Pyro's `biject_to` of each support, one flat vector for all."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from estimators.parameters.edges import Mask
from estimators.programs.logs import KeptLogs, logs_of
from estimators.programs.sites import Greek


class Coordinates:
    """``v [..., D] ↔ φ``, in the order of the Greeks."""

    def __init__(self, greeks: Sequence[Greek]) -> None:
        self.greeks = tuple(greeks)
        self._shapes = [torch.Size(greek.transform.inverse_shape(torch.Size(greek.shape))) for greek in self.greeks]
        ends = np.cumsum([0, *(shape.numel() for shape in self._shapes)]).tolist()
        self._places = [slice(start, end) for start, end in itertools.pairwise(ends)]
        self.size = int(ends[-1])
        masks = [greek.bounded(shape).reshape(-1) for greek, shape in zip(self.greeks, self._shapes, strict=True)]
        self.bounded = torch.cat([torch.zeros(0, dtype=torch.bool), *masks]).numpy()
        self._logs = [logs_of(greek.transform) for greek in self.greeks]
        self.scales = self.mask([greek.is_scale for greek in self.greeks])

    def constrain(self, coordinates: Tensor) -> dict[str, Tensor]:
        """φ(v), differentiable."""
        return {
            greek.name: greek.transform(coordinates[..., place].reshape((*coordinates.shape[:-1], *shape)))
            for greek, place, shape in zip(self.greeks, self._places, self._shapes, strict=True)
        }

    def kept_logs(self, coordinates: Tensor, greeks: Mapping[str, Tensor]) -> KeptLogs:
        """A context in which the probabilities among φ(v), these tensors, keep their logs as functions of v [D]."""
        return KeptLogs(
            (greeks[greek.name], logs(coordinates[place].reshape(shape)))
            for greek, place, shape, logs in zip(self.greeks, self._places, self._shapes, self._logs, strict=True)
            if logs is not None
        )

    def unconstrain(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """v(φ)."""
        parts = []
        for greek, shape in zip(self.greeks, self._shapes, strict=True):
            value = greeks[greek.name].double()
            batch = value.shape[: value.ndim - len(greek.shape)]
            # torch caches the last pair of a transform; a transform made anew keeps nothing of anyone's.
            parts.append(greek.transform.inv(value).reshape((*batch, shape.numel())))
        return torch.cat(parts, -1)

    def log_jacobian(self, coordinates: Tensor, greeks: Mapping[str, Tensor]) -> Tensor:
        """log |dφ/dv|."""
        total = torch.zeros((), dtype=torch.float64)
        for greek, place, shape in zip(self.greeks, self._places, self._shapes, strict=True):
            flat = coordinates[place].reshape(shape)
            total = total + greek.transform.log_abs_det_jacobian(flat, greeks[greek.name]).sum()
        return total

    def names_at(self, marked: Mask) -> list[str]:
        """The Greeks of which some coordinate is marked [D]."""
        return [greek.name for greek, place in zip(self.greeks, self._places, strict=True) if marked[place].any()]

    def mask(self, flags: Sequence[bool]) -> np.ndarray:
        """A flag of each Greek, for each of its coordinates [D]."""
        sizes = [shape.numel() for shape in self._shapes]
        return np.concatenate([np.zeros(0, bool), *(np.full(n, flag) for n, flag in zip(sizes, flags, strict=True))])
