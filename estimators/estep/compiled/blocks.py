"""What a block of rows has: L of its rows, and what they add to the sums."""

from typing import Any

from estimators.estep.compiled.collect import collect, collect_levels
from estimators.estep.compiled.gate import add_log_weights, collect_weights
from estimators.estep.compiled.layout import GATE, OP, START, STOP, TermTables
from estimators.estep.compiled.log_joints import has_numbers_in, log_joint, log_joint_of_levels
from estimators.mechanisms.compiled.jit import EXACT, compiled


@compiled(**EXACT)
def kinds_in(terms: Any) -> Any:
    """1 where the weights of Z, the first term, are a gate; and whether another term is of more than levels."""
    num_gates = 1 if terms[0, OP] == GATE else 0
    return num_gates, has_numbers_in(terms[num_gates:])


@compiled(inline="always", **EXACT)
def log_joints(tables: Any, block: int, kinds: Any, C: Any, begin: int, n: int, scratch: Any) -> None:
    """L of the n rows of a block, from row `begin` on, into the first K rows of scratch."""
    K, (num_gates, has_numbers) = len(C), kinds
    first, stop = tables.blocks[block], tables.blocks[block + 1]
    last = stop if has_numbers else first
    of_terms = TermTables(tables.terms, tables.constants, tables.columns)
    if not has_numbers:
        for k in range(K):
            log_joint_of_levels(scratch[k, :n], tables.terms, tables.segments, (first, num_gates), k, C[k])
    for s in range(first, last):
        segment = tables.segments[s]
        for k in range(K):
            row = scratch[k, segment[START] - begin : segment[STOP] - begin]
            log_joint(row, of_terms, segment, k, C[k], scratch[K:])
    if num_gates:
        add_log_weights(scratch, (begin, n), tables, (first, stop), C)


@compiled(inline="always", **EXACT)
def collect_block(tables: Any, block: int, kinds: Any, C: Any, rows: Any, is_whole: bool, work: Any) -> None:
    """Add the sums of a block's rows under the responsibilities in the first K rows of scratch."""
    K, (num_gates, has_numbers), (begin, n), (scratch, out) = len(C), kinds, rows, work
    first, stop = tables.blocks[block], tables.blocks[block + 1]
    last = stop if has_numbers else first
    of_terms = TermTables(tables.terms, tables.constants, tables.columns)
    if not has_numbers:
        for k in range(K):
            collect_levels(scratch[k, :n], tables.terms, tables.segments, (first, num_gates), out[k])
    if num_gates:
        collect_weights(scratch, rows, tables, out)
    for s in range(first, last):
        segment = tables.segments[s]
        for k in range(K):
            shares = scratch[k, segment[START] - begin : segment[STOP] - begin]
            collect(shares, of_terms, segment, C[k], out[k], is_whole, scratch[K:])
