"""Rows of observations: columns, which entries were set by an experimenter, and row weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Number
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

LATENT = "Z"
NOT_SEEN = -1
LARGEST = 1e100
MOST_DIMENSIONS = 3
MARGINALIZE = "marginalize"


@dataclass(frozen=True, init=False, eq=False)
class Data:
    """Columns of equal length, with marks for entries that were *set* rather than seen.

    ``Data(X=[0.3, 1.2], Z=[-1, 1], intervened={"Z": [False, True]}, weights=[1.0, 2.0])``

    Columns come from lists, NumPy, torch, pandas, polars or xarray and are kept as float64 or int64 tensors [N], or
    [N, ...] where a row holds several numbers (a vector, a sequence). A single number is a scalar, an argument of a
    Pyro program that is the same for every row.
    ``Z`` may be given in part: -1, NaN or a masked entry is "not seen". A **seen** Z informs theta and the mechanisms;
    a **set** Z (``intervened``) informs the mechanisms only, because an experimenter chose it.
    ``intervened`` maps a column to a boolean mask [N] or to True; ``weights`` [N] count a row w times. With
    ``missing="marginalize"`` other columns may have NaN or masked entries too, which are summed or integrated out.

    Raises ValueError or TypeError, naming the column, for columns of different length or type, NaN or infinite
    entries, values beyond 1e100, weights that are negative or all zero, and set entries without a value.

    >>> Data(X=[0.0, 1.0, 10.0]).num_rows
    3
    """

    columns: Mapping[str, Tensor]
    intervened: Mapping[str, Tensor]
    weights: Tensor | None
    scalars: Mapping[str, float | int]
    missing: str | None

    def __init__(
        self,
        *,
        intervened: Mapping[str, Any] | None = None,
        weights: Any = None,
        missing: str | None = None,
        **columns: Any,
    ) -> None:
        if missing not in (None, MARGINALIZE):
            raise ValueError(f"missing: expected None or {MARGINALIZE!r}, got {missing!r}")
        if not columns:
            raise ValueError("Data: expected at least one column, e.g. Data(X=[0.0, 1.0]), got none")
        scalars = {name: _scalar(name, value) for name, value in columns.items() if _is_scalar(value)}
        if len(scalars) == len(columns):
            raise ValueError(
                f"Data: expected a column of one dimension [N] at least, got single numbers for {list(scalars)}"
            )
        allow = missing is not None
        tensors = {
            name: _column(name, values, allow_missing=allow) for name, values in columns.items() if name not in scalars
        }
        lengths = {name: len(column) for name, column in tensors.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"Data: expected columns of one length, got {lengths}")
        num_rows = next(iter(lengths.values()))
        if num_rows == 0:
            raise ValueError("Data: expected at least one row, got empty columns")
        object.__setattr__(self, "columns", MappingProxyType(tensors))
        object.__setattr__(
            self, "intervened", MappingProxyType(_masks({} if intervened is None else intervened, tensors, num_rows))
        )
        object.__setattr__(self, "weights", None if weights is None else _weights(weights, num_rows))
        object.__setattr__(self, "scalars", MappingProxyType(scalars))
        object.__setattr__(self, "missing", missing)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, ({**self.columns, **self.scalars}, dict(self.intervened), self.weights, self.missing)

    @property
    def num_rows(self) -> int:
        """Number of rows N."""
        return len(next(iter(self.columns.values())))

    def __len__(self) -> int:
        return self.num_rows

    def __repr__(self) -> str:
        parts = [*self.columns, *(f"intervened {name}" for name in self.intervened)]
        parts += [] if self.weights is None else ["weights"]
        return f"Data({self.num_rows} rows: {', '.join(parts)})"

    def latent(self, name: str = LATENT) -> Tensor:
        """Return the hidden cause as int64 [N], -1 where it is not seen (everywhere, if there is no such column)."""
        if name in self.columns:
            return self.columns[name].long()
        return torch.full((self.num_rows,), NOT_SEEN)

    def is_set(self, name: str) -> Tensor:
        """Return the mask [N] of entries of a column that an experimenter set."""
        if name in self.intervened:
            return self.intervened[name]
        return torch.zeros(self.num_rows, dtype=torch.bool)

    def is_missing(self, name: str) -> Tensor:
        """Return the mask of entries of a column that are missing, in the column's shape."""
        return torch.isnan(self.columns[name])

    @property
    def has_missing(self) -> bool:
        """Whether any entry is missing."""
        return any(bool(self.is_missing(name).any()) for name in self.columns)

    def counts(self) -> Tensor:
        """Return the mask [N] of rows that count: those with a weight above 0."""
        if self.weights is None:
            return torch.ones(self.num_rows, dtype=torch.bool)
        return self.weights > 0

    def relabelled(self, order: Sequence[int], name: str = LATENT) -> "Data":
        """Return the same rows with label k of a hidden cause renamed to the place of k in ``order``."""
        if name not in self.columns:
            return self
        latent = self.latent(name)
        renamed = torch.where(latent < 0, latent, torch.argsort(torch.as_tensor(order))[latent.clamp_min(0)])
        return self.replace(**{name: renamed})

    def replace(self, *, weights: Any = ..., **columns: Any) -> "Data":
        """Return the same data with other values of some columns, or other weights."""
        return Data(
            **{**self.columns, **self.scalars, **columns},
            intervened=dict(self.intervened),
            weights=self.weights if weights is ... else weights,
            missing=self.missing,
        )

    def rows(self, index: Tensor) -> "Data":
        """Return the rows at an index [M] (a slice of every column, mask and weight)."""
        return Data(
            **{name: column[index] for name, column in self.columns.items()},
            **self.scalars,
            intervened={name: mask[index] for name, mask in self.intervened.items()},
            weights=None if self.weights is None else self.weights[index],
            missing=self.missing,
        )

    @staticmethod
    def concat(parts: Sequence["Data"]) -> "Data":
        """Stack data sets by rows; an absent Z is "not seen", an absent mask False, absent weights 1.

        Raises ValueError where another column is missing from a part.

        >>> Data.concat([Data(X=[0.0]), Data(X=[5.0], Z=[1])]).latent().tolist()
        [-1, 1]
        """
        if isinstance(parts, Data) or not all(isinstance(part, Data) for part in parts):
            found = type(parts).__name__ if isinstance(parts, Data) else [type(part).__name__ for part in parts]
            raise TypeError(f"Data.concat: expected a sequence of Data, got {found}")
        if not parts:
            raise ValueError("Data.concat: expected at least one data set, got an empty sequence")
        names = list(dict.fromkeys(name for part in parts for name in part.columns))
        for number, part in enumerate(parts):
            missing = [name for name in names if name != LATENT and name not in part.columns]
            if missing:
                raise ValueError(
                    f"Data.concat: part {number} lacks the column(s) {missing}; it has {list(part.columns)}"
                )
        scalars: dict[str, float | int] = {}
        for part in parts:
            for name, value in part.scalars.items():
                if scalars.setdefault(name, value) != value:
                    raise ValueError(
                        f"Data.concat: the scalar {name} is {scalars[name]} in one part, {value} in another"
                    )
        columns = {
            name: torch.cat([part.latent() if name == LATENT else part.columns[name] for part in parts])
            for name in names
        }
        masked = list(dict.fromkeys(name for part in parts for name in part.intervened))
        weights = None
        if any(part.weights is not None for part in parts):
            weights = torch.cat(
                [
                    torch.ones(part.num_rows, dtype=torch.float64) if part.weights is None else part.weights
                    for part in parts
                ]
            )
        return Data(
            **columns,
            **scalars,
            intervened={name: torch.cat([part.is_set(name) for part in parts]) for name in masked},
            weights=weights,
            missing=MARGINALIZE if any(part.missing for part in parts) else None,
        )


