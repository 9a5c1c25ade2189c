"""Claims about errors at a fixed truth, in units of what an efficient estimator attains there."""

import math
from collections.abc import Sequence

import numpy as np

from validation.claims.kind import REACH, Asked, Kind
from validation.scenarios.asymptotics import Asymptotics
from validation.statistics.measured import Mean, Measured, Square, SumOfSquares
from validation.study.row import Row


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

    def attainable(self, replicates: int) -> float:
        """Errors have an sd of one, the efficient estimator's."""
        return REACH / math.sqrt(replicates)

    def measure(self, rows: Sequence[Row], asked: Asked) -> list[Measured]:
        """Student's interval of the mean error: an erratic estimator widens it, and does not pass."""
        bounds, limits = _bounds(asked), (-asked.allowed, asked.allowed)
        measured = []
        for name, sd in bounds.items():
            errors = _errors(rows, name) / sd
            law = Mean.of(errors)
            measured.append(asked.of(name, float(errors.mean()), len(errors), law, limits, shared_by=len(bounds)))
        return measured


class IsEfficient(Kind):
    """The mean squared error of every quantity over its Cramér–Rao bound."""

    name = "efficiency"
    sentence = "The mean squared error of each quantity is within a factor of {allowed} of the Cramér–Rao bound"
    unit = "mean squared error / Cramér–Rao bound"
    needs_asymptotics = True

    most = 2.6

    def attainable(self, replicates: int) -> float:
        """A log mean square of n numbers has the error √(2/n)."""
        return math.exp(REACH * math.sqrt(2 / replicates))

    def measure(self, rows: Sequence[Row], asked: Asked) -> list[Measured]:
        """The interval of a mean of squares of normal errors; both too large and too small are refused."""
        bounds, limits = _bounds(asked), (1 / asked.allowed, asked.allowed)
        ratios = {name: float(np.mean(np.square(_errors(rows, name) / sd))) for name, sd in bounds.items()}
        return [
            asked.of(name, ratio, len(rows), Square(), limits, right=1.0, shared_by=len(bounds))
            for name, ratio in ratios.items()
        ]


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

    def attainable(self, replicates: int) -> float:
        """An average of several squares varies less than one."""
        return math.exp(REACH * math.sqrt(1.5 / replicates))

    def has_result(self, row: Row) -> bool:
        return bool(row.predictions)

    def measure(self, rows: Sequence[Row], asked: Asked) -> list[Measured]:
        """Of an efficient estimator the average tends to a weighted sum of χ²_1 of mean 1."""
        reference = _reference(asked)
        ratios = [float(np.mean([p.kl / reference.kl[p.of] for p in row.predictions])) for row in rows]
        law = SumOfSquares(reference.kl_weights)
        return [asked.of("", float(np.mean(ratios)), len(rows), law, (-math.inf, asked.allowed), right=1.0)]


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
        bounds, limits = _bounds(asked), (1 / asked.allowed, asked.allowed)
        measured = []
        for name, sd in bounds.items():
            ratios = np.array([row.intervals[name].sd for row in rows]) / sd
            mean, law = float(ratios.mean()), Mean.of(ratios)
            measured.append(asked.of(name, mean, len(rows), law, limits, right=1.0, shared_by=len(bounds)))
        return measured


class AgreesWithEM(Kind):
    """The mean difference to the maximum of the likelihood on the same rows, in which the luck of the rows cancels."""

    name = "agreement"
    sentence = (
        "On the same rows, estimates of each quantity differ from the maximum of the likelihood by less than {allowed} "
        "efficient standard deviations on average"
    )
    unit = "mean difference to EM / efficient sd"
    needs_asymptotics = True
    compares_with = "EM"
    most = 0.25

    def measure(self, rows: Sequence[Row], asked: Asked) -> list[Measured]:
        """Student's interval of the mean difference over the replicates that both have."""
        bounds, limits = _bounds(asked), (-asked.allowed, asked.allowed)
        pairs = [(row, asked.others[row.replicate]) for row in rows if row.replicate in asked.others]
        if not pairs:
            return []
        measured = []
        for name, sd in bounds.items():
            gaps = np.array([row.estimate[name] - other.estimate[name] for row, other in pairs]) / sd
            mean, law = float(gaps.mean()), Mean.of(gaps)
            measured.append(asked.of(name, mean, len(pairs), law, limits, shared_by=len(bounds)))
        return measured


def _reference(asked: Asked) -> Asymptotics:
    if asked.reference is None:
        raise ValueError("reference: expected the efficient errors of the scenario")
    return asked.reference


def _bounds(asked: Asked) -> dict[str, float]:
    return _reference(asked).bounds


def _errors(rows: Sequence[Row], name: str) -> np.ndarray:
    return np.array([row.estimate[name] - row.truth[name] for row in rows])
