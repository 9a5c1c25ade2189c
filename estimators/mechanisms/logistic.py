"""A yes-or-no measurement whose log odds are linear in observed causes, with a line for each class."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from scipy.special import expit, log_expit
from torch import Tensor

from estimators.mechanisms.compiled.general import code_of, log_joint_code, pullback_code
from estimators.mechanisms.compiled.predictor import add_slopes, chance, predict
from estimators.mechanisms.generalised_linear import Regression, weak_line
from estimators.optimise.arrays import Array


@log_joint_code
def log_joint(C: Any, columns: Any, start: int, row: Any, work: Any) -> None:
    """``log expit(±eta)``, + where the row is 1."""
    n = len(row)
    x, eta = columns[0, start : start + n], work[0]
    predict(C, columns, start, n, eta)
    for i in range(n):
        row[i] += chance((2.0 * x[i] - 1.0) * eta[i])[1]


@pullback_code
def pullback(C: Any, columns: Any, start: int, shares: Any, out: Any, work: Any) -> None:
    """``Σ r (x - p) (1, inputs)``."""
    n = len(shares)
    x, eta = columns[0, start : start + n], work[0]
    predict(C, columns, start, n, eta)
    for i in range(n):
        eta[i] = shares[i] * (x[i] - chance(eta[i])[0])
    add_slopes(eta[:n], columns, start, len(C) - 1, out)


@dataclass(frozen=True, eq=False)
class Logistic(Regression):
    """``x | Z = k, parents ~ Bernoulli(1 / (1 + exp(-beta_k · (1, parents))))``: a logistic regression for each class.

    Greek: ``beta`` [K, 1 + P], log odds, the intercept first. A parent of L > 2 levels enters as L - 1 indicators,
    level 0 the baseline; any other as itself, ``T:A`` as products. ``coefficients`` is a prior over the reals (with one
    for each of the 1 + P where it is batched) or numbers, which mean known. Raises TypeError or ValueError for anything
    else, and for no parents. Source: Agresti (2013), "Categorical Data Analysis", chapter 5.

    >>> Logistic(parents=["age"], coefficients=dist.Normal(0.0, 2.5)).parents
    ('age',)
    """

    parents: Sequence[str]
    coefficients: Any = field(default_factory=weak_line)

    code = code_of(log_joint, pullback, 1, num_lines=1)
    num_levels = 2

    def __post_init__(self) -> None:
        self.take_line()
        self.need_parents("yes or no", "Bernoulli()")

    def law_at(self, eta: Tensor, *others: Tensor) -> TorchDistributionMixin:
        law: TorchDistributionMixin = dist.Bernoulli(logits=eta)
        return law

    def turn(self, value: Tensor | None, *others: Tensor) -> tuple[Tensor, Tensor] | None:
        return torch.zeros(1, 1, 1, dtype=torch.float64), torch.ones(1, 1, 1, dtype=torch.float64)

    def log_density(self, column: Array, eta: Array, *logs: Array) -> Array:
        return np.asarray(log_expit((2.0 * column - 1.0) * eta))

    def slopes(self, column: Array, eta: Array, *logs: Array) -> tuple[Array, ...]:
        return (np.asarray(column - expit(eta)),)
