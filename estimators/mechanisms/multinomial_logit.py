"""A measurement with finitely many levels whose log odds are linear in observed causes, for each class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from scipy.special import logsumexp
from torch import Tensor

from estimators.checks import check_num_levels
from estimators.mechanisms.compiled.arithmetic import log_and_inverse
from estimators.mechanisms.compiled.code import GeneralCode
from estimators.mechanisms.compiled.general import code_of, log_joint_code, pullback_code
from estimators.mechanisms.compiled.jit import EXACT, compiled
from estimators.mechanisms.compiled.predictor import add_slopes, exp_of, predict
from estimators.mechanisms.generalised_linear import Regression, weak_line
from estimators.mechanisms.protocol import Turn, VariableTable, turns_between
from estimators.optimise.arrays import Array


@compiled(**EXACT)
def _log_odds(C: Any, columns: Any, start: int, n: int, work: Any) -> Any:
    """Log odds against level 0 in the first L - 1 work rows, the largest of these and 0 and its distance after them."""
    num_odds = int(columns[1, start]) - 1
    size, top, rest = len(C) // num_odds, work[num_odds], work[num_odds + 1]
    for i in range(n):
        top[i] = 0.0
    for level in range(num_odds):
        eta = work[level]
        predict(C[level * size : (level + 1) * size], columns[1:], start, n, eta)
        for i in range(n):
            top[i] = max(top[i], eta[i])
    for i in range(n):
        rest[i] = exp_of(-top[i])
    for level in range(num_odds):
        eta = work[level]
        for i in range(n):
            rest[i] += exp_of(eta[i] - top[i])
    return num_odds, size


@log_joint_code
def log_joint(C: Any, columns: Any, start: int, row: Any, work: Any) -> None:
    """``eta_x - log Σ_l e^eta_l``; after the column stand L and the inputs."""
    n = len(row)
    num_odds, _ = _log_odds(C, columns, start, n, work)
    x, top, rest = columns[0, start : start + n], work[num_odds], work[num_odds + 1]
    for i in range(n):
        row[i] -= top[i] + log_and_inverse(rest[i])[0]
    for level in range(num_odds):
        eta, number = work[level], level + 1.0
        for i in range(n):
            row[i] += eta[i] if x[i] == number else 0.0


@pullback_code
def pullback(C: Any, columns: Any, start: int, shares: Any, out: Any, work: Any) -> None:
    """``Σ r (1[x = l] - p_l) (1, inputs)`` of each level l but 0."""
    n = len(shares)
    num_odds, size = _log_odds(C, columns, start, n, work)
    x, top, rest = columns[0, start : start + n], work[num_odds], work[num_odds + 1]
    for i in range(n):
        rest[i] = log_and_inverse(rest[i])[1]
    for level in range(num_odds):
        eta, number = work[level], level + 1.0
        for i in range(n):
            eta[i] = shares[i] * ((1.0 if x[i] == number else 0.0) - exp_of(eta[i] - top[i]) * rest[i])
        add_slopes(eta[:n], columns[1:], start, size - 1, out[level * size :])


CODE = code_of(log_joint, pullback, 2, first_input=2)


@dataclass(frozen=True, eq=False)
class MultinomialLogit(Regression):
    """``p(x = l | Z = k, parents) ∝ exp(beta_kl · (1, parents))``, level 0 the reference, whose coefficients are 0.

    Greek: ``beta`` [K, L - 1, 1 + P], log odds against level 0, the intercept first (alone without parents). A parent
    of M > 2 levels enters as M - 1 indicators, level 0 the baseline; any other as itself, ``T:A`` as products.
    ``coefficients`` is a prior over the reals, or numbers, which mean known. Raises TypeError or ValueError for
    anything else, and for fewer than 2 levels. Source: Agresti (2013), "Categorical Data Analysis", section 8.1.

    >>> MultinomialLogit(3, parents=["age"]).num_levels
    3
    """

    num_levels: int
    parents: Sequence[str] = ()
    coefficients: Any = field(default_factory=weak_line)

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_levels", check_num_levels(type(self).__name__, self.num_levels, least=2))
        self.take_line()

    @property
    def code(self) -> GeneralCode:  # type: ignore[override]
        """The compiled functions, with a line and a row of scratch for each of the log odds."""
        return CODE._replace(num_work=self.num_levels + 1, num_lines=self.num_levels - 1)

    def line_entry(self, size: int) -> tuple[int, ...]:
        return (self.num_levels - 1, size)

    def columns(self, table: VariableTable, inputs: Sequence[Array]) -> list[Array]:
        """The number of levels before the inputs."""
        return [np.full(len(table.column), float(self.num_levels)), *inputs]

    def predictor(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> Tensor:
        """The log odds of all levels [..., L], that of level 0 being 0."""
        lines = self.given["beta"].in_cell(greeks.get("beta"), cell)
        lines = lines.expand(*lines.shape[:-1], 1 + inputs.shape[-1])
        odds = lines[..., 0] + (lines[..., 1:] * inputs[..., None, :]).sum(-1)
        return torch.nn.functional.pad(odds, (1, 0))

    def law_at(self, eta: Tensor, *others: Tensor) -> TorchDistributionMixin:
        law: TorchDistributionMixin = dist.Categorical(logits=eta)
        return law

    def turning(
        self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor, value: Tensor | None
    ) -> Sequence[Turn]:
        """Where one level becomes likelier than another."""
        return turns_between(self.predictor(greeks, cell, inputs))

    def log_joint(self, numbers: Array, column: Array, inputs: Array) -> Array:
        return self._logs(numbers, column, inputs)[1]

    def pullback(self, numbers: Array, column: Array, inputs: Array, shares: Array) -> Array:
        design, _, odds, top = self._logs(numbers, column, inputs)
        is_level = column == np.arange(1.0, self.num_levels)[:, None]
        slopes = (shares[..., None, :] * (is_level - np.exp(odds - top))) @ design
        return np.asarray(slopes.reshape(numbers.shape))

    def _logs(self, numbers: Array, column: Array, inputs: Array) -> tuple[Array, Array, Array, Array]:
        """(1, inputs), log p [S, K, n], the log odds [S, K, L - 1, n], and the log of their sum with 1."""
        design = np.concatenate([np.ones((len(column), 1)), inputs], -1)
        odds = numbers.reshape(*numbers.shape[:-1], *self.line_entry(design.shape[-1])) @ design.T
        whole = np.concatenate([np.zeros_like(odds[..., :1, :]), odds], -2)
        top = logsumexp(whole, axis=-2, keepdims=True)
        level = np.broadcast_to(column.astype(np.intp), (*whole.shape[:-2], 1, len(column)))
        return design, (np.take_along_axis(whole, level, -2) - top)[..., 0, :], odds, top
