"""Numbers, lists and tables as a person reads them: in few digits and few lines, with how much more there is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    import pandas as pd

# What is printed is so wide at most, where its words allow, and a line that stands for a whole object so long.
WIDTH, LINE = 100, 200
# What is printed of a fit, its modes or an answer has so many lines at most.
LINES = 25
# A name or a cell of a table is so long at most.
WORD = 40
# Entries that are shown of a longer array, at either end.
EDGE = 2


def in_digits(value: float) -> str:
    """A number with four significant digits, and all that stand before the point.

    >>> in_digits(0.744584113904537), in_digits(54321.7), in_digits(1.5e20)
    ('0.7446', '54322', '1.5e+20')
    """
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"


def in_few_digits(values: ArrayLike) -> str:
    """A number, or an array of which a long axis is shown at its ends.

    >>> in_few_digits([1.0, 2 / 3, 3.0, 4.0, 5.0, 6.0, 7.0])
    '[1, 0.6667, ..., 6, 7]'
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0:
        return in_digits(float(array))
    text = np.array2string(
        array,
        separator=", ",
        threshold=3 * EDGE,
        edgeitems=EDGE,
        formatter={"float_kind": lambda number: in_digits(float(number))},
    )
    return " ".join(text.split())


def few(entries: Sequence[object], most: int) -> str:
    """The first entries of a list, and how many more there are.

    >>> few(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    more = f" and {len(entries) - most} more" if len(entries) > most else ""
    return f"{', '.join(map(str, entries[:most]))}{more}"


def first_lines(lines: Sequence[str], most: int, whole: str) -> list[str]:
    """The first of some lines, and where there are more, in a line, which call has them."""
    return list(lines) if len(lines) <= most else [*lines[: most - 1], f"... {whole}, {len(lines) - most + 1} more"]


def cut(text: str, length: int = WIDTH) -> str:
    """Text in one line of at most so many characters.

    >>> cut("a longer text", 8)
    'a lo ...'
    """
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 4]} ..."


def few_lines(table: "pd.DataFrame", most: int, whole: str) -> list[str]:
    r"""A table in at most so many lines, not much wider than `WIDTH`; where it is cut, a line says what is whole.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"mean": [1.0, 2 / 3, 3.0]}, pd.Index(["a", "b", "c"], name="Greek"))
    >>> print(*few_lines(table, 3, "fit.summary() has all 3 entries"), sep="\n")
    Greek mean
    a        1
    ... fit.summary() has all 3 entries
    """
    import pandas as pd  # a quarter of a second, which only tables need

    rows = table.head(most - 1)
    names = [_in_a_word(name) for name in table.columns]
    cells = [[_in_a_word(value) for value in row] for row in rows.itertuples(index=False)]
    labels = [_in_a_word(label) for label in rows.index.to_flat_index()]
    # The name of the rows stands in the corner, so that it takes no line of its own.
    corner = ", ".join(str(name) for name in table.index.names if name is not None)
    ends = np.cumsum([2 + max(map(len, column)) for column in zip(names, *cells, strict=True)])
    shown = max(int(np.sum(ends + max(map(len, [corner, *labels])) <= WIDTH)), 1)
    is_whole = len(rows) == len(table) and shown == len(names)
    frame = pd.DataFrame([row[:shown] for row in cells], labels, names[:shown]).rename_axis(columns=corner)
    return frame.to_string().splitlines() if is_whole else [*frame.to_string().splitlines()[: most - 1], f"... {whole}"]


def _in_a_word(value: object) -> str:
    if isinstance(value, tuple):
        return cut(", ".join(map(str, value)), WORD)
    return in_digits(value) if isinstance(value, float) else cut(str(value), WORD)
