"""Rows like those that are given, drawn anew by a program: from the same arguments, with what is set as it is there."""

from collections.abc import Mapping
from typing import Any

import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor

from estimators.contract import Draws
from estimators.data.data import Data
from estimators.programs.evidence import series_of
from estimators.programs.handlers import Evidence, Observing, Substituting
from estimators.programs.marginal import ProgramMarginal
from estimators.programs.sites import Structure
from estimators.programs.situation import columns_of
from estimators.programs.structure import run


def replicated(marginal: ProgramMarginal, draws: Draws) -> dict[str, Tensor]:
    """Every site of a row, and every column that sites make up, at each draw of the Greeks, as [S, N, ...].

    The program runs once for each draw; random numbers are torch's.
    """
    structure, data = marginal.structure, marginal.data
    free = Evidence(free=frozenset(structure.sites))
    program = _Setting(marginal.evidence)(Observing(free)(marginal.fn))
    found: dict[str, list[Tensor]] = {}
    for number in range(len(next(iter(draws.values())))):
        greeks = {name: value[number] for name, value in draws.items()}
        at_draw = Substituting({**greeks, **structure.fixed(data)})(program)
        trace = run(at_draw, marginal.fn, data, structure.names)
        for name, column in columns_of(trace, structure, data.num_rows).items():
            found.setdefault(name, []).append(column)
    sites = {name: torch.stack(columns) for name, columns in found.items()}
    return sites | _series(sites, structure, data)


def _series(sites: Mapping[str, Tensor], structure: Structure, data: Data) -> dict[str, Tensor]:
    """The columns [S, N, T] whose entries are the sites x_0 ... x_{T-1}."""
    named = {name: series_of(structure, name) for name in data.columns if name not in structure.sites}
    return {name: torch.stack([sites[site] for site in series], 2) for name, series in named.items() if series}


class _Setting(Messenger):
    """Draws sites, but where they were set: there they are what they were set to."""

    def __init__(self, evidence: Evidence) -> None:
        super().__init__()
        self._evidence = evidence

    def _pyro_sample(self, msg: Any) -> None:
        name, evidence = msg["name"], self._evidence
        if name not in evidence.is_set:
            return
        drawn = msg["fn"].sample()
        given = evidence.values[name] if name in evidence.values else evidence.seen[name]
        is_set = evidence.is_set[name].reshape(*evidence.is_set[name].shape, *[1] * msg["fn"].event_dim)
        msg["value"], msg["done"] = torch.where(is_set, given.to(drawn.dtype), drawn), True
