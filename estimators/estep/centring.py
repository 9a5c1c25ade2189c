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
class ParameterSets:
    """C [S, K, width] of S parameter sets by slot about the references, and the Greeks [S, *shape] that they are of.

    References that are centred have centres [S, cells, ...].
    """

    coefficients: Sequence[Array]
    references: Sequence[Reference]
    greeks: Greeks

    @property
    def count(self) -> int:
        """S."""
        return len(self.coefficients[0])

    def some(self, which: slice) -> "ParameterSets":
        """Some of them."""
        return ParameterSets(
            [own[which] for own in self.coefficients],
            [own.at(own.centre[which]) if own.by_cell else own for own in self.references],
            {name: value[which] for name, value in self.greeks.items()},
        )


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


def sets_at_once(terms: Terms, greeks: Greeks, shared: Sequence[Reference]) -> ParameterSets:
    """All parameter sets of Greeks [S, *shape] about references of their own; what is known is the same of each."""
    return sets_about(references_at(terms, greeks, shared), terms, greeks, shared)


def sets_about(at: Sequence[Reference], terms: Terms, greeks: Greeks, shared: Sequence[Reference]) -> ParameterSets:
    """All parameter sets of Greeks [S, *shape] about given references: what is added to sums must be about the same."""
    references, coefficients, count = list[Reference](), list[Array](), len(next(iter(greeks.values())))
    for term, own, whole in zip(terms.all, at, shared, strict=True):
        C = term.coefficients(greeks, own)
        coefficients.append(np.broadcast_to(C, (count, *C.shape[-2:])))
        if own.by_cell:
            centre, entry = np.asarray(own.centre), np.shape(whole.centre)
            own = own.at(np.broadcast_to(centre, (count, centre.shape[centre.ndim - len(entry) - 1], *entry)))
        references.append(own)
    return ParameterSets(coefficients, references, greeks)


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
