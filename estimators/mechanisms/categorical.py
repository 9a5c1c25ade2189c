"""A measurement with finitely many levels, whose chances depend on the hidden cause."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.ops.indexing import Vindex
from scipy.special import gammaln
from torch import Tensor
from torch.distributions import constraints

from estimators.checks import checked_count
from estimators.isolation import own_modes
from estimators.mechanisms.defaults import LogLinear
from estimators.mechanisms.protocol import Greeks, Reference, check_parents, check_whole_numbers
from estimators.parameters.distributions import ExactCategorical
from estimators.parameters.parameter import LOG_ZERO, TINY, Array, Parameter
from estimators.parameters.prior_checks import known_or_prior
from estimators.parameters.priors import check_shape, expanded, groups, permuted
from estimators.parameters.sparse import dirichlet_draws
from estimators.parameters.transforms import LOGS, Simplex, Transform

# The M-step holds a probability this far from 0, where the coordinates of the simplex are still moderate.
EDGE = 1e-12
LOG_P = LOGS[0].format("p")


@dataclass(frozen=True, eq=False)
class Categorical(LogLinear):
    """``x | Z = k ~ Categorical(p_k)``: level l, from 0 to L - 1, with probability p_kl.

    ``log p = Σ_l 1[x = l] log p_kl``, so Φ is the one-hot of x.

    Greek: ``p`` [K, L], or [K, levels, ..., L] with discrete observed ``parents``; L is ``num_levels``. ``prior`` is a
    distribution over L weights that sum to 1 (``Dirichlet(1, ..., 1)`` unless given), or L numbers (or [K, ..., L]),
    which mean known. Raises TypeError or ValueError for anything else.

    >>> Categorical(3, prior=dist.Dirichlet(torch.tensor([2.0, 1.0, 1.0]))).num_levels
    3
    """

    num_levels: int
    prior: Any = None
    parents: Sequence[str] = ()

    @own_modes()
    def __post_init__(self) -> None:
        object.__setattr__(self, "num_levels", checked_count("num_levels", self.num_levels, least=2))
        if self.prior is None:
            object.__setattr__(self, "prior", dist.Dirichlet(torch.ones(self.num_levels, dtype=torch.float64)))
        object.__setattr__(self, "prior", known_or_prior("prior", self.prior, constraints.simplex))
        known = isinstance(self.prior, Tensor)
        found = tuple(self.prior.shape[-1:] if known else self.prior.event_shape)
        if found != (self.num_levels,):
            raise ValueError(f"prior: expected {self.num_levels} weights, one for each level, got shape {found}")
        if known:
            object.__setattr__(self, "prior", self.prior / self.prior.sum(-1, keepdim=True))
        object.__setattr__(self, "parents", check_parents(self.parents))

    def num_features(self, num_inputs: int) -> int:
        """F = L: one for each level."""
        return self.num_levels

    def parameters(self, table: tuple[int, ...], num_inputs: int) -> tuple[Parameter, ...]:
        """``p`` with its prior."""
        if isinstance(self.prior, Tensor):
            check_shape("prior", tuple(self.prior.shape[:-1]), table)
            return ()
        return (Parameter("p", (*table, self.num_levels), expanded("prior", self.prior, table)),)

    def transform(self, parameter: Parameter, reference: Reference) -> Transform:
        """Stick breaking, in every cell."""
        return Simplex(self.num_levels, int(np.prod(parameter.shape[:-1])))

    def distribution(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> TorchDistributionMixin:
        """p(x | cell)."""
        p = self._of(greeks)
        return ExactCategorical(Vindex(p)[..., cell, :] if p.ndim > 1 else p)

    def check(self, name: str, column: Tensor) -> Tensor:
        """A column [N] of whole numbers from 0 to L - 1."""
        return check_whole_numbers(name, column, self.num_levels)

    def points(self, column: Array, reference: Reference) -> Array:
        """The one-hot [N, L]: levels are as far apart as any other, whatever their numbers."""
        return np.asarray((column[:, None] == np.arange(self.num_levels)) * 1.0)

    def features(self, column: Array, inputs: Array, reference: Reference) -> Array:
        """Φ as [L, N]."""
        return np.asarray((column == np.arange(self.num_levels)[:, None]) * 1.0)

    def natural_parameters(self, greeks: Greeks, reference: Reference) -> Array:
        """C = log p."""
        if LOG_P in greeks:
            return greeks[LOG_P]
        with np.errstate(divide="ignore"):
            return np.maximum(np.log(self._array(greeks)), LOG_ZERO)

    def gradient(self, greeks: Greeks, statistics: Array, reference: Reference) -> dict[str, Array]:
        """dJ/dp = S / p; with respect to log p, where it is given, S."""
        if LOG_P in greeks:
            return {LOG_P: statistics}
        return {"p": statistics / np.maximum(greeks["p"], TINY)} if "p" in greeks else {}

    def argmax(self, statistics: Array, reference: Reference, previous: Greeks) -> dict[str, Array]:
        """The shares of the levels."""
        if "p" not in previous:
            return {}
        total = statistics.sum(-1, keepdims=True)
        shares = np.where(total > 0, statistics / np.where(total > 0, total, 1.0), previous["p"])
        held = np.maximum(shares, EDGE)
        return {"p": held / held.sum(-1, keepdims=True)}

    def expected_count(self, greeks: Greeks, num_rows: float) -> Array:
        """How many of the rows are expected at each level."""
        return np.asarray(greeks["p"] * num_rows) if "p" in greeks else np.full(1, np.inf)

    def mean(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> Tensor:
        """E[x | cell] = Σ_l l p_l: the expected level, as a number."""
        p = self._of(greeks)
        levels = (p * torch.arange(self.num_levels, dtype=p.dtype)).sum(-1)
        return levels[..., cell] if levels.ndim else levels

    def log_masses(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """log p(x = l) for every level, as [..., cells, L]."""
        return self._of(greeks).log()

    def order_key(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """Components are put in order of their expected level."""
        p = self._of(greeks)
        return (p * torch.arange(self.num_levels, dtype=p.dtype)).sum(-1)

    def exchangeable(self, num_components: int, *, uses_prior: bool = True) -> list[int]:
        """Components with equal priors (or equal known values) share a number."""
        parts = [self.prior] if self._is_per_cell() else []
        return groups(parts, num_components, uses_prior=uses_prior)

    def permuted(self, order: Sequence[int]) -> "Categorical":
        """The same mechanism with its components renamed."""
        prior = permuted(self.prior, order) if self._is_per_cell() else self.prior
        return Categorical(self.num_levels, prior, self.parents)

    def why_not_conjugate(self) -> str | None:
        """Conjugate with a Dirichlet prior."""
        return None if isinstance(self.prior, dist.Dirichlet) else "its prior is not a Dirichlet"

    def log_evidence(self, statistics: Array, reference: Reference) -> Array:
        """log B(a + S) - log B(a), with B(a) = Π Γ(a_l) / Γ(Σ a_l)."""
        powers = self._conjugate()
        total, count = powers.sum(-1), statistics.sum(-1)
        each = gammaln(powers + statistics) - gammaln(powers)
        return np.asarray(each.sum(-1) + gammaln(total) - gammaln(total + count))

    def posterior_draws(
        self, statistics: Array, reference: Reference, generator: np.random.Generator
    ) -> dict[str, Array]:
        """``p | rows ~ Dirichlet(a + S)``."""
        return {"p": dirichlet_draws(self._conjugate() + statistics, generator)}

    def _conjugate(self) -> Array:
        return np.asarray(self.prior.concentration.reshape(-1, self.num_levels).numpy())

    def _is_per_cell(self) -> bool:
        part = self.prior
        return part.ndim > 1 if isinstance(part, Tensor) else len(part.batch_shape) > 0

    def _of(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """p as [..., cells, L], or [L] where it is known and serves all cells."""
        if "p" in greeks:
            return greeks["p"]
        known: Tensor = self.prior
        return known.reshape(-1, self.num_levels) if known.ndim > 1 else known

    def _array(self, greeks: Greeks) -> Array:
        return greeks["p"] if "p" in greeks else np.asarray(self.prior.reshape(-1, self.num_levels).numpy())
