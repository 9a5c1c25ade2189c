"""Units: rows that share one hidden cause, as the visits of one patient do. Where there are none, each row is one."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from estimators.checks import did_you_mean
from estimators.data.columns import in_rows
from estimators.data.latent import LATENT
from estimators.isolation import own_modes

if TYPE_CHECKING:
    import pandas as pd

    from estimators.data.data import Data

# What labels are called where no column gives them: the option's own name.
UNIT = "unit"
Label = Hashable


@dataclass(frozen=True, eq=False)
class Units:
    """Which unit each row is of: ``of_row`` [N] numbers 0 to U - 1, in the order of their first rows.

    ``labels`` [U] are what the user calls them, and ``name`` is that of the column that said so.
    """

    labels: tuple[Label, ...]
    of_row: Tensor
    name: str = UNIT

    @property
    def num_units(self) -> int:
        """U."""
        return len(self.labels)

    @cached_property
    def first(self) -> Tensor:
        """The first row of each unit [U]."""
        first = torch.full((self.num_units,), len(self.of_row), dtype=torch.int64)
        return first.scatter_reduce(0, self.of_row, torch.arange(len(self.of_row)), "amin")

    @cached_property
    def sizes(self) -> Tensor:
        """How many rows each unit has [U]."""
        return torch.bincount(self.of_row, minlength=self.num_units)

    @cached_property
    def is_first(self) -> NDArray[np.bool_]:
        """The mask [N] of rows that are the first of their unit: what counts once a unit counts there."""
        is_first = np.zeros(len(self.of_row), dtype=bool)
        is_first[self.first.numpy()] = True
        return is_first

    @property
    def words(self) -> dict[str, Any]:
        """What is written to a file beside ``of_row``; labels that are neither text nor numbers become text."""
        plain = [label if isinstance(label, str | int | float) else str(label) for label in self.labels]
        return {"name": self.name, "labels": _numbered_if_alike(plain)}

    @property
    def texts(self) -> list[Any]:
        """The labels [U] as text, each another."""
        return _numbered_if_alike([str(label) for label in self.labels])

    @staticmethod
    def read(words: Mapping[str, Any], of_row: Tensor) -> "Units":
        """The units that were written."""
        return Units(*_numbered([words["labels"][number] for number in of_row.tolist()]), words["name"])

    def rows(self, index: Tensor) -> "Units":
        """The units of the rows at an index, in the order of these rows."""
        kept, first, which = np.unique(self.of_row[index].numpy(), return_index=True, return_inverse=True)
        order = np.argsort(first)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        return Units(tuple(self.labels[number] for number in kept[order]), torch.from_numpy(place[which]), self.name)

    def rows_of(self, index: Tensor) -> tuple[Tensor, "Units"]:
        """The rows of the units at an index [M], and these as units of their own, one for each place of the index."""
        order = torch.argsort(self.of_row, stable=True)
        starts = torch.cumsum(self.sizes, 0) - self.sizes
        sizes = self.sizes[index]
        of_row = torch.arange(len(index)).repeat_interleave(sizes)
        within = torch.arange(len(of_row)) - (torch.cumsum(sizes, 0) - sizes)[of_row]
        return order[starts[index][of_row] + within], Units(_told_apart(self.labels, index), of_row, self.name)

    def need_one(self, values: Tensor, what: str, advice: str) -> None:
        """Raise a ValueError, which names a unit, where values [N, ...] differ within one; missing ones are alike."""
        by_row = values.double().reshape(len(values), -1)
        expected = by_row[self.first][self.of_row]
        differs = ((by_row != expected) & ~(by_row.isnan() & expected.isnan())).any(1)
        if bool(differs.any()):
            row = int(differs.nonzero()[0])
            unit = int(self.of_row[row])
            raise ValueError(
                f"{what} within unit {self.labels[unit]!r}, {_shown(values[self.first[unit]])} in row "
                f"{int(self.first[unit])} and {_shown(values[row])} in row {row}; {advice}"
            )


def units_of(unit: Any, columns: dict[str, Any]) -> tuple[Units | None, dict[str, Any]]:
    """The units that a column says, or labels [N], and the other columns; None for None.

    Raises ValueError or TypeError for an unknown column, labels that are missing, or that cannot be compared.
    """
    if isinstance(unit, Units | None):
        return unit, columns
    name, labels, others = UNIT, unit, columns
    if isinstance(unit, str):
        if unit not in columns:
            raise ValueError(
                f"unit: no column {unit!r} to tell units apart by; the columns are {list(columns)}"
                f"{did_you_mean(unit, columns)}"
            )
        if unit == LATENT:
            raise ValueError(f"unit: {LATENT!r} is the hidden cause that rows of a unit share; name another column")
        name, labels = unit, columns[unit]
        others = {other: values for other, values in columns.items() if other != unit}
        if not others:
            raise ValueError(f"unit: {unit!r} is the only column; give what was measured too")
    return Units(*_numbered(_labels(name, labels)), name), others


def _numbered(labels: "Sequence[Label] | pd.Series") -> tuple[tuple[Label, ...], Tensor]:
    """Labels [U] in the order in which they come first, and the number of each entry [N]."""
    import pandas as pd  # a quarter of a second, which only units and names need

    numbers, different = pd.factorize(pd.Series(labels))
    return tuple(different.tolist()), torch.from_numpy(numbers.astype(np.int64))


def _labels(name: str, values: Any) -> "pd.Series":
    """A label for each row, none of them missing."""
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable) or getattr(values, "ndim", 1) != 1:
        raise TypeError(f"unit: expected the name of a column, or a label for each row, got {values!r}")
    mask = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    if isinstance(values, Tensor):
        values = values.detach().cpu()
    entries = values.to_numpy() if hasattr(values, "to_numpy") else values
    entries = np.asarray(entries) if hasattr(entries, "__array__") else np.fromiter(entries, dtype=object)
    import pandas as pd

    labels = pd.Series(entries)
    missing = labels.isna().to_numpy() if mask is None else labels.isna().to_numpy() | mask
    if missing.any():
        raise ValueError(
            f"unit: {name} is missing in {in_rows(missing)}; say which unit these rows are of, or drop them"
        )
    if labels.dtype == object:
        for row, label in enumerate(labels):
            if not isinstance(label, Hashable) or isinstance(label, Tensor):
                raise TypeError(f"unit: expected text or numbers for labels, got {label!r} in row {row}")
    return labels


def check_shared(units: Units | None, num_rows: int, latent: Tensor, is_set: Tensor, weights: Tensor | None) -> None:
    """Raise a ValueError where units do not fit the rows, or what is one value a unit differs within one."""
    if units is None:
        return
    if len(units.of_row) != num_rows:
        raise ValueError(f"unit: expected {num_rows} labels, one for each row, got {len(units.of_row)}")
    if weights is not None:
        units.need_one(weights, "weights: differ", "a unit counts as a whole: give all its rows one weight")
    same = "rows of a unit share one Z: give it on all of them"
    units.need_one(latent, f"column {LATENT}: differs", same)
    units.need_one(is_set, f"intervened {LATENT}: differs", "rows of a unit share one Z: mark all of them, or none")


class ByUnit:
    """What rows say unit by unit, where rows of a unit are one observation; each row by itself where there are none."""

    if TYPE_CHECKING:
        unit: Units | None
        weights: Tensor | None

        @property
        def num_rows(self) -> int: ...
        def latent(self, name: str = LATENT) -> Tensor: ...
        def rows(self, index: Tensor) -> "Data": ...
        def replace(
            self, source: Any = None, /, *, weights: Any = ..., intervened: Any = ..., **columns: Any
        ) -> "Data": ...
        def _with_unit(self, unit: Units | None) -> "Data": ...
        def _check_units(self) -> "Data": ...

    def counts(self) -> Tensor:
        """Return the mask [N] of rows that count: those with a weight above 0."""
        if self.weights is None:
            return torch.ones(self.num_rows, dtype=torch.bool, device="cpu")
        return self.weights > 0

    @property
    def num_units(self) -> int:
        """Number of units U, which are what is independent: of rows N where there are no units."""
        return self.num_rows if self.unit is None else self.unit.num_units

    @property
    def unit_labels(self) -> tuple[Label, ...]:
        """The labels of units [U], in the order of their first rows; the numbers of rows where there are none."""
        return tuple(range(self.num_rows)) if self.unit is None else self.unit.labels

    @property
    def unit_weights(self) -> Tensor | None:
        """The weights of units [U]; None where all are 1."""
        return None if self.weights is None else self.of_units(self.weights)

    @property
    def least_weight(self) -> float:
        """That of the lightest unit which has any; 1 where all are 1."""
        weights = self.unit_weights
        return 1.0 if weights is None or not bool((weights > 0).any()) else float(weights[weights > 0].min())

    def of_units(self, values: Tensor) -> Tensor:
        """What is one value a unit, given by row [N, ...], as [U, ...]."""
        return values if self.unit is None else values[self.unit.first]

    def spread(self, values: Tensor) -> Tensor:
        """Values by unit [U, ...] on every row of the unit [N, ...]."""
        return values if self.unit is None else values[self.unit.of_row]

    def any_row(self, mask: Tensor) -> Tensor:
        """Which units [U] have a row in a mask [N]."""
        if self.unit is None:
            return mask
        found = torch.zeros(self.num_units, dtype=torch.bool)
        found[self.unit.of_row[mask]] = True
        return found

    @own_modes()
    def units_at(self, index: Tensor) -> "Data":
        """Return whole units at an index [M], each place a unit of its own; rows where there are no units."""
        if self.unit is None:
            return self.rows(index)
        rows, units = self.unit.rows_of(index)
        return self._with_unit(None).rows(rows)._with_unit(units)

    def in_one_unit(self) -> "Data":
        """All rows as those of one unit."""
        return self._with_unit(Units(("all",), torch.zeros(self.num_rows, dtype=torch.long)))._check_units()

    def rows_at(self, index: Tensor) -> Tensor:
        """The numbers of the rows of units at an index [M], unit after unit."""
        return index if self.unit is None else self.unit.rows_of(index)[0]

    @own_modes()
    def unweighted_rows(self, index: Tensor) -> "Data":
        """Return rows, or whole units, at an index [M], each counted once: to look at some that need not count."""
        return self.units_at(index) if self.weights is None else self.replace(weights=None).units_at(index)

    @own_modes()
    def repeated(self, what: str, instead: str) -> "Data":
        """Rows repeated by their weights: a weight inside an enumerated sum would not weigh the row's likelihood.

        Raises ValueError, which names what needs it and what to use instead, for weights that are not whole numbers.
        """
        if self.weights is None:
            return cast("Data", self)
        if not bool((self.weights == self.weights.round()).all()):
            raise ValueError(f"weights: {what} expects whole numbers, since it repeats rows; use {instead}")
        times = self.of_units(self.weights).long()
        return self.replace(weights=None).units_at(torch.arange(self.num_units).repeat_interleave(times))


def stacked(parts: Sequence["Data"]) -> Units | None:
    """The units of data sets one after the other; rows of a part without are units of their own.

    Raises ValueError for a label that two parts have.
    """
    if all(part.unit is None for part in parts):
        return None
    labels: list[list[Label]] = []
    for number, part in enumerate(parts):
        own = part.unit
        labels.append([("part", number, row) for row in range(part.num_rows)] if own is None else list(own.labels))
    counts = Counter(label for part in labels for label in part)
    if twice := [label for label, count in counts.items() if count > 1]:
        raise ValueError(
            f"Data.concat: unit {twice[0]!r} is in two parts; join the rows into one frame, Data(frame, unit=...), or "
            "give other labels where it is another unit"
        )
    starts = np.cumsum([0, *map(len, labels)])
    of_row = [part.spread(torch.arange(part.num_units)) + int(at) for part, at in zip(parts, starts, strict=False)]
    name = next(part.unit.name for part in parts if part.unit is not None)
    return Units(tuple(label for part in labels for label in part), torch.cat(of_row), name)


def _numbered_if_alike(labels: list[Any]) -> list[Any]:
    """Labels, with their numbers where two are one: other labels may have one text."""
    return labels if len(set(labels)) == len(labels) else [f"{at}: {label}" for at, label in enumerate(labels)]


def _told_apart(labels: Sequence[Label], index: Tensor) -> tuple[Label, ...]:
    """The labels at an index, those that come again with the number of times that they have come."""
    seen: Counter[int] = Counter()
    found = list[Label]()
    for place in index.tolist():
        seen[place] += 1
        found.append(labels[place] if seen[place] == 1 else (labels[place], seen[place]))
    return tuple(found)


def _shown(value: Tensor) -> str:
    """A value as a person reads it."""
    number = value.tolist()
    return f"{number:g}" if isinstance(number, float) else str(number)
