"""Counterfactuals of a mixture: what these rows would have been, had some variables been set. Abduct, act, predict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from estimators.contract import Answer, Variable
from estimators.data.data import LATENT, Data
from estimators.estep.marginal import num_sets
from estimators.isolation import isolated
from estimators.mechanisms.structural import GumbelMax, Structural, assumption
from estimators.mixture.program import MixtureProgram
from estimators.mixture.situation import Situation, is_per_row
from estimators.mixture.worlds import Worlds

# Draws of noise whose consequences cannot be enumerated, over all draws of the Greeks and for each of them at least.
WORLDS, LEAST_WORLDS = 1_000, 100
# Possible worlds of a row that are enumerated, for each component.
MOST_BRANCHES = 2_000
# About how many values the noise of a count leaves possible.
COUNTS = 32
# Elements of a [draws, rows, branches] table held at one time.
MAX_ELEMENTS = 2_000_000


@dataclass(frozen=True, eq=False)
class MixtureWorlds:
    """The rows of a data set as they would have been under what is set, for each draw of the Greeks.

    Abduction: Z given the row, p(Z | row, φ), or, where rows share one Z, given all rows of its unit, summed over
    exactly; the noise of every variable given the row and Z.
    Action and prediction: with the same noise, every variable below what is set is computed anew, Z too where one of
    its observed causes changes; all others keep the value they had. An entry that an experimenter set keeps its value,
    unless set again. Means are exact, by summing over all values that the noise leaves possible; where they are too
    many, or an assumption cannot enumerate them, noise is drawn, with random numbers of ``seed``.
    """

    model: MixtureProgram
    draws: Mapping[str, Tensor]
    data: Data
    settings: Mapping[str, Tensor]
    assumptions: Mapping[str, Structural]
    seed: int

    @property
    def variables(self) -> Mapping[str, Variable]:
        return self.model.variables

    def mean(self, name: str) -> Answer:
        fact, num_draws = self.data.columns[name].double(), num_sets(self.draws)
        if name not in self._changed:
            value = self.settings.get(name, fact).double()
            return Answer(value.expand(num_draws, *fact.shape))
        above = [cause for cause in self._situation.above([name]) if cause in self._changed]
        drawn = [other for other in above if not hasattr(self.assumptions[other], "outcomes")]
        change = None if drawn else self._average(name, above, (), 1)
        if change is None:
            # Where the values are too many to enumerate, the noise of all that is random is drawn.
            drawn = drawn or above
            change = self._average(name, above, drawn, max(-(-WORLDS // num_draws), LEAST_WORLDS))
            assert change is not None
        worlds = change.shape[1]
        return Answer(fact + change.mean(1), change.std(1) / float(np.sqrt(worlds)) if drawn else None)

    def sample(self) -> dict[str, Tensor]:
        # Worlds from the same random numbers share Greeks, Z (as it was) and noise, whatever is set.
        num_rows, num_units = self.data.num_rows, self.data.num_units
        which = torch.randint(num_sets(self.draws), (num_units,))
        shares = torch.empty(num_units, self.model.K, dtype=torch.float64)
        for draw in which.unique():
            units = (which == draw).nonzero()[:, 0]
            known = {name: value[draw] for name, value in self.draws.items()}
            shares[units] = self.model.marginal(self.data.units_at(units)).responsibilities(known)
        latent = self.data.spread(torch.multinomial(shares, 1)[:, None])
        greeks = {name: value[self.data.spread(which)] for name, value in self.draws.items()}
        worlds = self._worlds(greeks, latent, torch.ones(num_rows, 1, 1, dtype=torch.float64), is_by_row=True)
        drawn = worlds.draw_all(self._changed)
        columns = {name: value.expand(num_rows, 1, 1, *value.shape[3:])[:, 0, 0] for name, value in drawn.items()}
        return {name: value.long() if name == LATENT else value for name, value in columns.items()}

    # ---------------------------------------------------------------- inside

    @cached_property
    def _situation(self) -> Situation:
        """The graph under what is set."""
        return Situation(self.model, self.draws, self.settings, {})

    @cached_property
    def _changed(self) -> list[str]:
        """The variables that what is set can change, causes first, but for those that are set themselves."""
        changed: list[str] = []
        for name in self.model.order:
            if not {*self.settings, *changed}.isdisjoint(self._situation.edges[name]):
                changed.append(name)
        return changed

    def _average(self, name: str, above: Sequence[str], drawn: Sequence[str], worlds: int) -> Tensor | None:
        """E[change of a variable | row] as [S, worlds, N, ...], or None where there is too much to enumerate."""
        size = worlds * self._num_branches(above, drawn)
        changes = []
        with isolated(self.seed):
            # As many whole units at a time as have so many rows.
            most = max(MAX_ELEMENTS // size * self.data.num_units // self.data.num_rows, 1)
            blocks = torch.arange(self.data.num_units).split(most)
            for units in blocks:
                rows = self.data.rows_at(units)
                settings = {n: v[rows] if is_per_row(self.model, n, v) else v for n, v in self.settings.items()}
                block = replace(self, data=self.data.units_at(units), settings=settings)
                marginal = self.model.marginal(block.data)
                step = max(MAX_ELEMENTS // (size * len(rows)), 1)
                by_draw = []
                for start in range(0, num_sets(self.draws), step):
                    greeks = {key: value[start : start + step] for key, value in self.draws.items()}
                    shares = marginal.responsibilities(greeks)[:, block.data.spread(torch.arange(len(units)))]
                    repeated = {key: value.repeat_interleave(worlds, 0) for key, value in greeks.items()}
                    latent = torch.arange(self.model.K).reshape(1, 1, -1)
                    branches = block._worlds(repeated, latent, shares.repeat_interleave(worlds, 0), is_by_row=False)
                    change = branches.mean_change(name, above, drawn, MOST_BRANCHES * self.model.K)
                    if change is None:
                        return None
                    by_draw.append(change.reshape(-1, worlds, *change.shape[1:]))
                changes.append(torch.cat(by_draw))
        # Unit after unit; the rows are in their own order.
        own = torch.argsort(torch.cat([self.data.rows_at(units) for units in blocks]))
        return torch.cat(changes, 2)[:, :, own]

    def _num_branches(self, above: Sequence[str], drawn: Sequence[str]) -> int:
        """About how many branches a row has."""
        num_branches = self.model.K
        for name in above:
            is_one = name in drawn or (name != LATENT and self.model.mechanisms[name].is_gaussian)
            num_branches *= 1 if is_one else self.model.row_variables[name].num_levels or COUNTS
        return min(num_branches, MOST_BRANCHES * self.model.K)

    def _worlds(self, greeks: Mapping[str, Tensor], latent: Tensor, shares: Tensor, *, is_by_row: bool) -> Worlds:
        """What was and what is set, as [S, N, C, ...]; with `is_by_row`, Greeks and rows share the first axis."""
        axis = (slice(None), None, None) if is_by_row else (None, slice(None), None)
        fact = {name: self.data.columns[name].double()[axis] for name in self.model.nodes}
        world = {
            name: value[axis] if is_per_row(self.model, name, value) else value.reshape(1, 1, 1, *value.shape)
            for name, value in self.settings.items()
        }
        is_set = {name: self.data.is_set(name)[axis] for name in (*self.model.nodes, LATENT)}
        situation = Situation(self.model, greeks, {}, {})
        unit, shared = self.data.unit, self.model.shared_in_units if is_by_row else ()
        like = {} if unit is None else dict.fromkeys(shared, unit.first[unit.of_row])
        return Worlds(situation, self.assumptions, {**fact, LATENT: latent}, world, is_set, shares, like)


def worlds_of(
    model: MixtureProgram,
    draws: Mapping[str, Tensor],
    data: Data,
    settings: Mapping[str, Tensor],
    assumptions: Mapping[str, Structural],
    seed: int,
) -> MixtureWorlds:
    """What rows would have been, with settings and assumptions checked: a ValueError or TypeError names them."""
    if gaps := [name for name in data.columns if bool(data.is_missing(name).any())]:
        raise ValueError(f"counterfactual: column {gaps[0]} has missing entries; give complete rows")
    for name, value in settings.items():
        if is_per_row(model, name, value) and len(value) != data.num_rows:
            raise ValueError(f"counterfactual: {name} has {len(value)} values, but there are {data.num_rows} rows")
    for name, value in settings.items():
        if data.unit is not None and name in model.shared_in_units and is_per_row(model, name, value):
            data.unit.need_one(value, f"counterfactual: {name} differs", f"rows of a unit share one {LATENT}")
    known = [LATENT, *model.mechanisms]
    for name, structural in assumptions.items():
        if name not in known:
            raise ValueError(f"assumptions: expected variables among {known}, got {name!r}")
        if not (hasattr(structural, "abduct") and hasattr(structural, "act")):
            raise TypeError(f"assumptions: {name} expects an object with abduct and act, got {structural!r}")
    defaults = {LATENT: GumbelMax(), **{name: assumption(mechanism) for name, mechanism in model.mechanisms.items()}}
    return MixtureWorlds(model, draws, data, settings, {**defaults, **assumptions}, seed)
