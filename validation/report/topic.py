"""One thing that the report shows: a table with figures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from validation.report.tables import Table

Figures = Sequence[Sequence[str]]  # rows of panels


@dataclass(frozen=True)
class Topic:
    """A heading, a table, and figures with their caption, which are drawn where they are shown."""

    title: str
    caption: str
    figures: Callable[[], Figures]
    table: Table
