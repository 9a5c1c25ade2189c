"""A table as plain values: what a cell says, and the number by which it is sorted. HTML and Markdown are made of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from validation.report.words import number, signed


@dataclass(frozen=True)
class Cell:
    """What a cell says, in lines, and what it is sorted by: a number, "" for one that is missing, None for its text.

    `css` is a class of the page; `href` an anchor on it.
    """

    text: str
    sort: float | str | None = None
    css: str = ""
    href: str = ""

    @property
    def lines(self) -> list[str]:
        return self.text.split("\n")

    @property
    def key(self) -> str | None:
        """What `data-sort` holds, a number to seven digits; infinities are written as JavaScript reads them."""
        if not isinstance(self.sort, float | int):
            return self.sort
        if math.isnan(self.sort):
            return ""
        return f"{self.sort:.7g}" if math.isfinite(self.sort) else "Infinity" if self.sort > 0 else "-Infinity"


@dataclass(frozen=True)
class Column:
    """A column's name and the sentence that explains it; `numeric` ones are set flush right."""

    name: str
    numeric: bool = True
    hint: str = ""


@dataclass(frozen=True)
class Table:
    """Lines of cells under columns. `name` says which table it is, `tags` of which class each line is."""

    name: str
    columns: tuple[Column, ...]
    lines: tuple[tuple[Cell, ...], ...]
    tags: tuple[str, ...] = ()

    @property
    def tagged(self) -> list[tuple[str, tuple[Cell, ...]]]:
        """Each line with its class."""
        return list(zip(self.tags or [""] * len(self.lines), self.lines, strict=True))


def number_cell(value: float | None, digits: int = 3) -> Cell:
    """Return the cell of a number."""
    return Cell(number(value, digits), "" if value is None else value)


def number_cells(*values: float | None) -> tuple[Cell, ...]:
    """Return the cells of numbers."""
    return tuple(number_cell(value) for value in values)


def signed_cell(value: float | None) -> Cell:
    """Return the cell of a number that is shown with its sign."""
    return Cell(signed(value), "" if value is None else value)


def name_cell(text: str, order: Sequence[str]) -> Cell:
    """Return the cell of a name that is sorted by its index among others."""
    return Cell(text, order.index(text))
