"""A function of tensors run once and its operations written down, so that they can be done without the function.

Operations are seen below autograd, where a gradient is operations like any other. A function that takes a number out of
a tensor (Python control flow on the value of a Greek, an array of NumPy's) is another function at other inputs, and is
not recorded; nor is one whose tensors have another shape there.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

Function = Callable[..., tuple[Tensor, ...]]
# Ways out of a tensor that are no operations, some of them into another.
_OUT = ("tolist", "numpy", "__array__", "data_ptr", "untyped_storage", "storage", "__deepcopy__")
_LEAVING = frozenset((*_OUT, "tensor", "new_tensor", "new"))
# These are another way out of the tensors in a list alone.
_LEAVING_LISTS = frozenset(("as_tensor", "asarray"))
_DETACHING = (torch.detach, torch.detach_, torch.Tensor.detach, torch.Tensor.detach_)
# How far two ways to the same numbers may differ.
ROUNDING = 1e-9
_NEW_SHAPES = frozenset((torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output))


# Writes whose result is of the type of what they write to without a write too.
_KEEPING_TYPE = frozenset(("scatter_", "scatter_add_", "index_put_", "index_add_", "masked_fill_"))


class NotRecordedError(Exception):
    """The function is another at other inputs, or may be."""


@dataclass(eq=False, slots=True)
class Operation:
    """An operation on the results of others, which stand in place of tensors among its arguments.

    An input has neither ``target`` nor ``value``; a constant has a ``value`` alone. ``size`` is how many numbers the
    result has, if it is a tensor.
    """

    target: Any = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] | None = None
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
        args, kwargs = mapped((self.args, self.kwargs or {}), Operation, lambda _: next(nodes))
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
                args, kwargs = mapped((operation.args, operation.kwargs or {}), Operation, folded.__getitem__)
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
                arguments = operation.args, operation.kwargs or {}
                args, kwargs = mapped(arguments, Operation, results.__getitem__)
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


def recorded(function: Function, examples: Sequence[Tensor]) -> Recording:
    """The operations of a function of tensors to a tuple of tensors, as it does them at the examples.

    Raises NotRecordedError, where they are not what the function does at other inputs too, and what the function
    raises.
    """
    recording = recorded_once(function, examples)
    others, generator = elsewhere(examples), torch.get_rng_state()
    expected = function(*others)
    torch.set_rng_state(generator)
    with torch.no_grad():
        check_same(recording.at(*others), expected)
    return recording


def recorded_once(function: Function, examples: Sequence[Tensor]) -> Recording:
    """The operations at the examples, for which nobody has checked that they are the function's elsewhere."""
    recorder = _Recorder()
    inputs = [recorder.input(example.detach().clone()) for example in examples]
    with _Staying(recorder), recorder:
        outputs = function(*inputs)
    return recorder.finished(outputs)


def elsewhere(examples: Sequence[Tensor]) -> list[Tensor]:
    """Other inputs: numbers a little nearer to 0, which are in every support that is a simplex, a cone or a ball."""
    return [
        example.detach() * (0.9 - 0.01 * position) if example.is_floating_point() else example
        for position, example in enumerate(examples)
    ]


