"""The weights of the hidden cause given its observed causes, as a term of the E-step; and those that are a table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.ops.indexing import Vindex
from torch import Tensor

from estimators.data.levels import Levels
from estimators.estep.design import Design
from estimators.estep.term import Columns, Slots, Term
from estimators.estep.variable import level_of_table
from estimators.mechanisms.defaults import weighted_mean
from estimators.mechanisms.protocol import Reference, Turn
from estimators.optimise.arrays import Array, Mask
from estimators.optimise.ascent import LEAST_ROWS
from estimators.parameters.edges import Edge, End, edges_where
from estimators.parameters.parameter import LOG_ZERO, TINY, Axis, NamedAxes, Parameter
from estimators.parameters.transforms import LOGS, Simplex, Transform

if TYPE_CHECKING:
    from estimators.estep.terms import Entries

WEIGHTS = "theta"
LOG_WEIGHTS = LOGS[0].format(WEIGHTS)


class WeightsTable(Protocol):
    """What weights say their term is, to the compiled kernel."""

    def masses(self, num_levels: int, level: Callable[[Columns], Any] | None) -> None:
        """``log theta[level, k]``, of as many levels; `level` says which one each row is in."""

    def logits(self, name: str, known: Array | None, inputs: Callable[[Columns], Array]) -> None:
        """``softmax_k beta_k · (1, inputs)``, beta [K, 1 + P] the Greek of a name, or known numbers."""


class Weights(Term, Protocol):
    """p(Z | its observed causes): a term in slot 0, and what queries, labels and advice ask of it."""

    @property
    def parents(self) -> tuple[str, ...]:
        """The observed causes."""

    @property
    def num_components(self) -> int:
        """K, the number of values of Z."""

    @property
    def design(self) -> Design:
        """The numbers that these enter as; nothing where they are levels of a table."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The Greeks."""

    def by_default(self) -> "Weights":
        """The same with default priors of numbers that columns have units of."""

    def named_axes(self, levels: Levels) -> NamedAxes:
        """The axes over levels of causes that have names, and over coefficients."""

    @property
    def has_table(self) -> bool:
        """Whether the masses of Z stand in a table, of which `log_masses` and `level` are."""

    def put(self, slots: Slots) -> None:
        """Take slot 0 among the terms of its kind."""

    def tabulate(self, table: WeightsTable) -> None:
        """Say to the compiled kernel what the term is: call the method of `table` for it."""

    def reference(self, columns: Columns) -> Reference:
        """About which numbers are centred, from the rows that inform the weights."""

    def transforms(self, reference: Reference) -> dict[str, Transform]:
        """The unconstrained coordinates of every Greek."""

    def distribution(self, greeks: Mapping[str, Tensor], columns: Mapping[str, Tensor]) -> TorchDistributionMixin:
        """p(Z | observed causes) for every row; Greeks may have one set for each."""

    def log_masses(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """The log of the table [S, levels, K] at draws of the Greeks."""

    def level(self, columns: Mapping[str, Any]) -> Any:
        """The row of the table that each row's observed causes are in."""

    def turning(self, greeks: Mapping[str, Tensor], columns: Mapping[str, Tensor]) -> Sequence[Turn]:
        """Where quadrature over a cause needs its nodes."""

    def exchangeable(self, *, uses_prior: bool) -> list[tuple[float, ...]]:
        """What must be equal of components whose labels are free, one for each."""

    def edges(self, greeks: Mapping[str, Array], rows: "Entries", num_rows: float, *, has_prior: bool) -> list[Edge]:
        """Classes that have less than a hundredth of a row, where no prior keeps them from it."""


@dataclass(frozen=True, eq=False)
class Theta:
    """``log theta[levels of the latent parents, k]``, once for each row of the table of Z's observed causes."""

    parents: tuple[str, ...]
    levels: tuple[int, ...]
    parameters: tuple[Parameter, ...]
    has_table = True
    design = Design()

    def by_default(self) -> "Theta":
        return self

    @property
    def num_components(self) -> int:
        return self.parameters[0].shape[-1]

    @property
    def width(self) -> int:
        return prod(self.levels)

    is_centred = False

    def named_axes(self, levels: Levels) -> NamedAxes:
        named = {axis: parent for axis, parent in enumerate(self.parents) if parent in levels}
        return {WEIGHTS: {axis: Axis(f"{parent}_level", tuple(levels[parent])) for axis, parent in named.items()}}

    def put(self, slots: Slots) -> None:
        slots.log_linear[0] = self

    def tabulate(self, table: WeightsTable) -> None:
        table.masses(self.width, self.level if self.levels else None)

    def reference(self, columns: Columns) -> Reference:
        return Reference()

    def transforms(self, reference: Reference) -> dict[str, Transform]:
        return {WEIGHTS: Simplex(self.num_components, self.width)}

    def exchangeable(self, *, uses_prior: bool) -> list[tuple[float, ...]]:
        concentration = self.parameters[0].prior.concentration
        by_component = [tuple(numbers) for numbers in concentration.reshape(-1, concentration.shape[-1]).T.tolist()]
        return by_component if uses_prior else [()] * len(by_component)

    def edges(self, greeks: Mapping[str, Array], rows: "Entries", num_rows: float, *, has_prior: bool) -> list[Edge]:
        """Weights of concentration <= 1, or without a prior.

        A class that is absent at some levels of Z's causes alone has its rows at the others: such a weight is at its
        end as any probability may be, but for one of concentration < 1, whose density has no maximum there.
        """
        concentration = self.parameters[0].prior.concentration.numpy()
        few = (greeks[WEIGHTS] * num_rows < LEAST_ROWS) & (concentration <= 1.0 if has_prior else True)
        is_lost = self._everywhere(few, rows)
        is_pole = few & ~is_lost & (concentration < 1.0) & has_prior
        return [
            *edges_where(WEIGHTS, is_lost, "0", End.WEIGHT),
            *edges_where(WEIGHTS, is_pole, "0", End.POLE),
            *edges_where(WEIGHTS, few & ~is_lost & ~is_pole, "0", End.PROBABILITY),
        ]

    def _everywhere(self, marked: Mask, rows: "Entries") -> Mask:
        """The marked weights of classes that are marked at every level that has rows."""
        if not self.levels:
            return marked
        counts = np.bincount(np.asarray(self.level(rows.columns)).astype(int), rows.weights, self.width)
        everywhere = (marked.reshape(self.width, -1) | (counts == 0)[:, None]).all(0)
        return np.asarray(marked & everywhere)

    def log_masses(self, greeks: Mapping[str, Tensor]) -> Tensor:
        theta = greeks[WEIGHTS]
        return theta.reshape(len(theta), -1, theta.shape[-1]).log()

    def turning(self, greeks: Mapping[str, Tensor], columns: Mapping[str, Tensor]) -> Sequence[Turn]:
        return ()

    def level(self, columns: Mapping[str, Any]) -> Any:
        return level_of_table(self.parents, self.levels, columns)

    def distribution(self, greeks: Mapping[str, Tensor], columns: Mapping[str, Tensor]) -> TorchDistributionMixin:
        if not self.levels:
            return dist.Categorical(greeks[WEIGHTS])
        theta = greeks[WEIGHTS]
        flat = theta.reshape(*theta.shape[: theta.ndim - len(self.levels) - 1], self.width, theta.shape[-1])
        level = self.level({parent: torch.as_tensor(columns[parent]) for parent in self.parents})
        return dist.Categorical(Vindex(flat)[..., level, :])

    def features(self, columns: Mapping[str, Array], reference: Reference, component: int | None = None) -> Array:
        """Which row of the table each row is in, as [F, N]; all ones where Z has no observed cause."""
        if not self.levels:
            return np.ones((1, len(next(iter(columns.values())))))
        return np.asarray((self.level(columns) == np.arange(self.width)[:, None]) * 1.0)

    def offset(self, columns: Mapping[str, Array]) -> Array | None:
        return None

    def coefficients(self, greeks: Mapping[str, Array], reference: Reference) -> Array:
        """log theta as [..., K, F]."""
        logs = greeks[LOG_WEIGHTS] if LOG_WEIGHTS in greeks else log_weights(greeks[WEIGHTS])
        return np.swapaxes(self._flat(logs), -1, -2) if self.levels else logs[..., None]

    def recentred(self, greeks: Mapping[str, Array], reference: Reference) -> Reference:
        return reference

    def gradient(self, greeks: Mapping[str, Array], sums: Array, reference: Reference) -> dict[str, Array]:
        """S / theta; with respect to log theta, where it is given, S."""
        counts = self._shaped(np.swapaxes(sums, -1, -2)) if self.levels else sums[..., 0]
        return {LOG_WEIGHTS: counts} if LOG_WEIGHTS in greeks else {WEIGHTS: counts / np.maximum(greeks[WEIGHTS], TINY)}

    def argmax(self, greeks: Mapping[str, Array], sums: Array, reference: Reference) -> dict[str, Array]:
        """Shares of the rows; a level without rows keeps its weights."""
        counts = np.swapaxes(sums, -1, -2)
        shares = weighted_mean(counts, counts.sum(-1, keepdims=True), self._flat(greeks[WEIGHTS]))
        return {WEIGHTS: self._shaped(shares)}

    def _flat(self, theta: Array) -> Array:
        """theta, or its log, as [..., F, K]."""
        return theta.reshape(*theta.shape[: theta.ndim - len(self.levels) - 1], self.width, theta.shape[-1])

    def _shaped(self, flat: Array) -> Array:
        return flat.reshape(*flat.shape[:-2], *self.levels, flat.shape[-1])


def log_weights(weights: Array) -> Array:
    """The logarithm, with LOG_ZERO for a weight of 0."""
    if weights.item(weights.argmin()) > 0:
        return np.asarray(np.log(weights))
    return np.where(weights > 0, np.log(np.maximum(weights, 5e-324)), LOG_ZERO)
