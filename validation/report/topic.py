"""One thing that the report shows: figures, how they are read, and the numbers behind them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from validation.report.tables import Table

Figures = Sequence[Sequence[str]]  # rows of panels


@dataclass(frozen=True)
class Topic:
    """A heading, one line on how its figures are read, more notes for who reads the table, and both.

    Figures are drawn where they are shown.
    """

    title: str
    reading: str
    notes: str
    figures: Callable[[], Figures]
    table: Table

    @property
    def name(self) -> str:
        """What its anchor ends in."""
        return self.table.name

    def within(self, most: int) -> "Topic":
        """The same with at most so many panels in a row of figures."""
        return replace(self, figures=lambda: [panels[:most] for panels in self.figures()])
