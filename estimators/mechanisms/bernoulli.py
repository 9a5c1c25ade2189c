"""A yes-or-no measurement whose chance depends on the hidden cause."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.ops.indexing import Vindex
from scipy.special import betaln
from torch import Tensor
from torch.distributions import constraints

from estimators.isolation import own_modes
from estimators.mechanisms.protocol import Greeks, Reference, check_parents, check_whole_numbers
from estimators.parameters.parameter import LOG_ZERO, Array, Parameter
from estimators.parameters.prior_checks import known_or_prior
from estimators.parameters.priors import check_shape, expanded, groups, permuted
from estimators.parameters.transforms import LOGS, Transform, UnitInterval

# The M-step holds a probability this far from 0 and 1, where its logit is still finite.
EDGE = 1e-12
LOG_P, LOG_REST = (name.format("p") for name in LOGS)


@dataclass(frozen=True, eq=False)
class Bernoulli:
    """``x | Z = k ~ Bernoulli(p_k)``: 1 with probability p_k, else 0.

    ``log p = (1 - x) log(1 - p_k) + x log p_k``, so Φ = (1 - x, x).

    Greek: ``p`` [K], or [K, levels, ...] with discrete observed ``parents``. ``prior`` is a distribution over the
    interval from 0 to 1 or a part of it, or a number, which means known. Raises TypeError or ValueError for anything
    else.

    >>> Bernoulli(prior=dist.Beta(2.0, 2.0)).num_levels
    2
    """

    prior: Any = field(default_factory=lambda: dist.Beta(1.0, 1.0))
    parents: Sequence[str] = ()

    is_regression = False
    has_products = False
    is_gaussian = False
    has_constant = False
    num_levels = 2
    num_columns = None

    @own_modes()
    def __post_init__(self) -> None:
        object.__setattr__(self, "prior", known_or_prior("prior", self.prior, constraints.unit_interval))
        object.__setattr__(self, "parents", check_parents(self.parents))

    def num_features(self, num_inputs: int) -> int:
        """F = 2: no and yes."""
        return 2

    def parameters(self, table: tuple[int, ...], num_inputs: int) -> tuple[Parameter, ...]:
        """``p`` with its prior."""
        if isinstance(self.prior, Tensor):
            check_shape("prior", self.prior.shape, table)
            return ()
        return (Parameter("p", table, expanded("prior", self.prior, table), support=constraints.unit_interval),)

    def transform(self, parameter: Parameter, reference: Reference) -> Transform:
        """The logit."""
        return UnitInterval()

    def distribution(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> TorchDistributionMixin:
        """p(x | cell)."""
        p = self._of(greeks)
        given: TorchDistributionMixin = dist.Bernoulli(Vindex(p)[..., cell] if p.ndim else p)
        return given

    def check(self, name: str, column: Tensor) -> Tensor:
        """A column [N] of 0 and 1."""
        return check_whole_numbers(name, column, 2)

    def reference(self, column: Array, inputs: Array) -> Reference:
        """The features need no centre."""
        return Reference()

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
        p = self._array(greeks)
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

    def loses_digits(self, coefficients: Array, reference: Reference) -> bool:
        """Never: the features are 0 and 1."""
        return False

    def recentred(self, greeks: Greeks, reference: Reference) -> Reference:
        """Nothing to centre."""
        return reference

    def argmax(self, statistics: Array, reference: Reference, previous: Greeks) -> dict[str, Array]:
        """The share of yes."""
        if "p" not in previous:
            return {}
        total = statistics.sum(-1)
        share = np.where(total > 0, statistics[..., 1] / np.where(total > 0, total, 1.0), previous["p"])
        return {"p": np.clip(share, EDGE, 1.0 - EDGE)}

    def has_collapsed(self, greeks: Greeks, reference: Reference) -> bool:
        """Never: the likelihood is bounded."""
        return False

    def expected_count(self, greeks: Greeks, num_rows: float) -> Array:
        """How many of the rows are expected on the rarer side."""
        p = greeks.get("p", np.full(1, 0.5))
        return np.asarray(np.minimum(p, 1.0 - p) * num_rows)

    def mean(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> Tensor:
        """E[x | cell] = p."""
        p = self._of(greeks)
        return p[..., cell] if p.ndim else p

    def log_masses(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """log p(x = 0) and log p(x = 1) as [..., cells, 2]."""
        p = self._of(greeks)
        return torch.stack([torch.log1p(-p), p.log()], -1)

    def order_key(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """Components are put in order of p."""
        return self._of(greeks)

    def exchangeable(self, num_components: int, *, uses_prior: bool = True) -> list[int]:
        """Components with equal priors share a number."""
        return groups([self.prior], num_components, uses_prior=uses_prior)

    def permuted(self, order: Sequence[int]) -> "Bernoulli":
        """The same mechanism with its components renamed."""
        return Bernoulli(permuted(self.prior, order), self.parents)

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

    def _of(self, greeks: Mapping[str, Tensor]) -> Tensor:
        if "p" in greeks:
            return greeks["p"]
        known: Tensor = self.prior
        return known.reshape(-1) if known.ndim else known

    def _array(self, greeks: Greeks) -> Array:
        return greeks["p"] if "p" in greeks else self.prior.reshape(-1).numpy()
