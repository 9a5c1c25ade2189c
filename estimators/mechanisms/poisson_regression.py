"""A count whose log rate is linear in observed causes, with a line for each class."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from estimators.mechanisms.compiled.arithmetic import log_poisson as log_poisson_at
from estimators.mechanisms.compiled.general import code_of, log_joint_code, pullback_code
from estimators.mechanisms.compiled.predictor import LARGEST_EXPONENT, add_slopes, exp_of, predict
from estimators.mechanisms.generalised_linear import Regression, weak_line
from estimators.mechanisms.protocol import VariableTable
from estimators.optimise.arrays import Array
from estimators.parameters.distributions import CountingPoisson, log_poisson


@log_joint_code
def log_joint(C: Any, columns: Any, start: int, row: Any, work: Any) -> None:
    """``log Poisson(x; e^eta)``; after the inputs stand the log exposure, and the log mass at a rate of x itself."""
    n = len(row)
    x, largest, eta = columns[0, start : start + n], columns[len(C) + 1, start : start + n], work[0]
    exposure = columns[len(C), start : start + n]
    predict(C, columns, start, n, eta)
    for i in range(n):
        eta[i] += exposure[i]
        row[i] += log_poisson_at(x[i], largest[i], exp_of(eta[i]), exp_of(-eta[i]))


@pullback_code
def pullback(C: Any, columns: Any, start: int, shares: Any, out: Any, work: Any) -> None:
    """``Σ r (x - e^eta) (1, inputs)``."""
    n = len(shares)
    x, exposure, eta = columns[0, start : start + n], columns[len(C), start : start + n], work[0]
    predict(C, columns, start, n, eta)
    for i in range(n):
        eta[i] = shares[i] * (x[i] - exp_of(eta[i] + exposure[i]))
    add_slopes(eta[:n], columns, start, len(C) - 1, out)


@dataclass(frozen=True, eq=False)
class PoissonRegression(Regression):
    """``x | Z = k, parents ~ Poisson(exp(beta_k · (1, parents)))``: a log-linear rate for each class.

    An ``exposure`` is a positive variable of the model, the days that each row was watched, say: its log is added to
    the log rate, so that the coefficients are of a rate per day. It has a law of its own (`LogNormal`), which questions
    average over, or is one of the model's ``covariates``, or is set: ``do(days=30.0)``.

    Greek: ``beta`` [K, 1 + P], log rates, the intercept first. A parent of L > 2 levels enters as L - 1 indicators,
    level 0 the baseline; any other as itself, ``T:A`` as products. ``coefficients`` is a prior over the reals (with one
    for each of the 1 + P where it is batched) or numbers, which mean known. Raises TypeError or ValueError for anything
    else, and for no parents. Source: Agresti (2013), "Categorical Data Analysis", section 4.3.

    >>> PoissonRegression(parents=["T"], exposure="days").parents
    ('T', 'days')
    """

    parents: Sequence[str]
    coefficients: Any = field(default_factory=weak_line)
    exposure: str | None = None

    code = code_of(log_joint, pullback, 1, num_lines=1)

    def __post_init__(self) -> None:
        self.take_line()
        self.need_parents("count", "Poisson()")

    def columns(self, table: VariableTable, inputs: Sequence[Array]) -> list[Array]:
        """The log exposures, and the log masses at rates of the counts themselves."""
        column = torch.from_numpy(table.column)
        return [*inputs, self.log_exposure(table), log_poisson(column, column).numpy()]

    def law_at(self, eta: Tensor, *others: Tensor) -> TorchDistributionMixin:
        law: TorchDistributionMixin = CountingPoisson(rate_at(eta))  # type: ignore[no-untyped-call]
        return law

    def turn(self, value: Tensor | None, *others: Tensor) -> tuple[Tensor, Tensor] | None:
        return None if value is None else (value.clamp_min(1.0).log(), value.clamp_min(1.0).rsqrt())

    def log_density(self, column: Array, eta: Array, *logs: Array) -> Array:
        counts = torch.from_numpy(column)
        return np.asarray(log_poisson(counts, torch.from_numpy(_rate(eta))).numpy())

    def slopes(self, column: Array, eta: Array, *logs: Array) -> tuple[Array, ...]:
        return (np.asarray(column - _rate(eta)),)


def _rate(eta: Array) -> Array:
    return np.asarray(np.exp(np.clip(eta, -LARGEST_EXPONENT, LARGEST_EXPONENT)))


def rate_at(eta: Tensor) -> Tensor:
    """e^eta, held where it is a number: far out, where an average has no weight, it must not be infinite."""
    return eta.clamp(-LARGEST_EXPONENT, LARGEST_EXPONENT).exp()
