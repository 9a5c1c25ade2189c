"""A program as Pyro runs it: on data for Pyro's own inference, and at given Greeks for rows of its own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.distributions import constraints
from torch import Tensor

from estimators.data.data import Data
from estimators.isolation import isolated, program_mode
from estimators.programs.call import Program, arguments
from estimators.programs.factors import row_weights
from estimators.programs.handlers import Evidence, Observing, Substituting
from estimators.programs.marginal import ProgramMarginal
from estimators.programs.sites import Greek, Structure
from estimators.programs.situation import columns_of
from estimators.programs.structure import run


def conditioned(marginal: ProgramMarginal) -> tuple[Callable[[], None], int]:
    """The program on its rows, hidden sites marked for enumeration, and how deep its plates are nested."""
    structure = marginal.structure
    program = Observing(marginal.evidence)(marginal.fn)
    flat: dict[str, Any] = {greek.name: _Flat(greek) for greek in structure.greeks if greek.initial is not None}
    if flat:
        program = poutine.lift(program, prior=flat)
    positional, named = arguments(marginal.fn, marginal.data, structure.names)

    def conditioned_program() -> None:
        program(*positional, **named)

    return conditioned_program, structure.num_plate_dims


def row_program(
    fn: Program, structure: Structure, rows: Data
) -> Callable[[Mapping[str, Tensor], int], dict[str, Tensor]]:
    """The program at given Greeks, which runs under the caller's handlers.

    Columns that it takes as arguments are drawn with replacement from the rows, each as often as it counts.
    """

    def run_rows(greeks: Mapping[str, Tensor], num_rows: int) -> dict[str, Tensor]:
        passed = rows.rows(torch.multinomial(row_weights(rows), num_rows, replacement=True))
        evidence = Evidence(free=frozenset(structure.sites))
        program = Substituting({**greeks, **structure.fixed(rows)})(Observing(evidence)(fn))
        positional, named = arguments(fn, passed, structure.names)
        trace = poutine.trace(program).get_trace(*positional, **named)
        return columns_of(trace, structure, num_rows)

    return run_rows


def simulated(
    fn: Program, structure: Structure, greeks: Mapping[str, Tensor], rows: Data, seed: int
) -> dict[str, Tensor]:
    """Rows of a program called with some columns, hidden sites included, at given Greeks or at Greeks it draws."""
    if structure.factors:
        raise NotImplementedError(
            f"simulate: the program weighs rows by pyro.factor ({list(structure.factors)}), so that running it "
            "does not draw from its law; write its factors as distributions"
        )
    with program_mode(seed):
        trace = run(Substituting(greeks)(fn), fn, rows, structure.names)
    return columns_of(trace, structure, rows.num_rows)


def drawn_greeks(fn: Program, names: Sequence[str], seed: int) -> dict[str, Tensor]:
    """The Greeks as a program of the number of rows alone draws them; a ValueError for a `pyro.param`."""
    with isolated(seed):
        sites = poutine.trace(fn).get_trace(1).nodes
    if improper := [name for name in names if sites[name]["type"] != "sample"]:
        raise ValueError(f"truth from the prior: {improper[0]} of the program is a parameter without a prior")
    return {name: torch.as_tensor(sites[name]["value"]).detach() for name in names}


class _Flat(dist.ImproperUniform):
    """A flat prior on the support of a `pyro.param`, which is drawn at the parameter's initial value."""

    def __init__(self, greek: Greek) -> None:
        batch = len(greek.shape) - greek.event_dim if greek.plate_axes else 0
        support = constraints.independent(greek.support, len(greek.shape) - batch - greek.event_dim)
        super().__init__(support, greek.shape[:batch], greek.shape[batch:])  # type: ignore[no-untyped-call]
        self._initial = greek.initial

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        assert self._initial is not None
        return self._initial
