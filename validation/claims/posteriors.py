"""Claims about draws: that intervals cover, that ranks are uniform, that they come from the exact posterior."""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from validation.claims.kind import REACH, Asked, Kind, Limits, at_least, by_a_factor, rounded_up, shown_share, within
from validation.measures.exactness import LEVELS
from validation.scenarios.quantities import LOG_LIKELIHOOD, shown
from validation.statistics.arguments import Array
from validation.statistics.measured import Ends, Known, Mean, Measured, Proportion, Sampled, Square
from validation.statistics.uniformity import uniformity_p_value
from validation.study.row import LEVEL, RANKED, Row

SHORT = 0.86  # coverage of intervals that theory does not promise, where all is as it should be


class Covers(Kind):
    """90 % intervals cover the truth in 90 % of replicates; a replicate without an interval does not cover."""

    name = "coverage"
    sentence = (
        "90 % intervals of each Greek, interventional mean and contrast hold the truth in 90 % of data sets, give or "
        "take {allowed}"
    )
    unit = "coverage"
    counts_failures = True

    most = 0.3
    least = 0.02

    def attainable(self, replicates: int) -> float:
        """What so many replicates can show of a share of 0.9, which reaches further down than up."""
        return LEVEL - shown_share(LEVEL, replicates)[0]

    def has_result(self, row: Row) -> bool:
        return bool(row.intervals)

    def measure(self, rows: Sequence[Row], asked: Asked) -> list[Measured]:
        """An exact binomial interval of each count; more than all is no coverage, so no bound above 1."""
        return _coverage(rows, asked, _about_the_level)


class CoversAtLeast(Covers):
    """90 % intervals that are known to be too short: how often they hold the truth all the same."""

    name = "floor"
    sentence = (
        "90 % intervals, which theory does not promise here, hold the truth of each quantity in a share of at least "
        "{allowed} of data sets"
    )

    most = 0.75

    def attainable(self, replicates: int) -> float:
        """Of intervals that are a little too short, holding the truth in 86 %."""
        return max(shown_share(SHORT, replicates)[0], 0.01)

    def measure(self, rows: Sequence[Row], asked: Asked) -> list[Measured]:
        """An exact binomial interval of each count."""
        return _coverage(rows, asked, at_least)


class IsCalibrated(Kind):
    """Over truths drawn from the prior, ranks of the truth among draws are uniform.

    By normal scores of the ranks: their mean is how far posteriors are off in their own standard deviations, their
    mean square how much too narrow they are. What neither sees, the γ statistic of their ECDF may refute.
    """

    name = "calibration"
    sentence = (
        "Over truths drawn from the prior (or the posterior, with new rows), ranks of the truth among draws are those "
        "of a posterior that is off by less than {allowed} of its standard deviations, with a variance right within a "
        "factor of {factor}, and their distribution is not refuted as uniform, for each Greek, interventional mean, "
        "contrast and the log-likelihood"
    )
    unit = "mean normal score of ranks; mean square; p-value of γ"

    most = 0.85
    least = 0.1

    def attainable(self, replicates: int) -> float:
        """Normal scores have an sd of one."""
        return REACH / math.sqrt(replicates)

    def said(self, allowed: float) -> str:
        """The sentence with its two numbers."""
        return self.sentence.format(allowed=f"{allowed:g}", factor=f"{_ranked_factor(allowed):g}")

    def has_result(self, row: Row) -> bool:
        return bool(row.intervals)

    def measure(self, rows: Sequence[Row], asked: Asked) -> list[Measured]:
        """Three numbers of each quantity: location, spread, and a p-value that is only to be above alpha."""
        names = list(rows[0].intervals)
        ranked = [name for name in (*shown(names), LOG_LIKELIHOOD) if name in names]
        measured, count, share = [], len(rows), 3 * len(ranked)
        for name in ranked:
            ranks = np.array([row.intervals[name].rank for row in rows])
            scores = _normal_scores()[ranks]
            mean, square, p_value = float(scores.mean()), float(np.mean(scores**2)), uniformity_p_value(ranks, RANKED)
            measured += [
                asked.of(f"{name}: location", mean, count, Mean.of(scores), _mean_scores, shared_by=share),
                asked.of(
                    f"{name}: spread",
                    square,
                    count,
                    Square(_worth_of_scores()),
                    _mean_squares,
                    right=1.0,
                    shared_by=share,
                ),
                asked.of(
                    f"{name}: γ", p_value, count, Known(), lambda _: (asked.alpha / share, math.inf), right=p_value
                ),
            ]
        return measured


class AgreesWithExact(Kind):
    """The distribution functions of the draws and of the exact posterior agree at fixed levels, for every entry."""

    name = "exactness"
    sentence = (
        "Draws have the exact posterior's distribution: at its "
        + ", ".join(f"{100 * level:g}" for level in LEVELS)
        + " % points the mean difference of the distribution functions, signs kept, is less than {allowed}"
    )
    unit = "mean gap in probability"

    most = 0.05
    least = 0.02

    def attainable(self, replicates: int) -> float:
        """A gap of some hundred effective draws has an sd of about 0.04; draws by weights have a bias too."""
        return 0.01 + REACH * 0.04 / math.sqrt(replicates)

    def has_result(self, row: Row) -> bool:
        return bool(row.exactness)

    def measure(self, rows: Sequence[Row], asked: Asked) -> list[Measured]:
        """Student's interval of the mean gap over replicates, each with draws of its own on both sides."""
        gaps: dict[str, Array] = {}
        for name in shown(rows[0].exactness):
            at_levels = np.array([row.exactness[name].gaps for row in rows]).T
            gaps |= {f"{name} at {100 * level:g} %": each for level, each in zip(LEVELS, at_levels, strict=True)}
        return asked.of_each(gaps, Mean.of, within)


