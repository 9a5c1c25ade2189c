"""A count whose rate depends on the hidden cause."""

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

from estimators.mechanisms.defaults import OneGreek
from estimators.mechanisms.gaussian.precision import DIGITS_LOST, EPS
from estimators.mechanisms.protocol import Greeks, Reference, check_whole_numbers
from estimators.parameters.distributions import CountingPoisson, log_poisson
from estimators.parameters.parameter import Array, Parameter
from estimators.parameters.priors import default_prior
from estimators.parameters.transforms import Positive, Transform

# The M-step holds a rate at this fraction of the column's mean, whose logarithm is still moderate.
RATE_FLOOR = 1e-30


@dataclass(frozen=True, eq=False)
class Poisson(OneGreek):
    """``x | Z = k ~ Poisson(rate_k)``: a count.

    ``log p = -(rate_k - r) + x log(rate_k / r) + log Poisson(x; r)`` with r the column's mean, so Φ = (1, x, h) with
    ``h = log Poisson(x; r)``, and large counts keep their digits.

    Greek: ``rate`` [K], or [K, levels, ...] with discrete observed ``parents``. ``prior`` is a distribution over the
    positive numbers or a part of them, or a number, which means known. Raises TypeError or ValueError for anything
    else.

    >>> Poisson(prior=dist.Gamma(2.0, 0.5), parents=["T"]).parents
    ('T',)
    """

    prior: Any = field(default_factory=lambda: default_prior(dist.Gamma, 1.0, 0.1))
    parents: Sequence[str] = ()

    symbol = "rate"
    support = constraints.positive
    has_constant = True

    def num_features(self, num_inputs: int) -> int:
        """F = 3: one, x and h."""
        return 3

    def transform(self, parameter: Parameter, reference: Reference) -> Transform:
        """The log of the ratio to the column's mean."""
        return Positive(reference.centre)

    def law(self, value: Tensor) -> TorchDistributionMixin:
        """Poisson(rate)."""
        return CountingPoisson(value)  # type: ignore[no-untyped-call]

    def check(self, name: str, column: Tensor) -> Tensor:
        """A column [N] of whole numbers from 0."""
        return check_whole_numbers(name, column)

    def reference(self, column: Array, inputs: Array) -> Reference:
        """The column's mean and standard deviation (1 where they are 0)."""
        if not len(column) or not column.any():
            return Reference(1.0)
        centre = float(column.mean())
        reach = float(np.abs(column - centre).max())
        # Scaled before squaring, so that counts of 1e100 do not overflow.
        scale = reach * float(np.sqrt(np.mean(((column - centre) / reach) ** 2))) if reach > 0 else 1.0
        return Reference(centre, scale, reach / scale)

    def features(self, column: Array, inputs: Array, reference: Reference) -> Array:
        """Φ = (1, x, h) as [3, N]."""
        rest = log_poisson(torch.from_numpy(column), reference.centre)
        return np.stack([np.ones_like(column), column, rest.numpy()])

    def natural_parameters(self, greeks: Greeks, reference: Reference) -> Array:
        """C = (-(rate - r), log(rate / r), 1)."""
        rate = self.array(greeks)
        excess = rate - reference.centre
        ratio = excess / reference.centre
        # The logarithm of a ratio near 1 has no digits beyond those of the ratio.
        close = np.log1p(np.where(np.abs(ratio) < 0.5, ratio, 0.0))
        logs = np.where(np.abs(ratio) < 0.5, close, np.log(rate / reference.centre))
        return np.stack([-excess, logs, np.ones_like(excess)], -1)

    def gradient(self, greeks: Greeks, statistics: Array, reference: Reference) -> dict[str, Array]:
        """dJ/drate = S₁ / rate - S₀."""
        return {"rate": statistics[..., 1] / greeks["rate"] - statistics[..., 0]} if "rate" in greeks else {}

    def loses_digits(self, coefficients: Array, reference: Reference) -> bool:
        """Whether eps times the largest count or rate, less the column's mean, is above 1e-10."""
        excess = float(np.abs(coefficients[..., 0]).max(initial=0.0))
        return bool(EPS * max(excess, reference.reach * reference.scale) > DIGITS_LOST)

    def recentred(self, greeks: Greeks, reference: Reference) -> Reference:
        """Centres at the cells' own rates, where h is log p(x) itself."""
        return reference.at(self.array(greeks))

    def argmax(self, statistics: Array, reference: Reference, previous: Greeks) -> dict[str, Array]:
        """The weighted means."""
        if "rate" not in previous:
            return {}
        count = statistics[..., 0]
        mean = np.where(count > 0, statistics[..., 1] / np.where(count > 0, count, 1.0), previous["rate"])
        return {"rate": np.maximum(mean, RATE_FLOOR * (reference.scale if reference.by_cell else reference.centre))}

    def expected_count(self, greeks: Greeks, num_rows: float) -> Array:
        """How many are expected to be counted in all of the rows."""
        return np.asarray(greeks["rate"] * num_rows) if "rate" in greeks else np.full(1, np.inf)

    def why_not_conjugate(self) -> str | None:
        """Conjugate with a Gamma prior."""
        return None if isinstance(self.prior, dist.Gamma) else "its prior is not a Gamma"

    def log_evidence(self, statistics: Array, reference: Reference) -> Array:
        """log Γ(a + S₁) - log Γ(a) + a log b - (a + S₁) log(b + n) + Σ_n (h_n + r - x_n log r)."""
        power, rate = self._conjugate()
        count, total, rest = statistics[..., 0], statistics[..., 1], statistics[..., 2]
        centre = reference.centre
        # In ratios to the column's mean, so that the logarithms of large counts are small numbers.
        return np.asarray(
            gammaln(power + total)
            - gammaln(power)
            + power * np.log(rate * centre)
            - (power + total) * np.log((rate + count) * centre)
            + count * centre
            + rest
        )

    def posterior_draws(
        self, statistics: Array, reference: Reference, generator: np.random.Generator
    ) -> dict[str, Array]:
        """``rate | rows ~ Gamma(a + S₁, b + n)``."""
        power, rate = self._conjugate()
        draws = generator.standard_gamma(power + statistics[..., 1]) / (rate + statistics[..., 0])
        return {"rate": np.maximum(draws, RATE_FLOOR * reference.centre)}

    def _conjugate(self) -> tuple[Array, Array]:
        return self.prior.concentration.reshape(-1).numpy(), self.prior.rate.reshape(-1).numpy()
