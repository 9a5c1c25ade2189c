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
from estimators.optimise.arrays import Array

# Where a number, or a product of several, stands among all numbers, by the names of its variables.
Slots = Mapping[tuple[str, ...], slice]


@dataclass(frozen=True, eq=False)
class Variable:
    """A Gaussian variable, and what it is made of in each of G configs.

    ``own`` are its places among the numbers; ``cells`` [K, G] and ``level`` [G] those in its table; ``has_law`` [G].
    Its inputs are ``inputs + loadings @ numbers``, [G, P] and [G, P, size].
    """

    node: Node
    own: slice
    cells: NDArray[np.intp]
    level: NDArray[np.intp]
    has_law: NDArray[np.bool_]
    inputs: Array
    loadings: Array

    @classmethod
    def of(cls, node: Node, columns: Mapping[str, Array], slots: Slots, has_law: Array) -> "Variable":
        """A node at the levels in columns [G], with numbers, and products of several, at the slots."""
        own, (count, size) = slots[(node.name,)], has_law.shape
        level = np.broadcast_to(node.level(columns), count)
        inputs, loadings = np.zeros((count, node.num_inputs)), np.zeros((count, node.num_inputs, size))
        for place, factors in enumerate(node.design.inputs):
            numbers = tuple(factor.variable for factor in factors if (factor.variable,) in slots)
            levels = [factor for factor in factors if factor.variable not in numbers]
            share = node.design.product(levels, columns) if levels else 1.0
            if numbers:
                loadings[:, place, slots[numbers].start] = share
            else:
                inputs[:, place] = share
        law = has_law[:, own.start] > 0
        return cls(node, own, node.cells(level), level, law, inputs, loadings)


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
        slots: Slots,
        has_law: Array,
        num_components: int,
    ) -> None:
        self._variables = [Variable.of(node, columns, slots, has_law) for node in nodes]
        self._K, self._shape = num_components, has_law.shape

    def solve(self, greeks: Greeks, count: int) -> Solved:
        """The residuals of each component of S parameter sets, these one after the other, and each config."""
        shape, size = (count * self._K, *self._shape), self._shape[-1]
        origin, offset = np.zeros(shape), np.zeros(shape)
        matrix, inverse = (np.broadcast_to(np.eye(size), (*shape, size)).copy() for _ in range(2))
        equations = []
        for v in self._variables:
            equation = v.node.equation(greeks, v.cells, count)
            law, own, slopes, turned = v.has_law, v.own, equation.slopes @ v.loadings, inverse_of(equation.factor)
            line = (equation.slopes @ v.inputs[:, :, None])[..., 0] + (slopes @ origin[..., None])[..., 0]
            centre = equation.intercept + line
            origin[:, law, own] = centre[:, law]
            # What the rounding of the centre leaves there.
            left = line - (centre - equation.intercept)
            offset[:, law, own] = (turned @ left[..., None])[..., 0][:, law]
            inverse[:, law, own] = (slopes @ inverse)[:, law]
            inverse[:, law, own, own] = equation.factor[:, law]
            rows = -turned @ slopes
            rows[..., own] = turned
            matrix[:, law, own] = rows[:, law]
            equations.append(equation)
        return Solved(Residuals(origin, offset, matrix, inverse), equations)

    def forms(
        self, solved: Solved, shift: Array, step: Array, references: Mapping[str, Reference]
    ) -> Iterator[tuple[Variable, Array]]:
        """What each variable's features are products of, as forms [S K, G, Q, 1 + size] of ``(u - shift) / step``.

        References have centres [S, cells, ...].
        """
        residuals, eye = solved.residuals, np.eye(1 + self._shape[-1])
        count = len(residuals.origin) // self._K
        moved = (residuals.inverse @ (residuals.offset + shift)[..., None])[..., 0]
        numbers = np.concatenate([(residuals.origin + moved)[..., None], residuals.inverse * step[:, None]], -1)
        for v, equation in zip(self._variables, solved.equations, strict=True):
            inputs = v.loadings @ numbers
            inputs[..., 0] += v.inputs
            cells = v.node.cells_of_sets(v.level, count).reshape(-1, len(v.level))
            yield v, v.node.forms(equation, inputs, eye[1:][v.own], references[v.node.name].of_sets(), cells)
