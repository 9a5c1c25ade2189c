"""Checks of arguments: what was expected, what came, and what to do, before any work."""

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

# An argument is quoted in an error as far as one reads it there.
MOST_QUOTED = 80
# How alike a name is to the one that was meant, from 0 to 1.
CLOSE = 0.75


def what_came(value: object) -> str:
    """An argument as an error quotes it: a class by how to write it, and what is long by its type.

    >>> what_came("bernoulli"), what_came(range), what_came(list(range(100)))
    ("'bernoulli'", 'the class range; write range(...)', 'list')
    """
    if isinstance(value, type):
        return f"the class {value.__name__}; write {value.__name__}(...)"
    text = " ".join(repr(value).split())
    return text if len(text) <= MOST_QUOTED else type(value).__name__


def did_you_mean(name: object, known: Collection[str]) -> str:
    """The end of an error about a name that is not known: the known one that it is close to, if any.

    >>> did_you_mean("Smoke", ["age", "smoker"]), did_you_mean("weight", ["age"])
    ("; did you mean 'smoker'?", '')
    """
    folded = {one.casefold(): one for one in known}
    close = get_close_matches(str(name).casefold(), folded, n=1, cutoff=CLOSE)
    return f"; did you mean {folded[close[0]]!r}?" if close else ""


def check_seed(seed: object) -> int:
    """Return `seed` as an int in [0, 2^63), drawing a fresh one where it is None.

    Raises ValueError/TypeError where it is not a non-negative integer.
    """
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint32)[0])
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed: expected a non-negative integer or None, got {what_came(seed)}")
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed: expected an integer from 0 to 2**63 - 1, got {seed}")
    return int(seed)


def check_whole(setting: str, value: object, least: int = 1) -> int:
    """Return a setting that is a whole number of at least `least`; raise for any other."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{setting}: expected a whole number, got {what_came(value)}")
    if value < least:
        raise ValueError(f"{setting}: expected at least {least}, got {value}")
    return int(value)


def check_num_levels(family: str, value: object, least: int) -> int:
    """Return the number of levels of a variable; raise for what is none, and where none is given."""
    if value is None:
        raise TypeError(f"num_levels: expected how many levels the variable has, as in {family}(3), got None")
    return check_whole("num_levels", value, least)


def check_positive(setting: str, value: object, below: float = float("inf")) -> None:
    """Raise unless a setting is a number in (0, below)."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{setting}: expected a number, got {what_came(value)}")
    if not 0.0 < float(value) < below:
        raise ValueError(f"{setting}: expected a number above 0 and below {below:g}, got {value}")


def check_flag(setting: str, value: object, *, optional: bool = False) -> None:
    """Raise unless a setting is True or False (or None, if optional)."""
    if not (isinstance(value, bool) or (optional and value is None)):
        raise TypeError(f"{setting}: expected True or False{' or None' if optional else ''}, got {what_came(value)}")


def check_mapping(argument: str, value: object) -> dict[str, Any]:
    """Return settings by name as a dictionary, an empty one of None; raise a TypeError for what is no mapping."""
    if not isinstance(value, Mapping | None):
        raise TypeError(f'{argument}: expected values by name, such as {{"Z": 1}}, got {what_came(value)}')
    return dict(value or {})


def check_level(level: object) -> None:
    """Raise a ValueError unless a level is strictly between 0 and 1."""
    if isinstance(level, bool) or not isinstance(level, Real) or not 0.0 < float(level) < 1.0:
        raise ValueError(f"level: expected a number strictly between 0 and 1, got {what_came(level)}")


def check_num_rows(num_rows: object) -> None:
    """Raise a ValueError unless a number of rows is a positive whole number."""
    if isinstance(num_rows, bool) or not isinstance(num_rows, Integral) or num_rows < 1:
        raise ValueError(f"num_rows: expected a positive whole number, got {what_came(num_rows)}")


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
