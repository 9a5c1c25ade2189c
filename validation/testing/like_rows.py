"""Data sets like the rows that a test means, simulated at the truth."""

from collections.abc import Mapping
from typing import Any

from estimators import Data, Fit
from validation.scenarios.design import Design
from validation.statistics.arguments import as_count

# What keeps rows from being simulated.
REFUSED = (NotImplementedError, TypeError, ValueError)


def designs_of(rows: Any, fits: list[Fit]) -> list[Design]:
    """The design of each fit's rows: so many plain ones, or those of data sets; raises TypeError or ValueError."""
    if isinstance(rows, Mapping | Data) or hasattr(rows, "columns"):
        return [Design.of(_data(rows))] * len(fits)
    if isinstance(rows, list | tuple):
        if len(rows) != len(fits):
            raise ValueError(
                f"rows: expected a number, a data set, or one for each of {len(fits)} fits, got {len(rows)}"
            )
        return [Design.of(_data(each)) for each in rows]
    count = as_count("rows", rows, least=1)
    different = [fit for fit in fits if fit.data is not None and not Design.of(fit.data).is_plain]
    if different:
        raise ValueError(
            f"rows: expected the data sets themselves, got {count}: rows of these fits are set, seen, missing or "
            "weighed in part, and it depends on it what an efficient estimator makes of them"
        )
    return [Design(count)] * len(fits)


def _data(rows: Any) -> Data:
    return rows if isinstance(rows, Data) else Data(rows)
