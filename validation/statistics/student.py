"""Student's test far out in its tail, of one mean or of many entries at once: its level under skewness, and its power.

`mean` and `estimates` say what is tested; every bound and every detectable effect of a t test comes from here.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import special, stats

from validation.statistics.arguments import Array
from validation.statistics.check import Check, Message, Requirement
from validation.statistics.search import smallest, smallest_reaching

# A tail of Student's statistic may be this many times its normal-theory value before the test is not trusted. The other
# tail is then as many times smaller, so both together are at most cosh(log 2) = 1.25 times theirs.
TAIL_RATIO = 2.0
TAILS_RATIO = math.cosh(math.log(TAIL_RATIO))
# Beyond this bound SciPy's noncentral t fails, and its numerator no longer matters.
LARGE_CRITICAL = 1e4


@dataclass(frozen=True)
class Errors:
    """Estimates less truths of some entries.

    `mean` [E] over `count` fits or samples (of dependent draws, what they are worth); `sd` [E] of one estimate, known
    with `df` [E] degrees of freedom; ``T = mean·root/sd`` is Student's with `root` [E] = √count.
    """

    names: tuple[str, ...]
    mean: Array
    sd: Array
    df: Array
    root: Array
    count: float


@dataclass(frozen=True)
class Skewness:
    """How far from normal single estimates may be; where it is the sample's own, the level pays for not knowing it."""

    value: float = 0.0
    is_known: bool = True


SYMMETRIC = Skewness()


def student_check(
    kind: str,
    errors: Errors,
    requirement: Requirement,
    skewness: Skewness = SYMMETRIC,
    *,
    subject: str = "estimates",
    unit: str = "fit",
) -> Check:
    """Judge mean errors against 0, each of E entries at α/E; effects are in sds of one estimate.

    ``|T| ≤ c`` with c the 1 - α/2E quantile of Student's t; what is detectable solves ``P(T > c | effect·root) =
    power`` by the noncentral t. Assumes normal estimates, or |skewness| up to `skewness` of several fits' (see
    `trusted_level`). `subject` and `unit` are for the message.
    """
    level = _level(errors.count, requirement.alpha / len(errors.names), skewness)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistics = np.where(errors.mean == 0, 0.0, errors.mean / errors.sd * errors.root)
    tails = stats.t.sf(np.abs(statistics), errors.df)
    critical = np.array([critical_value(level, df) for df in errors.df])
    detectable = {
        (df, root): detectable_noncentrality(c, df, requirement.power) / root
        for c, df, root in set(zip(critical, errors.df, errors.root, strict=True))
    }
    worst = int(np.argmin(tails))
    bound = float(critical[worst] * errors.sd[worst] / errors.root[worst])
    return Check(
        kind,
        requirement,
        int(errors.count),
        float(errors.mean[worst]),
        max(detectable.values()),
        low=-bound,
        high=bound,
        expected=0.0,
        statistic=float(statistics[worst]),
        # Twice the tail times E, and more where skewness costs level.
        p_value=min(1.0, 2 * float(tails[worst]) * requirement.alpha / level) if level > 0 else math.nan,
        message=_message(errors, statistics, float(critical[worst]), worst, subject, unit),
        enough=lambda: samples_needed(requirement, skewness, num_entries=len(errors.names)),
    )


def samples_needed(
    requirement: Requirement,
    skewness: Skewness = SYMMETRIC,
    *,
    num_entries: int = 1,
    sd: float | None = None,
    is_dependent: bool = False,
) -> int | None:
    """Return how many fits or samples see a mean error of `min_effect` in any entry, or None if 10⁹ do not.

    The effect is in sds of one of them, or in their unit where that has this `sd`. Enough even if the sample's sd, or
    its skewness where it is not known, comes out as high as chance lets it with probability alpha (under normal
    samples): the check is then not found underpowered after all.
    """
    z = -float(special.ndtri(requirement.alpha / 2))

    def is_enough(count: int) -> bool:
        df = degrees_of_freedom(count, is_dependent=is_dependent)
        by_chance = 0.0 if skewness.is_known else z * math.sqrt(6 / count)
        likely = replace(skewness, value=abs(skewness.value) + by_chance)
        critical = critical_value(_level(count, requirement.alpha / num_entries, likely), df)
        unit = 1.0 if sd is None else sd * math.sqrt(float(special.chdtri(df, requirement.alpha)) / df)
        effect = detectable_noncentrality(critical, df, requirement.power) / math.sqrt(count) * unit
        return effect <= requirement.min_effect

    return smallest(is_enough)