def _rebuilt(
    columns: dict[str, Tensor], intervened: dict[str, Tensor], weights: Tensor | None, missing: str | None
) -> Data:
    return Data(**columns, intervened=intervened, weights=weights, missing=missing)


def as_data(value: object) -> Data:
    """Return `value` as `Data`: a `Data`, a mapping of columns, or a data frame (pandas, polars, xarray Dataset)."""
    if isinstance(value, Data):
        return value
    if isinstance(value, Mapping):
        return Data(**{str(name): column for name, column in value.items()})
    if hasattr(value, "data_vars"):
        return Data(**{str(name): value[name] for name in value.data_vars})  # type: ignore[index]
    if hasattr(value, "columns"):
        return Data(**{str(name): value[name] for name in value.columns})  # type: ignore[index]
    raise TypeError(
        "data: expected Data(X=...), a mapping of columns, or a data frame, "
        f"got {type(value).__name__}; wrap it as Data(X=...)"
    )


def _is_scalar(value: Any) -> bool:
    return isinstance(value, Number) or (hasattr(value, "shape") and tuple(value.shape) == ())


def _scalar(name: str, value: Any) -> float | int:
    number = value.item() if hasattr(value, "item") else value
    if not isinstance(number, int | float) or not np.isfinite(number):
        raise ValueError(f"scalar {name}: expected a finite number, got {value!r}")
    return number


