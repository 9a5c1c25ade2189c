"""About which references the features of parameter sets are formed, and their coefficients C about these.

x² about a centre that all cells share loses digits where a cell is narrow and far from it. So the features of a term
that `is_centred` are formed about the centre of each cell at its own parameter set, where the square is all there is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from estimators.estep.terms import Terms
from estimators.mechanisms.protocol import Greeks, Reference
from estimators.optimise.arrays import Array


@dataclass(frozen=True, eq=False)
class ParameterSet:
    """C [K, width] of one parameter set by slot about the references, and the Greeks that they are of."""

    coefficients: Sequence[Array]
    references: Sequence[Reference]
    greeks: Greeks


def references_at(terms: Terms, greeks: Greeks, shared: Sequence[Reference]) -> list[Reference]:
    """The references by slot at Greeks [..., *shape]: with centres [..., cells] where a term is centred."""
    found = list(shared)
    for slot, term in terms.log_linear.items():
        if term.is_centred:
            found[slot] = term.recentred(greeks, shared[slot])
    return found


def parameter_sets(terms: Terms, greeks: Greeks, shared: Sequence[Reference]) -> list[ParameterSet]:
    """Each parameter set of Greeks [S, *shape] by itself."""
    sets = []
    for s in range(len(next(iter(greeks.values())))):
        own = {name: np.asarray(value[s]) for name, value in greeks.items()}
        sets.append(parameter_set(terms, own, references_at(terms, own, shared)))
    return sets


def parameter_set(terms: Terms, greeks: Greeks, references: Sequence[Reference]) -> ParameterSet:
    """One parameter set about some references."""
    own = zip(terms.all, references, strict=True)
    return ParameterSet([term.coefficients(greeks, reference) for term, reference in own], references, greeks)
