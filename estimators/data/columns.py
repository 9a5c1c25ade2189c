"""Columns as users have them, in lists, arrays, tensors and data frames, as named float64 or int64 tensors."""

from collections.abc import Iterable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any
from unicodedata import category

import numpy as np
import torch
from torch import Tensor

from estimators.checks import not_in_memory
from estimators.data.words import few

LARGEST = 1e100
# Below this, squares of what differs between the rows, and their products with a handful of others, underflow.
SMALLEST = 1e-100
MOST_DIMENSIONS = 3
# A name is part of the name of an entry in a zip archive, whose own limit is 65535 bytes.
LONGEST_NAME = 1000
MARGINALIZE = "marginalize"
LEAVE_OUT = 'leave the column out, as Data(frame[["T", "Y"]]) does'
WITHOUT_VALUES = (
    f"if the model does not have it, {LEAVE_OUT}; else drop these rows first, or say "
    f"Data(..., missing={MARGINALIZE!r}) to sum over what is not there"
)


def named_columns(source: object) -> dict[str, Any]:
    """The columns of a mapping or of a data frame (pandas, polars, xarray Dataset, pyarrow Table), by name as text.

    Raises TypeError for anything else, and for a name that is not text; ValueError for two columns of one name.
    """
    frame: Any = source
    if isinstance(source, Mapping):
        labels, pick = list(source), source.__getitem__
    elif hasattr(frame, "collect") or hasattr(frame, "compute"):
        raise TypeError(
            f"data: got {type(source).__name__}, whose values are not computed yet; collect() or compute() it"
        )
    elif hasattr(frame, "data_vars"):
        labels, pick = list(frame.data_vars), frame.__getitem__
    elif hasattr(frame, "column_names"):
        labels, pick = list(frame.column_names), frame.column
    elif hasattr(frame, "columns"):
        labels, pick = list(frame.columns), frame.__getitem__
    else:
        raise TypeError(
            "data: expected Data(X=...), a mapping of columns, or a data frame, "
            f"got {type(source).__name__}; {_way_out(source)}"
        )
    names: dict[str, Any] = {}
    for label in labels:
        name = _name_of(label)
        if name in names:
            raise ValueError(
                f"data: the columns {names[name]!r} and {label!r} have one name, {name!r}; rename or drop one of them"
            )
        names[name] = label
    return {name: pick(label) for name, label in names.items()}


def _way_out(source: object) -> str:
    if isinstance(source, str | Path):
        return "read the file first, as pandas.read_csv does"
    return "give its column a name, as Data(X=...) does"


def _name_of(label: object) -> str:
    if isinstance(label, str):
        return str(label)
    if isinstance(label, Integral) and not isinstance(label, bool):
        return str(int(label))
    hint = "; join the levels of the columns into one name each" if isinstance(label, tuple) else ""
    raise TypeError(f"data: expected names of columns as text, got {label!r} ({type(label).__name__}){hint}")


def check_name(what: str, name: str) -> None:
    """Raise a ValueError for a name that no file of a fit could hold: empty, too long, control characters."""
    problem = None
    if not name:
        problem = "it is empty"
    elif any(category(letter) == "Cc" for letter in name):
        problem = "it has a control character (NUL, a tab, or the end of a line)"
    elif any(category(letter) == "Cs" for letter in name):
        problem = "it is not valid Unicode (a lone surrogate)"
    elif len(name.encode()) > LONGEST_NAME:
        problem = f"it is longer than {LONGEST_NAME} bytes"
    if problem:
        raise ValueError(f"{what}: the name {name[:40]!r} cannot be used: {problem}; give the variable another name")


def check_same_rows(columns: Iterable[tuple[str, Any]], what: str = "Data") -> None:
    """Raise a ValueError where two columns say by their index that their rows are not the same rows in that order."""
    first, first_index = "", None
    for name, values in columns:
        index = _index_of(values)
        if first_index is None:
            first, first_index = name, index
        elif index is not None and not first_index.equals(index):
            raise ValueError(
                f"{what}: {first!r} and {name!r} have different indices, so their rows are not the same rows in the "
                "same order; join them into one data frame first, or, if they belong together row by row, give arrays: "
                f"{name}.to_numpy()"
            )


def _index_of(values: Any) -> Any:
    """The row labels of a pandas or xarray object; None where rows have none."""
    if hasattr(values, "iloc"):  # pandas
        return values.index
    if hasattr(values, "dims") and hasattr(values, "indexes"):  # xarray
        return values.indexes.get(values.dims[0]) if values.dims else None
    return None