def _column(name: str, values: Any, *, allow_missing: bool) -> Tensor:
    array, missing = _numpy(name, values)
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
    if name == LATENT and array.ndim == 1:
        return _latent(array, missing)
    if missing.any() and not allow_missing:
        raise ValueError(
            f"column {name}: missing (masked) in {_where(missing)}; drop these rows first, or say "
            f"Data(..., missing={MARGINALIZE!r}) to integrate them out"
        )
    if missing.any():
        array = np.where(missing, np.nan, array.astype(np.float64))
    if array.dtype.kind == "f":
        array = array.astype(np.float64)
        bad = np.isinf(array) if allow_missing else ~np.isfinite(array)
        if bad.any():
            hint = f", or say Data(..., missing={MARGINALIZE!r}) to integrate NaN out" if np.isnan(array).any() else ""
            raise ValueError(f"column {name}: NaN or infinite in {_where(bad)}; drop or repair these rows first{hint}")
        huge = np.abs(array) > LARGEST
        if huge.any():
            raise ValueError(f"column {name}: beyond {LARGEST:g} in magnitude in {_where(huge)}; rescale the column")
        return torch.from_numpy(array)
    huge = array > np.iinfo(np.int64).max
    if huge.any():
        raise ValueError(f"column {name}: beyond a 64-bit integer in {_where(huge)}; give floating-point numbers")
    return torch.from_numpy(array.astype(np.int64))


def _numpy(name: str, values: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return a NumPy array and the mask of entries that the source itself marks as missing."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.double() if values.is_floating_point() else values).numpy()
    if isinstance(values, np.ma.MaskedArray):
        return np.asarray(values.filled(0)), np.ma.getmaskarray(values)
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    try:
        array = np.array(values)
        if array.dtype.kind == "O":
            missing = np.array([entry is None or str(entry) == "<NA>" for entry in array])
            array = np.array([0.0 if gone else float(entry) for gone, entry in zip(missing, array, strict=True)])
            return array, missing
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"column {name}: expected a sequence of numbers, got {type(values).__name__} ({error})"
        ) from None
    return array, np.zeros(array.shape, dtype=bool)


def _latent(array: np.ndarray, missing: np.ndarray) -> Tensor:
    if array.dtype.kind == "f":
        missing = missing | np.isnan(array)
        whole = np.where(missing, NOT_SEEN, array)
        fractional = ~np.isfinite(whole) | (whole != np.floor(whole))
        if fractional.any():
            raise ValueError(
                f"column {LATENT}: expected whole numbers (or -1 / NaN for not seen), not in {_where(fractional)}"
            )
        array = whole
    return torch.from_numpy(np.where(missing, NOT_SEEN, array).astype(np.int64))


def _masks(intervened: Mapping[str, Any], columns: Mapping[str, Tensor], num_rows: int) -> dict[str, Tensor]:
    if not isinstance(intervened, Mapping):
        raise TypeError(f'intervened: expected a mapping such as {{"Z": True}}, got {type(intervened).__name__}')
    masks: dict[str, Tensor] = {}
    for name, value in intervened.items():
        if name not in columns:
            raise ValueError(f"intervened: no column {name!r}; the columns are {list(columns)}")
        mask = _mask(name, value, num_rows)
        if name == LATENT:
            unset = (mask & (columns[name] < 0)).numpy()
            if unset.any():
                raise ValueError(
                    f"intervened {name}: set but without a value (-1) in {_where(unset)}; say what it was set to"
                )
        elif columns[name].is_floating_point():
            unset = mask.numpy() & np.isnan(columns[name].numpy()).reshape(num_rows, -1).any(1)
            if unset.any():
                raise ValueError(
                    f"intervened {name}: set but without a value (missing) in {_where(unset)}; say what it was set to"
                )
        if bool(mask.any()):
            masks[name] = mask
    return masks


def _mask(name: str, value: Any, num_rows: int) -> Tensor:
    if isinstance(value, bool | np.bool_):
        return torch.full((num_rows,), bool(value))
    array, missing = _numpy(f"intervened {name}", value)
    if missing.any():
        raise ValueError(f"intervened {name}: missing in {_where(missing)}; say True or False for every row")
    if array.shape != (num_rows,):
        raise ValueError(f"intervened {name}: expected True or a mask of shape ({num_rows},), got shape {array.shape}")
    if array.dtype.kind != "b" and not np.isin(array, (0, 1)).all():
        raise TypeError(f"intervened {name}: expected booleans, got values of type {array.dtype}")
    return torch.from_numpy(array.astype(bool))


def _weights(values: Any, num_rows: int) -> Tensor:
    array, missing = _numpy("weights", values)
    if array.shape != (num_rows,):
        raise ValueError(f"weights: expected shape ({num_rows},), one per row, got {array.shape}")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"weights: expected numbers, got values of type {array.dtype}")
    weights = array.astype(np.float64)
    bad = missing | ~np.isfinite(weights) | (weights < 0) | (weights > LARGEST)
    if bad.any():
        raise ValueError(f"weights: expected finite values >= 0, not so in {_where(bad)}")
    if not (weights > 0).any():
        raise ValueError("weights: all are zero; at least one row must count")
    return torch.from_numpy(weights)


def _where(bad: np.ndarray) -> str:
    rows = np.flatnonzero(bad.reshape(len(bad), -1).any(1))
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    return f"row(s) {', '.join(str(row) for row in rows[:5])}{more}"
