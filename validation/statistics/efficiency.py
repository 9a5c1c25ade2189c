"""Are the estimates of several fits as near the truth as they should be? Mean errors, and mean squared errors.

Errors are in sds that are known beforehand, as those of an efficient estimator are: never in a spread of their own,
against which an estimator that is right half of the time has no error at all.
"""

import math
from functools import lru_cache, partial

import numpy as np
from scipy import special, stats

from validation.statistics.arguments import Array
from validation.statistics.check import Check, Message, Requirement
from validation.statistics.search import smallest, smallest_reaching

# Of `min_effect`: a mean error, or errors added to those of sd 1, that a check does not hold against an estimator. What
# few rows cost maximum likelihood beyond the Cramer-Rao bound is of this order.
SLACK = 0.2


def efficiency_check(
    kind: str, errors: Array, sd: Array, names: tuple[str, ...], requirement: Requirement, *, subject: str, unit: str
) -> Check:
    """Judge errors [R, E] of R fits whose sds should be `sd` [R, E]; effects are in these sds.

    Refuted is, for every entry, normal errors of mean b and variance v with ``|b| ≤ s`` and ``b² + v ≤ c² = 1 + s²``,
    s a fifth of `min_effect`: by the mean, ``|ē| > s + c z/√R``, and by the mean square, ``Σ e² > c² χ²_R``, each at
    ``alpha/(2E)``. An effect e that is seen is a mean error of e, or errors e larger in quadrature (v = 1 + e²); of
    one fit, an error of e. An error of what is known (sd = 0) is infinite. `subject` and `unit` are for the message.
    """
    count, size = errors.shape
    with np.errstate(divide="ignore", invalid="ignore"):
        in_sds = np.where(errors == 0, 0.0, errors / sd)
        means, squares = in_sds.mean(0), (in_sds**2).mean(0)
    slack, allowed = _allowed(requirement)
    distances = np.where(np.isfinite(squares), (np.abs(means) - slack) * math.sqrt(count / allowed), math.inf)
    tails = np.stack([2 * stats.norm.sf(np.maximum(distances, 0)), stats.chi2.sf(count * squares / allowed, count)])
    which, worst = (int(i) for i in np.unravel_index(int(np.argmin(tails)), tails.shape))
    share, is_mean = requirement.alpha / (2 * size), which == 0
    bound = (_mean_bound if is_mean else _square_bound)(share, count, requirement)
    fits = "one fit" if count == 1 else f"{count:,} fits"
    if is_mean:
        distance = f"a mean error of {means[worst]:+.3g} {unit}; {bound:.3g} are allowed"
    else:
        distance = (
            f"a root mean squared error of {math.sqrt(squares[worst]):.3g} {unit}; {math.sqrt(bound):.3g} are allowed"
        )
    return Check(
        kind,
        requirement,
        count,
        float(means[worst] if is_mean else squares[worst]),
        _detectable(count, share, requirement),
        low=-bound if is_mean else -math.inf,
        high=bound,
        expected=0.0 if is_mean else 1.0,
        statistic=float(distances[worst] if is_mean else count * squares[worst]),
        p_value=min(1.0, 2 * size * float(tails[which, worst])),
        message=Message(
            f"{subject} at the truth, with errors like {unit}",
            f"{names[worst]} off by {errors[:, worst].mean():+.4g} in {fits}",
            distance,
            fits,
            _furthest(names, means, squares, unit),
        ),
        enough=partial(fits_needed, requirement, size),
    )


def _furthest(names: tuple[str, ...], means: Array, squares: Array, unit: str) -> str:
    order = np.argsort(-squares)[:4]
    listed = ", ".join(f"{names[i]} {means[i]:+.3g} ± {math.sqrt(squares[i]):.3g}" for i in order)
    return f"furthest, mean ± root mean square in {unit}: {listed}" + (f", of {len(names)}" if len(names) > 4 else "")


def fits_needed(requirement: Requirement, num_entries: int) -> int | None:
    """Return how many fits see an effect of `min_effect` in any entry, or None if 10⁹ do not."""
    share = requirement.alpha / (2 * num_entries)
    return smallest(lambda count: _detectable(count, share, requirement) <= requirement.min_effect, least=1)


def _allowed(requirement: Requirement) -> tuple[float, float]:
    """The mean error s, and the mean squared error 1 + s², that are not held against an estimator."""
    slack = SLACK * requirement.min_effect
    return slack, 1 + slack**2


def _mean_bound(share: float, count: int, requirement: Requirement) -> float:
    slack, allowed = _allowed(requirement)
    return slack - float(special.ndtri(share / 2)) * math.sqrt(allowed / count)


def _square_bound(share: float, count: int, requirement: Requirement) -> float:
    return _allowed(requirement)[1] * float(stats.chi2.isf(share, count)) / count


@lru_cache(maxsize=256)
def _detectable(count: int, share: float, requirement: Requirement) -> float:
    """The smallest effect that is seen both as a mean error, of estimates of sd 1, and as errors in quadrature."""
    by_mean = _mean_bound(share, count, requirement) + float(special.ndtri(requirement.power)) / math.sqrt(count)
    bound = _square_bound(share, count, requirement)
    by_square = math.sqrt(max(count * bound / float(stats.chi2.isf(requirement.power, count)) - 1, 0.0))
    if count == 1:  # one error is large or not, and has no spread
        by_square = 0.0
    # A mean error adds to the squares as well, so the better of the two sees it.
    by_mean_in_squares = smallest_reaching(
        lambda shift: float(stats.ncx2.sf(count * bound, count, count * shift**2)),
        requirement.power,
        beyond=math.sqrt(bound) + 1,
    )
    return max(min(by_mean, by_mean_in_squares), by_square)
