"""Are estimates where the truth is? Student's test of every entry, of one estimate with its sd or of many."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from validation.statistics.arguments import Array, as_array, spread_of
from validation.statistics.check import Check, Message, Requirement, check_effect, check_number
from validation.statistics.search import smallest
from validation.statistics.student import noncentral_critical, noncentral_detectable, trusted_level

MOST_DF = 1e8


@dataclass(frozen=True)
class Errors:
    """Estimates less truths of some entries.

    `mean` [E] over `replicates` fits; `sd` [E] of one estimate, known with `df` [E] degrees of freedom;
    ``T = mean·root/sd`` is Student's with `root` [E] = √replicates, or 1/√(1 + 1/ESS) of one fit with draws.
    """

    names: tuple[str, ...]
    mean: Array
    sd: Array
    df: Array
    root: Array
    replicates: int


@dataclass(frozen=True)
class Allowance:
    """How far right estimates may be from normal ones of mean zero.

    Their mean error may be up to `margin` sds, a known bias. Their skewness is at most `skewness`; where that is the
    sample's own (`is_known` False), the level pays for not knowing it.
    """

    margin: float = 0.0
    skewness: float = 0.0
    is_known: bool = True


NORMAL = Allowance()


def errors_of_draws(names: tuple[str, ...], mean: Array, sd: Array, ess: Array) -> Errors:
    """Return the errors of one fit whose draws have this mean error, sd and ESS [E].

    The truth is then as one more draw: ``T = mean/(sd·√(1 + 1/ESS))``, of ESS/4 degrees of freedom, as the sd is
    estimated from dependent draws.
    """
    return Errors(names, mean, sd, ess / 4, 1 / np.sqrt(1 + 1 / ess), 1)


def errors_of_fits(names: tuple[str, ...], errors: Array) -> Errors:
    """Return the errors of several fits, from each fit's [R, E]: their mean, and their sd across fits."""
    count = len(errors)
    df, root = (np.full(len(names), value) for value in (count - 1.0, math.sqrt(count)))
    return Errors(names, errors.mean(0), errors.std(0, ddof=1), df, root, count)


def errors_of_estimate(value: float, error: float, expected: float, df: float) -> Errors:
    """Return the error of one estimate with its standard error; raises TypeError or ValueError for what is neither."""
    gap = check_number("value", value) - check_number("expected", expected)
    if not math.isfinite(gap):
        raise ValueError(f"value: expected a finite estimate and a finite truth, got {value} and {expected}")
    if not check_number("df", df) > 0:
        raise ValueError(f"df: expected a positive number of degrees of freedom, got {df}")
    sd = np.array([check_effect(error, "error")])
    # SciPy's noncentral t has no normal limit of its own.
    return Errors(("the estimate",), np.array([gap]), sd, np.array([min(df, MOST_DF)]), np.ones(1), 1)


def errors_of_columns(
    samples: object, expected: object, names: Sequence[str] | None, skewness: float | None
) -> tuple[Errors, Allowance]:
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
    labels = tuple(names) if names is not None else tuple(f"column {place}" for place in range(x.shape[1]))
    if len(labels) != x.shape[1]:
        raise ValueError(f"names: expected {x.shape[1]}, one for each column, got {len(labels)}")
    gamma = float(np.abs(stats.skew(x)).max()) if skewness is None else check_number("skewness", skewness)
    return errors_of_fits(labels, x - target), Allowance(skewness=gamma, is_known=skewness is not None)


def errors_check(
    kind: str,
    errors: Errors,
    requirement: Requirement,
    allowance: Allowance = NORMAL,
    *,
    what: str = "estimates",
    unit: str = "fit",
) -> Check:
    """Judge mean errors against 0 ± margin, each of E entries at α/E; effects and margin are in sds of one estimate.

    ``|T| ≤ c`` with c the 1 - α/2E quantile of Student's noncentral t at noncentrality ``margin·root``; what is
    detectable solves ``P(T > c | effect·root) = power``. Assumes normal estimates, or |skewness| up to `skewness` of
    several fits' (see `trusted_level`).
    """
    margin, level = allowance.margin, _level(errors.replicates, requirement.alpha / len(errors.names), allowance)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistics = np.where(errors.mean == 0, 0.0, errors.mean / errors.sd * errors.root)
    pairs = list(zip(errors.df, errors.root, strict=True))
    tails = [_tail(abs(t), df, margin * root) for t, (df, root) in zip(statistics, pairs, strict=True)]
    critical = {pair: _critical(level, pair[0], margin * pair[1]) for pair in set(pairs)}
    effects = {(df, root): noncentral_detectable(c, df, requirement.power) / root for (df, root), c in critical.items()}
    worst = int(np.argmin(tails))
    p_value = (
        min(1.0, 2 * tails[worst] * requirement.alpha / level) if level > 0 else math.nan
    )  # 2·tail·E, if not skewed
    bound = critical[pairs[worst]] * float(errors.sd[worst] / errors.root[worst])
    return Check(
        kind,
        requirement,
        errors.replicates,
        float(errors.mean[worst]),
        max(effects.values()),
        low=-bound,
        high=bound,
        expected=0.0,
        statistic=float(statistics[worst]),
        p_value=p_value,
        message=_message(errors, statistics, critical[pairs[worst]], worst, what, unit),
        enough=lambda: errors_size(len(errors.names), requirement, allowance),
    )


def errors_size(num_entries: int, requirement: Requirement, allowance: Allowance = NORMAL) -> int | None:
    """Return how many fits see a mean error of `min_effect` sds in any entry, or None if 10⁹ do not."""
    if requirement.min_effect <= allowance.margin:
        return None

    def is_enough(count: int) -> bool:
        root = math.sqrt(count)
        level = _level(count, requirement.alpha / num_entries, allowance)
        critical = _critical(level, count - 1.0, allowance.margin * root)
        return noncentral_detectable(critical, count - 1.0, requirement.power) / root <= requirement.min_effect

    return smallest(is_enough)


def _level(count: int, alpha: float, allowance: Allowance) -> float:
    """Return the level of one entry; a single fit's draws are taken to be normal."""
    return alpha if count == 1 else trusted_level(allowance.skewness, count, alpha, is_known=allowance.is_known)


def _critical(level: float, df: float, noncentrality: float) -> float:
    return noncentral_critical(level, df, noncentrality) if level > 0 else math.inf


def _tail(statistic: float, df: float, noncentrality: float) -> float:
    if not math.isfinite(statistic):
        return 0.0
    return float(stats.nct.sf(statistic, df, noncentrality) if noncentrality else stats.t.sf(statistic, df))


def _message(errors: Errors, statistics: Array, critical: float, worst: int, what: str, unit: str) -> Message:
    order = np.argsort(-np.abs(statistics))[:4]
    listed = ", ".join(f"{errors.names[i]} {errors.mean[i]:+.4g} ({statistics[i]:+.3g} s.e.)" for i in order)
    fits = f"one {unit}" if errors.replicates == 1 else f"{errors.replicates:,} {unit}s"
    return Message(
        f"{what} at the truth",
        f"{errors.names[worst]} off by {errors.mean[worst]:+.4g} in {fits}",
        f"{abs(statistics[worst]):.3g} standard errors; {critical:.3g} are allowed",
        fits,
        f"furthest: {listed}" + (f", of {len(errors.names)}" if len(errors.names) > 4 else ""),
    )
