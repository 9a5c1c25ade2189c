"""The rows that inform a variable's mechanism, as arrays."""

from collections.abc import Mapping

import numpy as np

from estimators.data.data import Data
from estimators.estep.inputs import array_inputs
from estimators.estep.variable import Node
from estimators.parameters.parameter import Array


def informing(node: Node, data: Data) -> tuple[Array, dict[str, Array]]:
    """A variable's column and a regression's inputs [N] by name, of rows in which it is not set, nor any missing."""
    keep = ~data.is_set(node.name) & data.counts()
    for name in (node.name, *node.parents):
        keep = keep & ~data.is_missing(name).reshape(data.num_rows, -1).any(1)
    columns = {name: data.columns[name].double().numpy()[keep.numpy()] for name in (node.name, *node.parents)}
    return columns[node.name], named_inputs(node, columns)


def named_inputs(node: Node, columns: Mapping[str, Array]) -> dict[str, Array]:
    """A regression's inputs [N] by name: ``T``, or ``1[T = 2]`` for an indicator of a level."""
    names = [
        parent if width == 1 else f"1[{parent} = {level}]"
        for parent, width in zip(node.parents, node.widths, strict=bool(node.widths))
        for level in range(1, width + 1)
    ]
    values = array_inputs(node.parents, node.widths, columns) if names else np.zeros((0, 0))
    return {name: values[:, index] for index, name in enumerate(names)}
