"""Tensor functions captured once as a graph of tensor operations, so that a Pyro program is not run at every step.

A run of a Pyro program costs milliseconds in message passing around microseconds of arithmetic. Recording it once keeps
the arithmetic alone, its gradient included; a graph can also be mapped over a batch of parameters. A program that
cannot be recorded (Python control flow on the value of a Greek) is run as it is.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from estimators.isolation import double_precision, program_mode, single_thread
from estimators.programs.operations import Operation, Recording
from estimators.programs.recorded import Function, recorded
from estimators.status import in_words

# Elements that one batched evaluation may hold in each of its intermediate tensors.
MAX_ELEMENTS = 2_000_000
# To capture a program takes as long as some ten runs of it.
RUNS = 4


class Graph:
    """``function`` of tensors to a tuple of tensors, captured at example inputs; see `is_captured`.

    ``row_size`` is the size of its largest intermediate tensor for one set of parameters, which bounds batches.
    ``few`` is the same function without what the other makes first: it is run for at most `RUNS` entries at a time, for
    which nothing is captured. How many there were before plays no part, so the same question has the same bits.
    """

    def __init__(
        self, function: Function, examples: Sequence[Tensor], row_size: int = 1, few: Function | None = None
    ) -> None:
        self._function, self._examples, self._row_size = function, tuple(examples), row_size
        self._few = few

    @cached_property
    def module(self) -> GraphModule | None:
        """The operations; None where they were not captured."""
        if self._few is not None:
            # What the function makes at its first call is no part of it.
            _run(self._function, self._examples)
        return _captured(self._function, self._examples)

    @property
    def is_captured(self) -> bool:
        """Whether calls run the captured operations; if not, they run the function."""
        return self.module is not None

    @property
    def chunk(self) -> int:
        """How many entries of a batch are evaluated at one time."""
        return max(MAX_ELEMENTS // max(self._row_size, 1), 1)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        if self._few is not None:
            return _run(self._few, inputs)
        if self.module is None:
            return _run(self._function, inputs)
        with single_thread(), double_precision(), torch.no_grad():
            return tuple(self.module(*inputs))

    def batched(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The function of every entry of the inputs' leading axis, stacked."""
        if (self._few is not None and len(inputs[0]) <= RUNS) or self.module is None:
            return _one_by_one(self, inputs)
        return of_entries(self.module, inputs, self.chunk)


def _run(function: Function, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    with in_words("PyroModel"), single_thread(), program_mode():
        return tuple(output.detach() for output in function(*inputs))


def of_entries(module: GraphModule, inputs: Sequence[Tensor], chunk: int) -> tuple[Tensor, ...]:
    """Captured operations on every entry of the inputs' leading axis, `chunk` of them at a time, stacked."""
    with single_thread(), double_precision(), torch.no_grad():
        try:
            mapped = torch.func.vmap(lambda *entry: tuple(module(*entry)), randomness="different")
            outputs = [mapped(*chunk_inputs) for chunk_inputs in zip(*(i.split(chunk) for i in inputs), strict=True)]
            return tuple(torch.cat(chunk_inputs) for chunk_inputs in zip(*outputs, strict=True))
        except (RuntimeError, NotImplementedError):
            # vmap has no rule for some operations.
            return _one_by_one(module, inputs)


def _one_by_one(function: Callable[..., Any], inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    outputs = [function(*entry) for entry in zip(*inputs, strict=True)]
    return tuple(torch.stack(values) for values in zip(*outputs, strict=True))


def sources(function: Function, examples: Sequence[Tensor]) -> list[frozenset[int]] | None:
    """The inputs, by number, that each output of a function is computed from; None where that is not certain.

    An output may be computed from an input and not vary with it. An input that is written into another tensor may show
    wherever that tensor does, and is not followed.
    """
    recording = _recorded(function, examples)
    if recording is None:
        return None
    reached: dict[Operation, frozenset[int]] = {}
    for operation in recording.operations:
        if operation.target is None and operation.varies:
            reached[operation] = frozenset([len(reached)])
            continue
        reached[operation] = frozenset().union(*(reached[used] for used in operation.inputs))
        if reached[operation] and operation.is_mutable:
            return None
    return [reached[output] for output in recording.outputs]


def _captured(function: Function, examples: Sequence[Tensor]) -> GraphModule | None:
    recording = _recorded(function, examples)
    return None if recording is None else recording.folded().module()


def _recorded(function: Function, examples: Sequence[Tensor]) -> Recording | None:
    try:
        with single_thread(), program_mode():
            return recorded(function, examples)
    except Exception:
        # A program that cannot be recorded is run as it is; what is wrong with it as a program is raised there.
        return None
