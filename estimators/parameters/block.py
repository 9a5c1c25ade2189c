"""Greeks that have coordinates together."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from estimators.optimise.arrays import Array
from estimators.parameters.parameter import Parameter


@dataclass(frozen=True, eq=False)
class Block:
    """As a rule one Greek; several where a map is of all: the intercepts of classes and a slope that they share, say.

    ``joint`` is the Greek itself, or all of them one after the other [D].
    """

    parameters: tuple[Parameter, ...]
    joint: Parameter

    @classmethod
    def of(cls, parameter: Parameter) -> "Block":
        """One Greek by itself."""
        return cls((parameter,), parameter)

    def flat(self, greeks: Mapping[str, Any]) -> Array:
        """Greeks [..., *shape] as [..., D]."""
        parts = []
        for parameter in self.parameters:
            value = np.asarray(greeks[parameter.name])
            parts.append(value.reshape(*value.shape[: value.ndim - len(parameter.shape)], prod(parameter.shape)))
        return parts[0] if len(parts) == 1 else np.concatenate(parts, -1)

    def shaped(self, flat: Any) -> Any:
        """[..., D] in the shape of the joint Greek."""
        return in_shape(flat, self.joint.shape)

    def apart(self, flat: Any) -> dict[str, Any]:
        """[..., D] as Greeks [..., *shape]."""
        if len(self.parameters) == 1:
            return {self.joint.name: self.shaped(flat)}
        found, start = dict[str, Any](), 0
        for parameter in self.parameters:
            size = prod(parameter.shape)
            found[parameter.name] = in_shape(flat[..., start : start + size], parameter.shape)
            start += size
        return found


def in_shape(flat: Any, shape: tuple[int, ...]) -> Any:
    """[..., size] as [..., *shape]."""
    return flat if len(shape) == 1 else flat.reshape(flat.shape[:-1] + shape)
