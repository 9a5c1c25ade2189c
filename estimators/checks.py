"""Checks of arguments: what was expected, what came, and what to do, before any work."""

from collections.abc import Iterator
from numbers import Integral, Real

import numpy as np
import torch
from torch import Tensor


def check_seed(seed: object) -> int:
    """Return `seed` as an int in [0, 2^63), drawing a fresh one where it is None.

    Raises ValueError/TypeError where it is not a non-negative integer.
    """
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint32)[0])
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed: expected a non-negative integer or None, got {seed!r}")
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed: expected an integer from 0 to 2**63 - 1, got {seed}")
    return int(seed)


def check_whole(setting: str, value: object, least: int = 1) -> int:
    """Return a setting that is a whole number of at least `least`; raise for any other."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{setting}: expected a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{setting}: expected at least {least}, got {value}")
    return int(value)


def check_positive(setting: str, value: object, below: float = float("inf")) -> None:
    """Raise unless a setting is a number in (0, below)."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{setting}: expected a number, got {value!r}")
    if not 0.0 < float(value) < below:
        raise ValueError(f"{setting}: expected a number above 0 and below {below:g}, got {value}")


def check_flag(setting: str, value: object, *, optional: bool = False) -> None:
    """Raise unless a setting is True or False (or None, if optional)."""
    if not (isinstance(value, bool) or (optional and value is None)):
        raise TypeError(f"{setting}: expected True or False{' or None' if optional else ''}, got {value!r}")


def check_level(level: object) -> None:
    """Raise a ValueError unless a level is strictly between 0 and 1."""
    if isinstance(level, bool) or not isinstance(level, Real) or not 0.0 < float(level) < 1.0:
        raise ValueError(f"level: expected a number strictly between 0 and 1, got {level!r}")


def check_num_rows(num_rows: object) -> None:
    """Raise a ValueError unless a number of rows is a positive whole number."""
    if isinstance(num_rows, bool) or not isinstance(num_rows, Integral) or num_rows < 1:
        raise ValueError(f"num_rows: expected a positive whole number, got {num_rows!r}")


def not_in_memory(argument: str, tensor: Tensor) -> TypeError:
    """The error for a tensor that is sparse, or on a device that keeps no numbers."""
    return TypeError(
        f"{argument}: expected a dense tensor with its numbers in memory, got {tensor.layout} on device "
        f'"{tensor.device}"; convert it first, e.g. with .to_dense().cpu()'
    )


def check_in_memory(argument: str, value: object) -> None:
    """Raise a TypeError where a tensor, or one that a list or a distribution is made of, has no numbers at hand."""
    for tensor in _tensors_of(value):
        if tensor.layout is not torch.strided or tensor.is_meta:
            raise not_in_memory(argument, tensor)


def _tensors_of(value: object, above: tuple[object, ...] = ()) -> Iterator[Tensor]:
    """The tensors that a value is made of; a transform knows its inverse, which knows it in turn."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for element in value:
            yield from _tensors_of(element, above)
    elif isinstance(value, torch.distributions.Distribution | torch.distributions.transforms.Transform):
        for element in vars(value).values():
            if not any(element is outer for outer in (value, *above)):
                yield from _tensors_of(element, (value, *above))
