"""What the law of the rows determines of each quantity, in fields and in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from torch import Tensor

from estimators.data.words import LINE, cut, few, first_lines

if TYPE_CHECKING:
    import pandas as pd

# A remedy that identifies more than this is not listed one by one.
MOST_LISTED = 4
# Quantities that are printed: in a line each where they are open, and as remedies; and in one line.
MOST_LINES, MOST_SAME = 6, 12


class Extent(StrEnum):
    """How many values of a quantity have the law of the rows: one, finitely many, or a range."""

    IDENTIFIED = "identified"
    SET = "set"
    RANGE = "range"


@dataclass(frozen=True)
class Verdict:
    """The ``values`` of a quantity at all Greeks that were found with the law of the rows, from the lowest.

    Of a RANGE they are the lowest and the highest that were reached: inner estimates, since the range may go further.
    A quantity that names a class has values at the labels nearest to those of the Greeks in question; ``by_label`` are
    its values there under every labelling that the rows leave free, of which one fit's may be any.

    >>> print(Verdict("effect of T on Y", Extent.SET, (-1.0, 0.8)))
    effect of T on Y: one of -1, 0.8
    """

    name: str
    extent: Extent
    values: tuple[float, ...]
    by_label: tuple[float, ...] = ()

    @property
    def low(self) -> float:
        """The lowest value."""
        return self.values[0]

    @property
    def high(self) -> float:
        """The highest value."""
        return self.values[-1]

    @property
    def is_identified(self) -> bool:
        """Whether no other value was found, labels apart."""
        return self.extent is Extent.IDENTIFIED

    def __str__(self) -> str:
        listed = ", ".join(f"{value:.4g}" for value in self.values)
        words = {
            Extent.IDENTIFIED: listed,
            Extent.SET: f"one of {listed}",
            Extent.RANGE: f"anything from {self.low:.4g} to {self.high:.4g} at least",
        }[self.extent]
        labels = ", ".join(f"{value:.4g}" for value in self.by_label)
        return f"{self.name}: {words}" + (f" (by its label {labels})" if self.by_label else "")


@dataclass(frozen=True)
class Remedy:
    """Rows or a measure that were tried beside the rows in question, and the quantities that they identify."""

    words: str
    identifies: tuple[str, ...]

    def __str__(self) -> str:
        few = len(self.identifies) <= MOST_LISTED
        return f"{self.words}: identifies {', '.join(self.identifies) if few else f'{len(self.identifies)} quantities'}"


@dataclass(frozen=True, eq=False, repr=False)
class Identification:
    """Whether other Greeks give the rows the same law, and what each quantity is under them.

    ``greeks`` [M, *shape] are the Greeks in question and M - 1 others of the same law, ``verdicts`` by the names of the
    quantities, ``rows`` the rows by which laws were compared, in words, ``num_starts`` the starts of the search. Greeks
    that differ by free labels are the same, where the model says which are (``labels``, in words). What was not found
    may exist: "identified" says that none of the starts led elsewhere.
    """

    greeks: Mapping[str, Tensor]
    verdicts: Mapping[str, Verdict]
    remedies: tuple[Remedy, ...]
    rows: str
    num_starts: int
    is_continuous: bool
    labels: str

    def __getitem__(self, name: str) -> Verdict:
        """The verdict on a quantity, or on an entry of the Greeks."""
        if name not in self.verdicts:
            raise KeyError(f"no quantity {name!r} was asked about; these were: {list(self.verdicts)}")
        return self.verdicts[name]

    @property
    def is_identified(self) -> bool:
        """Whether no other value of any quantity was found."""
        return all(verdict.is_identified for verdict in self.verdicts.values())

    def table(self) -> "pd.DataFrame":
        """One row a quantity: the verdict, the lowest and the highest value, and all values of a set."""
        import pandas as pd  # a quarter of a second, which only tables need

        rows = [(verdict.extent.value, verdict.low, verdict.high, str(verdict)) for verdict in self.verdicts.values()]
        index = pd.Index(list(self.verdicts), name="quantity")
        return pd.DataFrame(rows, index=index, columns=["verdict", "low", "high", "finding"])

    def __str__(self) -> str:
        others = len(next(iter(self.greeks.values()))) - 1 if self.greeks else 0
        if self.is_continuous:
            number = "other Greeks without end"
        else:
            number = {0: "no other Greeks", 1: "1 other set of Greeks"}.get(others, f"{others} other sets of Greeks")
        head = f"{number} with this law of the rows found from {self.num_starts} starts"
        open_ones = [cut(f"- {verdict}", LINE) for verdict in self.verdicts.values() if not verdict.is_identified]
        if not open_ones and (others or self.is_continuous):
            head += ", under which the answers are the same"
        same = [name for name, verdict in self.verdicts.items() if verdict.is_identified]
        said = [f"- the same under all: {few(same, MOST_SAME)}"] if same and open_ones else []
        would = [f"- tried beside these rows, {remedy}" for remedy in self.remedies]
        verdict = "not identified" if open_ones else "identified"
        return "\n".join(
            [
                f"{verdict} globally ({self.rows}; {self.labels}): {head}",
                *first_lines(open_ones, MOST_LINES, "its table() has all of them"),
                *said,
                *first_lines(would, MOST_LINES, "its remedies are all of them"),
            ]
        )

    __repr__ = __str__
