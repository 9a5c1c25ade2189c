"""A count that varies more than a Poisson's, whose log mean is linear in observed causes, for each class."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from scipy.special import gammaln
from torch import Tensor
from torch.distributions import constraints

from estimators.mechanisms.compiled.arithmetic import total
from estimators.mechanisms.compiled.general import code_of, log_joint_code, pullback_code
from estimators.mechanisms.compiled.predictor import LARGEST_EXPONENT, add_slopes, exp_of, predict
from estimators.mechanisms.compiled.rising import log1p_and_inverse, log_rising, rising_slope
from estimators.mechanisms.generalised_linear import Regression, weak_line
from estimators.mechanisms.known_or_prior import KnownOrPrior
from estimators.mechanisms.protocol import VariableTable
from estimators.optimise.arrays import Array
from estimators.parameters.distributions import CountingNegativeBinomial
from estimators.parameters.gamma_ratios import log_ratio, ratio_slope
from estimators.parameters.priors import default_prior

# Where log dispersion is held: beyond it is a Poisson to all digits, or all but constant at 0.
HELD = 60.0


@log_joint_code
def log_joint(C: Any, columns: Any, start: int, row: Any, work: Any) -> None:
    """``log Γ(r + x) / Γ(r) - log x! + x u - (x + r) log(1 + e^u)`` with ``u = eta - log r``; C ends in -log r.

    After the inputs stand the log exposure and -log x!.
    """
    n, log_r = len(row), -min(max(C[len(C) - 1], -HELD), HELD)
    x, eta, r, first = columns[0, start : start + n], work[0], exp_of(log_r), len(C) - 1
    exposure, constant = columns[first, start : start + n], columns[first + 1, start : start + n]
    predict(C[:first], columns, start, n, eta)
    for i in range(n):
        u = eta[i] + exposure[i] - log_r
        logarithm = log1p_and_inverse(exp_of(u))[0] + max(u - LARGEST_EXPONENT, 0.0)
        row[i] += constant[i] + log_rising(r, x[i]) + x[i] * u - (x[i] + r) * logarithm


@pullback_code
def pullback(C: Any, columns: Any, start: int, shares: Any, out: Any, work: Any) -> None:
    """``Σ d (1, inputs)`` with ``d = x - (x + r) e^u / (1 + e^u)``, and d log p / d log dispersion."""
    n, log_r = len(shares), -min(max(C[len(C) - 1], -HELD), HELD)
    x, eta, of_log, r, first = columns[0, start : start + n], work[0], work[1], exp_of(log_r), len(C) - 1
    exposure = columns[first, start : start + n]
    predict(C[:first], columns, start, n, eta)
    for i in range(n):
        log_u = eta[i] + exposure[i] - log_r
        u = exp_of(log_u)
        logarithm, inverse = log1p_and_inverse(u)
        logarithm += max(log_u - LARGEST_EXPONENT, 0.0)
        d = x[i] - (x[i] + r) * u * inverse
        of_log[i] = shares[i] * (d + r * (logarithm - rising_slope(r, x[i])))
        eta[i] = shares[i] * d
    add_slopes(eta[:n], columns, start, first - 1, out)
    out[first] += total(of_log[:n])


@dataclass(frozen=True, eq=False)
class NegativeBinomial(Regression):
    """``x | Z = k, parents`` a count of mean ``m = exp(beta_k · (1, parents))`` and variance ``m + alpha_k m²``.

    Greeks: ``beta`` [K, 1 + P], log means, the intercept first (alone without parents), and ``alpha`` [K], the
    dispersion, a Poisson's at 0. A parent of L > 2 levels enters as L - 1 indicators, level 0 the baseline; any other
    as itself. ``exposure`` is as in `PoissonRegression`. ``coefficients`` and ``dispersion`` are priors (over the
    reals, with one for each of the 1 + P where batched, and over the positive numbers) or numbers, which mean known.
    Raises TypeError or ValueError for anything else. Source: Hilbe (2011), "Negative Binomial Regression", chapter 8.

    >>> NegativeBinomial(parents=["T"], dispersion=0.5).parents
    ('T',)
    """

    parents: Sequence[str] = ()
    coefficients: Any = field(default_factory=weak_line)
    dispersion: Any = field(default_factory=lambda: default_prior(dist.HalfNormal, 1.0))
    exposure: str | None = None

    code = code_of(log_joint, pullback, 2, num_lines=1)

    def __post_init__(self) -> None:
        self.take_line(alpha=KnownOrPrior("dispersion", self.dispersion, constraints.positive))

    def columns(self, table: VariableTable, inputs: Sequence[Array]) -> list[Array]:
        """The log exposures, and -log x!."""
        return [*inputs, self.log_exposure(table), -gammaln(table.column + 1.0)]

    def law_at(self, eta: Tensor, *others: Tensor) -> TorchDistributionMixin:
        logits = eta.clamp(-LARGEST_EXPONENT, LARGEST_EXPONENT) + others[0].log()
        law: TorchDistributionMixin = CountingNegativeBinomial(1.0 / others[0], logits=logits, validate_args=False)
        return law

    def turn(self, value: Tensor | None, *others: Tensor) -> tuple[Tensor, Tensor] | None:
        return None if value is None else (value.clamp_min(1.0).log(), value.clamp_min(1.0).rsqrt())

    def log_density(self, column: Array, eta: Array, *logs: Array) -> Array:
        log_r = -np.clip(logs[0], -HELD, HELD)
        r, u = np.exp(log_r), eta - log_r
        rest = column * u - (column + r) * np.logaddexp(0.0, u)
        rising = log_ratio(torch.from_numpy(r), torch.from_numpy(column)).numpy()
        return np.asarray(rising - gammaln(column + 1.0) + rest)

    def slopes(self, column: Array, eta: Array, *logs: Array) -> tuple[Array, ...]:
        log_r = -np.clip(logs[0], -HELD, HELD)
        r, u = np.exp(log_r), eta - log_r
        of_eta = column - (column + r) / (1.0 + np.exp(-u))
        apart = ratio_slope(torch.from_numpy(r), torch.from_numpy(column)).numpy()
        return of_eta, of_eta + r * (np.logaddexp(0.0, u) - apart)
