"""What most families say alike, so that a family says what is its own.

Read `Family` (what it is given for its Greeks, no parents as numbers, nothing to centre, a bounded likelihood) and its
kinds `LogLinear` and `General`, then `OneGreek` (a number in each cell). `poisson.py` shows what is left for a family
to say.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, replace
from types import MappingProxyType
from typing import Any, ClassVar, Self, cast

import numpy as np
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from estimators.data.remarks import Remark, constant, of_inputs
from estimators.mechanisms.column_values import check_whole_numbers
from estimators.mechanisms.conjugate import ConjugatePrior
from estimators.mechanisms.known_or_prior import KnownOrPrior
from estimators.mechanisms.protocol import (
    GeneralFamily,
    Greeks,
    LogLinearFamily,
    Reference,
    Terms,
    Turn,
    VariableTable,
    check_names,
)
from estimators.mechanisms.sharing import Sharing
from estimators.optimise.arrays import Array
from estimators.parameters.parameter import Parameter
from estimators.parameters.priors import are_equal, as_prior, groups, permuted

# Step of a difference of slopes, relative to 1 and the number.
STEP = 1e-5


class Family(Sharing):
    """A family of one number, of either kind, that needs no centre and whose likelihood is bounded.

    ``given`` holds what it is given for each Greek, by its symbol; ``law`` makes the variable's distribution of their
    values, in that order.
    """

    given: Mapping[str, KnownOrPrior] = MappingProxyType({})
    parents: Sequence[str]
    law: Callable[..., TorchDistributionMixin]

    is_regression = False
    is_gaussian = False
    num_levels: int | None = None
    num_columns: int | None = None
    is_ordered = False
    is_positive = False
    has_heavy_tails = False
    exposure: str | None = None
    is_covariate = False

    def take(self, given: Mapping[str, KnownOrPrior]) -> None:
        """Keep what is given for the Greeks, and the arguments as they were checked; check the parents."""
        object.__setattr__(self, "parents", check_names(self.parents))
        causes = [parent for parent in self.parents if self.is_regression and parent != self.exposure]
        line = next(iter(given)) if self.is_regression else None
        shared = self.take_shared(self.shareable(given), line, causes)
        kept = {symbol: replace(one, is_shared=symbol in shared) for symbol, one in given.items()}
        object.__setattr__(self, "given", kept)
        for one in kept.values():
            object.__setattr__(self, one.argument, one.value)

    def shareable(self, given: Mapping[str, KnownOrPrior]) -> Mapping[str, str]:
        """The symbols of the Greeks that classes may share, by what they are called: all but the location."""
        return {one.argument: symbol for symbol, one in list(given.items())[1:]}

    def tensor(self, symbol: str, greeks: Mapping[str, Tensor]) -> Tensor:
        """A Greek [..., cells, *entry]; known numbers that serve all cells have no axis for them."""
        return greeks[symbol] if symbol in greeks else self.given[symbol].tensor

    def array(self, symbol: str, greeks: Greeks) -> Array:
        """A Greek [..., cells, *entry]; of one cell where known numbers serve all."""
        return greeks[symbol] if symbol in greeks else self.given[symbol].array

    def parameters(self, table: tuple[int, ...], num_inputs: int) -> tuple[Parameter, ...]:
        return tuple(p for symbol, one in self.given.items() for p in one.parameter(symbol, table, one.entry))

    def distribution(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> TorchDistributionMixin:
        return self.law(*(one.in_cell(greeks.get(symbol), cell) for symbol, one in self.given.items()))

    def turning(
        self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor, value: Tensor | None
    ) -> Sequence[Turn]:
        return ()

    def check(self, name: str, column: Tensor) -> Tensor:
        """A column [N] of whole numbers: levels, or counts where there are none."""
        return check_whole_numbers(name, column, self.num_levels)

    def reference(self, column: Array, inputs: Array) -> Reference:
        return Reference()

    def has_collapsed(self, greeks: Greeks, reference: Reference) -> bool:
        return False

    def own_spreads(self, greeks: Greeks, reference: Reference) -> Array | None:
        return None

    def expected_count(self, greeks: Greeks, num_rows: float) -> Array:
        return np.full(1, np.inf)

    def order_key(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """Components are put in order of the first Greek that may differ between them, by its first entry."""
        may_differ = (symbol for symbol, one in self.given.items() if symbol in greeks or one.is_per_cell)
        symbol = next(may_differ, next(iter(self.given)))
        value = self.tensor(symbol, greeks)
        return value.flatten(value.ndim - entry)[..., 0] if (entry := len(self.given[symbol].entry)) else value

    def exchangeable(self, num_components: int, *, uses_prior: bool = True) -> list[int]:
        values = [one.value for one in self.given.values() if one.is_per_cell]
        return groups(values, num_components, uses_prior=uses_prior)

    def permuted(self, order: Sequence[int]) -> Self:
        renamed = {one.argument: permuted(one.value, order) for one in self.given.values() if one.is_per_cell}
        return replace(self, **renamed)

    def why_not_conjugate(self) -> str | None:
        return "it has no closed form"

    def remarks(self, column: Array, inputs: Mapping[str, Array]) -> list[Remark]:
        """A column of numbers with one value, and what is wrong with inputs."""
        return (constant(column) if column.ndim == 1 else []) + of_inputs(inputs)

    def scaled_to(self, column: Array, inputs: Mapping[str, Array]) -> Self:
        """Itself: its priors are in no unit, or are nobody's but the user's."""
        return self

    def with_priors(self, priors: Mapping[str, TorchDistributionMixin]) -> Self:
        """The same with priors, by symbol, for those Greeks that have the default one."""
        defaults, changed = self._defaults(), {}
        for symbol, prior in priors.items():
            name, value = self.given[symbol].argument, self.given[symbol].value
            if name in defaults and are_equal(value, as_prior(name, defaults[name])):
                changed[name] = prior
        return replace(self, **changed)

    def by_default(self) -> Self:
        """The same with default priors of all Greeks that are estimated."""
        estimated = {one.argument for one in self.given.values() if not one.is_known}
        return replace(self, **{name: prior for name, prior in self._defaults().items() if name in estimated})

    def _defaults(self) -> dict[str, Any]:
        return {one.name: one.default_factory() for one in fields(self) if one.default_factory is not MISSING}


class LogLinear(Family):
    """A family whose features begin with 1 and need no centre."""

    features: Callable[[Array, Array, Reference], Array]

    is_centred = False

    def offset(self, column: Array) -> Array | None:
        return None

    def term(self, terms: Terms) -> None:
        terms.log_linear(cast(LogLinearFamily, self))

    def recentred(self, greeks: Greeks, reference: Reference) -> Reference:
        return reference

    def tabulate(self, table: VariableTable) -> None:
        table.features()


class General(Family):
    """A family that is not log-linear, with the curvature of its log density by differences of its slope."""

    pullback: Callable[[Array, Array, Array, Array], Array]

    def term(self, terms: Terms) -> None:
        terms.general(cast(GeneralFamily, self))

    def curvature(self, numbers: Array, column: Array, inputs: Array, shares: Array) -> Array:
        """``-Σ_n R d² log f / dC²`` as [S, K, W, W], by central differences."""
        rows = []
        for index in range(numbers.shape[-1]):
            step = np.zeros_like(numbers)
            step[..., index] = STEP * (1.0 + np.abs(numbers[..., index]))
            ahead, behind = (self.pullback(numbers + side * step, column, inputs, shares) for side in (1.0, -1.0))
            rows.append((behind - ahead) / (2.0 * step[..., index, None]))
        curvature = np.stack(rows, -1)
        return 0.5 * (curvature + np.swapaxes(curvature, -1, -2))


class OneGreek(LogLinear):
    """A family with one Greek, a number in each cell, that has a prior over ``support`` or is known.

    ``conjugate`` is the class of priors under which its rows integrate out, None where there is none.
    """

    symbol: ClassVar[str]
    support: ClassVar[Any]
    conjugate: ClassVar[ConjugatePrior | None] = None
    prior: Any

    def __post_init__(self) -> None:
        self.take({self.symbol: KnownOrPrior("prior", self.prior, self.support)})

    def slope(self, value: Array, statistics: Array) -> Array:
        """dJ/dφ [..., cells] of the Greek, at a value."""
        raise NotImplementedError

    def best(self, statistics: Array, previous: Array) -> Array:
        """The Greek that maximises J; of a cell with no rows the previous one."""
        raise NotImplementedError

    def held(self, value: Array, reference: Reference) -> Array:
        """The Greek held where its coordinates are moderate."""
        return value

    def edge_share(self, value: Array) -> Array | float:
        """The share of rows that is left at the edge of the Greek's support, where it has one."""
        return np.inf

    def num_features(self, num_inputs: int) -> int:
        no_rows = np.zeros(0)
        return len(self.features(no_rows, np.zeros((0, num_inputs)), self.reference(no_rows, no_rows)))

    def gradient(self, greeks: Greeks, statistics: Array, reference: Reference) -> dict[str, Array]:
        return {self.symbol: self.slope(greeks[self.symbol], statistics)} if self.symbol in greeks else {}

    def argmax(self, statistics: Array, reference: Reference, previous: Greeks) -> dict[str, Array]:
        if self.symbol not in previous:
            return {}
        return {self.symbol: self.held(self.best(statistics, previous[self.symbol]), reference)}

    def expected_count(self, greeks: Greeks, num_rows: float) -> Array:
        if self.symbol not in greeks:
            return super().expected_count(greeks, num_rows)
        return np.asarray(self.edge_share(greeks[self.symbol]) * num_rows)

    def why_not_conjugate(self) -> str | None:
        if self.conjugate is None:
            return super().why_not_conjugate()
        law = self.conjugate.law
        return None if isinstance(self.prior, law) else f"its prior is not a {law.__name__}"

    def remarks(self, column: Array, inputs: Mapping[str, Array]) -> list[Remark]:
        """A column with one value, for which the Greek may run to an end of its support."""
        return constant(column, greek=self.symbol)

    def log_evidence(self, statistics: Array, reference: Reference) -> Array:
        assert self.conjugate is not None
        return self.conjugate.log_evidence(self.prior, statistics)

    def posterior_draws(
        self, statistics: Array, reference: Reference, generator: np.random.Generator
    ) -> dict[str, Array]:
        assert self.conjugate is not None
        return {self.symbol: self.held(self.conjugate.draws(self.prior, statistics, generator), reference)}


def weighted_mean(total: Array, count: Array, previous: Array) -> Array:
    """The mean of a cell's rows out of their sum; of a cell with no rows the previous one."""
    if total.shape == previous.shape and count.min(initial=1.0) > 0:
        return np.asarray(total / count)
    return np.asarray(np.where(count > 0, total / np.where(count > 0, count, 1.0), previous))