def check_same(outputs: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    """Raise NotRecordedError where outputs differ: a number left a tensor unseen, and was taken for a constant."""
    for output, other in zip(outputs, expected, strict=True):
        if output.shape != other.shape or not torch.allclose(output, other, ROUNDING, ROUNDING, equal_nan=True):
            raise NotRecordedError("the function does other operations at other inputs")


class _Recorder(TorchDispatchMode):
    """Writes every operation down. Numbers may be taken out of tensors that are the same at all inputs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._operations: list[Operation] = []
        self._results = WeakTensorKeyDictionary()
        # The memory that varies because something that does was written to it, which shows in every view of it.
        # It is held on to, so that no other tensor gets it.
        self._written = dict[int, Any]()

    def input(self, value: Tensor) -> Tensor:
        """An input of the function."""
        self._keep(value, Operation(varies=True))
        return value

    def varies(self, value: Tensor) -> bool:
        """Whether a tensor is, or may be, another one at other inputs or at another call."""
        operation = self._results.get(value)
        return (operation is not None and operation.varies) or (value.numel() > 0 and _memory(value) in self._written)

    def hide(self, value: Tensor) -> None:
        """Say of a result that it was detached."""
        if (operation := self._results.get(value)) is not None:
            operation.is_hidden = True

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Do an operation, and write it down."""
        inputs: list[Operation] = []
        if func is torch.ops.aten.select.int:
            args = (args[0], args[1], args[2] % args[0].shape[args[1]])

        def used(value: Tensor) -> Operation:
            inputs.append(self._operation_of(value))
            return inputs[-1]

        arguments, named = mapped((tuple(args), kwargs or {}), Tensor, used)
        varies = torch.Tag.nondeterministic_seeded in func.tags or any(operation.varies for operation in inputs)
        varies = varies or (bool(self._written) and any(map(self.varies, _tensors(args))))
        if varies and self._is_another_elsewhere(func, args):
            raise NotRecordedError(f"{func} of what varies")
        if (is_mutable(func) and not (args and isinstance(args[0], Tensor))) or "out" in named:
            raise NotRecordedError(f"{func}, which writes to what is not its first argument")
        outputs = func(*args, **(kwargs or {}))
        is_hidden = not torch.is_grad_enabled()
        operation = Operation(func, arguments, named, tuple(inputs), None, varies, is_hidden)
        if varies and operation.is_mutable:
            self._written[_memory(args[0])] = args[0]
        self._keep(outputs, operation)
        return outputs

    def _is_another_elsewhere(self, func: Any, args: Sequence[Any]) -> bool:
        """Whether an operation on what varies gives a number, or a tensor whose shape depends on values."""
        if func is torch.ops.aten.index.Tensor:
            masks = [index for index in args[1] if index is not None and index.dtype in (torch.bool, torch.uint8)]
            return any(self.varies(mask) for mask in masks)
        return not _NEW_SHAPES.isdisjoint(func.tags)

    def _keep(self, outputs: Any, operation: Operation) -> None:
        self._operations.append(operation)
        if isinstance(outputs, Tensor):
            operation.size = outputs.numel()
            operation.value = None if operation.varies else outputs
            self._results[outputs] = operation
        elif isinstance(outputs, tuple | list):
            for position, output in enumerate(outputs):
                if isinstance(output, Tensor):
                    one = Operation(item, (operation, position), {}, (operation,), None, operation.varies)
                    self._keep(output, one)

    def _operation_of(self, value: Tensor) -> Operation:
        operation: Operation | None = self._results.get(value)
        if operation is None:
            if value.grad_fn is not None:
                raise NotRecordedError("a tensor that was computed unseen")
            operation = Operation()
            self._keep(value, operation)
            operation.value = value.detach()
        return operation

    def finished(self, outputs: Sequence[Tensor]) -> Recording:
        """What was recorded, ended by the outputs."""
        results = tuple(self._operation_of(output) for output in outputs)
        return Recording(tuple(self._operations), results)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Torch would import its compiler, which takes seconds, to keep it off this class.
        return False


class _Staying(TorchFunctionMode):
    """Refuses ways out of a tensor that varies which are no operations, and sees what is detached."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a torch function."""
        name = getattr(func, "__name__", "")
        is_leaving = name in _LEAVING or (name in _LEAVING_LISTS and not isinstance(args[0], Tensor))
        if is_leaving and any(map(self._recorder.varies, _tensors(args))):
            raise NotRecordedError(f"{func} of what varies")
        result = func(*args, **(kwargs or {}))
        if func in _DETACHING or getattr(func, "__self__", None) is torch.Tensor.data:
            self._recorder.hide(result)
        return result


def mapped(value: Any, kind: type, of: Callable[[Any], Any]) -> Any:
    """Arguments with those of a kind replaced, in order."""
    if isinstance(value, kind):
        return of(value)
    if isinstance(value, tuple | list):
        # Most lists are sizes.
        is_plain = all(type(one) is int for one in value)
        return value if is_plain else type(value)([mapped(one, kind, of) for one in value])
    return {name: mapped(one, kind, of) for name, one in value.items()} if isinstance(value, dict) else value


def _tensors(args: Sequence[Any]) -> list[Tensor]:
    found: list[Tensor] = []
    mapped(tuple(args), Tensor, found.append)
    return found


def _memory(value: Tensor) -> int:
    """What tells the memory of a tensor from that of another."""
    return value.untyped_storage().data_ptr()


def is_mutable(target: Any) -> bool:
    """Whether an operation writes to its first input."""
    schema = getattr(target, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


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
