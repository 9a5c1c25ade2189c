"""Outputs that are computed alike from other constants, as one computation: the steps of a chain, the items of a test.

Two outputs of a recording are alike where the same operations on the same inputs lead to them, from constants that
differ in their numbers alone, or from other entries of one tensor. What they have in common is computed once, and the
rest mapped over the constants.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule

from estimators.programs.operations import Operation, Recording, mapped

# The numbers of larger constants are not compared.
LARGE = 100_000
# One entry of a tensor along an axis.
SELECT = torch.ops.aten.select.int
# The operations at one place in the computations of outputs that are alike.
Row = tuple[Operation, ...]


class Repeated:
    """The outputs of a recording in stacks [G, ...], of those that are alike.

    ``kinds`` are what outputs must have in common besides how they are computed. The recording must be of operations
    that write nothing and draw nothing.
    """

    def __init__(self, recording: Recording, kinds: Sequence[Hashable]) -> None:
        values, forms = _numbered(recording, _value), _numbered(recording, _form)
        alike: defaultdict[Hashable, list[int]] = defaultdict(list)
        for number, (output, kind) in enumerate(zip(recording.outputs, kinds, strict=True)):
            alike[forms[output], kind].append(number)
        # The numbers of the outputs in each stack.
        self.groups = list(alike.values())
        self._stacks = [_Stack(tuple(recording.outputs[number] for number in group), values) for group in self.groups]
        shared = dict.fromkeys(operation for stack in self._stacks for operation in stack.shared)
        self._position = {operation: position for position, operation in enumerate(shared)}
        self._shared = Recording(recording.operations, tuple(shared)).pruned().module()

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        """The stacks."""
        shared = self._shared(*inputs)
        return [stack(*(shared[self._position[operation]] for operation in stack.shared)) for stack in self._stacks]


class _Stack:
    """Outputs that are alike, as a function of what they have in common: the results of ``shared``."""

    def __init__(self, outputs: Row, values: Mapping[Operation, int]) -> None:
        self._count = len(outputs)
        rows = _leading_to(outputs, values)
        common = [row for row, is_common in rows.items() if is_common]
        computed = [row for row, is_common in rows.items() if not is_common and row[0].target is not None]
        apart = [row for row, is_common in rows.items() if not is_common and row[0].target is None]
        entries = [row for row in computed if len({_index(operation) for operation in row}) > 1]
        self.shared = [row[0] for row in common]
        self._constants = [torch.stack([operation.value for operation in row]) for row in apart]
        self._constants += [torch.tensor([_index(operation) for operation in row]) for row in entries]
        graph = Graph()
        nodes = {row: graph.placeholder(f"input_{number}") for number, row in enumerate([*common, *apart])}
        indices = {row: graph.placeholder(f"index_{number}") for number, row in enumerate(entries)}
        for row in computed:
            inputs = [nodes[used] for used in _inputs(row)]
            if row in indices:
                nodes[row] = graph.call_function(_entry, (inputs[0], row[0].args[1], indices[row]))
            else:
                nodes[row] = row[0].copied(graph, inputs)
        graph.output(nodes[outputs])
        self._function: Callable[..., Tensor] = GraphModule({}, graph)
        if self._constants:
            axes = (None,) * len(common) + (0,) * len(self._constants)
            self._function = torch.func.vmap(self._function, in_dims=axes)

    def __call__(self, *shared: Tensor) -> Tensor:
        stack = self._function(*shared, *self._constants)
        return stack if self._constants else stack.expand(self._count, *stack.shape)


def _leading_to(outputs: Row, values: Mapping[Operation, int]) -> dict[Row, bool]:
    """The rows that lead to the outputs, inputs first, and whether each has one value; none below one that has."""
    done, pending = dict[Row, bool](), [outputs]
    while pending:
        row = pending[-1]
        is_common = len({values[operation] for operation in row}) == 1
        missing = [] if is_common else [used for used in _inputs(row) if used not in done]
        pending += missing
        if not missing:
            done[pending.pop()] = is_common
    return done


def _inputs(row: Row) -> list[Row]:
    return list(zip(*(operation.inputs for operation in row), strict=True))


def _numbered(recording: Recording, describe: Callable[[Operation, tuple[Any, ...]], Hashable]) -> dict[Operation, int]:
    """A number for each operation, the same for those with the same description, which has numbers for arguments."""
    numbers, known = dict[Operation, int](), dict[Hashable, int]()
    for operation in recording.operations:
        is_input = operation.target is None and operation.value is None
        arguments = mapped((operation.args, operation.kwargs), Operation, lambda used: f"#{numbers[used]}")
        key = operation if is_input else describe(operation, arguments)
        numbers[operation] = known.setdefault(key, len(known))
    return numbers


def _value(operation: Operation, arguments: tuple[Any, ...]) -> Hashable:
    """What it gives."""
    if operation.target is not None:
        return operation.target, repr(arguments)
    constant: Tensor = operation.value
    if constant.numel() > LARGE:
        return operation
    return constant.dtype, constant.shape, constant.numpy().tobytes()


def _form(operation: Operation, arguments: tuple[Any, ...]) -> Hashable:
    """What it computes, whatever the numbers of constants, and whichever entry of a tensor."""
    if operation.target is None:
        # A mask says how many entries there are.
        is_mask = operation.value.dtype is torch.bool
        return _value(operation, arguments) if is_mask else (operation.value.dtype, operation.value.shape)
    if operation.target is SELECT:
        arguments = arguments[0][:2]
    return operation.target, repr(arguments)


def _index(operation: Operation) -> int | None:
    """Which entry it selects; None if it selects none."""
    return operation.args[2] if operation.target is SELECT else None


def _entry(values: Tensor, axis: int, index: Tensor) -> Tensor:
    return values.index_select(axis, index.reshape(1)).squeeze(axis)
