"""A general term as an M-step takes it: by the compiled functions of its family, on rows that stay the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, cast

import numpy as np

from estimators.estep.compiled import completed_data
from estimators.estep.compiled.gated_term import CompiledGate
from estimators.estep.compiled.layout import BLOCK
from estimators.estep.compiled.threads import LEAST_WORK, in_ranges
from estimators.estep.gated import GatedWeights
from estimators.estep.term import Columns, General
from estimators.estep.terms import CompiledVariable, GeneralVariable, Terms, in_coordinates
from estimators.mechanisms.compiled.code import GeneralCode
from estimators.mechanisms.protocol import CompiledFamily, Given, Greeks, Reference, VariableTable
from estimators.optimise.arrays import Array

# The slot of Z.
OF_Z = 0


@dataclass(eq=False)
class _Rows:
    """Rows as a family says them to a table: columns [J, n], functions, and coefficients of a line of its inputs."""

    column: Array
    inputs: Array
    columns: Array = field(init=False)
    code: GeneralCode = field(init=False)
    num_logs: int = field(init=False)

    def general(
        self, given: Given, location: str, logs: Sequence[str], code: GeneralCode, columns: Sequence[Array]
    ) -> None:
        """Keep what is said."""
        self.columns, self.code = np.stack([self.column, *columns]), code
        self.num_logs = sum(prod(given[symbol].entry) for symbol in logs)


@dataclass(frozen=True, eq=False)
class CompiledTerm(GeneralVariable):
    """A variable without a table, J and its derivatives in C compiled: the same sums on any number of threads."""

    family: CompiledFamily
    # The columns of the last call and these rows: an M-step has the same ones many times.
    _last: list[tuple[Columns, _Rows]] = field(default_factory=list)

    def argmax(self, greeks: Greeks, columns: Columns, shares: Array, reference: Reference) -> dict[str, Array]:
        return super().argmax(greeks, columns, np.ascontiguousarray(shares), reference)

    def pullback(self, numbers: Array, columns: Columns, shares: Array) -> Array:
        rows, out = self._rows(columns), np.zeros(numbers.shape)
        self._spread(completed_data.slopes, rows.code.pullback, rows, numbers, shares, out)
        return out

    def curvature(self, numbers: Array, columns: Columns, shares: Array, chain: Array) -> Array:
        rows, width = self._rows(columns), numbers.shape[-1]
        size = (width - rows.num_logs) // max(rows.code.num_lines, 1)
        out = np.zeros((*numbers.shape, width))
        code = rows.code.pullback, rows.code.num_lines, size, rows.code.first_input
        self._spread(completed_data.curvatures, code, rows, numbers, shares, out)
        return in_coordinates(out, chain)

    def complete(self, numbers: Array, columns: Columns, shares: Array) -> Array:
        rows, out = self._rows(columns), np.zeros(numbers.shape[:-1])
        self._spread(completed_data.complete, rows.code.log_joint, rows, numbers, shares, out)
        return np.asarray(out.sum(-1))

    def _rows(self, columns: Columns) -> _Rows:
        if not (self._last and self._last[0][0] is columns):
            rows = _Rows(columns[self.node.name], self.node.inputs(columns))
            self.family.tabulate(cast(VariableTable, rows))
            self._last[:] = [(columns, rows)]
        return self._last[0][1]

    @staticmethod
    def _spread(of: Callable[..., None], code: Any, rows: _Rows, numbers: Array, shares: Array, out: Array) -> None:
        """Call `of` with each class of each parameter set, on as many threads as are worth it."""
        count, num_rows = prod(numbers.shape[:-1]), shares.shape[-1]
        C = np.array(numbers, order="C").reshape(count, -1)
        if shares.shape[:-1] != numbers.shape[:-1]:
            # The same for all parameter sets.
            shares = np.array(np.broadcast_to(shares, (*numbers.shape[:-1], num_rows)))
        R = np.ascontiguousarray(shares).reshape(count, num_rows)
        flat = out.reshape(count, *out.shape[numbers.ndim - 1 :])
        num_work = rows.code.num_work + max(rows.code.num_lines, 1)

        def part(a: int, b: int) -> None:
            of(code, C[a:b], rows.columns, R[a:b], flat[a:b], np.empty((num_work, BLOCK)))

        in_ranges(part, count, R.size // LEAST_WORK)


def compiled_terms(terms: Terms) -> dict[int, General]:
    """The general terms by slot, those that can be compiled."""
    found = dict(terms.general)
    if OF_Z in found:
        found[OF_Z] = CompiledGate.of(cast(GatedWeights, found[OF_Z]))
    for slot in found.keys() & terms.tabulated.keys():
        term = cast(CompiledVariable, terms.tabulated[slot])
        if not term.node.levels:
            found[slot] = CompiledTerm(term.node, term.family)
    return found
