"""The Greeks as sites: name, shape, prior and support."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, pi
from typing import Any, NamedTuple

import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from estimators.checks import check_in_memory
from estimators.data.values import numbers

TINY = 1e-300
# The logarithm of a weight of 0: finite, so that it may be multiplied by a count of 0, and far below any likelihood.
LOG_ZERO = -1e290
HALF_LOG_2PI = 0.5 * log(2.0 * pi)


class Axis(NamedTuple):
    """What an axis of a Greek runs over, ``C_level`` or ``beta_Y_coefficient``, and the names of its places."""

    over: str
    names: tuple[str, ...]


# By the name of a Greek, its axes whose places have names.
NamedAxes = Mapping[str, Mapping[int, Axis]]


@dataclass(frozen=True, eq=False)
class Parameter:
    """A Greek: its name, its shape, its prior over that shape, and the axis that runs over components, if one does.

    ``support`` is where the likelihood is defined: that of the prior, or wider.
    """

    name: str
    shape: tuple[int, ...]
    prior: TorchDistributionMixin
    component_axis: int | None = 0
    support: Any = None

    def __post_init__(self) -> None:
        if self.support is None:
            object.__setattr__(self, "support", self.prior.support)


def checked_greeks(greeks: Mapping[str, Any], expected: Mapping[str, tuple[tuple[int, ...], Any]]) -> dict[str, Tensor]:
    """Return Greeks as float64 tensors, or raise TypeError or ValueError on a wrong name, shape or support."""
    if not isinstance(greeks, Mapping):
        raise TypeError(
            f"greeks: expected a mapping of {sorted(expected)} to their values, got {type(greeks).__name__}"
        )
    if set(greeks) != set(expected):
        raise ValueError(f"greeks: expected {sorted(expected)}, got {sorted(greeks)}")
    for name in expected:
        check_in_memory(name, greeks[name])
    checked = {name: numbers(name, greeks[name]) for name in expected}
    for name, (shape, support) in expected.items():
        if tuple(checked[name].shape) != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {tuple(checked[name].shape)}")
        if not bool(torch.as_tensor(support.check(checked[name])).all()):
            raise ValueError(f"{name}: expected values in {support}, got {checked[name].tolist()}")
    return checked


def check_draws(draws: Mapping[str, Tensor], expected: Mapping[str, tuple[tuple[int, ...], Any]]) -> None:
    """Raise ValueError unless there are draws of every Greek, of its shape and in its support."""
    if {name: tuple(value.shape[1:]) for name, value in draws.items()} != {
        n: shape for n, (shape, _) in expected.items()
    }:
        raise ValueError(f"draws of {sorted(draws)} where the model has {sorted(expected)}")
    for name, (_, support) in expected.items():
        inside = torch.as_tensor(support.check(draws[name]))
        if not bool(torch.isfinite(draws[name]).all()) or not bool(inside.all()):
            raise ValueError(f"draws of {name} that are not finite values in {support}")
