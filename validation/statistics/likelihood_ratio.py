"""Does the likelihood of the rows allow a truth? Wilks' test, with the correction that few rows need."""

import math
from functools import partial

import numpy as np
from scipy import stats

from validation.statistics.arguments import Array
from validation.statistics.check import Check, Message, Requirement
from validation.statistics.efficiency import fits_needed
from validation.statistics.search import smallest_reaching

# Standard errors that a factor which had to be simulated is raised by.
CAUTION = 2.0


def ratio_check(
    kind: str, drop: float, freedom: int, factor: float, requirement: Requirement, message: Message, *, num_entries: int
) -> Check:
    """Judge how far the log-likelihood falls below its maximum, as ``2 drop ~ factor χ²_freedom``.

    Effects are in efficient sds of any entry: one that is e of them off adds e² at least to the noncentrality. As many
    of `num_entries` are checked in other fits, which is for the number of fits that would do.
    """
    critical = float(stats.chi2.isf(requirement.alpha, freedom)) * factor
    return Check(
        kind,
        requirement,
        1,
        2 * drop,
        math.sqrt(factor * _seen(critical / factor, freedom, requirement.power)),
        high=critical,
        expected=factor * freedom,
        statistic=2 * drop / factor,
        p_value=float(stats.chi2.sf(2 * drop / factor, freedom)),
        message=message,
        enough=partial(fits_needed, requirement, num_entries),
    )


def bartlett_factor(ratios: Array, scores: Array, freedom: int) -> float:
    """Return E[2 log LR] / freedom, at least 1 and two standard errors on the safe side, from simulated data sets.

    Divided by it, the ratio has the law χ² up to O(1/N²) (Lawley 1956). The score statistics [B] of the same data sets
    have the mean `freedom` exactly, and so take most of the noise out of the mean of the `ratios` [B].
    """
    means = [ratios, ratios - scores + freedom]
    errors = [float(np.std(values, ddof=1)) / math.sqrt(len(values)) for values in means]
    best = int(np.nanargmin(errors))
    return max(1.0, (float(means[best].mean()) + CAUTION * errors[best]) / freedom)


def _seen(critical: float, freedom: int, power: float) -> float:
    """The noncentrality with which χ² exceeds `critical` with probability `power`."""
    return smallest_reaching(lambda beside: float(stats.ncx2.sf(critical, freedom, beside)), power, beyond=critical + 1)
