"""The equations of a model's Gaussian variables at the levels of some rows, solved for their standardised residuals u.

They are solved in the columns' own units, by the Greeks alone: nothing of a row's residuals depends on what other rows
there are. A number without a law of its own, an input or one that was set, is its own residual.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from estimators.estep.residuals import Residuals, inverse_of
from estimators.estep.variable import Node
from estimators.mechanisms.protocol import Equation, Greeks, Reference
from estimators.parameters.parameter import Array


@dataclass(frozen=True, eq=False)
class Variable:
    """A Gaussian variable, and what it is made of in each of G configs.

    ``own`` are its places among the numbers; ``cells`` [K, G] and ``level`` [G] those in its table; ``has_law`` [G];
    ``inputs`` [G, P] with 0 for one that is a number: these are ``numbers`` of the P, at ``slots`` among all numbers.
    """

    node: Node
    own: slice
    cells: NDArray[np.intp]
    level: NDArray[np.intp]
    has_law: NDArray[np.bool_]
    inputs: Array
    numbers: Sequence[int]
    slots: Sequence[int]

    @classmethod
    def of(cls, node: Node, columns: Mapping[str, Array], slots: Mapping[str, slice], has_law: Array) -> "Variable":
        """A node at the levels in columns [G], with numbers at the slots."""
        own, count = slots[node.name], len(has_law)
        level = np.broadcast_to(node.level(columns), count)
        held = {name: np.zeros(count) if name in slots else column for name, column in columns.items()}
        inputs = node.inputs(held) if node.num_inputs else np.zeros((count, 0))
        # A parent that is a number is one input.
        ends = np.cumsum(node.widths, dtype=np.intp)
        places = {int(e) - 1: slots[p].start for p, e in zip(node.parents, ends, strict=False) if p in slots}
        law = has_law[:, own.start] > 0
        return cls(node, own, node.cells(level), level, law, inputs, [*places], [*places.values()])


@dataclass(frozen=True, eq=False)
class Solved:
    """The residuals [K, G, ...] at some Greeks, and the equation of each variable."""

    residuals: Residuals
    equations: Sequence[Equation]


class Equations:
    """The Gaussian variables, causes first, in G configs: combinations of the levels that they depend on."""

    def __init__(
        self,
        nodes: Sequence[Node],
        columns: Mapping[str, Array],
        slots: Mapping[str, slice],
        has_law: Array,
        num_components: int,
    ) -> None:
        self._variables = [Variable.of(node, columns, slots, has_law) for node in nodes]
        self._shape = (num_components, *has_law.shape)

    def solve(self, greeks: Greeks) -> Solved:
        """The residuals of each component and config."""
        shape, size = self._shape, self._shape[-1]
        origin, offset = np.zeros(shape), np.zeros(shape)
        matrix, inverse = (np.broadcast_to(np.eye(size), (*shape, size)).copy() for _ in range(2))
        equations = []
        for v in self._variables:
            equation = v.node.equation(greeks, v.cells)
            law, own, slopes, turned = v.has_law, v.own, equation.slopes[..., v.numbers], inverse_of(equation.factor)
            line = (equation.slopes @ v.inputs[:, :, None])[..., 0] + (slopes @ origin[..., v.slots, None])[..., 0]
            centre = equation.intercept + line
            origin[:, law, own] = centre[:, law]
            # What the rounding of the centre leaves there.
            left = line - (centre - equation.intercept)
            offset[:, law, own] = (turned @ left[..., None])[..., 0][:, law]
            inverse[:, law, own] = (slopes @ inverse[:, :, v.slots])[:, law]
            inverse[:, law, own, own] = equation.factor[:, law]
            rows = np.zeros((*shape[:2], own.stop - own.start, size))
            rows[..., v.slots] = -turned @ slopes
            rows[..., own] = turned
            matrix[:, law, own] = rows[:, law]
            equations.append(equation)
        return Solved(Residuals(origin, offset, matrix, inverse), equations)

    def forms(
        self, solved: Solved, shift: Array, step: Array, references: Mapping[str, Reference]
    ) -> Iterator[tuple[Variable, Array]]:
        """What each variable's features are products of, as forms [K, G, Q, 1 + size] of ``(u - shift) / step``."""
        residuals, eye = solved.residuals, np.eye(1 + self._shape[-1])
        moved = (residuals.inverse @ (residuals.offset + shift)[..., None])[..., 0]
        numbers = np.concatenate([(residuals.origin + moved)[..., None], residuals.inverse * step[:, None]], -1)
        for v, equation in zip(self._variables, solved.equations, strict=True):
            inputs = np.zeros((*v.cells.shape, v.inputs.shape[1], len(eye)))
            inputs[..., 0] = v.inputs
            inputs[..., v.numbers, :] = numbers[..., v.slots, :]
            reference = references[v.node.name]
            yield v, v.node.forms(equation, inputs, eye[1:][v.own], reference, v.cells)
