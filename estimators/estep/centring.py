"""About which references the features of parameter sets are formed, and their coefficients C about these.

All sets share the columns' own centres, but for one in which x² would lose digits: this has a centre for each cell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from estimators.estep.kernel import Point
from estimators.estep.terms import Terms
from estimators.estep.variable import Node
from estimators.mechanisms.protocol import Greeks, Reference
from estimators.parameters.parameter import Array


@dataclass(frozen=True, eq=False)
class ParameterSet:
    """C [K, width] of one parameter set by slot about the references, and the Greeks that they are of."""

    coefficients: Sequence[Array]
    references: Sequence[Reference]
    greeks: Greeks


class Centring:
    """The shared references by slot, theta's first, and the way from the Greeks to C."""

    def __init__(self, terms: Terms, nodes: Mapping[str, Node], references: Mapping[str, Reference]) -> None:
        self._terms, self._nodes, self._by_name = terms, nodes, references
        self.shared = (Reference(), *references.values())
        self._all = list(zip(terms.all, self.shared, strict=True))
        self._centred = [(slot, term, self.shared[slot]) for slot, term in terms.log_linear.items() if slot]

    def points(self, greeks: Greeks) -> tuple[list[Point], tuple[int, ...]]:
        """All parameter sets of Greeks [..., *shape] in their order, and the shape [...]."""
        given = [term.coefficients(greeks, reference) for term, reference in self._all]
        batch = given[0].shape[:-2]
        coefficients = [_by_set(c, batch) for c in given] if batch else [c[None] for c in given]
        if not self._losing(coefficients):
            return [Point(slice(None), coefficients, self.shared)], batch
        indices = list(np.ndindex(batch))
        lost = [tuple(self._losing([c[s] for c in coefficients])) for s in range(len(indices))]
        points = []
        # Neighbours that lose none stay together.
        for key, group in groupby(range(len(lost)), key=lambda s: (lost[s], s if lost[s] else -1)):
            together = list(group)
            sets = slice(together[0], together[-1] + 1)
            own = [c[sets] for c in coefficients]
            points.append(self._moved(key[0], _set_of(greeks, indices[sets.start]), Point(sets, own, self.shared)))
        return points, batch

    def about_shared(self, greeks: Greeks) -> ParameterSet:
        """One parameter set about the columns' own centres."""
        coefficients = [term.coefficients(greeks, reference) for term, reference in self._all]
        return ParameterSet(coefficients, self.shared, greeks)

    def references(self, points: Sequence[Point], batch: tuple[int, ...]) -> Mapping[str, Reference]:
        """Those of all sets by variable: where one is moved, a centre [..., cells] for each set and cell."""
        if points[0].references is self.shared and len(points) == 1:
            return self._by_name
        references = dict(self._by_name)
        for slot, (name, node) in enumerate(self._nodes.items(), 1):
            if any(point.references[slot].by_cell for point in points):
                centres = []
                for point in points:
                    own = point.references[slot].by_cells(node.num_cells).centre
                    centres += [own] * len(point.coefficients[0])
                references[name] = references[name].at(np.stack(centres).reshape(*batch, *centres[0].shape))
        return references

    def _losing(self, coefficients: Sequence[Array]) -> list[int]:
        """The slots whose features about the shared references lose digits."""
        return [slot for slot, term, shared in self._centred if term.loses_digits(coefficients[slot], shared)]

    def _moved(self, slots: Sequence[int], greeks: Greeks, point: Point) -> Point:
        """The point with a centre for each cell in some slots, of one parameter set."""
        if not slots:
            return point
        references, coefficients = list(point.references), list(point.coefficients)
        for slot in slots:
            term = self._terms.log_linear[slot]
            references[slot] = term.recentred(greeks, references[slot])
            coefficients[slot] = term.coefficients(greeks, references[slot])[None]
        return Point(point.sets, coefficients, tuple(references))


def _by_set(coefficients: Array, batch: tuple[int, ...]) -> Array:
    """C [..., K, width] as [S, K, width]; a term of known numbers alone is the same for all sets."""
    return np.broadcast_to(coefficients, (*batch, *coefficients.shape[-2:])).reshape(-1, *coefficients.shape[-2:])


def num_sets(points: Sequence[Point]) -> int:
    """S, of all points together."""
    return sum(len(point.coefficients[0]) for point in points)


def parameter_sets(points: Sequence[Point], greeks: Greeks, batch: tuple[int, ...]) -> list[ParameterSet]:
    """Each parameter set by itself."""
    indices, sets = iter(np.ndindex(batch)), []
    for point in points:
        for s in range(len(point.coefficients[0])):
            own = [c[s] for c in point.coefficients]
            sets.append(ParameterSet(own, point.references, _set_of(greeks, next(indices))))
    return sets


def _set_of(greeks: Greeks, index: tuple[int, ...]) -> dict[str, Array]:
    return {name: np.asarray(value[index]) for name, value in greeks.items()}
