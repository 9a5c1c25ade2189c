"""Rows of observations: columns, which entries were set by an experimenter, weights, and units of rows."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from numbers import Number
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from estimators.data.columns import (
    MARGINALIZE,
    check_name,
    check_same_rows,
    column_tensor,
    named_columns,
    numeric_array,
)
from estimators.data.latent import LATENT, NOT_SEEN, labels_of, masks_of, need_labels
from estimators.data.levels import Levels, are_same, coded, few_words, joined, renumbered
from estimators.data.units import ByUnit, Units, check_shared, stacked, units_of
from estimators.data.weights import need_positive, row_weights
from estimators.isolation import own_modes

__all__ = ["LATENT", "NOT_SEEN", "Data", "as_data"]


@dataclass(frozen=True, init=False, eq=False)
class Data(ByUnit):
    """Columns of equal length, with marks for entries that were *set* rather than seen.

    ``Data(X=[0.3, 1.2], Z=[-1, 1], intervened={"Z": [False, True]}, weights=[1.0, 2.0])``

    Columns come from lists, NumPy, torch, pandas, polars, xarray or pyarrow and are kept as float64 or int64 tensors
    [N], or [N, ...] where a row holds several numbers (a vector, a sequence). A single number is a scalar, an argument
    of a Pyro program that is the same for every row. A mapping or a data frame given as the first argument is columns
    only: one of its columns may be called ``weights`` or ``missing``.
    Text, categories and booleans [N] become ``levels`` 0 to L - 1 with names: categories in their own order, text
    sorted (``{"T": ("control", "treated")}``); that order means something only of categories declared as ordered.
    ``Z`` may be given in part: -1, NaN or a masked entry is "not seen". A **seen** Z informs theta and the mechanisms;
    a **set** Z (``intervened``) informs the mechanisms only, because an experimenter chose it.
    ``intervened`` maps a column to a boolean mask [N] or to True; ``weights`` [N] count a row w times. With
    ``missing="marginalize"`` other columns may have NaN or masked entries too, which are summed or integrated out.
    ``unit``, a column's name or labels [N], says which rows share **one** Z, such as the visits of a patient:
    ``p(unit) = Σ_k θ_k(causes of Z) Π_rows Π_j p(x_j | parents, k)``, so that theta, and the density of a cause of Z,
    count once a unit. Units may have any number of rows, in any order; Z, whether it is set, its causes and weights
    must be the same on all rows of one. Units are what is independent: a fit's responsibilities are [U, K], in the
    order of ``unit_labels`` [U], by row ``data.spread(...)``; questions are about a unit's first row, or its next.

    Raises ValueError or TypeError, naming the column, for columns of different length or type, dates, NaN or infinite
    entries, values beyond 1e100, differences below 1e-100, pandas or xarray columns whose indices differ (they are
    never joined by position), weights that are negative or all zero, set entries without a value, and units that are
    unknown, missing, or split over weights or values of Z.

    >>> Data(X=[0.0, 1.0, 10.0]).num_rows
    3
    >>> Data({"X": [0.0, 1.0], "weights": [62.5, 80.0]}, weights=[1.0, 2.0])
    Data(2 rows: X, weights, row weights)
    >>> Data({"X": [0.0, 9.0, 1.0], "patient": ["Ann", "Bob", "Ann"]}, unit="patient").unit_labels
    ('Ann', 'Bob')
    """

    columns: Mapping[str, Tensor]
    intervened: Mapping[str, Tensor]
    weights: Tensor | None
    scalars: Mapping[str, float | int]
    missing: str | None
    levels: Levels
    unit: Units | None

    @own_modes()
    def __init__(
        self,
        source: Any = None,
        /,
        *,
        intervened: Mapping[str, Any] | None = None,
        weights: Any = None,
        missing: str | None = None,
        unit: Any = None,
        **columns: Any,
    ) -> None:
        if missing is not None and not (isinstance(missing, str) and missing == MARGINALIZE):
            raise ValueError(f"missing: expected None or {MARGINALIZE!r}, got {missing!r}")
        units, given = units_of(unit, _named_values(source, columns))
        tensors, scalars, levels = _columns_and_scalars(given, allow_missing=missing is not None)
        if not tensors:
            raise ValueError(
                f"Data: expected a column of one dimension [N] at least, got single numbers for {list(scalars)}"
            )
        num_rows = _common_length(tensors)
        masks = masks_of({} if intervened is None else intervened, tensors, num_rows)
        marks = {f"intervened[{name!r}]": mask for name, mask in (intervened or {}).items()}
        counted = row_weights(weights, num_rows)
        check_same_rows([*given.items(), *marks.items(), ("weights", weights), ("unit", unit)])
        self._fill(tensors, scalars, masks, counted, missing, levels, units)._check_units()

    def _fill(
        self,
        columns: dict[str, Tensor],
        scalars: Mapping[str, float | int],
        intervened: dict[str, Tensor],
        weights: Tensor | None,
        missing: str | None,
        levels: Levels,
        unit: Units | None,
    ) -> "Data":
        """Set the fields to what is known to be right."""
        object.__setattr__(self, "columns", MappingProxyType(columns))
        object.__setattr__(self, "intervened", MappingProxyType(intervened))
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "scalars", MappingProxyType(dict(scalars)))
        object.__setattr__(self, "missing", missing)
        object.__setattr__(self, "levels", MappingProxyType(dict(levels)))
        object.__setattr__(self, "unit", unit)
        return self

    def _check_units(self) -> "Data":
        check_shared(self.unit, self.num_rows, self.latent(), self.is_set(LATENT), self.weights)
        return self

    def _with_unit(self, unit: Units | None) -> "Data":
        object.__setattr__(data := copy(self), "unit", unit)
        return data

    def __reduce__(self) -> tuple[Any, ...]:
        fields = (dict(self.columns), dict(self.scalars), dict(self.intervened), self.weights, self.missing)
        return _rebuilt, (*fields, dict(self.levels), self.unit)

    @property
    def num_rows(self) -> int:
        """Number of rows N."""
        return len(next(iter(self.columns.values())))

    def __len__(self) -> int:
        return self.num_rows

    def __repr__(self) -> str:
        names = [f"{name} ({few_words(self.levels[name])})" if name in self.levels else name for name in self.columns]
        names += [f"intervened {name}" for name in self.intervened]
        names += [] if self.weights is None else ["row weights" if "weights" in self.columns else "weights"]
        units = "" if self.unit is None else f" of {self.num_units} units"
        return f"Data({self.num_rows} rows{units}: {', '.join(names)})"

    def latent(self, name: str = LATENT) -> Tensor:
        """Return the hidden cause as int64 [N], -1 where it is not seen (everywhere, if there is no such column)."""
        if name in self.columns:
            return self.columns[name].long()
        return torch.tensor(NOT_SEEN, device="cpu").expand(self.num_rows)

    def is_set(self, name: str) -> Tensor:
        """Return the mask [N] of entries of a column that an experimenter set."""
        if name in self.intervened:
            return self.intervened[name]
        return torch.tensor(False, device="cpu").expand(self.num_rows)

    def is_missing(self, name: str) -> Tensor:
        """Return the mask of entries of a column that are missing, in the column's shape."""
        return torch.isnan(self.columns[name])

    @property
    def has_missing(self) -> bool:
        """Whether any entry is missing."""
        return any(bool(self.is_missing(name).any()) for name in self.columns)

    @own_modes()
    def relabelled(self, order: Sequence[int], name: str = LATENT) -> "Data":
        """Return the same rows with label k of a hidden cause renamed to the place of k in ``order``."""
        if name not in self.columns:
            return self
        latent = self.latent(name)
        renamed = torch.where(latent < 0, latent, torch.argsort(torch.as_tensor(order))[latent.clamp_min(0)])
        return self.replace({name: renamed})

    @own_modes()
    def replace(self, source: Any = None, /, *, weights: Any = ..., intervened: Any = ..., **columns: Any) -> "Data":
        """Return the same data with other values of some columns, other weights, or other entries set."""
        changed = _named_values(source, columns) if source is not None or columns else {}
        replaced, replaced_scalars, new_levels = _columns_and_scalars(changed, allow_missing=self.missing is not None)
        tensors = {name: column for name, column in self.columns.items() if name not in replaced_scalars} | replaced
        scalars = {name: number for name, number in self.scalars.items() if name not in replaced} | replaced_scalars
        num_rows = _common_length(tensors)
        masks = masks_of(self.intervened if intervened is ... else intervened, tensors, num_rows)
        counted = self.weights if weights is ... else row_weights(weights, num_rows)
        check_same_rows([*changed.items(), ("weights", weights)])
        levels = {name: names for name, names in self.levels.items() if name not in changed} | new_levels
        return _rebuilt(tensors, scalars, masks, counted, self.missing, levels, self.unit)._check_units()

    @own_modes()
    def numbered_as(self, levels: Levels) -> "Data":
        """Return the same rows with levels that have names numbered as in ``levels``, those of other data.

        Raises ValueError for a name that these do not have; numbers without names stay as they are.
        """
        columns = {
            name: renumbered(name, column, self.levels.get(name), levels.get(name))
            for name, column in self.columns.items()
        }
        known = {name: names for name, names in levels.items() if name in columns}
        if are_same(known, self.levels):
            return self
        return _rebuilt(columns, self.scalars, dict(self.intervened), self.weights, self.missing, known, self.unit)

    def rows(self, index: Tensor) -> "Data":
        """Return the rows at an index [M] (of every column, mask and weight); `units_at` keeps units whole."""
        columns = {name: column[index] for name, column in self.columns.items()}
        _common_length(columns)
        masks = {name: mask[index] for name, mask in self.intervened.items()}
        masks = {name: mask for name, mask in masks.items() if bool(mask.any())}
        weights = None if self.weights is None else need_positive(self.weights[index])
        # Columns are not checked anew: what differs in few rows may be far smaller than what differs in all.
        unit = None if self.unit is None else self.unit.rows(index)
        return _rebuilt(columns, self.scalars, masks, weights, self.missing, self.levels, unit)

    @staticmethod
    @own_modes()
    def concat(parts: Sequence["Data"]) -> "Data":
        """Stack data sets by rows; an absent Z is "not seen", an absent mask False, absent weights 1.

        Levels are joined by name. Raises ValueError where another column is missing from a part.

        >>> Data.concat([Data(X=[0.0]), Data(X=[5.0], Z=[1])]).latent().tolist()
        [-1, 1]
        """
        return _rebuilt(*_stacked(parts))


