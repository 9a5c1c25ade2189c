"""Kinds of claims. Each is a statistical check over the rows of one estimator on one scenario.

Where a claim is about several numbers at once, each is checked at an even share of its false-alarm probability, and the
one closest to (or furthest beyond) its bounds is shown.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from scipy import stats

from validation.claims.endings import Ending, answered, ending
from validation.measures.exactness import LEVELS
from validation.scenarios.asymptotics import Asymptotics
from validation.scenarios.quantities import LOG_LIKELIHOOD, shown
from validation.statistics.check import Check, Requirement, furthest
from validation.statistics.estimates import errors_of_fits
from validation.statistics.proportion import GREATER, UNDERCOVERAGE, proportion_check
from validation.statistics.ranks import ranks_check
from validation.statistics.student import student_check
from validation.statistics.tolerances import (
    chi_square_mean_above,
    chi_square_mean_below,
    known_detectable,
    known_tolerance,
)
from validation.study.row import ANSWER_LEVEL, CONVERGED, LEVEL, RANKED, Row


class Kind:
    """What is asserted, in which unit, and how it is checked. A preset says which effect it must be able to see.

    Where `counts_failures`, a fit without a result counts against the claim as one of its rows; elsewhere it fails it.
    `needs_asymptotics` are those whose unit is an efficient estimator's.
    """

    name: ClassVar[str]
    sentence: ClassVar[str]
    unit: ClassVar[str]
    counts_failures: ClassVar[bool] = False
    needs_asymptotics: ClassVar[bool] = False

    def has_result(self, row: Row) -> bool:
        """Whether a row holds what is checked."""
        return bool(row.estimate)

    def check(self, rows: Sequence[Row], reference: Asymptotics | None, requirement: Requirement) -> Check:
        """Check rows, at least one: all of them where the kind counts failures, else those with a result."""
        raise NotImplementedError


class BiasIsSmall(Kind):
    """|mean error| of every entry, in efficient standard deviations, is below a margin of one half.

    The variance is taken to be at most `allowance` times the efficient one, so that the tolerance is known beforehand
    and an estimator cannot widen it by being erratic.
    """

    name = "bias"
    sentence = (
        "Each Greek, interventional mean and contrast is recovered with a bias below half the efficient (Cramér–Rao) "
        "standard deviation, so bias adds at most a quarter to the mean squared error"
    )
    unit = "|mean error| / efficient sd"
    needs_asymptotics = True
    margin = 0.5
    allowance = 1.5

    def check(self, rows: Sequence[Row], reference: Asymptotics | None, requirement: Requirement) -> Check:
        """Compare the mean of (estimate - truth)/sd over replicates with margin + z · √(allowance/R)."""
        assert reference is not None
        bounds = reference.bounds
        n, sd, share = len(rows), math.sqrt(self.allowance), requirement.shared_by(len(bounds))
        high = known_tolerance(sd, n, alpha=share.alpha, margin=self.margin)
        detectable = known_detectable(sd, n, alpha=share.alpha, margin=self.margin, power=share.power)

        def bias(name: str) -> float:
            return abs(float(np.mean([row.estimate[name] - row.truth[name] for row in rows]))) / bounds[name]

        checks = {name: Check(self.name, share, n, bias(name), detectable, high=high) for name in bounds}
        return furthest(checks, lambda check: check.observed)


class DivergenceIsSmall(Kind):
    """The mean KL divergence of predictions, relative to its asymptotic expectation, is below an allowance."""

    name = "divergence"
    sentence = (
        "Predicted distributions under interventions diverge from the truth (KL, averaged over interventions) at most "
        "half as much again as those of an efficient estimator are expected to"
    )
    unit = "mean KL / efficient KL"
    needs_asymptotics = True
    allowance = 1.5

    def has_result(self, row: Row) -> bool:
        return bool(row.predictions)

    def check(self, rows: Sequence[Row], reference: Asymptotics | None, requirement: Requirement) -> Check:
        """Compare with the allowance times a Chernoff bound on the mean of the limiting weighted chi-squared law."""
        assert reference is not None
        n = len(rows)
        ratios = [np.mean([p.kl / reference.kl[p.of] for p in row.predictions]) for row in rows]
        high = self.allowance * chi_square_mean_above(reference.kl_weights, n, alpha=requirement.alpha)
        least = chi_square_mean_below(reference.kl_weights, n, alpha=1 - requirement.power)
        return Check(self.name, requirement, n, float(np.mean(ratios)), high / least, high=high)


class Covers(Kind):
    """90 % intervals cover the truth in 90 % of replicates; a replicate without an interval does not cover."""

    name = "coverage"
    sentence = "90 % intervals of each Greek, interventional mean and contrast cover the truth at their nominal rate"
    unit = "coverage"
    counts_failures = True

    def has_result(self, row: Row) -> bool:
        return bool(row.intervals)

    def check(self, rows: Sequence[Row], reference: Asymptotics | None, requirement: Requirement) -> Check:
        """Compare counts with exact binomial bounds."""
        # All that have an interval but the log-likelihood, which is only ranked.
        names = shown(next((row.intervals for row in rows if row.intervals), {}))
        if not names:
            return Check(self.name, requirement, len(rows), 0.0, math.inf)
        share = requirement.shared_by(len(names))

        def coverage(name: str) -> Check:
            return proportion_check(sum(covers(row, name) for row in rows), len(rows), LEVEL, share, UNDERCOVERAGE)

        return furthest({name: coverage(name) for name in names}, lambda check: abs(check.observed - LEVEL))


class IsCalibrated(Kind):
    """Over truths drawn from the prior, the ranks of the truth among posterior draws are uniform (the γ statistic)."""

    name = "calibration"
    sentence = (
        "Over truths drawn from the prior, the rank of the truth among posterior draws is uniform, for each Greek, "
        "interventional mean, contrast and the log-likelihood"
    )
    unit = "p-value of γ; effects are shifts in posterior sd"

    def has_result(self, row: Row) -> bool:
        return bool(row.intervals)

    def check(self, rows: Sequence[Row], reference: Asymptotics | None, requirement: Requirement) -> Check:
        """Compare the exact p-value of γ with alpha split over quantities; there is no margin."""
        names = list(rows[0].intervals)
        ranked = [name for name in (*shown(names), LOG_LIKELIHOOD) if name in names]
        if not ranked:
            return unknown(self.name, requirement)
        share = requirement.shared_by(len(ranked))
        checks = {name: ranks_check([row.intervals[name].rank for row in rows], RANKED, share) for name in ranked}
        worst = furthest(checks, lambda check: -check.p_value)
        return replace(worst, observed=worst.p_value, low=share.alpha)


class IsEfficient(Kind):
    """The mean squared error of every quantity is the Cramér–Rao bound, up to a term of order 1/N."""

    name = "efficiency"
    sentence = (
        "Mean squared errors reach the Cramér–Rao bound: their ratio to it is 1, up to Monte Carlo error and a term of "
        "order 1/N"
    )
    unit = "mean squared error / Cramér–Rao bound"
    needs_asymptotics = True

    def check(self, rows: Sequence[Row], reference: Asymptotics | None, requirement: Requirement) -> Check:
        """Compare R · ratio with the χ²_R law of efficient normal errors, widened by the term of order 1/N."""
        assert reference is not None
        bounds = reference.bounds
        n, share = len(rows), requirement.shared_by(len(bounds))
        below, above = float(stats.chi2.ppf(share.alpha / 2, n)) / n, float(stats.chi2.isf(share.alpha / 2, n)) / n
        missed = float(stats.chi2.ppf(1 - share.power, n))

        def efficiency(name: str) -> Check:
            squares = [(row.estimate[name] - row.truth[name]) ** 2 for row in rows]
            ratio, widened = float(np.mean(squares)) / bounds[name] ** 2, second_order(reference, name)
            low, high = below * (1 - widened), above * (1 + widened)
            return Check(self.name, share, n, ratio, high * n / missed, low, high)

        checks = {name: efficiency(name) for name in bounds}
        return furthest(checks, lambda check: max(check.observed / check.high, check.low / check.observed))


def second_order(reference: Asymptotics, name: str) -> float:
    """Return the relative term of order 1/N in the variance of an efficient estimate.

    A component of weight θ has n ~ Binomial(N, θ) rows, and ``E[1/n] = (1 + (1-θ)/(Nθ) + …)/(Nθ)``. Where Z is hidden
    a row is worth less, as if there were ``N · (complete-data variance / variance)`` of them.
    """
    weights = [value for entry, value in reference.truth.items() if entry.startswith("theta[")]
    least = min(weights) if weights else 1.0
    complete = reference.complete_sd[name] if reference.complete_sd else reference.sd[name]
    information = (complete / reference.sd[name]) ** 2 if complete > 0 else 1.0
    return (1 - least) / (reference.num_rows * least * information)


class AgreesWithExact(Kind):
    """The distribution functions of the draws and of the exact posterior agree at fixed levels, for every entry."""

    name = "exactness"
    sentence = (
        "Draws have the exact posterior's distribution: at its "
        + ", ".join(f"{100 * level:g}" for level in LEVELS)
        + " % points the distribution functions agree"
    )
    unit = "|mean gap| in probability"

    def has_result(self, row: Row) -> bool:
        return bool(row.exactness)

    def check(self, rows: Sequence[Row], reference: Asymptotics | None, requirement: Requirement) -> Check:
        """Compare the mean gap over replicates, each with draws of its own on both sides, with t · standard error."""
        names = shown(rows[0].exactness)
        if not names:
            return unknown(self.name, requirement)
        labels = tuple(f"{name} at {100 * level:g} %" for name in names for level in LEVELS)
        gaps = np.array([[gap for name in names for gap in row.exactness[name].gaps] for row in rows])
        errors = errors_of_fits(labels, gaps)
        check = student_check(self.name, errors, requirement)
        # The effect is in probability, of the gap that varies most, and the sign of a gap does not matter.
        detectable = check.detectable * float(errors.sd.max())
        return replace(check, observed=abs(check.observed), low=-math.inf, detectable=detectable)


@dataclass(frozen=True)
class IsExpected(Kind):
    """The estimate is the stationary point known in closed form, in every replicate."""

    expected: tuple[tuple[str, float], ...]
    name = "mode"
    sentence = "The estimate is the stationary point known in closed form, whatever the seed"
    unit = "largest |error|"
    tolerance = 1e-5  # the accuracy the estimators promise on this case

    def check(self, rows: Sequence[Row], reference: Asymptotics | None, requirement: Requirement) -> Check:
        """Compare the largest error over entries and replicates with the promised accuracy: nothing is random."""
        n, tolerance = len(rows), self.tolerance
        errors = {name: max(abs(row.estimate[name] - value) for row in rows) for name, value in self.expected}
        checks = {
            name: Check(self.name, requirement, n, error, tolerance, high=tolerance) for name, error in errors.items()
        }
        return furthest(checks, lambda check: check.observed)


class Converges(Kind):
    """At most one fit in twenty fails or ends with another status than CONVERGED."""

    name = "convergence"
    sentence = "At most one fit in twenty fails or says that it did not converge"
    unit = "proportion of fits"
    counts_failures = True
    allowed = 0.05

    def has_result(self, row: Row) -> bool:
        return not row.failed

    def check(self, rows: Sequence[Row], reference: Asymptotics | None, requirement: Requirement) -> Check:
        """Compare the count of fits that did not converge with an exact binomial bound."""
        count = sum(row.status != CONVERGED for row in rows)
        check = proportion_check(count, len(rows), self.allowed, requirement, GREATER)
        # The effect of this claim is the share of fits itself, not what it has above the share allowed.
        return replace(check, detectable=self.allowed + check.detectable)


class IsCandid(Kind):
    """Fits without a warning that leave the truth out are no more than the level of their sets of answers allows.

    A level is what each set claims: 99.9 % of a likelihood interval, and of draws what their number can promise. The
    count of independent events of different chances is less spread than a binomial one of their mean (Hoeffding 1956).
    """

    name = "candour"
    sentence = (
        "A fit that does not warn is not wrong: it leaves the truth of a contrast out of its set of answers (the "
        "likelihood intervals of its modes, or the range of its draws) no oftener than the level of that set allows, "
        "which is 99.9 %, or what its draws are enough for"
    )
    unit = "share of fits silent and wrong"
    counts_failures = True

    def has_result(self, row: Row) -> bool:
        return bool(row.answers)

    def check(self, rows: Sequence[Row], reference: Asymptotics | None, requirement: Requirement) -> Check:
        """Compare the count of each contrast with an exact binomial bound; a fit that failed misleads nobody."""
        names = answered(rows)
        if not names:
            return unknown(self.name, requirement)
        share = requirement.shared_by(len(names))

        def silent(name: str) -> Check:
            levels = [row.answers[name].level if name in row.answers else ANSWER_LEVEL for row in rows]
            allowed = 1.0 - float(np.mean(levels))
            count = sum(ending(row, name) is Ending.SILENT for row in rows)
            check = proportion_check(count, len(rows), allowed, share, GREATER)
            return replace(check, detectable=allowed + check.detectable)

        return furthest({name: silent(name) for name in names}, lambda check: check.observed)


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        BiasIsSmall(),
        DivergenceIsSmall(),
        IsEfficient(),
        Covers(),
        IsCalibrated(),
        AgreesWithExact(),
        Converges(),
        IsCandid(),
    )
}


def covers(row: Row, name: str) -> bool:
    """Whether a row's interval for an entry holds the truth; False where there is no interval."""
    interval = row.intervals.get(name)
    return interval is not None and interval.lower <= row.truth[name] <= interval.upper


def unknown(kind: str, requirement: Requirement, *, why: str = "", detectable: float = math.inf) -> Check:
    """Return the check of a claim about which nothing is known: it would have seen nothing."""
    return Check(kind, requirement, 0, math.nan, detectable, entry=why)