def degrees_of_freedom(size: float, *, is_dependent: bool) -> float:
    """Return n - 1 of independent samples, and ESS/4 of dependent draws, whose ESS is itself an estimate.

    The variance of the mean of n dependent draws is estimated by autocovariances up to about M = 2n/ESS lags, with
    relative variance ``2(2M + 1)/n ≈ 8/ESS`` (Sokal 1997): that of a χ² of ESS/4 degrees of freedom.
    """
    return size / 4 if is_dependent else size - 1


def trusted_level(skewness: float, size: float, alpha: float, *, is_known: bool) -> float:
    """Return the level at which Student's test keeps to `alpha` in spite of skewness; NaN if no level is trusted.

    The exponent e of a tail may be at most log 2; the level is then ``alpha/cosh(e)``, at the worst e = log 2 where γ
    is the sample's own and not known.
    """
    exponent = tail_exponent(skewness, size, alpha / TAILS_RATIO)
    if exponent > math.log(TAIL_RATIO):
        return math.nan
    return alpha / (math.cosh(exponent) if is_known else TAILS_RATIO)


def tail_exponent(skewness: float, size: float, alpha: float) -> float:
    """Return e: a tail of the mean where the normal one has alpha/2 is up to ``exp(±e)`` times that.

    ``e = |γ| z³/(3√n)`` (Jing, Shao & Wang 2003).
    """
    z = -float(special.ndtri(alpha / 2))
    return abs(skewness) * z**3 / (3 * math.sqrt(size))


def critical_value(alpha: float, df: float) -> float:
    """Return the bound that |T| exceeds with probability alpha; inf at a level that is NaN, and for df = 0."""
    return float(stats.t.isf(alpha / 2, df)) if alpha > 0 and df > 0 else math.inf


def detectable_noncentrality(critical: float, df: float, power: float) -> float:
    """Return the noncentrality with which T exceeds `critical` with probability `power`; inf if critical is.

    Divided by the root of T this is an effect, in sds of one estimate.
    """
    if critical > LARGE_CRITICAL:  # T is then its noncentrality over √(χ²_df/df)
        return critical * math.sqrt(float(special.chdtri(df, 1 - power)) / df) if df > 0 else math.inf
    return smallest_reaching(lambda beside: float(stats.nct.sf(critical, df, beside)), power, beyond=critical + 1)


def _level(count: float, alpha: float, skewness: Skewness) -> float:
    """Return the level of one entry; a single estimate is taken to be normal."""
    return alpha if count == 1 else trusted_level(skewness.value, count, alpha, is_known=skewness.is_known)


def _message(errors: Errors, statistics: Array, critical: float, worst: int, subject: str, unit: str) -> Message:
    order = np.argsort(-np.abs(statistics))[:4]
    listed = ", ".join(f"{errors.names[i]} {errors.mean[i]:+.4g} ({statistics[i]:+.3g} s.e.)" for i in order)
    fits = f"one {unit}" if errors.count == 1 else f"{errors.count:,} {unit}s"
    return Message(
        f"{subject} at the truth",
        f"{errors.names[worst]} off by {errors.mean[worst]:+.4g} in {fits}",
        f"{abs(statistics[worst]):.3g} standard errors; {critical:.3g} are allowed",
        fits,
        f"furthest: {listed}" + (f", of {len(errors.names)}" if len(errors.names) > 4 else ""),
    )