def _rebuilt(*fields: Any) -> Data:
    """Data of fields that are known to be right, in the order of `_fill`."""
    return Data.__new__(Data)._fill(*fields)


def _stacked(data_sets: Sequence[Data]) -> tuple[Any, ...]:
    """The fields of the rows of all data sets, one data set after the other."""
    if isinstance(data_sets, Data) or not all(isinstance(data, Data) for data in data_sets):
        given = type(data_sets).__name__ if isinstance(data_sets, Data) else [type(data).__name__ for data in data_sets]
        raise TypeError(f"Data.concat: expected a sequence of Data, got {given}")
    if not data_sets:
        raise ValueError("Data.concat: expected at least one data set, got an empty sequence")
    names = list(dict.fromkeys(name for data in data_sets for name in data.columns))
    for number, data in enumerate(data_sets):
        missing = [name for name in names if name != LATENT and name not in data.columns]
        if missing:
            raise ValueError(f"Data.concat: part {number} lacks the column(s) {missing}; it has {list(data.columns)}")
    scalars: dict[str, float | int] = {}
    for data in data_sets:
        for name, value in data.scalars.items():
            if scalars.setdefault(name, value) != value:
                raise ValueError(f"Data.concat: the scalar {name} is {scalars[name]} in one part, {value} in another")
    named = list(dict.fromkeys(name for data in data_sets for name in data.levels))
    levels = {name: joined(name, [data.levels.get(name) for data in data_sets]) for name in named}
    data_sets = [data.numbered_as(levels) for data in data_sets]
    columns = {
        name: torch.cat([data.latent() if name == LATENT else data.columns[name] for data in data_sets])
        for name in names
    }
    masked = list(dict.fromkeys(name for data in data_sets for name in data.intervened))
    weights = None
    if any(data.weights is not None for data in data_sets):
        once = [torch.ones(data.num_rows, dtype=torch.float64) for data in data_sets]
        weights = torch.cat(
            [w if data.weights is None else data.weights for data, w in zip(data_sets, once, strict=True)]
        )
    masks = {name: torch.cat([data.is_set(name) for data in data_sets]) for name in masked}
    rule = MARGINALIZE if any(data.missing for data in data_sets) else None
    return columns, scalars, masks, weights, rule, levels, stacked(data_sets)


