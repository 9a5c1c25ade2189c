"""A regression's observed causes as the numbers that its line is in."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from estimators.parameters.parameter import Array


def array_inputs(parents: Sequence[str], widths: Sequence[int], columns: Mapping[str, Array]) -> Array:
    """The parents as numbers [N, P]."""
    if not widths:
        return np.zeros((len(next(iter(columns.values()))), 0))
    parts = []
    # A parent of L levels enters as L - 1 indicators, its width, any other as itself, at a width of 1.
    for parent, width in zip(parents, widths, strict=True):
        value = columns[parent]
        parts.append(value[..., None] if width == 1 else (value[..., None] == np.arange(1.0, width + 1)) * 1.0)
    return np.concatenate(parts, -1)


def tensor_inputs(parents: Sequence[str], widths: Sequence[int], columns: Mapping[str, Tensor]) -> Tensor:
    """The parents as numbers [..., P], as `array_inputs` gives them of arrays; the columns' shapes broadcast."""
    if not sum(widths):
        return torch.zeros(0, dtype=torch.float64)
    values = torch.broadcast_tensors(*(torch.as_tensor(columns[parent]).double() for parent in parents))
    parts = []
    for value, width in zip(values, widths, strict=True):
        levels = torch.arange(1.0, width + 1, dtype=torch.float64)
        parts.append(value[..., None] if width == 1 else (value[..., None] == levels).double())
    return torch.cat(parts, -1)
