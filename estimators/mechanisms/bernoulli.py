"""A yes-or-no measurement whose chance depends on the hidden cause.

Its density stands in `ExactBernoulli` for Pyro and for queries, and in the coefficients of the E-step, where one
evaluation of a few numbers must not cost a graph of torch's. So does every family's; tests compare the two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from scipy.special import betaln
from torch import Tensor
from torch.distributions import constraints

from estimators.mechanisms.defaults import OneGreek
from estimators.mechanisms.protocol import Greeks, Reference, check_whole_numbers
from estimators.parameters.distributions import ExactBernoulli
from estimators.parameters.parameter import LOG_ZERO, Array, Parameter
from estimators.parameters.priors import default_prior
from estimators.parameters.transforms import LOGS, Transform, UnitInterval

# The M-step holds a probability this far from 0 and 1, where its logit is still finite.
EDGE = 1e-12
LOG_P, LOG_REST = (name.format("p") for name in LOGS)


@dataclass(frozen=True, eq=False)
class Bernoulli(OneGreek):
    """``x | Z = k ~ Bernoulli(p_k)``: 1 with probability p_k, else 0.

    ``log p = (1 - x) log(1 - p_k) + x log p_k``, so Φ = (1 - x, x).

    Greek: ``p`` [K], or [K, levels, ...] with discrete observed ``parents``. ``prior`` is a distribution over the
    interval from 0 to 1 or a part of it, or a number, which means known. Raises TypeError or ValueError for anything
    else.

    >>> Bernoulli(prior=dist.Beta(2.0, 2.0)).num_levels
    2
    """

    prior: Any = field(default_factory=lambda: default_prior(dist.Beta, 1.0, 1.0))
    parents: Sequence[str] = ()

    symbol = "p"
    support = constraints.unit_interval
    num_levels = 2

    def num_features(self, num_inputs: int) -> int:
        """F = 2: no and yes."""
        return 2

    def transform(self, parameter: Parameter, reference: Reference) -> Transform:
        """The logit."""
        return UnitInterval()

    def law(self, value: Tensor) -> TorchDistributionMixin:
        """Bernoulli(p)."""
        given: TorchDistributionMixin = ExactBernoulli(value)
        return given

    def check(self, name: str, column: Tensor) -> Tensor:
        """A column [N] of 0 and 1."""
        return check_whole_numbers(name, column, 2)

    def points(self, column: Array, reference: Reference) -> Array:
        """±1, as far apart as a column's standard deviation allows."""
        return np.asarray(2.0 * column[:, None] - 1.0)

    def features(self, column: Array, inputs: Array, reference: Reference) -> Array:
        """Φ = (1 - x, x) as [2, N]."""
        return np.stack([1.0 - column, column])

    def natural_parameters(self, greeks: Greeks, reference: Reference) -> Array:
        """C = (log(1 - p), log p)."""
        if LOG_P in greeks:
            return np.stack([greeks[LOG_REST], greeks[LOG_P]], -1)
        p = self.array(greeks)
        with np.errstate(divide="ignore"):
            return np.asarray(np.maximum(np.stack([np.log1p(-p), np.log(p)], -1), LOG_ZERO))

    def gradient(self, greeks: Greeks, statistics: Array, reference: Reference) -> dict[str, Array]:
        """dJ/dp = S₁/p - S₀/(1 - p); with respect to logs, where they are given, S₁ and S₀."""
        if LOG_P in greeks:
            return {LOG_P: statistics[..., 1], LOG_REST: statistics[..., 0]}
        if "p" not in greeks:
            return {}
        p = np.clip(greeks["p"], 1e-300, 1.0 - 1e-16)
        return {"p": statistics[..., 1] / p - statistics[..., 0] / (1.0 - p)}

    def argmax(self, statistics: Array, reference: Reference, previous: Greeks) -> dict[str, Array]:
        """The share of yes."""
        if "p" not in previous:
            return {}
        total = statistics.sum(-1)
        share = np.where(total > 0, statistics[..., 1] / np.where(total > 0, total, 1.0), previous["p"])
        return {"p": np.clip(share, EDGE, 1.0 - EDGE)}

    def expected_count(self, greeks: Greeks, num_rows: float) -> Array:
        """How many of the rows are expected on the rarer side."""
        p = greeks.get("p", np.full(1, 0.5))
        return np.asarray(np.minimum(p, 1.0 - p) * num_rows)

    def log_masses(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """log p(x = 0) and log p(x = 1) as [..., cells, 2]."""
        p = self.in_cells(greeks)[..., None]
        return ExactBernoulli(p).log_prob(torch.arange(2.0, dtype=torch.float64))

    def why_not_conjugate(self) -> str | None:
        """Conjugate with a Beta prior."""
        return None if isinstance(self.prior, dist.Beta) else "its prior is not a Beta"

    def log_evidence(self, statistics: Array, reference: Reference) -> Array:
        """log B(a + S₁, b + S₀) - log B(a, b)."""
        yes, no = self._conjugate()
        return np.asarray(betaln(yes + statistics[..., 1], no + statistics[..., 0]) - betaln(yes, no))

    def posterior_draws(
        self, statistics: Array, reference: Reference, generator: np.random.Generator
    ) -> dict[str, Array]:
        """``p | rows ~ Beta(a + S₁, b + S₀)``."""
        yes, no = self._conjugate()
        return {"p": generator.beta(yes + statistics[..., 1], no + statistics[..., 0])}

    def _conjugate(self) -> tuple[Array, Array]:
        return self.prior.concentration1.reshape(-1).numpy(), self.prior.concentration0.reshape(-1).numpy()
