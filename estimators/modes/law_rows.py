"""Rows by which laws are told apart: every cell where all is discrete, else rows simulated at the Greeks in question.

Rows are of kinds: which variables are set in them, which hidden sites are seen, and what is missing. What a kind of
rows tells does not depend on how many there are, so there are as many of each.

Of simulated rows half are of the law. In the other half all that has M combinations of finitely many levels, classes
among them, is set to levels at random, each as often, so that each is in enough rows however rare it is. A row x with
the levels l weighs

    p(x, l) / q(x, l),    q(x, l) = (p(x, l) + p(x | do(l)) / M) / 2,

at most 2, so that weighed rows are rows of the law (Hesterberg 1995, "Weighted average importance sampling and
defensive mixture distributions", Technometrics 37).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import NamedTuple

import torch
from torch import Tensor

from estimators.contract import Draws, Model, Predictive
from estimators.data.data import Data
from estimators.isolation import isolated

# Cells of a law that are listed at most, rows that are simulated, and kinds of rows at most.
MOST_CELLS, NUM_ROWS, MOST_KINDS = 2_000, 1_500, 8
# What the weights of cells add up to, as a number of rows to the search for modes.
TOTAL_WEIGHT = 1e4
# Cells, or rows, of less probability than this in proportion are left out: the others determine them.
LEAST_PROBABILITY = 1e-12


@dataclass(frozen=True, eq=False)
class RowKind:
    """Rows alike: what is set, to values [M] of which each row has one; the hidden sites seen; what is missing."""

    settings: Mapping[str, Tensor]
    seen: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()


class LawRows(NamedTuple):
    """The rows, and what they are, in words."""

    data: Data
    words: str


@dataclass(frozen=True, eq=False)
class Design:
    """The kinds of rows that a law is of; None where they are the fitted rows themselves.

    So it is where a program takes columns as arguments, where only some entries of a vector are known, where there are
    too many kinds, and where rows of a unit share one Z.
    """

    model: Model
    draws: Draws
    data: Data | None
    kinds: tuple[RowKind, ...] | None

    @property
    def predictive(self) -> Predictive:
        """The model at the Greeks in question, nothing set."""
        return self.model.predictive(self.draws, self.data, do={})

    @property
    def observed(self) -> list[str]:
        """The observed variables."""
        predictive = self.predictive
        names = predictive.variables if self.data is None else self.data.columns
        return [name for name in names if name in predictive.variables and name not in predictive.hidden]

    def rows(self, seed: int) -> LawRows:
        """Cells or simulated rows of every kind, or the fitted rows."""
        if self.kinds is None:
            assert self.data is not None
            chosen = self._chosen(self.data, seed)
            kind = "rows" if self.data.unit is None else "units"
            return LawRows(self.data.unweighted_rows(chosen), f"{len(chosen)} of the fitted {kind}")
        cells = [self._cells(kind) for kind in self.kinds]
        listed = [cell for cell in cells if cell is not None]
        if len(listed) == len(cells) and sum(len(cell) for cell in listed) <= MOST_CELLS:
            data = self._weighted(listed)
            return LawRows(data, f"all {len(data)} cells, exactly")
        count = NUM_ROWS // len(self.kinds)
        parts = [_simulated(self, kind, count, seed + MOST_KINDS * number) for number, kind in enumerate(self.kinds)]
        data = Data.concat(parts)
        return LawRows(data, f"{len(data)} simulated rows")

    def _chosen(self, data: Data, seed: int) -> Tensor:
        """Places of fitted rows, or units, those with a rare level the sooner."""
        share = torch.ones(len(data), dtype=torch.float64)
        for name in self.levels(RowKind({})).keys() & data.columns.keys():
            _, which, counts = data.columns[name].nan_to_num(nan=-1.0).unique(return_inverse=True, return_counts=True)
            share = torch.minimum(share, counts[which] / len(data))
        if data.unit is not None:
            rarest = torch.ones(data.num_units, dtype=torch.float64)
            share = rarest.scatter_reduce(0, data.unit.of_row, share, "amin")
        waits = torch.empty(len(share), dtype=torch.float64).exponential_(generator=torch.Generator().manual_seed(seed))
        return (waits * share).argsort()[: max(NUM_ROWS * data.num_units // data.num_rows, 1)]

    def _weighted(self, cells: Sequence[Data]) -> Data:
        """The cells with their probabilities as weights, those of a setting alike."""
        parts = []
        for part in cells:
            chances = self.model.density(part).pointwise(self.draws)[0].exp()
            kept = (chances > LEAST_PROBABILITY).nonzero()[:, 0]
            weights = TOTAL_WEIGHT * chances / (chances.sum() * len(cells))
            parts.append(part.replace(weights=weights).rows(kept))
        return Data.concat(parts)

    def levels(self, kind: RowKind) -> dict[str, Tensor]:
        """The levels of each variable, hidden ones included, that rows of a kind neither set nor lack."""
        predictive = self.predictive
        known = kind.missing | set(kind.settings)
        own = [name for name in (*self.observed, *sorted(predictive.hidden)) if name not in known]
        scalars = [name for name in own if predictive.variables[name].num_columns is None]
        levels = {name: predictive.levels(name) for name in scalars}
        return {name: values for name, values in levels.items() if values is not None}

    def _cells(self, kind: RowKind) -> Data | None:
        """Every combination of levels under every setting; None where there are too many, or no levels."""
        predictive, known = self.predictive, kind.missing | set(kind.settings)
        free = [name for name in (*self.observed, *kind.seen) if name not in known]
        is_vector = {name: predictive.variables[name].num_columns is not None for name in free}
        levels = [None if is_vector[name] else predictive.levels(name) for name in free]
        finite = [values for values in levels if values is not None]
        if len(finite) < len(levels):
            return None
        size = torch.Size([len(values) for values in finite]).numel()
        nothing = torch.zeros(1, 0, dtype=torch.float64)
        settings = torch.stack(list(kind.settings.values()), 1).unique(dim=0) if kind.settings else nothing
        if size * len(settings) > MOST_CELLS:
            return None
        grid = torch.cartesian_prod(*finite).reshape(size, len(finite)) if finite else nothing
        columns = {name: grid[:, i].repeat(len(settings)) for i, name in enumerate(free)}
        columns |= {name: settings[:, i].repeat_interleave(size) for i, name in enumerate(kind.settings)}
        return self.of_kind(columns, kind)

    def of_kind(self, columns: Mapping[str, Tensor], kind: RowKind) -> Data:
        """Columns as rows of a kind: what it does not see is left out, or marked."""
        assert self.kinds is not None
        count = len(next(iter(columns.values())))
        rows = {
            name: torch.full((count,), torch.nan, dtype=torch.float64) if name in kind.missing else columns[name]
            for name in self.observed
        }
        kinds = (*self.kinds, kind)
        known = set().union(*(one.seen | set(one.settings) for one in kinds)) - set(self.observed)
        for site in sorted(known):
            is_known = site in kind.seen or site in kind.settings
            rows[site] = columns[site].long() if is_known else torch.full((count,), -1)
        scalars = {} if self.data is None else dict(self.data.scalars)
        set_here = dict.fromkeys(kind.settings, True)
        return Data({**rows, **scalars}, intervened=set_here, missing="marginalize" if kind.missing else None)

    def with_kind(self, kind: RowKind) -> "Design | None":
        """The same with rows of one more kind; None where rows cannot be made."""
        if self.kinds is None:
            return None
        return Design(self.model, self.draws, self.data, (*self.kinds, kind))


def _simulated(design: Design, kind: RowKind, count: int, seed: int) -> Data:
    """About ``count`` rows of a kind, weighed; those of values that are set are as many for each."""
    settings = {}
    if kind.settings:
        values = torch.stack(list(kind.settings.values()), 1).unique(dim=0)
        settings = dict(zip(kind.settings, values.T, strict=True))
    levels = design.levels(kind)
    if not levels:
        return design.of_kind(_drawn(design, settings, {}, count, seed), kind)
    half = count // 2
    generator = torch.Generator().manual_seed(seed)
    forced = {name: values[torch.randperm(half, generator=generator) % len(values)] for name, values in levels.items()}
    parts = [_drawn(design, settings, {}, count - half, seed), _drawn(design, settings, forced, half, seed + 1)]
    columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    weights = _weights(design, kind, columns, levels)
    kept = weights > LEAST_PROBABILITY
    kept_columns = {name: values[kept] for name, values in columns.items()}
    return design.of_kind(kept_columns, kind).replace(weights=weights[kept])


def _drawn(
    design: Design, settings: Mapping[str, Tensor], forced: Mapping[str, Tensor], count: int, seed: int
) -> dict[str, Tensor]:
    """Columns of so many rows, some of them set."""
    held = {name: values[torch.arange(count) % len(values)] for name, values in settings.items()}
    held |= forced
    predictive = design.model.predictive(design.draws, design.data, do=held, seed=seed)
    with isolated(seed):
        columns = predictive.sample(count)
    return {**columns, **held}


def _weights(design: Design, kind: RowKind, columns: Mapping[str, Tensor], levels: Mapping[str, Tensor]) -> Tensor:
    """How much likelier rows [N] are under the law than among those that are drawn."""
    settings = {name: columns[name] for name in kind.settings}
    seen = RowKind(settings, kind.seen | (set(levels) & set(design.predictive.hidden)), kind.missing)
    held = {name: columns[name] for name in levels}
    set_to = RowKind(settings | held, kind.seen - set(levels), kind.missing)
    own, given = (
        design.model.density(design.of_kind(columns, one)).pointwise(design.draws)[0] for one in (seen, set_to)
    )
    spread = sum(log(len(values)) for values in levels.values())
    return 2.0 / (1.0 + (given - spread - own).exp())


def design_of(model: Model, draws: Draws, data: Data | None) -> Design:
    """The kinds of some rows; without rows, all variables observed and nothing set.

    Raises ValueError, without rows, for a model that does not say which sites are hidden until it is run on some, or
    that is conditioned on some of their columns.
    """
    if data is None and not model.hidden:
        raise ValueError(
            "data: this model says which of its sites are hidden when it is run on rows; give some, of the kinds that "
            "are meant, e.g. identifiability(model, greeks, data=rows)"
        )
    if data is None and (given := [name for name, one in model.variables.items() if not one.has_law]):
        raise ValueError(
            f"data: rows are conditioned on {', '.join(given)}, which have no law here; give some rows, e.g. "
            "identifiability(model, greeks, data=rows)"
        )
    if data is None:
        return Design(model, draws, None, (RowKind({}),))
    return Design(model, draws, data, _kinds_of(model.predictive(draws, data, do={}), data))


def _kinds_of(predictive: Predictive, data: Data) -> tuple[RowKind, ...] | None:
    names = list(data.columns)
    vectors = [name for name in names if data.columns[name].ndim > 1]
    is_whole = all(not bool(data.is_missing(name).any()) and name not in predictive.hidden for name in vectors)
    if not all(name in predictive.variables for name in names) or not is_whole or data.unit is not None:
        return None
    numbers = [name for name in names if name not in vectors]
    is_set = {name: data.is_set(name) for name in names}
    is_seen = {name: (data.columns[name] >= 0) & ~is_set[name] for name in numbers if name in predictive.hidden}
    is_missing = {name: data.is_missing(name) for name in numbers}
    marks = torch.stack([*is_set.values(), *is_seen.values(), *is_missing.values()], 1)[data.counts()]
    patterns, which = marks.unique(dim=0, return_inverse=True)
    if len(patterns) > MOST_KINDS:
        return None
    index, kinds = data.counts().nonzero()[:, 0], []
    for number, pattern in enumerate(patterns):
        own = index[which == number][:NUM_ROWS]
        flags = iter(pattern.tolist())
        in_set = [name for name in is_set if next(flags)]
        seen = frozenset(name for name in is_seen if next(flags))
        missing = frozenset(name for name in is_missing if next(flags))
        settings = {name: data.columns[name][own].double() for name in in_set}
        if any(values.ndim > 1 for values in settings.values()):
            return None
        kinds.append(RowKind(settings, seen, missing - seen))
    return tuple(kinds)