def column_tensor(name: str, values: Any, *, allow_missing: bool) -> Tensor:
    """A column [N, ...] as float64 or int64, NaN where an entry is missing and may be.

    Raises ValueError or TypeError, naming the column and the rows, for what is not finite numbers of moderate size.
    """
    array, missing = numeric_array(name, values)
    if missing.any() and not allow_missing:
        raise ValueError(f"column {name}: no value in {in_rows(missing)}; {WITHOUT_VALUES}")
    if missing.any():
        array = np.where(missing, np.nan, array.astype(np.float64))
    if array.dtype.kind != "f":
        huge = array > np.iinfo(np.int64).max
        if huge.any():
            raise ValueError(f"column {name}: beyond a 64-bit integer in {in_rows(huge)}; give floating-point numbers")
        return torch.from_numpy(array.astype(np.int64))
    # No second copy: a long column is most of what a fit takes.
    array = array.astype(np.float64, copy=False)
    bad = np.isinf(array) if allow_missing else ~np.isfinite(array)
    if bad.any():
        hint = WITHOUT_VALUES if np.isnan(array).any() else f"drop or repair these rows first, or {LEAVE_OUT}"
        raise ValueError(f"column {name}: NaN or infinite in {in_rows(bad)}; {hint}")
    huge = (array > LARGEST) | (array < -LARGEST)
    if huge.any():
        raise ValueError(f"column {name}: beyond {LARGEST:g} in magnitude in {in_rows(huge)}; rescale the column")
    _check_spread(name, array)
    return torch.from_numpy(array)


def _check_spread(name: str, array: np.ndarray) -> None:
    """Raise where entries of one column differ by so little that the squares of differences underflow."""
    if not len(array):
        return
    # Of the entries that are there: fmax and fmin pass NaN over.
    spread = np.fmax.reduce(array) - np.fmin.reduce(array)
    if ((spread > 0) & (spread < SMALLEST)).any():
        raise ValueError(
            f"column {name}: all entries are within {SMALLEST:g} of each other and not equal, so that their squares "
            "underflow; rescale the column"
        )


def numeric_array(name: str, values: Any) -> tuple[np.ndarray, np.ndarray]:
    """A NumPy array of numbers [N, ...] and the mask of entries that the source itself marks as missing."""
    array, missing = as_array(name, values)
    if not 1 <= array.ndim <= MOST_DIMENSIONS:
        raise ValueError(
            f"column {name}: expected one dimension [N], or up to {MOST_DIMENSIONS} with rows first, "
            f"got shape {array.shape}"
        )
    if array.dtype.kind == "b":
        array = array.astype(np.int64)
    if array.dtype.kind not in "iuf":
        raise TypeError(
            f"column {name}: expected numbers, got values of type {array.dtype} (first: {array[:3].tolist()})"
        )
    return array, missing


def as_array(name: str, values: Any) -> tuple[np.ndarray, np.ndarray]:
    """A NumPy array of any shape and type, and the mask of entries that the source itself marks as missing."""
    if isinstance(values, Tensor):
        try:
            values = values.detach().cpu().resolve_conj().resolve_neg()
            values = (values.double() if values.is_floating_point() else values).numpy()
        except (NotImplementedError, RuntimeError, TypeError):
            raise not_in_memory(f"column {name}", values) from None
    if isinstance(values, np.ma.MaskedArray):
        return np.array(values.filled(0)), np.ma.getmaskarray(values)
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    try:
        array = np.array(values)
        if array.dtype.kind != "O":
            return array, np.zeros(array.shape, dtype=bool)
        if not array.ndim:
            raise TypeError("it has no length")
        return _unboxed(array)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"column {name}: expected a sequence of numbers, got {type(values).__name__} ({error})"
        ) from None


def plain_numbers(values: Any) -> Any:
    """The entries of a pandas, polars, xarray or pyarrow object, or of a masked array, as an array without an index.

    NaN where an entry is missing; anything else as it is. Raises TypeError where boxed entries are not numbers.
    """
    if isinstance(values, Tensor) or not (isinstance(values, np.ma.MaskedArray) or hasattr(values, "to_numpy")):
        return values
    array, missing = as_array("", values)
    return np.where(missing, np.nan, array.astype(np.float64)) if missing.any() else array


def _unboxed(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An array of Python objects, as pandas' nullable columns give it, as float64 and the mask of None and NA."""
    missing = np.array([entry is None or str(entry) == "<NA>" for entry in array.flat], dtype=bool)
    numbers = [0.0 if gone else _number(entry) for gone, entry in zip(missing, array.flat, strict=True)]
    return np.array(numbers, dtype=np.float64).reshape(array.shape), missing.reshape(array.shape)


def _number(entry: Any) -> float:
    if isinstance(entry, str | bytes):
        raise TypeError(f"expected numbers, got text: {entry!r}")
    return float(entry)


def in_rows(bad: np.ndarray) -> str:
    """The first row numbers of a mask [N, ...], in words."""
    rows = np.flatnonzero(bad.reshape(len(bad), -1).any(1))
    return f"row(s) {few(rows.tolist(), 5)}"