def as_data(value: object) -> Data:
    """Return `value` as `Data`: a `Data`, or a mapping or a data frame, which is columns and never options."""
    return value if isinstance(value, Data) else Data(named_columns(value))


def _named_values(source: object, columns: Mapping[str, Any]) -> dict[str, Any]:
    """All columns by name, from the first argument and by keyword."""
    if isinstance(source, Data):
        raise TypeError("data: expected columns, got Data; Data.replace changes some of its columns")
    given = {} if source is None else named_columns(source)
    twice = [name for name in columns if name in given]
    if twice:
        raise ValueError(f"data: the column {twice[0]!r} is given twice, in the first argument and by keyword")
    given |= columns
    for name in given:
        check_name("data", name)
    if not given:
        raise ValueError("Data: expected at least one column, e.g. Data(X=[0.0, 1.0]), got none")
    return given


def _columns_and_scalars(
    given: Mapping[str, Any], *, allow_missing: bool
) -> tuple[dict[str, Tensor], dict[str, float | int], dict[str, tuple[str, ...]]]:
    """What is given as columns, and as single numbers, and the names of levels."""
    scalars = {name: _scalar(name, value) for name, value in given.items() if _is_scalar(value)}
    tensors, levels = {}, {}
    for name, values in given.items():
        if name in scalars:
            continue
        numbers, names = coded(name, values)
        if names and name == LATENT:
            need_labels(names)
        elif names:
            levels[name] = names
        tensors[name] = _column(name, numbers, allow_missing=allow_missing)
    return tensors, scalars, levels


def _common_length(columns: Mapping[str, Tensor]) -> int:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"Data: expected columns of one length, got {lengths}")
    num_rows = next(iter(lengths.values()))
    if num_rows == 0:
        raise ValueError("Data: expected at least one row, got empty columns")
    return num_rows


def _is_scalar(value: Any) -> bool:
    return isinstance(value, Number) or (hasattr(value, "shape") and tuple(value.shape) == ())


def _scalar(name: str, value: Any) -> float | int:
    number = value.item() if hasattr(value, "item") else value
    if not isinstance(number, int | float) or not np.isfinite(number):
        raise ValueError(f"scalar {name}: expected a finite number, got {value!r}")
    return number


def _column(name: str, values: Any, *, allow_missing: bool) -> Tensor:
    if name == LATENT:
        array, missing = numeric_array(name, values)
        if array.ndim == 1:
            return labels_of(array, missing)
    return column_tensor(name, values, allow_missing=allow_missing)
