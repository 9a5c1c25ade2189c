"""How the report writes numbers and names."""

import math
import re

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
DIFFERENCE = re.compile(r"E\[(.+?) \| (do\(.*?\))\] − E\[(.+?) \| (do\(.*?\))\]")


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with `digits` significant digits, a dash where there is none, ∞ where it is infinite."""
    if value is None:
        return "–"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    rounded = float(f"{value:.{digits}g}")
    if rounded == 0:
        return "0"
    if 1e-4 <= abs(rounded) < 1e6:
        return f"{rounded:.10f}".rstrip("0").rstrip(".").replace("-", "−")
    mantissa, exponent = f"{rounded:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}·10{str(int(exponent)).translate(SUPERSCRIPTS)}".replace("-", "−")


def signed(value: float | None, digits: int = 3) -> str:
    """Return a number with its sign."""
    return f"+{number(value, digits)}" if value is not None and value > 0 else number(value, digits)


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """Return an interval in words, a dash where there is none."""
    return "–" if low is None and high is None else f"{number(low, digits)} to {number(high, digits)}"


def count(number_of: int, noun: str) -> str:
    """Return a count with its noun.

    >>> count(1, "replicate"), count(2, "replicate")
    ('1 replicate', '2 replicates')
    """
    return f"{number_of} {noun}" if number_of == 1 else f"{number_of} {noun}s"


def short(quantity: str) -> str:
    """Return a quantity's name without what a figure says already.

    >>> short("E[X | do(Z=1)] − E[X | do(Z=0)]")
    'X: do(Z=1) − do(Z=0)'
    """
    contrast = DIFFERENCE.fullmatch(quantity)
    if contrast and contrast[1] == contrast[3]:
        return f"{contrast[1]}: {contrast[2]} − {contrast[4]}"
    return quantity


def clipped(text: str, length: int) -> str:
    """Return a text of at most `length` letters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
