"""Student's test far out in its tail: its degrees of freedom, what skewness does to its level, and its power."""

import math

from scipy import special, stats
from scipy.optimize import brentq

# A tail of Student's statistic may be this many times its normal-theory value before the test is not trusted. The other
# tail is then as many times smaller, so both together are at most cosh(log 2) = 1.25 times theirs.
TAIL_RATIO = 2.0
TAILS_RATIO = math.cosh(math.log(TAIL_RATIO))


def degrees_of_freedom(size: float, *, is_dependent: bool) -> float:
    """Return n - 1 of independent samples, and ESS/4 of dependent draws, whose ESS is itself an estimate.

    The variance of the mean of n dependent draws is estimated by autocovariances up to about M = 2n/ESS lags, with
    relative variance ``2(2M + 1)/n ≈ 8/ESS`` (Sokal 1997): that of a χ² of ESS/4 degrees of freedom.
    """
    return size / 4 if is_dependent else size - 1


def trusted_level(skewness: float, size: float, alpha: float, *, is_known: bool) -> float:
    """Return the level at which Student's test keeps to `alpha` in spite of skewness; NaN if no level is trusted.

    A tail at z is ``exp(±γ z³/(3√n))`` times the normal-theory one (Jing, Shao & Wang 2003). Its exponent e may be at
    most log 2; the level is then ``alpha/cosh(e)``, at the worst e = log 2 where γ is the sample's own and not known.
    """
    z = -float(special.ndtri(alpha / TAILS_RATIO / 2))
    exponent = abs(skewness) * z**3 / (3 * math.sqrt(size))
    if exponent > math.log(TAIL_RATIO):
        return math.nan
    return alpha / (math.cosh(exponent) if is_known else TAILS_RATIO)


def noncentral_critical(alpha: float, df: float, noncentrality: float) -> float:
    """Return the bound that |T| exceeds with probability at most alpha if T is t_df of at most this noncentrality."""
    if noncentrality == 0:
        return float(stats.t.isf(alpha / 2, df))
    return float(stats.nct.isf(alpha / 2, df, noncentrality))


def noncentral_detectable(critical: float, df: float, power: float) -> float:
    """Return the noncentrality with which T exceeds `critical` with probability `power`; inf if critical is."""
    if not math.isfinite(critical):
        return math.inf

    def missing(noncentrality: float) -> float:
        return float(stats.nct.sf(critical, df, noncentrality)) - power

    high = critical + 1
    while missing(high) < 0:
        high *= 2
    return float(brentq(missing, 0.0, high, xtol=1e-10)) if missing(0.0) < 0 else 0.0
