"""Levels by name: columns of text, categories and booleans as whole numbers 0 to L - 1, and what these are called.

Text is numbered in sorted order, categories in their own, False and True as 0 and 1. Numbers are no names.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, time, timedelta
from typing import Any
from unicodedata import category

import numpy as np
import torch
from torch import Tensor

from estimators.data.columns import LEAVE_OUT, in_rows
from estimators.data.words import few

Names = tuple[str, ...]
Levels = Mapping[str, Names]


class InOrder(Names):
    """Names in an order that was declared, from the lowest to the highest."""


# Text that reads as a date: 2023-01-03, 3/1/23 10:00, 3 Jan 2023.
DATE = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}\b|\d{1,2}[- ][A-Za-z]{3,9}[- ]\d{2,4}$")
# A number with a comma for a point.
WITH_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")
BOOLEANS: Names = ("False", "True")
MOST_NAMED = 6


def coded(column: str, values: Any) -> tuple[Any, Names]:
    """A column of names as a masked array of levels [N], and their names; any other as it is, without names.

    Raises TypeError or ValueError, naming the column, for dates, and for text that cannot be told from a number or from
    a missing entry.
    """
    if isinstance(values, Tensor):
        return values, BOOLEANS if values.dtype is torch.bool and values.ndim == 1 else ()
    if hasattr(getattr(values, "type", None), "index_type"):
        # Of a dictionary of pyarrow's, `to_numpy` gives missing entries a value.
        values = values.to_pandas()
    entries = _entries(values)
    if entries is not None and entries.dtype.kind == "b":
        return entries, BOOLEANS if entries.ndim == 1 else ()
    if entries is None or entries.ndim == 0 or entries.dtype.kind not in "OmM":
        return values, ()
    import pandas as pd  # a quarter of a second, which only units and names need

    missing = np.asarray(pd.isna(entries))
    there = entries[~missing]
    _refuse_dates(column, entries.dtype, there)
    levels = _categories(values) or _levels(column, there)
    if levels is None:
        return values, ()
    if entries.ndim > 1:
        if all(isinstance(level, bool) for level in levels):
            return values, ()
        raise TypeError(f"column {column}: expected numbers in {entries.ndim} dimensions, got text: {there[0]!r}")
    names = InOrder(_checked(column, levels)) if _is_ordered(values) else _checked(column, levels)
    number = {level: k for k, level in enumerate(levels)}
    numbers = np.zeros(len(entries), dtype=np.int64)
    numbers[~missing] = [number[entry] for entry in there]
    return np.ma.MaskedArray(numbers, mask=missing), names


def _entries(values: Any) -> np.ndarray | None:
    """A column as an array, of objects where it may hold text; None where it is none."""
    if isinstance(values, np.ma.MaskedArray):
        entries = np.array(values.data, dtype=object)
        entries[np.ma.getmaskarray(values)] = None
        return entries
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    try:
        array = np.asarray(values)
        # NumPy makes text of what stands beside text in a list, a missing entry too.
        return np.asarray(values, dtype=object) if array.dtype.kind in "UO" else array
    except (TypeError, ValueError, RuntimeError):
        return None


def _categories(values: Any) -> list[Any] | None:
    """The levels of pandas' categories and of polars' Enum, in their order; None of other columns."""
    declared = getattr(getattr(values, "dtype", None), "categories", None)
    levels = list(declared) if isinstance(declared, Collection) else []
    return [False, True] if levels and all(isinstance(level, bool | np.bool_) for level in levels) else levels or None


def _is_ordered(values: Any) -> bool:
    """Whether the order of the levels was declared, as of pandas' ordered categories; polars' Enum always has one."""
    dtype = getattr(values, "dtype", None)
    return isinstance(getattr(dtype, "categories", None), Collection) and bool(getattr(dtype, "ordered", True))


def _levels(column: str, entries: np.ndarray) -> list[Any] | None:
    """The levels that entries name, in order; None of numbers."""
    is_text = [isinstance(entry, str) for entry in entries]
    if not any(is_text):
        is_boolean = len(entries) > 0 and all(isinstance(entry, bool | np.bool_) for entry in entries)
        return [False, True] if is_boolean else None
    if all(is_text):
        return sorted(set(entries))
    raise TypeError(
        f"column {column}: expected numbers, or names of levels, got both: {entries[is_text.index(True)]!r} and "
        f"{entries[is_text.index(False)]!r}; make all of them numbers (pandas.to_numeric) or text (astype(str)), or "
        f"{LEAVE_OUT}"
    )


def _refuse_dates(column: str, dtype: Any, entries: np.ndarray) -> None:
    import pandas as pd

    dates = (date, time, timedelta, np.datetime64, np.timedelta64, pd.Period)
    if dtype.kind in "mM" or any(isinstance(entry, dates) for entry in entries.flat[:1]):
        kind = dtype if dtype.kind in "mM" else type(entries.flat[0]).__name__
        raise TypeError(
            f"column {column}: expected numbers, or names of levels, got dates or durations ({kind}); give a number, "
            f"such as the days since the first, ({column} - {column}.min()).dt.days, or {LEAVE_OUT}"
        )


def _checked(column: str, declared: Sequence[Any]) -> Names:
    """The names of levels as text, each of which means one thing."""
    names = tuple(str(level) for level in declared)
    for k, name in enumerate(names):
        if any(category(letter) == "Cs" for letter in name):
            raise ValueError(f"column {column}: the level {name!r} is not valid Unicode; give it another name")
        if not name.strip():
            raise ValueError(
                f"column {column}: a level has an empty name; give it one, or None where it is missing, or {LEAVE_OUT}"
            )
        if name != str(k) and _is_number(name):
            raise TypeError(
                f"column {column}: expected numbers, or names of levels, got text that is a number: {name!r}; make the "
                f"column numbers (pandas.to_numeric), give the level a name of its own, or {LEAVE_OUT}"
            )
    if len(set(names)) < len(names):
        raise ValueError(f"column {column}: two levels have one name among {in_words(names)}; rename one of them")
    return names


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def few_words(names: Names) -> str:
    """The names where they are few, else their number."""
    return ", ".join(names) if len(names) <= MOST_NAMED else f"{len(names)} levels"


def in_words(names: Iterable[str]) -> str:
    """Some names, each in quotation marks: ``'control', 'treated'``."""
    return few([repr(name) for name in names], MOST_NAMED)


def is_in_order(names: Names) -> bool:
    """Whether the order of the names was declared."""
    return isinstance(names, InOrder)


def are_same(one: Levels, other: Levels) -> bool:
    """Whether the same columns have the same names, and the same of these a declared order."""
    return one == other and all(is_in_order(names) == is_in_order(other[name]) for name, names in one.items())


def from_numbers(levels: Tensor, names: Sequence[str], *, is_ordered: bool) -> Any:
    """The column with names [N] of which `coded` made these levels, NaN where an entry is missing."""
    import pandas as pd

    numbers = torch.where(torch.isnan(levels), -1, levels)
    return pd.Categorical.from_codes(numbers.numpy().astype(np.int64), categories=list(names), ordered=is_ordered)


def check_levels(column: str, names: Names, num_levels: int | None, family: str, way_out: str = "") -> None:
    """Raise where a variable has no levels, or another number of them than a column has names.

    False and True are numbers where numbers are due.
    """
    if num_levels is None and names != BOOLEANS:
        if DATE.match(names[0]):
            way_out = (
                "; if these are dates, give a number, such as the days since the first of them: dates = "
                f"pandas.to_datetime({column}), then (dates - dates.min()).dt.days"
            )
        elif all(WITH_COMMA.fullmatch(name) for name in names):
            way_out = "; a comma for a decimal point is read by pandas.read_csv(..., decimal=',')"
        raise TypeError(f"column {column}: expected numbers for {family}, got text: {in_words(names)}{way_out}")
    if num_levels is None or len(names) == num_levels:
        return
    hint = "; is it an identifier of rows?" if len(names) > 10 * num_levels else way_out
    if len(names) < num_levels:
        hint = f"; name those too that no row has: pandas.Categorical({column}, categories=[...])"
    raise ValueError(
        f"column {column}: expected {num_levels} levels for {family}, got {len(names)}: {in_words(names)}{hint}"
    )


def check_order(column: str, names: Names, family: str) -> None:
    """Raise where a family of levels in order is given names in none: sorted text is no order."""
    if not is_in_order(names):
        raise ValueError(
            f"column {column}: {family} needs levels in order, and names have none of their own: sorted, these are "
            f"{in_words(names)}; give it, the lowest first: pandas.Categorical({column}, ['low', 'middle', 'high'], "
            "ordered=True)"
        )


def renumbered(column: str, values: Tensor, own: Names | None, known: Names | None) -> Tensor:
    """The levels [N] of a column with names of its own, in the numbers of others with the same names.

    Numbers without names are as they are. Raises ValueError for a name that is not known.
    """
    if own is None or own == known or (known is None and own == BOOLEANS):
        return values
    if known is None:
        raise ValueError(
            f"column {column}: got names of levels, {in_words(own)}, where the fit knows numbers, 0 to {len(own) - 1}; "
            "give these, or fit to rows with the names"
        )
    numbers = {name: number for number, name in enumerate(known)}
    number = torch.tensor([numbers.get(name, -1) for name in own], dtype=torch.int64)
    is_missing = torch.isnan(values)
    levels = number[values.nan_to_num().long()]
    unknown = (levels < 0) & ~is_missing
    if bool(unknown.any()):
        name = own[int(values[unknown][0])]
        raise ValueError(
            f"column {column}: no level is called {name!r}, which is in {in_rows(unknown.numpy())}; the fit knows "
            f"{in_words(known)}"
        )
    return torch.where(is_missing, torch.nan, levels.double()) if bool(is_missing.any()) else levels


def joined(column: str, parts: Sequence[Names | None]) -> Names:
    """The names of a column in several data sets: those of one that has all, in order if in any, else all sorted."""
    named = [names for names in parts if names is not None]
    every = {name for names in named for name in names}
    if len(named) < len(parts) and every - {*BOOLEANS}:
        raise ValueError(
            f"Data.concat: column {column} has names of levels in one part, {in_words(sorted(every))}, and numbers in "
            "another; give names in all of them"
        )
    whole = [names for names in named if len(names) == len(every)]
    return next((names for names in whole if is_in_order(names)), [*whole, tuple(sorted(every))][0])
