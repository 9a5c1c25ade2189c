"""Is the mean what it should be? Student's test, of independent samples or of dependent draws by their ESS."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import stats

from validation.statistics.arguments import as_array, spread_of
from validation.statistics.check import Check, Message, Requirement, check_number
from validation.statistics.dependence import effective_size
from validation.statistics.student import Errors, Skewness, degrees_of_freedom, samples_needed, student_check


def mean_check(
    samples: Any,
    expected: float,
    requirement: Requirement,
    *,
    chains: bool = False,
    skewness: float | None = None,
) -> Check:
    """Judge the mean of samples [n], or of chains [C, S], against `expected`; effects are in the samples' unit.

    ``|x̄ - expected| ≤ t_{df, 1-α'/2}·s/√m`` with m = n of independent samples and the ESS of dependent draws. Assumes
    that skewness γ is what keeps the mean from normal: α' = α/cosh(e), e = ``|γ|·z³/(3√m)``; where γ is the sample's
    (not given as `skewness`), α' = α/1.25. If e > log 2 the samples are too few to judge: underpowered.

    Raises TypeError or ValueError for samples that are not finite, fewer than two or constant.
    """
    x = as_array("samples", samples, ndim=2 if chains else 1, least=2)
    target, sd, mean = check_number("expected", expected), spread_of("samples", x), float(x.mean())
    if not math.isfinite(target):
        raise ValueError(f"expected: expected a finite number, got {target}")
    size = min(effective_size(x), float(x.size)) if chains else float(x.size)
    gamma = float(stats.skew(x, axis=None)) if skewness is None else check_number("skewness", skewness)
    allowed = Skewness(gamma, is_known=skewness is not None)
    df = degrees_of_freedom(size, is_dependent=chains)
    gap, root = np.array([mean - target]), np.array([math.sqrt(size)])
    errors = Errors(("mean",), gap, np.array([sd]), np.array([df]), root, size)
    check = student_check("mean", errors, requirement, allowed)

    def enough() -> int | None:
        count = samples_needed(requirement, allowed, sd=sd, is_dependent=chains)
        return None if count is None else math.ceil(count * x.size / size)

    drawn = f"{x.size:,} draws worth {size:,.0f} independent ones" if chains else f"{x.size:,} independent samples"
    error = sd / math.sqrt(size)
    return replace(
        check,
        n=x.size,
        observed=mean,
        detectable=check.detectable * sd,
        low=target + check.low,
        high=target + check.high,
        expected=target,
        message=Message(
            f"a mean of {target:g}",
            f"{mean:g}, the mean of {drawn} of sd {sd:g}",
            f"{abs(check.statistic):.3g} standard errors of {error:.3g}; {check.high / error:.3g} are allowed",
            drawn,
            f"skewness {gamma:.3g}: too much for so few samples to trust a t test this far out"
            if math.isnan(check.p_value)
            else "",
        ),
        enough=enough,
        ess=size if chains else None,
    )
