"""A function of tensors run once and its operations written down, so that they can be done without the function.

Operations are seen below autograd, where a gradient is operations like any other. A function that takes a number out of
a tensor (Python control flow on the value of a Greek, an array of NumPy's) is another function at other inputs, and is
not recorded; nor is one whose tensors have another shape there.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from estimators.programs.operations import Operation, Recording, is_mutable, item, mapped

Function = Callable[..., tuple[Tensor, ...]]
# Calls that take numbers out of tensors without an operation, or copy them into a tensor of their own.
_TAKING = frozenset(("tolist", "numpy", "__array__", "data_ptr", "untyped_storage", "storage", "__deepcopy__"))
_COPYING = frozenset(("tensor", "new_tensor", "new"))
# These copy the tensors of a list alone.
_COPYING_LISTS = frozenset(("as_tensor", "asarray"))
_DETACHING = (torch.detach, torch.detach_, torch.Tensor.detach, torch.Tensor.detach_)
# How far two ways to the same numbers may differ.
ROUNDING = 1e-9
_NEW_SHAPES = frozenset((torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output))


class NotRecordedError(Exception):
    """The function is another at other inputs, or may be."""


def recorded(function: Function, examples: Sequence[Tensor]) -> Recording:
    """The operations of a function of tensors to a tuple of tensors, as it does them at the examples.

    Raises NotRecordedError, where they are not what the function does at other inputs too, and what the function
    raises.
    """
    recording = recorded_once(function, examples)
    others, generator = other_inputs(examples), torch.get_rng_state()
    expected = function(*others)
    torch.set_rng_state(generator)
    with torch.no_grad():
        check_same(recording.at(*others), expected)
    return recording


def recorded_once(function: Function, examples: Sequence[Tensor]) -> Recording:
    """The operations at the examples, for which nobody has checked that they are the function's elsewhere."""
    recorder = _Recorder()
    inputs = [recorder.input(example.detach().clone()) for example in examples]
    with _Unseen(recorder), recorder:
        outputs = function(*inputs)
    return recorder.finished(outputs)


def other_inputs(examples: Sequence[Tensor]) -> list[Tensor]:
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
        self._written = dict[int, Tensor]()

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
        if varies and self._depends_on_values(func, args):
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

    def _depends_on_values(self, func: Any, args: Sequence[Any]) -> bool:
        """Whether an operation on what varies gives a number, or a tensor of another shape at other values."""
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


class _Unseen(TorchFunctionMode):
    """Refuses to take numbers out of a tensor that varies by what is no operation, and sees what is detached."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a torch function."""
        name = getattr(func, "__name__", "")
        is_unseen = name in _TAKING or name in _COPYING
        is_unseen = is_unseen or (name in _COPYING_LISTS and not isinstance(args[0], Tensor))
        if is_unseen and any(map(self._recorder.varies, _tensors(args))):
            raise NotRecordedError(f"{func} of what varies")
        result = func(*args, **(kwargs or {}))
        if func in _DETACHING or getattr(func, "__self__", None) is torch.Tensor.data:
            self._recorder.hide(result)
        return result


def _tensors(args: Sequence[Any]) -> list[Tensor]:
    found: list[Tensor] = []
    mapped(tuple(args), Tensor, found.append)
    return found


def _memory(value: Tensor) -> int:
    """What tells the memory of a tensor from that of another."""
    return value.untyped_storage().data_ptr()
