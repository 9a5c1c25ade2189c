"""Weights of Z that are a multinomial logit of its observed causes: a general term, of all classes at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from estimators.data.levels import Levels
from estimators.estep.design import Design
from estimators.estep.newton import newton_step
from estimators.estep.term import Columns, Slots
from estimators.estep.weights import WeightsTable
from estimators.mechanisms.gate import Gate
from estimators.mechanisms.gaussian.line import line_about, line_of
from estimators.mechanisms.protocol import INTERCEPT, Greeks, Reference, Turn, turns_between, variables_of
from estimators.optimise.arrays import Array
from estimators.optimise.ascent import LEAST_ROWS
from estimators.parameters.block import Block
from estimators.parameters.edges import Edge, End
from estimators.parameters.parameter import Axis, NamedAxes, Parameter
from estimators.parameters.transforms import Transform
from estimators.parameters.zero_sum import Contrasts

if TYPE_CHECKING:
    from estimators.estep.terms import Entries

BETA = "beta_Z"


@dataclass(frozen=True, eq=False)
class GatedWeights:
    """``log p(Z = k | causes) = eta_k - log Σ_l e^eta_l`` with ``eta_k = C_k · (1, causes)``, C_k = beta_Z[k]."""

    gate: Gate
    design: Design
    num_components: int
    parameters: tuple[Parameter, ...] = field(init=False)
    # Known numbers [K, 1 + P].
    _known: Array | None = field(init=False, repr=False)
    has_table = False

    def __post_init__(self) -> None:
        shape, gate = (self.num_components, self.width), self.gate
        object.__setattr__(self, "_known", gate.known(*shape) if gate.is_known else None)
        parameters = () if gate.is_known else (Parameter(BETA, shape, gate.prior(*shape)),)
        object.__setattr__(self, "parameters", parameters)

    @property
    def parents(self) -> tuple[str, ...]:
        return variables_of(self.gate.parents)

    @property
    def width(self) -> int:
        return 1 + self.design.size

    def named_axes(self, levels: Levels) -> NamedAxes:
        names = (INTERCEPT, *self.design.names(levels))
        return {parameter.name: {1: Axis(f"{BETA}_coefficient", names)} for parameter in self.parameters}

    def by_default(self) -> "GatedWeights":
        return replace(self, gate=self.gate.by_default())

    # ---------------------------------------------------------------- the term

    def put(self, slots: Slots) -> None:
        slots.general[0] = self

    def tabulate(self, table: WeightsTable) -> None:
        table.logits(BETA, self._known, self._inputs)

    def reference(self, columns: Columns) -> Reference:
        return line_about(self._inputs(columns)).of_products(self.design.inputs)

    def transforms(self, reference: Reference) -> dict[str, Transform]:
        """Contrasts between classes, in standardised inputs."""
        matrix = line_of(reference).coordinates.matrix
        return {parameter.name: Contrasts(matrix, self.num_components) for parameter in self.parameters}

    def coefficients(self, greeks: Greeks, reference: Reference) -> Array:
        return greeks[BETA] if self._known is None else self._known

    def gradient(self, greeks: Greeks, sums: Array, reference: Reference) -> dict[str, Array]:
        return {parameter.name: sums for parameter in self.parameters}

    def log_joint(self, numbers: Array, columns: Columns) -> Array:
        return _log_softmax(numbers @ self._design(columns).T)

    def pullback(self, numbers: Array, columns: Columns, shares: Array) -> Array:
        """``Σ_n (R_k - p_k Σ_l R_l) (1, causes)`` as [S, K, 1 + P]."""
        design = self._design(columns)
        p = np.exp(_log_softmax(numbers @ design.T))
        return np.asarray((shares - p * shares.sum(-2, keepdims=True)) @ design)

    def curvature(self, numbers: Array, columns: Columns, shares: Array, chain: Array) -> Array:
        """``Σ_n r (diag(p) - p p') ⊗ (1, causes) (1, causes)'`` with ``r = Σ_l R_l``, as [S, D, D]."""
        design = self._design(columns)
        p, counted = np.exp(_log_softmax(numbers @ design.T)), shares.sum(-2)
        products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
        found = np.zeros((len(p), chain.shape[-1], chain.shape[-1]))
        for k, other in combinations_with_replacement(range(self.num_components), 2):
            weights = counted * p[:, k] * ((k == other) - p[:, other])
            block = (weights @ products).reshape(-1, self.width, self.width)
            own = np.swapaxes(chain[:, k], -1, -2) @ block @ chain[:, other]
            found += own if k == other else own + np.swapaxes(own, -1, -2)
        return found

    def complete(self, numbers: Array, columns: Columns, shares: Array) -> Array:
        return np.asarray((shares * self.log_joint(numbers, columns)).sum((-1, -2)))

    def argmax(self, greeks: Greeks, columns: Columns, shares: Array, reference: Reference) -> dict[str, Array]:
        own = {p.name: np.asarray(greeks[p.name]).reshape(-1, *p.shape) for p in self.parameters}
        transforms = [(Block.of(p), self.transforms(reference)[p.name]) for p in self.parameters]
        return newton_step(self, transforms, own, columns, shares, reference)

    # ---------------------------------------------------------------- what else is asked of weights

    def distribution(self, greeks: Mapping[str, Tensor], columns: Mapping[str, Tensor]) -> TorchDistributionMixin:
        law: TorchDistributionMixin = dist.Categorical(logits=self._logits(greeks, columns))
        return law

    def log_masses(self, greeks: Mapping[str, Tensor]) -> Tensor:
        raise TypeError("log_masses: weights of causes that are numbers stand in no table")

    def level(self, columns: Mapping[str, Any]) -> Any:
        """There is no table."""
        return 0

    def turning(self, greeks: Mapping[str, Tensor], columns: Mapping[str, Tensor]) -> Sequence[Turn]:
        return turns_between(self._logits(greeks, columns))

    def exchangeable(self, *, uses_prior: bool) -> list[tuple[float, ...]]:
        """Equal known numbers; the prior is the same of all."""
        return [()] * self.num_components if self._known is None else [tuple(row) for row in self._known.tolist()]

    def edges(self, greeks: Mapping[str, Array], rows: "Entries", num_rows: float, *, has_prior: bool) -> list[Edge]:
        """Intercepts that have run to -∞; a prior keeps them from it."""
        if has_prior or not self.parameters:
            return []
        p = np.exp(_log_softmax(greeks[BETA] @ self._design(rows.columns).T))
        expected = (p if rows.weights is None else p * rows.weights).sum(-1)
        words = "the data support fewer components; lower K, or use a prior (MAP, NUTS)"
        emptied = np.flatnonzero(expected < LEAST_ROWS) if len(rows.latent) else ()
        return [Edge(BETA, (int(k), 0), "-∞", End.WEIGHT, words) for k in emptied]

    def _logits(self, greeks: Mapping[str, Tensor], columns: Mapping[str, Tensor]) -> Tensor:
        """eta of some rows [..., K]."""
        beta = greeks[BETA] if self._known is None else torch.from_numpy(self._known)
        inputs = self.design.tensor(columns)
        logits: Tensor = beta[..., 0] + (beta[..., 1:] * inputs[..., None, :]).sum(-1)
        return logits

    def _inputs(self, columns: Columns) -> Array:
        return self.design.array(columns)

    def _design(self, columns: Columns) -> Array:
        """(1, causes) [n, 1 + P]."""
        inputs = self._inputs(columns)
        return np.concatenate([np.ones((len(inputs), 1)), inputs], -1)


def _log_softmax(logits: Array) -> Array:
    """log p [..., K, n] of logits: less is done than in SciPy's, for infinite ones, which there are none of."""
    below = logits - logits.max(-2, keepdims=True)
    return np.asarray(below - np.log(np.exp(below).sum(-2, keepdims=True)))
