"""A line of which classes share some coefficients: two Greeks, which have coordinates together.

The coordinates are the line in standardised inputs, whose intercept is the mean at their centres: it does not move with
a slope, as the intercept itself does where an input is far from 0.
"""

from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from estimators.mechanisms.protocol import Given
from estimators.optimise.arrays import Array, Mask
from estimators.parameters.block import Block
from estimators.parameters.parameter import Parameter
from estimators.parameters.transforms import Linear


def split(line: Parameter, shared: Mask, given: Given) -> Block:
    """The classes' own coefficients [cells, ..., own], and those that they share [..., shared], of a line."""
    prior, entry = given[line.name], line.shape[1:]
    places = np.arange(prod(entry)).reshape(entry)
    own = np.stack([places[..., ~shared]] * line.shape[0])
    flat = np.concatenate([own.reshape(-1), places[..., shared].reshape(-1)])

    def part(name: str, at: NDArray[np.intp], axis: int | None) -> Parameter:
        return replace(line, name=name, shape=at.shape, prior=prior.at(at, entry), component_axis=axis)

    parts = part(line.name, own, 0), part(f"shared_{line.name}", places[..., shared], None)
    return Block(parts, part(line.name, flat, None))


def of_all(of_line: Linear, block: Block, shared: Mask) -> Linear:
    """The map of all coefficients at once, from that of one whole line."""
    cells, *rest, _ = block.parameters[0].shape
    lines = np.arange(prod(rest))
    # Of each coefficient its class (-1 for all), the line that it is of among those of a class, and its place in that.
    label, number, place = np.concatenate(
        [
            np.stack(np.meshgrid(labels, lines, np.flatnonzero(columns), indexing="ij")).reshape(3, -1)
            for labels, columns in ((np.arange(cells), ~shared), ([-1], shared))
        ],
        axis=1,
    )
    meets = (number[:, None] == number) & ((label[:, None] == label) | (label == -1))

    def apart(matrix: Array) -> Array:
        return np.where(meets, matrix[place[:, None], place], 0.0)

    columns = None if of_line.columns is None else apart(of_line.columns)
    return Linear(apart(of_line.matrix), of_line.origin[place], columns)
