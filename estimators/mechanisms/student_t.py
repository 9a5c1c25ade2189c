"""A measurement with heavy tails about a line of observed causes, for each class: a robust regression."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor
from torch.distributions import constraints

from estimators.mechanisms.compiled.arithmetic import total
from estimators.mechanisms.compiled.general import code_of, log_joint_code, pullback_code
from estimators.mechanisms.compiled.predictor import add_slopes, exp_of, predict
from estimators.mechanisms.compiled.rising import log1p_and_inverse, log_rising, rising_slope
from estimators.mechanisms.gaussian.family import LOCATION_WIDTH, SCALE_FLOOR, standardised, weak_scale
from estimators.mechanisms.gaussian.line import line_about, line_of, line_prior
from estimators.mechanisms.generalised_linear import Regression
from estimators.mechanisms.known_or_prior import KnownOrPrior
from estimators.mechanisms.protocol import Greeks, Reference
from estimators.optimise.arrays import Array
from estimators.parameters.distributions import StableStudentT
from estimators.parameters.gamma_ratios import log_ratio, ratio_slope
from estimators.parameters.parameter import Parameter
from estimators.parameters.priors import default_prior
from estimators.parameters.transforms import Positive, Scale, Transform

# Where the log of df is held: beyond it is a Gaussian to all digits.
HELD = 60.0
HALF = torch.tensor(0.5, dtype=torch.float64)
HALF_LOG_PI = 0.5723649429247001


@log_joint_code
def log_joint(C: Any, columns: Any, start: int, row: Any, work: Any) -> None:
    """``log c(df) - log sigma - (df + 1) / 2 log(1 + z² / df)``; C ends in log sigma and log df."""
    n, width = len(row), len(C)
    log_df = min(max(C[width - 1], -HELD), HELD)
    y, eta, df, precision = columns[0, start : start + n], work[0], exp_of(log_df), exp_of(-C[width - 2])
    base = log_rising(0.5 * df, 0.5) - 0.5 * log_df - HALF_LOG_PI - C[width - 2]
    half, inverse = 0.5 * (df + 1.0), 1.0 / df
    predict(C[: width - 2], columns, start, n, eta)
    for i in range(n):
        z = (y[i] - eta[i]) * precision
        row[i] += base - half * log1p_and_inverse(z * z * inverse)[0]


@pullback_code
def pullback(C: Any, columns: Any, start: int, shares: Any, out: Any, work: Any) -> None:
    """Slopes in the line and in both logs."""
    n, width = len(shares), len(C)
    log_df = min(max(C[width - 1], -HELD), HELD)
    y, eta, of_scale, of_df = columns[0, start : start + n], work[0], work[1], work[2]
    df, precision = exp_of(log_df), exp_of(-C[width - 2])
    base, inverse = 0.5 * df * rising_slope(0.5 * df, 0.5) - 0.5, 1.0 / df
    predict(C[: width - 2], columns, start, n, eta)
    for i in range(n):
        z = (y[i] - eta[i]) * precision
        logarithm, held = log1p_and_inverse(z * z * inverse)
        pull = (1.0 + inverse) * held * z
        of_scale[i] = shares[i] * (pull * z - 1.0)
        of_df[i] = shares[i] * (base - 0.5 * df * logarithm + 0.5 * pull * z)
        eta[i] = shares[i] * pull * precision
    add_slopes(eta[:n], columns, start, width - 3, out)
    out[width - 2] += total(of_scale[:n])
    out[width - 1] += total(of_df[:n])


@dataclass(frozen=True, eq=False)
class StudentT(Regression):
    """``y | Z = k, parents ~ StudentT(df_k, beta_k · (1, parents), sigma_k)``: far rows pull a line less.

    Greeks: ``beta`` [K, 1 + P], the intercept first (alone without parents), ``sigma`` [K], and ``df`` [K] where it is
    estimated. A parent of L > 2 levels enters as L - 1 indicators, level 0 the baseline; any other as itself, ``T:A``
    as products. ``coefficients``, ``scale`` and ``df`` are priors (over the reals, with one for each of the 1 + P where
    batched, and over the positive numbers) or numbers, which mean known, as ``df`` is by default. Raises TypeError or
    ValueError for anything else. Source: Lange, Little & Taylor (1989), "Robust statistical modeling using the t
    distribution".

    >>> StudentT(parents=["T"], df=dist.Gamma(2.0, 0.1)).parents
    ('T',)
    """

    parents: Sequence[str] = ()
    coefficients: Any = field(default_factory=lambda: default_prior(dist.Normal, 0.0, 10.0))
    scale: Any = field(default_factory=lambda: default_prior(dist.HalfNormal, 5.0))
    df: Any = 4.0

    code = code_of(log_joint, pullback, 3, num_lines=1)
    has_heavy_tails = True

    def __post_init__(self) -> None:
        sigma = KnownOrPrior("scale", self.scale, constraints.positive)
        self.take_line(sigma=sigma, df=KnownOrPrior("df", self.df, constraints.positive))

    def check(self, name: str, column: Tensor) -> Tensor:
        return column.double()

    def reference(self, column: Array, inputs: Array) -> Reference:
        own = standardised(column)
        return line_about(inputs, own.centre, own.scale)

    def transform(self, parameter: Parameter, reference: Reference) -> Transform:
        """As those of a `LinearGaussian`; df by its log."""
        if parameter.name == "beta":
            return line_of(reference).coordinates
        return Scale(reference.scale) if parameter.name == "sigma" else Positive()

    def scaled_to(self, column: Array, inputs: Mapping[str, Array]) -> Self:
        own = standardised(column)
        line = line_prior(inputs, own.centre, LOCATION_WIDTH * own.scale)
        return self.with_priors({"beta": line, "sigma": weak_scale(own.scale)})

    def has_collapsed(self, greeks: Greeks, reference: Reference) -> bool:
        return "sigma" in greeks and bool(np.any(greeks["sigma"] <= 1.01 * SCALE_FLOOR * reference.scale))

    def own_spreads(self, greeks: Greeks, reference: Reference) -> Array | None:
        if "sigma" not in greeks or self.given["sigma"].is_shared:
            return None
        return np.asarray(greeks["sigma"] / reference.scale).reshape(-1, 1)

    def law_at(self, eta: Tensor, *others: Tensor) -> TorchDistributionMixin:
        sigma, df = others
        law: TorchDistributionMixin = StableStudentT(df, eta, sigma, validate_args=False)
        return law

    def turn(self, value: Tensor | None, *others: Tensor) -> tuple[Tensor, Tensor] | None:
        return None if value is None else (value, others[0])

    def log_density(self, column: Array, eta: Array, *logs: Array) -> Array:
        z, df = (column - eta) * np.exp(-logs[0]), np.exp(np.clip(logs[1], -HELD, HELD))
        constant = log_ratio(torch.from_numpy(0.5 * df), HALF).numpy() - 0.5 * np.log(df * np.pi) - logs[0]
        return np.asarray(constant - 0.5 * (df + 1.0) * np.log1p(z * z / df))

    def slopes(self, column: Array, eta: Array, *logs: Array) -> tuple[Array, ...]:
        z, df = (column - eta) * np.exp(-logs[0]), np.exp(np.clip(logs[1], -HELD, HELD))
        pull = (1.0 + 1.0 / df) * z / (1.0 + z * z / df)
        base = 0.5 * df * ratio_slope(torch.from_numpy(0.5 * df), HALF).numpy() - 0.5
        return pull * np.exp(-logs[0]), pull * z - 1.0, base - 0.5 * df * np.log1p(z * z / df) + 0.5 * pull * z
