"""The hidden cause as a column: labels 0 to K - 1, -1 where it is not seen, and what an experimenter set."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from estimators.checks import did_you_mean
from estimators.data.columns import as_array, in_rows
from estimators.data.levels import BOOLEANS, in_words

LATENT = "Z"
NOT_SEEN = -1


def need_labels(names: Sequence[str]) -> None:
    """Raise a TypeError for names in place of labels of the hidden cause."""
    if names != BOOLEANS:
        numbers = ", ".join(f"{name!r}: {k}" for k, name in enumerate(names[:2]))
        raise TypeError(
            f"column {LATENT}: expected numbers, labels 0 to K - 1, with -1 or NaN where it is not seen, got text: "
            f"{in_words(names)}; give numbers, and afterwards names, fit.relabel({{{numbers}}})"
        )


def labels_of(array: np.ndarray, missing: np.ndarray) -> Tensor:
    """The labels as int64 [N], -1 where one is missing; a ValueError where one is no whole number."""
    if array.dtype.kind == "f":
        missing = missing | np.isnan(array)
        whole = np.where(missing, NOT_SEEN, array)
        fractional = ~np.isfinite(whole) | (whole != np.floor(whole))
        if fractional.any():
            raise ValueError(
                f"column {LATENT}: expected whole numbers (or -1 / NaN for not seen), not in {in_rows(fractional)}"
            )
        array = whole
    return torch.from_numpy(np.where(missing, NOT_SEEN, array).astype(np.int64))


def masks_of(intervened: Mapping[str, Any], columns: Mapping[str, Tensor], num_rows: int) -> dict[str, Tensor]:
    """Which entries [N] were set, by column; a ValueError or TypeError names a mask that is none."""
    if not isinstance(intervened, Mapping):
        raise TypeError(f'intervened: expected a mapping such as {{"Z": True}}, got {type(intervened).__name__}')
    masks: dict[str, Tensor] = {}
    for name, value in intervened.items():
        if name not in columns:
            raise ValueError(
                f"intervened: no column {name!r}; the columns are {list(columns)}{did_you_mean(name, columns)}"
            )
        mask = _mask(name, value, num_rows)
        column = columns[name].reshape(num_rows, -1)
        is_absent, sign = (column < 0, "-1") if name == LATENT else (torch.isnan(column), "missing")
        unset = (mask & is_absent.any(1)).numpy()
        if unset.any():
            raise ValueError(
                f"intervened {name}: set but without a value ({sign}) in {in_rows(unset)}; say what it was set to"
            )
        if bool(mask.any()):
            masks[name] = mask
    return masks


def _mask(name: str, value: Any, num_rows: int) -> Tensor:
    if isinstance(value, bool | np.bool_):
        return torch.full((num_rows,), bool(value))
    array, missing = as_array(f"intervened {name}", value)
    if missing.any():
        raise ValueError(f"intervened {name}: missing in {in_rows(missing)}; say True or False for every row")
    if array.shape != (num_rows,):
        raise ValueError(f"intervened {name}: expected True or a mask of shape ({num_rows},), got shape {array.shape}")
    if array.dtype.kind != "b" and not np.isin(array, (0, 1)).all():
        raise TypeError(f"intervened {name}: expected booleans, got values of type {array.dtype}")
    return torch.from_numpy(array.astype(bool))
