"""Weights of rows: how many rows each stands for."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from estimators.data.columns import LARGEST, SMALLEST, as_array, in_rows


def row_weights(values: Any, num_rows: int) -> Tensor | None:
    """The weights of rows as float64 [N], or an error that says which are none; None for None."""
    if values is None:
        return None
    if isinstance(values, str):
        raise TypeError(f"weights: expected a number for each row, got {values!r}; of a frame give frame[{values!r}]")
    array, missing = as_array("weights", values)
    if array.shape != (num_rows,):
        raise ValueError(f"weights: expected shape ({num_rows},), one per row, got {array.shape}")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"weights: expected numbers, got values of type {array.dtype}")
    weights = array.astype(np.float64)
    bad = missing | ~np.isfinite(weights) | (weights < 0) | (weights > LARGEST)
    if bad.any():
        raise ValueError(f"weights: expected finite values >= 0 up to {LARGEST:g}, not so in {in_rows(bad)}")
    if 0 < weights.max() < SMALLEST:
        raise ValueError(f"weights: all are below {SMALLEST:g}; rescale the weights")
    return need_positive(torch.from_numpy(weights))


def need_positive(weights: Tensor) -> Tensor:
    """Return weights of which one is above 0, or raise a ValueError."""
    if not bool((weights > 0).any()):
        raise ValueError("weights: all are zero; at least one row must count")
    return weights
