"""What values a column may have, checked: an error names the rows of others."""

from torch import Tensor


def check_whole_numbers(name: str, column: Tensor, below: int | None = None) -> Tensor:
    """Return a column of whole numbers from 0 as float64, or raise a ValueError that names the rows of others."""
    values = column.double()
    bad = (values < 0) | (values != values.floor())
    if below is not None:
        bad = bad | (values >= below)
    if bool(bad.any()):
        expected = "whole numbers from 0" if below is None else f"whole numbers from 0 to {below - 1}"
        raise ValueError(f"column {name}: expected {expected}, got {rows_named(values, bad)}")
    return values


def check_positive_numbers(name: str, column: Tensor) -> Tensor:
    """Return a column of numbers above 0 as float64, or raise a ValueError that names the rows of others."""
    values = column.double()
    if bool((values <= 0).any()):
        raise ValueError(f"column {name}: expected numbers > 0, got {rows_named(values, values <= 0)}")
    return values


def rows_named(values: Tensor, bad: Tensor) -> str:
    """The first of the values that are bad, and their rows, in words."""
    rows = bad.nonzero()[:5, 0].tolist()
    return f"{values[rows].tolist()} in row(s) {rows}"
