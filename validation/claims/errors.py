"""Claims about errors at a fixed truth, in units of what an efficient estimator attains there."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from validation.claims.kind import ALPHA, REACH, UNLUCKY, Asked, Kind, at_most, by_a_factor, shown_share, within
from validation.scenarios.asymptotics import Asymptotics
from validation.statistics.measured import Mean, Measured, Proportion, Square, SumOfSquares, worth
from validation.study.row import Row

GROSS = 6.0  # efficient standard deviations
RARE = 0.001
USUAL_WORTH = 0.8  # of normal squares, whose tails are not known to be normal


class BiasIsSmall(Kind):
    """|mean error| of every entry, in efficient standard deviations."""

    name = "bias"
    sentence = (
        "The bias of each Greek, interventional mean and contrast is below {allowed} efficient (Cramér–Rao) standard "
        "deviations"
    )
    unit = "mean error / efficient sd"
    needs_asymptotics = True

    most = 1.0
    least = 0.25

    def attainable(self, replicates: int) -> float:
        """Errors have an sd of one, the efficient estimator's."""
        return REACH / math.sqrt(replicates)

    def measure(self, rows: Sequence[Row], asked: Asked) -> list[Measured]:
        """Student's interval of the mean error: an erratic estimator widens it, and does not pass."""
        errors = {name: _errors(rows, name) / sd for name, sd in _bounds(asked).items()}
        return asked.of_each(errors, Mean.of, within)


class IsEfficient(Kind):
    """The mean squared error of every quantity over its Cramér–Rao bound."""

    name = "efficiency"
    sentence = "The mean squared error of each quantity is within a factor of {allowed} of the Cramér–Rao bound"
    unit = "mean squared error / Cramér–Rao bound"
    needs_asymptotics = True

    most = 3.3
    least = 1.25

    def attainable(self, replicates: int) -> float:
        """What a large one of the mean squares of normal errors may be, where they are worth some less than all."""
        large = float(stats.chi2.isf(UNLUCKY / 2, replicates)) / replicates
        return Square(USUAL_WORTH).interval(large, replicates, ALPHA)[1]

    def measure(self, rows: Sequence[Row], asked: Asked) -> list[Measured]:
        """The interval of a mean of squares of near-normal errors; both too large and too small are refused."""
        squares = {name: np.square(_errors(rows, name) / sd) for name, sd in _bounds(asked).items()}
        return asked.of_each(squares, lambda each: Square(worth(each)), by_a_factor, right=1.0)


class IsNeverGrosslyOff(Kind):
    """The share of fits with an error that no efficient estimator makes, in any quantity.

    What is rare adds little to a mean, and a mean square of rows among which it did not happen says nothing of it.
    """

    name = "gross"
    sentence = (
        "A share of at most {allowed} of the fits is off by more than "
        f"{GROSS:g} efficient standard deviations in any quantity"
    )
    unit = "share of fits"
    needs_asymptotics = True
    most = 0.35
    least = 0.01

    def attainable(self, replicates: int) -> float:
        """One fit in a thousand."""
        return shown_share(RARE, replicates)[1]

    def measure(self, rows: Sequence[Row], asked: Asked) -> list[Measured]:
        """An exact binomial interval of the count."""
        bounds = _bounds(asked)
        off = np.stack([np.abs(_errors(rows, name)) > GROSS * sd for name, sd in bounds.items()])
        return [asked.of("", float(off.any(0).mean()), len(rows), Proportion(), at_most)]


class DivergenceIsSmall(Kind):
    """The mean KL divergence of predictions over what is expected of an efficient estimator."""

    name = "divergence"
    sentence = (
        "Predicted distributions under interventions diverge from the truth (KL, averaged over interventions) at most "
        "{allowed} times as much as an efficient estimator's are expected to"
    )
    unit = "mean KL / efficient KL"
    needs_asymptotics = True

    most = 3.3
    least = 1.25

    def attainable(self, replicates: int) -> float:
        """An average of several squares varies less than one, and its tails are not known to be normal."""
        return math.exp(REACH * math.sqrt(1.5 / USUAL_WORTH / replicates))

    def has_result(self, row: Row) -> bool:
        return bool(row.predictions)

    def measure(self, rows: Sequence[Row], asked: Asked) -> list[Measured]:
        """Of an efficient estimator the average tends to a weighted sum of χ²_1 of mean 1."""
        reference = _reference(asked)
        ratios = np.array([np.mean([p.kl / reference.kl[p.of] for p in row.predictions]) for row in rows])
        law = SumOfSquares(reference.kl_weights, worth(ratios, reference.kl_weights))
        return [asked.of("", float(ratios.mean()), len(rows), law, at_most, right=1.0)]


class SpreadIsEfficient(Kind):
    """The standard deviation of draws over the efficient one: what intervals rest on, whatever they cover."""

    name = "spread"
    sentence = (
        "The draws' standard deviation of each quantity is on average within a factor of {allowed} of the efficient one"
    )
    unit = "mean sd of draws / efficient sd"
    needs_asymptotics = True
    most = 1.2

    def has_result(self, row: Row) -> bool:
        return bool(row.intervals)

    def measure(self, rows: Sequence[Row], asked: Asked) -> list[Measured]:
        """Student's interval of the mean ratio."""
        bounds = _bounds(asked)
        ratios = {name: np.array([row.intervals[name].sd for row in rows]) / sd for name, sd in bounds.items()}
        return asked.of_each(ratios, Mean.of, by_a_factor, right=1.0)


class AgreesWithEM(Kind):
    """The mean difference to the maximum of the likelihood on the same rows, in which the luck of the rows cancels."""

    name = "agreement"
    sentence = (
        "On the same rows, the mean difference of each quantity to the maximum of the likelihood, signs kept, is less "
        "than {allowed} efficient standard deviations"
    )
    unit = "mean difference to EM / efficient sd"
    needs_asymptotics = True
    compares_with = "EM"
    most = 0.25

    def measure(self, rows: Sequence[Row], asked: Asked) -> list[Measured]:
        """Student's interval of the mean difference over the replicates that both have."""
        bounds = _bounds(asked)
        pairs = [(row, asked.others[row.replicate]) for row in rows if row.replicate in asked.others]
        if not pairs:
            return []
        gaps = {
            name: np.array([row.estimate[name] - other.estimate[name] for row, other in pairs]) / sd
            for name, sd in bounds.items()
        }
        return asked.of_each(gaps, Mean.of, within)


def _reference(asked: Asked) -> Asymptotics:
    if asked.reference is None:
        raise ValueError("reference: expected the efficient errors of the scenario")
    return asked.reference


def _bounds(asked: Asked) -> dict[str, float]:
    return _reference(asked).bounds


def _errors(rows: Sequence[Row], name: str) -> np.ndarray:
    return np.array([row.estimate[name] - row.truth[name] for row in rows])
