"""Is the mean what it should be? Student's test, of independent samples or of dependent draws by their ESS."""

import math
from typing import Any

from scipy import special, stats

from validation.statistics.arguments import Array, as_array, spread_of
from validation.statistics.check import Check, Message, Requirement, check_effect, check_number
from validation.statistics.dependence import effective_size
from validation.statistics.search import smallest
from validation.statistics.student import degrees_of_freedom, trusted_level
from validation.statistics.tolerances import mean_detectable, mean_tolerance, sd_inflation


def mean_check(
    samples: Any,
    expected: float,
    requirement: Requirement,
    *,
    ess: float | None = None,
    chains: bool = False,
    skewness: float | None = None,
) -> Check:
    """Judge the mean of samples [n], or of chains [C, S], against `expected`.

    ``|x̄ - expected| ≤ t_{df, 1-α'/2}·s/√m`` with m = n of independent samples and the ESS of dependent draws. Assumes
    that skewness γ is what keeps the mean from normal: α' = α/cosh(e), e = ``|γ|·z³/(3√m)``; where γ is the sample's
    (not given as `skewness`), α' = α/1.25. If e > log 2 the samples are too few to judge: underpowered.

    Raises TypeError or ValueError for samples that are not finite, fewer than two or constant, and for ess ≤ 0.
    """
    x = as_array("samples", samples, ndim=2 if chains else 1, least=2)
    target, sd = check_number("expected", expected), spread_of("samples", x)
    if not math.isfinite(target):
        raise ValueError(f"expected: expected a finite number, got {target}")
    size = _size(x, ess, chains)
    dependent = chains or ess is not None
    gamma = _skewness(x) if skewness is None else check_number("skewness", skewness)
    df = degrees_of_freedom(size, is_dependent=dependent)
    level = trusted_level(gamma, size, requirement.alpha, is_known=skewness is not None)
    error = sd / math.sqrt(size)
    statistic = (float(x.mean()) - target) / error
    bound = mean_tolerance(sd, size, alpha=level, df=df) if level > 0 else math.inf

    def enough() -> int | None:
        worth = mean_size(sd, requirement, skewness=gamma, is_known=skewness is not None, is_dependent=dependent)
        return None if worth is None else math.ceil(worth * x.size / size)

    tails = 2 * float(special.stdtr(df, -abs(statistic)))
    return Check(
        "mean",
        requirement,
        x.size,
        float(x.mean()),
        mean_detectable(sd, size, alpha=level, power=requirement.power, df=df) if level > 0 else math.inf,
        low=target - bound,
        high=target + bound,
        expected=target,
        statistic=statistic,
        p_value=min(1.0, tails * requirement.alpha / level) if level > 0 else math.nan,
        message=Message(
            f"a mean of {target:g}",
            f"{x.mean():g}, the mean of {_what(x, size, dependent)} of sd {sd:g}",
            f"{abs(statistic):.3g} standard errors of {error:.3g}; {bound / error:.3g} are allowed",
            _what(x, size, dependent),
            "" if level > 0 else f"skewness {gamma:.3g}: too much for so few samples to trust a t test this far out",
        ),
        enough=enough,
        ess=size if dependent else None,
    )


def mean_size(
    sd: float,
    requirement: Requirement,
    *,
    skewness: float | None = None,
    is_known: bool = True,
    is_dependent: bool = False,
) -> int | None:
    """Return how many samples of standard deviation `sd` see `min_effect`, or None if 10⁹ do not.

    Enough even if the sample sd, or the sample skewness where it is not known, comes out as high as chance lets it with
    probability alpha (under normal samples): the check is then not found underpowered after all.
    """
    check_effect(sd, "sd")
    z = -float(special.ndtri(requirement.alpha / 2))

    known = is_known and skewness is not None

    def is_enough(n: int) -> bool:
        df = degrees_of_freedom(n, is_dependent=is_dependent)
        gamma = abs(skewness or 0.0) + (0.0 if known else z * math.sqrt(6 / n))
        level = trusted_level(gamma, n, requirement.alpha, is_known=known)
        if not level > 0:
            return False
        high_sd = sd * sd_inflation(requirement.alpha, df)
        return mean_detectable(high_sd, n, alpha=level, power=requirement.power, df=df) <= requirement.min_effect

    return smallest(is_enough)


def _size(x: Array, ess: float | None, chains: bool) -> float:
    """Return how many independent samples the array is worth, at most as many as it has."""
    if ess is not None:
        given = check_number("ess", ess)
        if not 0 < given < math.inf:
            raise ValueError(f"ess: expected a positive number of effective draws, got {ess!r}")
        return min(given, float(x.size))
    return min(effective_size(x), float(x.size)) if chains else float(x.size)


def _skewness(x: Array) -> float:
    return float(stats.skew(x, axis=None))


def _what(x: Array, size: float, dependent: bool) -> str:
    return f"{x.size:,} draws worth {size:,.0f} independent ones" if dependent else f"{x.size:,} independent samples"
