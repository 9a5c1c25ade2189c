"""Operations on tensors, written down in their order: what a recording is made of."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node

# Writes whose result is of the type of what they write to without a write too.
_KEEPING_TYPE = frozenset(("scatter_", "scatter_add_", "index_put_", "index_add_", "masked_fill_"))


@dataclass(eq=False, slots=True)
class Operation:
    """An operation on the results of others, which stand in place of tensors among its arguments.

    An input has neither ``target`` nor ``value``; a constant has a ``value`` alone. ``size`` is how many numbers the
    result has, if it is a tensor.
    """

    target: Any = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple["Operation", ...] = ()
    # The result, where it is the same at all inputs and calls.
    value: Any = None
    varies: bool = False
    # Its derivative is hidden, or replaced: it was detached, or done without gradients, as in an autograd.Function.
    is_hidden: bool = False
    size: int | None = None

    @property
    def is_mutable(self) -> bool:
        """Whether it writes to its first input."""
        return is_mutable(self.target)

    def copied(self, graph: Graph, arguments: Iterable[Node]) -> Node:
        """A node that does the same to other arguments, which stand for `inputs` in order."""
        nodes = iter(arguments)
        args, kwargs = mapped((self.args, self.kwargs), Operation, lambda _: next(nodes))
        return graph.call_function(self.target, args, kwargs)


@dataclass(frozen=True, eq=False)
class Recording:
    """Operations in their order, which begin with the inputs."""

    operations: tuple[Operation, ...]
    outputs: tuple[Operation, ...]

    def pruned(self) -> "Recording":
        """The recording without what no output needs: without random numbers too, but with every write."""
        needed, pending = set[Operation](), [*self.outputs, *(o for o in self.operations if o.is_mutable)]
        while pending:
            operation = pending.pop()
            if operation not in needed:
                needed.add(operation)
                pending += operation.inputs
        kept = (o for o in self.operations if o in needed or (o.target is None and o.value is None))
        return replace(self, operations=tuple(kept))

    def folded(self) -> "Recording":
        """The recording with what is the same at all inputs as constants, and without `detach`, of torch's own use.

        Where something that is the same at all inputs is written to, every operation is done at every call.
        """
        recording = self.pruned()
        recording._replace_writes()
        if any(_writes_fixed(operation) for operation in recording.operations):
            return recording
        folded: dict[Operation, Operation] = {}
        for operation in recording.operations:
            if operation.target is None:
                folded[operation] = operation
            elif not operation.varies and isinstance(operation.value, Tensor):
                value = operation.value.detach().contiguous().clone()
                folded[operation] = Operation(value=value, size=value.numel())
            elif operation.target is torch.ops.aten.detach.default and not operation.is_hidden:
                folded[operation] = folded[operation.inputs[0]]
            else:
                args, kwargs = mapped((operation.args, operation.kwargs), Operation, folded.__getitem__)
                inputs = tuple(folded[used] for used in operation.inputs)
                folded[operation] = replace(operation, args=args, kwargs=kwargs, inputs=inputs)
        operations = dict.fromkeys(folded.values())
        return Recording(tuple(operations), tuple(folded[output] for output in recording.outputs)).pruned()

    def _replace_writes(self) -> None:
        """Replace writes to a new tensor that nothing else reads by operations that give another, in place.

        They can be mapped over a batch; torch's own gradients have many.
        """
        uses = Counter(used for operation in self.operations for used in operation.inputs)
        uses.update(self.outputs)
        for operation in self.operations:
            if operation.is_mutable and uses[operation.inputs[0]] == 1 and _is_new(operation.inputs[0]):
                operation.target = _without_write(operation.target)

    def at(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """What the operations give."""
        results, left = dict[Operation, Any](), iter(inputs)
        for operation in self.operations:
            if operation.target is None:
                results[operation] = next(left) if operation.value is None else operation.value
            else:
                args, kwargs = mapped((operation.args, operation.kwargs), Operation, results.__getitem__)
                results[operation] = operation.target(*args, **kwargs)
        return tuple(results[output] for output in self.outputs)

    def module(self) -> GraphModule:
        """The operations as a function of the inputs."""
        graph, nodes, constants = Graph(), dict[Operation, Node](), dict[str, Tensor]()
        for operation in self.operations:
            if operation.target is not None:
                nodes[operation] = operation.copied(graph, (nodes[used] for used in operation.inputs))
            elif operation.value is None:
                nodes[operation] = graph.placeholder(f"input_{len(nodes)}")
            else:
                name = f"constant_{len(constants)}"
                constants[name] = operation.value
                nodes[operation] = graph.get_attr(name)
            nodes[operation].meta["size"] = operation.size
        graph.output(tuple(nodes[output] for output in self.outputs))
        return GraphModule(constants, graph)


def mapped(value: Any, kind: type, of: Callable[[Any], Any]) -> Any:
    """Arguments with those of a kind replaced, in order."""
    if isinstance(value, kind):
        return of(value)
    if isinstance(value, tuple | list):
        # Most lists are sizes.
        is_plain = all(type(one) is int for one in value)
        return value if is_plain else type(value)([mapped(one, kind, of) for one in value])
    return {name: mapped(one, kind, of) for name, one in value.items()} if isinstance(value, dict) else value


def is_mutable(target: Any) -> bool:
    """Whether an operation writes to its first input."""
    schema = getattr(target, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


def is_repeatable(target: Any) -> bool:
    """Whether an operation does the same at every call: it neither draws random numbers nor writes."""
    tags = getattr(target, "tags", ())
    return torch.Tag.nondeterministic_seeded not in tags and not is_mutable(target)


def item(values: Sequence[Any], position: int) -> Any:
    """One of the tensors of an operation that gives several."""
    return values[position]


def _is_new(operation: Operation) -> bool:
    """Whether the result shares its memory with no other tensor."""
    schema = getattr(operation.target, "_schema", None)
    return schema is not None and all(result.alias_info is None for result in schema.returns)


def _without_write(target: Any) -> Any:
    """The operation that gives what another writes; that itself where there is none."""
    name = target._schema.name.removeprefix("aten::")
    return getattr(getattr(torch.ops.aten, name[:-1]), target._overloadname) if name in _KEEPING_TYPE else target


def _writes_fixed(operation: Operation) -> bool:
    """Whether an operation writes to a tensor that does not come from the inputs."""
    if not operation.is_mutable:
        return False
    pending, seen = [operation.inputs[0]], set[Operation]()
    while pending:
        used = pending.pop()
        if used.target is None and used.varies:
            return False
        if used not in seen:
            seen.add(used)
            pending += used.inputs
    return True