class AgreesWithReference(Kind):
    """Means and standard deviations of the draws are those of another program's draws, but for the errors of both.

    The error of a mean of draws is ``sd/√ess``; that of their standard deviation is larger or smaller by the same
    factor as the reference's, which the shape of the posterior has.
    """

    name = "reference"
    sentence = (
        "Posterior means are within {allowed} standard deviations of those that another program's draws have, and "
        "variances right within a factor of {factor}"
    )
    unit = "mean, in sds of the reference; sd over that of the reference"

    most = 0.5
    least = 0.1

    def attainable(self, replicates: int) -> float:
        """A fit has some 700 effective draws, the reference 10,000."""
        return REACH * math.sqrt(1 / 700 / replicates + 1 / 10_000)

    def said(self, allowed: float) -> str:
        """The sentence with its two numbers."""
        return self.sentence.format(allowed=f"{allowed:g}", factor=f"{_variance_factor(allowed):g}")

    def has_result(self, row: Row) -> bool:
        return bool(row.intervals)

    def measure(self, rows: Sequence[Row], asked: Asked) -> list[Measured]:
        """Two numbers of each entry, averaged over fits that differ in their seeds alone."""
        measured, count, share = [], len(rows), 2 * len(asked.moments)
        for name, (mean, mean_error, sd, sd_error) in asked.moments.items():
            intervals = [row.intervals[name] for row in rows]
            error = math.sqrt(sum(1 / interval.ess for interval in intervals) / count)
            off = float(np.mean([row.estimate[name] for row in rows]) - mean) / sd
            ratio = float(np.mean([interval.sd for interval in intervals])) / sd
            by_mean, by_sd = Sampled(error, mean_error / sd), Sampled(error * sd_error / mean_error, sd_error / sd)
            measured += [
                asked.of(f"{name}: mean", off, count, by_mean, within, shared_by=share),
                asked.of(f"{name}: sd", ratio, count, by_sd, _sds, right=1.0, shared_by=share),
            ]
        return measured


def covers(row: Row, name: str) -> bool:
    """Whether a row's interval for an entry holds the truth; False where there is no interval."""
    interval = row.intervals.get(name)
    return interval is not None and interval.lower <= row.truth[name] <= interval.upper


def _about_the_level(allowed: float) -> Ends:
    most = LEVEL + allowed
    return LEVEL - allowed, most if most < 1 else math.inf


def _coverage(rows: Sequence[Row], asked: Asked, limits: Limits) -> list[Measured]:
    # All that have an interval but the log-likelihood, which is only ranked.
    names = shown(next((row.intervals for row in rows if row.intervals), {}))
    covered = {name: [covers(row, name) for row in rows] for name in names}
    return asked.of_each(covered, lambda _: Proportion(), limits, right=LEVEL)


def _variance_factor(allowed: float) -> float:
    """The factor of variance whose relative precision is that of a location: a log mean square has √2 of its error."""
    return round(math.exp(math.sqrt(2) * allowed), 2)


def _sds(allowed: float) -> Ends:
    return by_a_factor(math.sqrt(_variance_factor(allowed)))


def _mean_scores(allowed: float) -> Ends:
    """Mean scores of ranks among draws of a posterior that is off by so many of its standard deviations."""
    return within(float(_rank_probabilities(allowed, 1.0) @ _normal_scores()))


def _mean_squares(allowed: float) -> Ends:
    """Mean squares of them where its variance is too large, and too small, by what is allowed of it."""
    factor = _ranked_factor(allowed)
    return _mean_square(1 / factor), _mean_square(factor)


@cache
def _ranked_factor(allowed: float) -> float:
    """The factor of variance at which the mean square of scores is off as much as so many replicates see.

    A mean of n scores has the error 1/√n, their log mean square that of a square. Scores end with the ranks, so they
    tell a factor less well than normal numbers would.
    """
    square = math.exp(math.sqrt(2 / _worth_of_scores()) * allowed)
    log = brentq(lambda log: _mean_square(math.exp(log)) - square, 0.0, 10.0)
    return rounded_up(math.exp(log))


def _mean_square(variance: float) -> float:
    return float(_rank_probabilities(0.0, variance) @ _normal_scores() ** 2)


@cache
def _worth_of_scores() -> float:
    """Of how many normal numbers the mean square tells as much as that of one score does."""
    return float(2 / (np.mean(_normal_scores() ** 4) - 1))


@cache
def _rank_probabilities(off: float, variance: float) -> np.ndarray:
    """Those of the ranks of a truth drawn from Normal(off, variance) among so many draws of Normal(0, 1).

    A rank is taken for the share of the posterior below the truth, which it is for many draws.
    """
    ends = stats.norm.ppf(np.arange(RANKED + 2) / (RANKED + 1))
    return np.asarray(np.diff(stats.norm.cdf((ends - off) / math.sqrt(variance))))


@cache
def _normal_scores() -> np.ndarray:
    """The normal score of each rank, of mean square 1 where ranks are uniform."""
    scores = stats.norm.ppf((np.arange(RANKED + 1) + 0.5) / (RANKED + 1))
    return np.asarray(scores / np.sqrt(np.mean(scores**2)))
