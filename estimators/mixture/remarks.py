"""What the rows of a mixture say by themselves, variable by variable, and of the number of components."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from estimators.data.data import Data
from estimators.data.remarks import Array, Remark
from estimators.estep.inputs import array_inputs
from estimators.estep.variable import Node
from estimators.mixture.arguments import num_distinct_rows


def remarks_of(nodes: Mapping[str, Node], data: Data, num_components: int) -> list[Remark]:
    """Remarks on each variable, by the rows that inform its mechanism, and on K."""
    found = []
    for name, node in nodes.items():
        columns = _informing(node, data)
        column = columns.pop(name)
        if len(column) < 2:
            continue
        for remark in node.mechanism.remarks(column, _named_inputs(node, columns)):
            greek = f"{remark.greek}_{name}" if remark.greek else ""
            found.append(replace(remark, what=f"column {name} {remark.what}", greek=greek))
    distinct = num_distinct_rows(data, list(nodes), num_components)
    if distinct < num_components:
        what = f"there are {num_components} components for {distinct} distinct row{'s' if distinct > 1 else ''}"
        found.append(Remark(what, "some of them rest on their priors alone; lower K", collapses=True))
    return found


def _informing(node: Node, data: Data) -> dict[str, Array]:
    """The variable's column and its parents', where it is neither set nor missing in part, nor they."""
    names = (node.name, *node.parents)
    keep = ~data.is_set(node.name)
    for name in names:
        keep = keep & ~data.is_missing(name).reshape(data.num_rows, -1).any(1)
    return {name: data.columns[name].double().numpy()[keep.numpy()] for name in names}


def _named_inputs(node: Node, parents: Mapping[str, Array]) -> dict[str, Array]:
    """A regression's inputs [N] by name: ``T``, or ``1[T = 2]`` for an indicator of a level."""
    names = [
        parent if width == 1 else f"1[{parent} = {level}]"
        for parent, width in zip(node.parents, node.widths, strict=bool(node.widths))
        for level in range(1, width + 1)
    ]
    values = array_inputs(node.parents, node.widths, parents) if names else np.zeros((0, 0))
    return {name: values[:, index] for index, name in enumerate(names)}
