"""Do samples follow a distribution, or two sets of samples the same one? Distances of distribution functions."""

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy import stats

from validation.statistics.arguments import Array, as_array
from validation.statistics.check import Check, Message, Requirement
from validation.statistics.dependence import check_independent

# Share of alpha that each of the two looks for dependence may spend; the comparison has the rest.
DEPENDENCE_SHARE = 0.01


def cdf_check(samples: Any, cdf: Callable[[Array], Any], requirement: Requirement) -> Check:
    """Judge independent samples against a distribution function; effects are largest distances of CDFs.

    ``D = sup|F_n - F| ≤ √(log(2/α)/(2n))`` (Dvoretzky, Kiefer & Wolfowitz 1956; Massart 1990), whatever F is, jumps
    included. A distance of Δ at one point is missed with probability at most ``exp(-2n(Δ - tolerance)²)`` (Hoeffding).

    Raises TypeError or ValueError for samples that are not finite, and for a `cdf` that is not one.
    """
    x = as_array("samples", samples)
    distance = _distance(np.sort(x), cdf)
    tolerance = math.sqrt(math.log(2 / requirement.alpha) / (2 * x.size))
    detectable = tolerance + _slack(requirement.power, x.size)
    return Check(
        "cdf",
        requirement,
        x.size,
        distance,
        detectable,
        high=tolerance,
        expected=0.0,
        statistic=distance * math.sqrt(x.size),
        p_value=min(1.0, 2 * math.exp(-2 * x.size * distance**2)),
        message=Message(
            "samples from this distribution function",
            f"{x.size:,} independent samples whose ECDF is {distance:.4g} from it where it is furthest",
            f"at most {tolerance:.4g} is allowed",
            f"{x.size:,} samples",
        ),
        enough=partial(cdf_size, requirement),
    )


def cdf_size(requirement: Requirement) -> int:
    """Return how many samples see a CDF that is `min_effect` away: ``(√log(2/α) + √log(1/(1-power)))²/(2Δ²)``."""
    return _size(2 / requirement.alpha, requirement)


def same_check(a: Any, b: Any, requirement: Requirement) -> Check:
    """Judge whether independent samples [m] and [n] come from one distribution; effects are distances of CDFs.

    Kolmogorov's and Smirnov's test. Detectable is ``√(log(e/α)/(2h)) + √(log(1/(1-power))/(2h))``, h = mn/(m + n):
    the two-sample Dvoretzky-Kiefer-Wolfowitz bound (Wei & Dudley 2012, proved for m = n) and Hoeffding's.

    Raises a ValueError for draws that depend on their neighbours, and TypeError or ValueError as `cdf_check` does.
    """
    first, second = (_independent(name, x, requirement) for name, x in (("a", a), ("b", b)))
    level = (1 - 2 * DEPENDENCE_SHARE) * requirement.alpha
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where the exact tail overflows SciPy says so and approximates
        test = stats.ks_2samp(first, second)
    half = first.size * second.size / (first.size + second.size)
    tolerance = math.sqrt(math.log(math.e / level) / (2 * half))
    detectable = tolerance + _slack(requirement.power, half)
    distance = float(test.statistic)
    return Check(
        "same_distribution",
        requirement,
        first.size + second.size,
        distance,
        detectable,
        high=tolerance,
        expected=0.0,
        statistic=distance * math.sqrt(half),
        p_value=min(1.0, float(test.pvalue) * requirement.alpha / level),
        message=Message(
            "two sets of samples from one distribution",
            f"ECDFs of {first.size:,} and {second.size:,} that are {distance:.4g} apart where they are furthest",
            f"about {tolerance:.4g} is allowed",
            f"{first.size:,} and {second.size:,} samples",
        ),
        enough=lambda: math.ceil((first.size + second.size) * _size(math.e / level, requirement) / half),
    )


def _independent(name: str, samples: Any, requirement: Requirement) -> Array:
    if getattr(samples, "ndim", np.ndim(samples)) > 1:
        raise ValueError(
            f"{name}: expected independent samples [n], got shape {tuple(samples.shape)}: thin chains with "
            "stat.thinned(chains), whose draws depend on their neighbours"
        )
    array = as_array(name, samples)
    check_independent(name, array, alpha=DEPENDENCE_SHARE * requirement.alpha)
    return array


def _distance(x: Array, cdf: Callable[[Array], Any]) -> float:
    """Return sup|F_n - F| for sorted x; just below a sample F_n has its old value and so may F."""
    if not callable(cdf):
        raise TypeError(f"cdf: expected a function of an array, got {cdf!r}")
    values, first = np.unique(x, return_index=True)
    below, upto = first / x.size, np.append(first[1:], x.size) / x.size
    at, before = _values(cdf, values), _values(cdf, np.nextafter(values, -np.inf))
    if (before > at + 1e-9).any() or (np.diff(at) < -1e-9).any():
        raise ValueError("cdf: expected a function that does not fall")
    return float(max(np.max(np.abs(upto - at)), np.max(np.abs(below - before))))


def _values(cdf: Callable[[Array], Any], at: Array) -> Array:
    values = as_array("cdf(samples)", cdf(at))
    if values.shape != at.shape or (values < -1e-9).any() or (values > 1 + 1e-9).any():
        raise ValueError(f"cdf: expected a probability for each of {at.size} values, got {values[:3]}")
    return values


def _slack(power: float, size: float) -> float:
    return math.sqrt(math.log(1 / (1 - power)) / (2 * size))


def _size(ratio: float, requirement: Requirement) -> int:
    """Return n with ``√(log(ratio)/(2n)) + √(log(1/(1-power))/(2n)) ≤ min_effect``."""
    root = math.sqrt(math.log(ratio)) + math.sqrt(math.log(1 / (1 - requirement.power)))
    return math.ceil((root / requirement.min_effect) ** 2 / 2 * (1 + 1e-12))
