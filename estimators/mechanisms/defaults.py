"""What most families say alike, so that a family says what is its own.

Read `Family` (no parents as numbers, nothing to centre, a bounded likelihood) and its kinds `LogLinear` and `General`,
then `OneGreek` (a number in each cell, with a prior). `poisson.py` shows what is left for a family to say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.ops.indexing import Vindex
from torch import Tensor

from estimators.isolation import own_modes
from estimators.mechanisms.protocol import GeneralFamily, Greeks, LogLinearFamily, Reference, Terms, check_parents
from estimators.parameters.parameter import Array, Parameter
from estimators.parameters.prior_checks import known_or_prior
from estimators.parameters.priors import check_shape, expanded, groups, permuted

# Step of a difference of slopes, relative to 1 and the number.
STEP = 1e-5


class Family:
    """A family of one number, of either kind, that needs no centre and whose likelihood is bounded."""

    is_regression = False
    is_gaussian = False
    num_levels: int | None = None
    num_columns: int | None = None

    def reference(self, column: Array, inputs: Array) -> Reference:
        """The features need no centre."""
        return Reference()

    def points(self, column: Array, reference: Reference) -> Array:
        """The standardised column."""
        return np.asarray(((column - reference.centre) / reference.scale)[:, None])

    def has_collapsed(self, greeks: Greeks, reference: Reference) -> bool:
        """The likelihood is bounded."""
        return False

    def expected_count(self, greeks: Greeks, num_rows: float) -> Array:
        """No Greek has an edge."""
        return np.full(1, np.inf)

    def why_not_conjugate(self) -> str | None:
        """Nobody has written down what its rows integrate to."""
        return "it has no closed form"


class LogLinear(Family):
    """A family of one number whose features need no centre, and whose likelihood is bounded."""

    has_products = False
    has_constant = False

    def term(self, terms: Terms) -> None:
        """A log-linear term."""
        terms.log_linear(cast(LogLinearFamily, self))

    def loses_digits(self, coefficients: Array, reference: Reference) -> bool:
        """Features without squares keep their digits."""
        return False

    def recentred(self, greeks: Greeks, reference: Reference) -> Reference:
        """Nothing to centre."""
        return reference


class General(Family):
    """A family that is not log-linear, with the curvature of its log density by differences of its slope."""

    if TYPE_CHECKING:

        def pullback(self, numbers: Array, column: Array, inputs: Array, shares: Array) -> Array:
            """``Σ_n R d log f / dC`` as [S, K, W]."""

    def term(self, terms: Terms) -> None:
        """A general term."""
        terms.general(cast(GeneralFamily, self))

    def curvature(self, numbers: Array, column: Array, inputs: Array, shares: Array) -> Array:
        """``-Σ_n R d² log f / dC²`` as [S, K, W, W], by central differences."""
        rows = []
        for place in range(numbers.shape[-1]):
            step = np.zeros_like(numbers)
            step[..., place] = STEP * (1.0 + np.abs(numbers[..., place]))
            ends = [self.pullback(numbers + side * step, column, inputs, shares) for side in (1.0, -1.0)]
            rows.append((ends[1] - ends[0]) / (2.0 * step[..., place, None]))
        found = np.stack(rows, -1)
        return 0.5 * (found + np.swapaxes(found, -1, -2))


class OneGreek(LogLinear):
    """A family with one Greek, a number in each cell, that has a prior over ``support`` or is known."""

    symbol: ClassVar[str]
    support: ClassVar[Any]

    if TYPE_CHECKING:
        prior: Any
        parents: Sequence[str]

    @own_modes()
    def __post_init__(self) -> None:
        object.__setattr__(self, "prior", known_or_prior("prior", self.prior, self.support))
        object.__setattr__(self, "parents", check_parents(self.parents))

    def law(self, value: Tensor) -> TorchDistributionMixin:
        """The distribution of the variable where the Greek has this value."""
        raise NotImplementedError

    def parameters(self, table: tuple[int, ...], num_inputs: int) -> tuple[Parameter, ...]:
        """The Greek with its prior; none where it is known."""
        if isinstance(self.prior, Tensor):
            check_shape("prior", tuple(self.prior.shape), table)
            return ()
        return (Parameter(self.symbol, table, expanded("prior", self.prior, table), support=self.support),)

    def distribution(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> TorchDistributionMixin:
        """p(x | cell)."""
        value = self.in_cells(greeks)
        return self.law(Vindex(value)[..., cell] if value.ndim else value)

    def mean(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> Tensor:
        """E[x | cell], of a family whose Greek is its mean."""
        value = self.in_cells(greeks)
        return value[..., cell] if value.ndim else value

    def order_key(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """Components are put in order of their Greek."""
        return self.in_cells(greeks)

    def exchangeable(self, num_components: int, *, uses_prior: bool = True) -> list[int]:
        """Components with equal priors, or equal known values, share a number."""
        return groups([self.prior], num_components, uses_prior=uses_prior)

    def permuted(self, order: Sequence[int]) -> Self:
        """The same family with its components renamed."""
        return replace(self, prior=permuted(self.prior, order))  # type: ignore[type-var]

    def in_cells(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """The Greek [..., cells]; where it is known once for all cells, a number."""
        if self.symbol in greeks:
            return greeks[self.symbol]
        known: Tensor = self.prior
        return known.reshape(-1) if known.ndim else known

    def array(self, greeks: Greeks) -> Array:
        """The Greek [..., cells] as an array, or where it is known [1] or [cells]."""
        return greeks[self.symbol] if self.symbol in greeks else np.asarray(self.prior.reshape(-1).numpy())
