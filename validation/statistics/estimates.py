"""Errors of estimates, for Student's test: of several fits, of an estimate, of columns."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from validation.statistics.arguments import Array, as_array, spread_of
from validation.statistics.check import check_effect, check_number
from validation.statistics.student import Errors, Skewness

KNOWN = 1e8  # degrees of freedom of an sd that is known: SciPy's noncentral t has no normal limit of its own


def errors_of_fits(names: tuple[str, ...], errors: Array) -> Errors:
    """Return the errors of several fits, from each fit's [R, E]: their mean, and their sd across fits (inf of one)."""
    count = len(errors)
    df, root = (np.full(len(names), value) for value in (count - 1.0, math.sqrt(count)))
    sd = errors.std(0, ddof=1) if count > 1 else np.full(len(names), math.inf)
    return Errors(names, errors.mean(0), sd, df, root, count)


def errors_of_estimate(value: float, error: float, expected: float) -> Errors:
    """Return the error of one estimate with its standard error; raises TypeError or ValueError for what is neither."""
    gap = check_number("value", value) - check_number("expected", expected)
    if not math.isfinite(gap):
        raise ValueError(f"value: expected a finite estimate and a finite truth, got {value} and {expected}")
    sd = np.array([check_effect(error, "error")])
    return Errors(("the estimate",), np.array([gap]), sd, np.array([KNOWN]), np.ones(1), 1)


def errors_of_columns(
    samples: object, expected: object, names: Sequence[str] | None, skewness: float | None
) -> tuple[Errors, Skewness]:
    """Return the errors of the columns of independent rows [n, E], and the skewness given or else the largest seen.

    Raises TypeError or ValueError for numbers that are not finite, fewer than two rows and constant columns.
    """
    x = as_array("samples", samples, ndim=2, least=2)
    if len(x) < 2:
        raise ValueError(f"samples: expected at least 2 rows, got shape {x.shape}")
    for column in x.T:
        spread_of("samples", column)
    target = as_array("expected", np.ravel(np.asarray(expected)))
    if target.size not in (1, x.shape[1]):
        raise ValueError(f"expected: expected one number, or {x.shape[1]}, got {target.size}")
    labels = tuple(names) if names is not None else tuple(f"column {index}" for index in range(x.shape[1]))
    if len(labels) != x.shape[1]:
        raise ValueError(f"names: expected {x.shape[1]}, one for each column, got {len(labels)}")
    gamma = float(np.abs(stats.skew(x)).max()) if skewness is None else check_number("skewness", skewness)
    return errors_of_fits(labels, x - target), Skewness(gamma, is_known=skewness is not None)
