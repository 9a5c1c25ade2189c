"""Rows simulated to tell laws apart, of each level and class in enough of them however rare it is, weighed to the law.

Half of the rows are of the law. In the other half all that has M combinations of finitely many levels, classes among
them, is set to levels at random, each as often. A row x with the levels l weighs

    p(x, l) / q(x, l),    q(x, l) = (p(x, l) + p(x | do(l)) / M) / 2,

at most 2, so that weighed rows are rows of the law (Hesterberg 1995, "Weighted average importance sampling and
defensive mixture distributions", Technometrics 37).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Protocol

import torch
from torch import Tensor

from estimators.contract import Draws, Model, Predictive
from estimators.data.data import Data
from estimators.isolation import isolated

# Cells, or rows, of less probability than this in proportion are left out: the others determine them.
LEAST_PROBABILITY = 1e-12


@dataclass(frozen=True, eq=False)
class RowKind:
    """Rows alike: what is set, to values [M] of which each row has one; the hidden sites seen; what is missing."""

    settings: Mapping[str, Tensor]
    seen: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()


class KindsOfRows(Protocol):
    """A model at one draw of the Greeks, of which there are rows of several kinds."""

    @property
    def model(self) -> Model:
        """The model."""

    @property
    def draws(self) -> Draws:
        """The Greeks [1, *shape]."""

    @property
    def data(self) -> Data | None:
        """The rows whose kinds these are, if there are any."""

    @property
    def predictive(self) -> Predictive:
        """The model at these Greeks, nothing set."""

    def levels(self, kind: RowKind) -> dict[str, Tensor]:
        """The levels of each variable, hidden ones included, that rows of a kind neither set nor lack."""

    def of_kind(self, columns: Mapping[str, Tensor], kind: RowKind) -> Data:
        """Columns as rows of a kind."""


def simulated(rows: KindsOfRows, kind: RowKind, count: int, seed: int) -> Data:
    """About ``count`` rows of a kind, weighed; those of values that are set are as many for each."""
    settings = {}
    if kind.settings:
        values = torch.stack(list(kind.settings.values()), 1).unique(dim=0)
        settings = dict(zip(kind.settings, values.T, strict=True))
    levels = rows.levels(kind)
    if not levels:
        return rows.of_kind(_drawn(rows, settings, {}, count, seed), kind)
    half = count // 2
    generator = torch.Generator().manual_seed(seed)
    forced = {name: values[torch.randperm(half, generator=generator) % len(values)] for name, values in levels.items()}
    parts = [_drawn(rows, settings, {}, count - half, seed), _drawn(rows, settings, forced, half, seed + 1)]
    columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    weights = _weights(rows, kind, columns, levels)
    kept = weights > LEAST_PROBABILITY
    kept_columns = {name: values[kept] for name, values in columns.items()}
    return rows.of_kind(kept_columns, kind).replace(weights=weights[kept])


def _drawn(
    rows: KindsOfRows, settings: Mapping[str, Tensor], forced: Mapping[str, Tensor], count: int, seed: int
) -> dict[str, Tensor]:
    """Columns of so many rows, some of them set."""
    held = {name: values[torch.arange(count) % len(values)] for name, values in settings.items()}
    held |= forced
    predictive = rows.model.predictive(rows.draws, rows.data, do=held, seed=seed)
    with isolated(seed):
        columns = predictive.sample(count)
    return {**columns, **held}


def _weights(rows: KindsOfRows, kind: RowKind, columns: Mapping[str, Tensor], levels: Mapping[str, Tensor]) -> Tensor:
    """How much likelier rows [N] are under the law than among those that are drawn."""
    settings = {name: columns[name] for name in kind.settings}
    seen = RowKind(settings, kind.seen | (set(levels) & set(rows.predictive.hidden)), kind.missing)
    held = {name: columns[name] for name in levels}
    set_to = RowKind(settings | held, kind.seen - set(levels), kind.missing)
    own, given = (rows.model.density(rows.of_kind(columns, one)).pointwise(rows.draws)[0] for one in (seen, set_to))
    spread = sum(log(len(values)) for values in levels.values())
    return 2.0 / (1.0 + (given - spread - own).exp())
