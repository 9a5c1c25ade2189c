"""Ordered levels whose log odds of being exceeded are parallel lines of observed causes, for each class."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import expm1, log
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from scipy.special import expit, log_expit
from torch import Tensor
from torch.distributions import constraints

from estimators.checks import check_num_levels
from estimators.mechanisms.compiled.general import code_of, log_joint_code, pullback_code
from estimators.mechanisms.compiled.predictor import add_slopes, chance, exp_of, predict
from estimators.mechanisms.generalised_linear import Regression, weak_line
from estimators.mechanisms.known_or_prior import KnownOrPrior
from estimators.mechanisms.protocol import VariableTable
from estimators.optimise.arrays import Array
from estimators.parameters.priors import default_prior

# Beyond the first and the last cutpoint: its chance is 1 whatever is taken off it.
FAR = 1e300


@log_joint_code
def log_joint(C: Any, columns: Any, start: int, row: Any, work: Any) -> None:
    """``log s(c_x+1 - eta) + log s(eta - c_x) + log(1 - e^-gap)``; after the column stand L and the inputs."""
    n, num_levels, size = len(row), int(columns[1, start]), len(C) - int(columns[1, start]) + 2
    x, eta, above, below, cuts = columns[0, start : start + n], work[0], work[1], work[2], work[3]
    predict(C[:size], columns[1:], start, n, eta)
    inner = work[4]
    cuts[0], cuts[1], cuts[num_levels], inner[0], inner[num_levels - 1] = -FAR, 0.0, FAR, 0.0, 0.0
    for level in range(2, num_levels):
        gap = exp_of(C[size + level - 2])
        cuts[level], inner[level - 1] = cuts[level - 1] + gap, log(-expm1(-gap))
    # A loop of look-ups, and one of arithmetic that makes vectors.
    for i in range(n):
        level = int(x[i])
        above[i], below[i] = cuts[level + 1] - eta[i], eta[i] - cuts[level]
        row[i] += inner[level]
    for i in range(n):
        row[i] += chance(above[i])[1] + chance(below[i])[1]


@pullback_code
def pullback(C: Any, columns: Any, start: int, shares: Any, out: Any, work: Any) -> None:
    """``Σ r (s(c_x - eta) - s(eta - c_x+1)) (1, inputs)``, and slopes in the logs of the gaps."""
    n, num_levels, size = len(shares), int(columns[1, start]), len(C) - int(columns[1, start]) + 2
    x, eta, above, below, cuts = columns[0, start : start + n], work[0], work[1], work[2], work[3]
    of_cuts, count = work[4], work[5]
    predict(C[:size], columns[1:], start, n, eta)
    cuts[0], cuts[1], cuts[num_levels] = -FAR, 0.0, FAR
    for level in range(2, num_levels):
        cuts[level] = cuts[level - 1] + exp_of(C[size + level - 2])
    for level in range(num_levels + 1):
        of_cuts[level], count[level] = 0.0, 0.0
    for i in range(n):
        level = int(x[i])
        above[i], below[i] = eta[i] - cuts[level + 1], cuts[level] - eta[i]
    for i in range(n):
        above[i], below[i] = shares[i] * chance(above[i])[0], shares[i] * chance(below[i])[0]
        eta[i] = below[i] - above[i]
    for i in range(n):
        level = int(x[i])
        of_cuts[level + 1] += above[i]
        of_cuts[level] -= below[i]
        count[level] += shares[i]
    add_slopes(eta[:n], columns[1:], start, size - 1, out)
    tail = 0.0
    for level in range(num_levels - 1, 1, -1):
        tail += of_cuts[level]
        gap = exp_of(C[size + level - 2])
        out[size + level - 2] += gap * (tail + count[level - 1] / expm1(gap))


@dataclass(frozen=True, eq=False)
class OrderedLogistic(Regression):
    """``log odds(x > l | Z = k, parents) = beta_k · (1, parents) - c_kl`` for levels l = 0 to L - 2: proportional odds.

    ``c_k0 = 0``, and each next cutpoint is a gap further: of L levels, the intercept and L - 2 gaps put all of them.

    Greeks: ``beta`` [K, 1 + P], the intercept first (alone without parents), and ``gap`` [K, L - 2], positive. A parent
    of M > 2 levels enters as M - 1 indicators, level 0 the baseline; any other as itself, ``T:A`` as products.
    ``coefficients`` and ``gaps`` are priors (over the reals, with one for each of the 1 + P where batched, and over the
    positive numbers) or numbers, which mean known. Raises TypeError or ValueError for anything else, and for fewer than
    3 levels. Levels with names need a declared order, as of ``pandas.Categorical(column, levels, ordered=True)``: text
    alone is refused. Source: McCullagh (1980), "Regression models for ordinal data".

    >>> OrderedLogistic(4, parents=["T"]).num_levels
    4
    """

    num_levels: int
    parents: Sequence[str] = ()
    coefficients: Any = field(default_factory=weak_line)
    gaps: Any = field(default_factory=lambda: default_prior(dist.Gamma, 2.0, 1.0))

    code = code_of(log_joint, pullback, 6, num_lines=1, first_input=2)
    is_ordered = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_levels", check_num_levels(type(self).__name__, self.num_levels, least=3))
        self.take_line(gap=KnownOrPrior("gaps", self.gaps, constraints.positive, (self.num_levels - 2,)))

    def columns(self, table: VariableTable, inputs: Sequence[Array]) -> list[Array]:
        """The number of levels before the inputs."""
        return [np.full(len(table.column), float(self.num_levels)), *inputs]

    def law_at(self, eta: Tensor, *others: Tensor) -> TorchDistributionMixin:
        ends = torch.full((*others[0].shape[:-1], 1), torch.inf, dtype=torch.float64)
        cuts = torch.cat([-ends, torch.zeros_like(ends), others[0].cumsum(-1), ends], -1)
        away = cuts - eta[..., None]
        logs = torch.nn.functional.logsigmoid(away[..., 1:]) + torch.nn.functional.logsigmoid(-away[..., :-1])
        inner = torch.log(-torch.expm1(-others[0]))
        logs = logs + torch.nn.functional.pad(inner, (1, 1))
        law: TorchDistributionMixin = dist.Categorical(logits=logs)
        return law

    def turn(self, value: Tensor | None, *others: Tensor) -> tuple[Tensor, Tensor] | None:
        return torch.zeros(1, 1, 1, dtype=torch.float64), torch.ones(1, 1, 1, dtype=torch.float64)

    def log_density(self, column: Array, eta: Array, *logs: Array) -> Array:
        above, below, inner = _at(column, eta, logs)
        with np.errstate(divide="ignore"):
            return np.asarray(log_expit(above) + log_expit(-below) + np.log(-np.expm1(-inner)))

    def slopes(self, column: Array, eta: Array, *logs: Array) -> tuple[Array, ...]:
        above, below, _ = _at(column, eta, logs)
        of_above, of_below = expit(-above), -expit(below)
        found = [-of_above - of_below]
        for place, one in enumerate(logs, 1):
            gap = np.exp(one)
            # The gap puts every cutpoint after it, and is the width of its own level.
            moved = of_above * (column >= place) + of_below * (column > place)
            found.append(gap * (moved + (column == place) / np.expm1(gap)))
        return tuple(found)


def _at(column: Array, eta: Array, logs: Sequence[Array]) -> tuple[Array, Array, Array]:
    """The cutpoints about a row's level, less eta, and the gap between them."""
    gaps = np.exp(np.stack(np.broadcast_arrays(*logs), -1)) if logs else np.zeros((*eta.shape[:-1], 1, 0))
    zero = np.zeros((*gaps.shape[:-1], 1))
    cuts = np.concatenate([zero - FAR, zero, np.cumsum(gaps, -1), zero + FAR], -1)
    inner = np.concatenate([zero + FAR, gaps, zero + FAR], -1)
    level = np.broadcast_to(column.astype(np.intp), eta.shape)[..., None]

    def at(values: Array, step: int) -> Array:
        whole = np.broadcast_to(values, (*eta.shape, values.shape[-1]))
        return np.take_along_axis(whole, level + step, -1)[..., 0]

    return at(cuts, 1) - eta, at(cuts, 0) - eta, at(inner, 0)
