"""Which sites of a row each site is computed from: the direct causes in a program, read off its captured arithmetic.

With every site held at a value, a site's log probability depends on the values of its direct causes and on its own. A
captured graph says which inputs each output is computed from, whatever the numbers are, so that nothing is missed that
shows at some values only. Where a program cannot be captured, each site may depend on every site before it.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from estimators.data.data import Data
from estimators.isolation import program_mode
from estimators.programs.call import Program
from estimators.programs.captured import sources
from estimators.programs.handlers import Evidence, Observing, Substituting
from estimators.programs.sites import Structure
from estimators.programs.structure import run


@dataclass(frozen=True, eq=False)
class Causes:
    """The direct causes of each site of a row and of each `pyro.factor`, on rows of a program's other arguments.

    They hold at any values of the Greeks, of which ``greeks`` is an example.
    """

    fn: Program
    structure: Structure
    rows: Data
    greeks: Mapping[str, Tensor]

    def above(self, names: Iterable[str], cut: Collection[str]) -> frozenset[str]:
        """The ancestors of the sites named, in the graph without the arrows into the sites in ``cut``."""
        reached, pending = set[str](), list(names)
        while pending:
            name = pending.pop()
            if name not in cut:
                direct = self.direct[name] - reached
                reached |= direct
                pending += direct
        return frozenset(reached)

    @cached_property
    def direct(self) -> Mapping[str, frozenset[str]]:
        """The sites that each site, and each factor, is computed from."""
        captured = self._captured()
        if captured is not None:
            return captured
        sites = list(self.structure.sites)
        before = {name: frozenset(sites[:index]) for index, name in enumerate(sites)}
        return before | {name: frozenset(sites) for name in self.structure.factors}

    def _captured(self) -> dict[str, frozenset[str]] | None:
        sites, greeks = list(self.structure.sites), list(self.greeks)
        asked = [*sites, *self.structure.factors]
        all_sites = frozenset(sites)

        def trace_at(values: Mapping[str, Tensor], known: Mapping[str, Tensor]) -> Any:
            evidence = Evidence(values=values, free=all_sites - set(values), unmasked=all_sites)
            program = Substituting({**known, **self.structure.fixed(self.rows)})(Observing(evidence)(self.fn))
            return run(program, self.fn, self.rows, self.structure.names)

        def log_probs(*inputs: Tensor) -> tuple[Tensor, ...]:
            values = dict(zip(sites, inputs, strict=False))
            trace = trace_at(values, dict(zip(greeks, inputs[len(sites) :], strict=True)))
            trace.compute_log_prob()
            return tuple(trace.nodes[name]["log_prob"] for name in asked)

        with program_mode():
            example = trace_at({}, self.greeks)
        if not all(name in example.nodes for name in asked):
            return None
        values = [example.nodes[name]["value"].detach() for name in sites]
        inputs_of = sources(log_probs, [*values, *self.greeks.values()])
        if inputs_of is None:
            return None
        return {
            name: frozenset(sites[index] for index in indices if index < len(sites)) - {name}
            for name, indices in zip(asked, inputs_of, strict=True)
        }
