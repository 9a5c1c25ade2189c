"""Kinds of claims. Each turns the rows of one estimator on one scenario into a statistic and the bounds it must keep.

Where a claim is about several numbers at once, its false-alarm probability is split evenly over them and the number
closest to (or furthest beyond) its bound is shown.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from validation.measures import LEVELS
from validation.scenarios.asymptotics import Asymptotics
from validation.scenarios.quantities import LOG_LIKELIHOOD, greeks, shown
from validation.statistics.tolerances import (
    POWER,
    binomial_bounds,
    binomial_detectable_high,
    binomial_detectable_low,
    chi_square_mean_above,
    chi_square_mean_below,
    known_detectable,
    known_tolerance,
    mean_detectable,
    mean_tolerance,
)
from validation.statistics.uniformity import detectable_shift, uniformity_p_value
from validation.study.row import CONVERGED, LEVEL, RANKED, Row

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """A statistic, the entry it belongs to, the interval in which it is accepted, and what could have been seen."""

    statistic: float | None
    worst: str
    low: float | None
    high: float | None
    detectable: float
    missing: int

    @property
    def accepted(self) -> bool:
        """Whether the statistic keeps its bounds; a statistic that could not be computed does not count against."""
        if self.statistic is None:
            return True
        return (self.low is None or self.statistic >= self.low) and (self.high is None or self.statistic <= self.high)


class Kind(Protocol):
    """What is asserted, in which unit, and how it is measured. A preset says which effect it must be able to see."""

    @property
    def name(self) -> str: ...
    @property
    def sentence(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def counts_failures(self) -> bool: ...
    @property
    def needs_asymptotics(self) -> bool: ...
    def measure(self, rows: Sequence[Row], reference: Asymptotics | None, alpha: float) -> Measured: ...


@dataclass(frozen=True)
class BiasIsSmall:
    """|mean error| of every entry, in efficient standard deviations, is below a margin of one half.

    The variance is taken to be at most `allowance` times the efficient one, so that the tolerance is known beforehand
    and an estimator cannot widen it by being erratic.
    """

    name: ClassVar[str] = "bias"
    sentence: ClassVar[str] = (
        "Each Greek, interventional mean and contrast is recovered with a bias below half the efficient (Cramér–Rao) "
        "standard deviation, so bias adds at most a quarter to the mean squared error"
    )
    unit: ClassVar[str] = "|mean error| / efficient sd"
    counts_failures: ClassVar[bool] = False
    needs_asymptotics: ClassVar[bool] = True
    margin: float = 0.5
    allowance: float = 1.5

    def measure(self, rows: Sequence[Row], reference: Asymptotics | None, alpha: float) -> Measured:
        """Compare the mean of (estimate - truth)/sd over replicates with margin + z · √(allowance/R)."""
        if reference is None:
            raise ValueError("bias: needs a scenario of fixed truth, whose efficient standard deviations are known")
        kept = [row for row in rows if row.estimate]
        n, missing = len(kept), len(rows) - len(kept)
        names = [name for name in shown(reference.sd) if reference.sd[name] > 0]
        sd, each = math.sqrt(self.allowance), alpha / len(names)
        high = known_tolerance(sd, n, alpha=each, margin=self.margin)
        detectable = known_detectable(sd, n, alpha=each, margin=self.margin)
        if not kept:
            return Measured(None, "", None, high, math.inf, missing)
        bias = {
            name: abs(float(np.mean([row.estimate[name] - row.truth[name] for row in kept]))) / reference.sd[name]
            for name in names
        }
        worst = max(bias, key=lambda name: bias[name])
        return Measured(bias[worst], worst, None, high, detectable, missing)


@dataclass(frozen=True)
class DivergenceIsSmall:
    """The mean KL divergence of predictions, relative to its asymptotic expectation, is below an allowance."""

    name: ClassVar[str] = "divergence"
    sentence: ClassVar[str] = (
        "Predicted distributions under interventions diverge from the truth (KL, averaged over interventions) at most "
        "half as much again as those of an efficient estimator are expected to"
    )
    unit: ClassVar[str] = "mean KL / efficient KL"
    counts_failures: ClassVar[bool] = False
    needs_asymptotics: ClassVar[bool] = True
    allowance: float = 1.5

    def measure(self, rows: Sequence[Row], reference: Asymptotics | None, alpha: float) -> Measured:
        """Compare with the allowance times a Chernoff bound on the mean of the limiting weighted chi-squared law."""
        if reference is None:
            raise ValueError("divergence: needs a scenario of fixed truth, whose expected divergence is known")
        kept = [row for row in rows if row.predictions]
        ratios = [np.mean([each.kl / reference.kl[each.of] for each in row.predictions]) for row in kept]
        n = len(kept)
        high = self.allowance * chi_square_mean_above(reference.kl_weights, n, alpha=alpha)
        least = chi_square_mean_below(reference.kl_weights, n, alpha=1 - POWER)
        return Measured(
            statistic=float(np.mean(ratios)) if n else None,
            worst="",
            low=None,
            high=high,
            detectable=high / least if n else math.inf,
            missing=len(rows) - n,
        )


@dataclass(frozen=True)
class Covers:
    """90 % intervals cover the truth in 90 % of replicates; a replicate without an interval does not cover."""

    name: ClassVar[str] = "coverage"
    sentence: ClassVar[str] = (
        "90 % intervals of each Greek, interventional mean and contrast cover the truth at their nominal rate"
    )
    unit: ClassVar[str] = "coverage"
    counts_failures: ClassVar[bool] = True
    needs_asymptotics: ClassVar[bool] = False

    def measure(self, rows: Sequence[Row], reference: Asymptotics | None, alpha: float) -> Measured:
        """Compare counts with exact binomial bounds."""
        n = len(rows)
        names = _intervals_of(rows)
        covered = {name: sum(covers(row, name) for row in rows) for name in names}
        missing = sum(not row.intervals for row in rows)
        if not names:
            return Measured(0.0 if n else None, "", None, None, math.inf, missing)
        low, high = binomial_bounds(n, LEVEL, alpha=alpha / len(names))
        worst = max(names, key=lambda name: abs(covered[name] / n - LEVEL))
        shortfall = LEVEL - binomial_detectable_low(n, low)
        return Measured(covered[worst] / n, worst, low / n, high / n, shortfall, missing)


@dataclass(frozen=True)
class IsCalibrated:
    """Over truths drawn from the prior, the ranks of the truth among posterior draws are uniform (the γ statistic)."""

    name: ClassVar[str] = "calibration"
    sentence: ClassVar[str] = (
        "Over truths drawn from the prior, the rank of the truth among posterior draws is uniform, for each Greek, "
        "interventional mean, contrast and the log-likelihood"
    )
    unit: ClassVar[str] = "p-value of γ; effects are shifts in posterior sd"
    counts_failures: ClassVar[bool] = False
    needs_asymptotics: ClassVar[bool] = False

    def measure(self, rows: Sequence[Row], reference: Asymptotics | None, alpha: float) -> Measured:
        """Compare the exact p-value of γ with alpha split over quantities; there is no margin."""
        kept = [row for row in rows if row.intervals]
        names, missing = list(kept[0].intervals) if kept else [], len(rows) - len(kept)
        ranked = [name for name in (*shown(names), LOG_LIKELIHOOD) if name in names]
        if not ranked:
            return Measured(None, "", None, None, math.inf, missing)
        each = alpha / len(ranked)
        p = {name: uniformity_p_value([row.intervals[name].rank for row in kept], RANKED) for name in ranked}
        worst = min(p, key=lambda name: p[name])
        return Measured(p[worst], worst, each, None, detectable_shift(len(kept), RANKED, each), missing)


@dataclass(frozen=True)
class IsEfficient:
    """The mean squared error of every quantity is the Cramér–Rao bound, up to a term of order 1/N."""

    name: ClassVar[str] = "efficiency"
    sentence: ClassVar[str] = (
        "Mean squared errors reach the Cramér–Rao bound: their ratio to it is 1, up to Monte Carlo error and a term of "
        "order 1/N"
    )
    unit: ClassVar[str] = "mean squared error / Cramér–Rao bound"
    counts_failures: ClassVar[bool] = False
    needs_asymptotics: ClassVar[bool] = True

    def measure(self, rows: Sequence[Row], reference: Asymptotics | None, alpha: float) -> Measured:
        """Compare R · ratio with the χ²_R law of efficient normal errors, widened by the term of order 1/N."""
        if reference is None:
            raise ValueError("efficiency: needs a scenario of fixed truth, whose Cramér–Rao bound is known")
        kept = [row for row in rows if row.estimate]
        n, missing = len(kept), len(rows) - len(kept)
        names = [name for name in shown(reference.sd) if reference.sd[name] > 0]
        if not kept:
            return Measured(None, "", None, None, math.inf, missing)
        each = alpha / len(names)
        ratios = {
            name: float(np.mean([(row.estimate[name] - row.truth[name]) ** 2 for row in kept]))
            / reference.sd[name] ** 2
            for name in names
        }
        below, above = float(stats.chi2.ppf(each / 2, n)) / n, float(stats.chi2.isf(each / 2, n)) / n
        small = {name: second_order(reference, name) for name in names}
        bounds = {name: (below * (1 - small[name]), above * (1 + small[name])) for name in names}
        worst = max(names, key=lambda name: max(ratios[name] / bounds[name][1], bounds[name][0] / ratios[name]))
        low, high = bounds[worst]
        detectable = max(high for _, high in bounds.values()) * n / float(stats.chi2.ppf(1 - POWER, n))
        return Measured(ratios[worst], worst, low, high, detectable, missing)


def second_order(reference: Asymptotics, name: str) -> float:
    """Return the relative term of order 1/N in the variance of an efficient estimate.

    A component of weight θ has n ~ Binomial(N, θ) rows, and ``E[1/n] = (1 + (1-θ)/(Nθ) + …)/(Nθ)``. Where Z is hidden
    a row is worth less, as if there were ``N · (complete-data variance / variance)`` of them.
    """
    weights = [value for entry, value in reference.truth.items() if entry.startswith("theta[")]
    least = min(weights) if weights else 1.0
    complete = reference.complete_sd[name] if reference.complete_sd else reference.sd[name]
    worth = (complete / reference.sd[name]) ** 2 if complete > 0 else 1.0
    return (1 - least) / (reference.num_rows * least * worth)


@dataclass(frozen=True)
class AgreesWithExact:
    """The distribution functions of the draws and of the exact posterior agree at fixed levels, for every entry."""

    name: ClassVar[str] = "exactness"
    sentence: ClassVar[str] = (
        "Draws have the exact posterior's distribution: at its "
        + ", ".join(f"{100 * level:g}" for level in LEVELS)
        + " % points the distribution functions agree"
    )
    unit: ClassVar[str] = "|mean gap| in probability"
    counts_failures: ClassVar[bool] = False
    needs_asymptotics: ClassVar[bool] = False

    def measure(self, rows: Sequence[Row], reference: Asymptotics | None, alpha: float) -> Measured:
        """Compare the mean gap over replicates, each with draws of its own on both sides, with t · standard error."""
        kept = [row for row in rows if row.exactness]
        names = greeks(kept[0].exactness) if kept else []
        gaps = {
            f"{name} at {100 * level:g} %": np.array([row.exactness[name].gaps[i] for row in kept])
            for name in names
            for i, level in enumerate(LEVELS)
        }
        return _worst_mean(gaps, alpha, missing=len(rows) - len(kept))


@dataclass(frozen=True)
class IsExpected:
    """The estimate is the stationary point known in closed form, in every replicate."""

    expected: tuple[tuple[str, float], ...]
    name: ClassVar[str] = "mode"
    sentence: ClassVar[str] = "The estimate is the stationary point known in closed form, whatever the seed"
    unit: ClassVar[str] = "largest |error|"
    counts_failures: ClassVar[bool] = False
    needs_asymptotics: ClassVar[bool] = False
    tolerance: float = 1e-5  # the accuracy the estimators promise on this case

    def measure(self, rows: Sequence[Row], reference: Asymptotics | None, alpha: float) -> Measured:
        """Compare the largest error over entries and replicates with the promised accuracy: nothing is random."""
        kept = [row for row in rows if row.estimate]
        errors = {
            name: max((abs(row.estimate[name] - value) for row in kept), default=0.0) for name, value in self.expected
        }
        worst = max(errors, key=lambda name: errors[name])
        detectable = self.tolerance if kept else math.inf
        return Measured(errors[worst] if kept else None, worst, None, self.tolerance, detectable, len(rows) - len(kept))


@dataclass(frozen=True)
class Converges:
    """At most one fit in twenty fails or ends with another status than CONVERGED."""

    name: ClassVar[str] = "convergence"
    sentence: ClassVar[str] = "At most one fit in twenty fails or says that it did not converge"
    unit: ClassVar[str] = "proportion of fits"
    counts_failures: ClassVar[bool] = True
    needs_asymptotics: ClassVar[bool] = False
    allowed: float = 0.05

    def measure(self, rows: Sequence[Row], reference: Asymptotics | None, alpha: float) -> Measured:
        """Compare the count of fits that did not converge with an exact binomial bound."""
        n = len(rows)
        count = sum(row.status != CONVERGED for row in rows)
        _, high = binomial_bounds(n, self.allowed, alpha=2 * alpha)  # one-sided: alpha above
        failed = sum(row.failed for row in rows)
        return Measured(count / n if n else None, "", None, high / max(n, 1), binomial_detectable_high(n, high), failed)


def covers(row: Row, name: str) -> bool:
    """Whether a row's interval for an entry holds the truth; False where there is no interval."""
    interval = row.intervals.get(name)
    return interval is not None and interval.lower <= row.truth[name] <= interval.upper


def _intervals_of(rows: Sequence[Row]) -> list[str]:
    """Return the quantities that have an interval, but for the log-likelihood, which is only ranked."""
    return shown(next((row.intervals for row in rows if row.intervals), {}))


def _worst_mean(samples: dict[str, Array], alpha: float, *, missing: int) -> Measured:
    """Return the entry whose |mean| comes closest to its tolerance, at alpha split over the entries."""
    if not samples:
        return Measured(None, "", None, None, math.inf, missing)
    each = alpha / len(samples)
    spread = {name: float(np.std(x, ddof=1)) if len(x) > 1 else math.inf for name, x in samples.items()}
    means = {name: abs(float(np.mean(x))) for name, x in samples.items()}
    bounds = {name: mean_tolerance(spread[name], len(x), alpha=each) for name, x in samples.items()}
    detectable = max(mean_detectable(spread[name], len(x), alpha=each) for name, x in samples.items())
    worst = max(samples, key=lambda name: _closeness(means[name], bounds[name]))
    return Measured(means[worst], worst, None, bounds[worst], detectable, missing)


def _closeness(statistic: float, tolerance: float) -> float:
    if statistic == 0:
        return 0.0
    return statistic / tolerance if tolerance > 0 else math.inf
