"""Values that a question names: numbers at which something is asked, and what a variable is set to or seen at."""

from typing import Any

import torch
from torch import Tensor

from estimators.checks import what_came
from estimators.data.columns import plain_numbers
from estimators.isolation import float64


def numbers(argument: str, value: Any) -> Tensor:
    """Return a value as a float64 tensor, or raise a TypeError that names the argument."""
    try:
        return float64(plain_numbers(value))
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{argument}: expected numbers, got {what_came(value)}") from None


def need_value(what: str, name: str, value: Any) -> None:
    """Raise a ValueError for a distribution where a value is due."""
    if isinstance(value, torch.distributions.Distribution):
        raise ValueError(f"{what}: {name} expects a value, got {value}")


def value_of(what: str, name: str, value: Any, size: int | None = None) -> Tensor:
    """Return the value that a variable is set to or seen at, one or one per row, or raise an error that names it.

    A value of a column of vectors has `size` numbers.
    """
    shape = () if size is None else (size,)
    expected = "a finite number" if size is None else f"{size} finite numbers"
    try:
        tensor = float64(plain_numbers(value))
    except (TypeError, ValueError, RuntimeError):
        hint = "; it has no level of that name, so give a number" if isinstance(value, str) else ""
        raise TypeError(f"{what}: {name} expects {expected} (or one per row), got {what_came(value)}{hint}") from None
    has_shape = tensor.ndim in (len(shape), len(shape) + 1) and tuple(tensor.shape[tensor.ndim - len(shape) :]) == shape
    if not has_shape or not tensor.numel() or not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{what}: {name} expects {expected} (or one per row), got {what_came(value)}")
    return tensor
