"""Labels of hidden sites by name: the order that a fit was given, and the labels that a question names."""

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from torch import Tensor


def names_of(order: Mapping[Any, Any], num_labels: int) -> tuple[str, ...]:
    """The names of labels 0 to K - 1 from ``{"low": 0, "high": 1}``, or an error that says what was expected.

    >>> names_of({"high": 1, "low": 0}, 2)
    ('low', 'high')
    """
    example = "{" + ", ".join(f'"name {k}": {k}' for k in range(num_labels)) + "}"
    places = list(order.values())
    if not all(isinstance(name, str) and name for name in order):
        raise TypeError(f"relabel: expected names of labels such as {example}, got {dict(order)!r}")
    if any(isinstance(k, bool | np.bool_) or not isinstance(k, Integral) for k in places):
        raise TypeError(f"relabel: expected a label for each name, {example}, got {dict(order)!r}")
    if sorted(places) != list(range(num_labels)):
        raise ValueError(f"relabel: expected a name for every label, each once, {example}, got {dict(order)!r}")
    return tuple(sorted(order, key=order.__getitem__))


def numbers_of(what: str, site: str, value: Any, names: Sequence[str]) -> Any:
    """A label, or a list of them, by number where it is given by name; anything else as it is.

    Raises ValueError for a name that no label has.
    """
    given = value if isinstance(value, str | Tensor) else np.asarray(value, dtype=object)
    if isinstance(given, Tensor) or not (isinstance(given, str) or given.ndim == 1):
        return value
    asked = [given] if isinstance(given, str) else given.tolist()
    if not any(isinstance(label, str) for label in asked):
        return value
    unknown = [label for label in asked if isinstance(label, str) and label not in names]
    if unknown:
        raise ValueError(f"{what}: {site} has no label {unknown[0]!r}; it has {list(names)}, or 0 to {len(names) - 1}")
    found = [names.index(label) if isinstance(label, str) else label for label in asked]
    return found[0] if isinstance(given, str) else found
