"""The factors of a program without running it: its arithmetic, that of sites that are alike as one computation."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from estimators.isolation import program_mode, single_thread
from estimators.programs.captured import is_repeatable
from estimators.programs.elimination import Stack
from estimators.programs.factors import Factors
from estimators.programs.recorded import NotRecordedError, recorded
from estimators.programs.repeated import Repeated

OfTensors = Callable[..., Factors]


def replayed(factors: OfTensors, examples: Sequence[Tensor]) -> OfTensors:
    """A function of tensors to factors, differentiable, as its arithmetic alone; the function itself where it is more.

    Its factors are in stacks of those that are computed alike.
    """
    try:
        with single_thread(), program_mode(), torch.enable_grad():
            return _Replay(factors, examples)
    except Exception:
        # What is wrong with a program shows where it is run.
        return factors


class _Replay:
    def __init__(self, factors: OfTensors, examples: Sequence[Tensor]) -> None:
        runs: list[Factors] = []

        def flat(*inputs: Tensor) -> tuple[Tensor, ...]:
            runs[:] = [factors(*inputs)]
            return runs[0].log_prior, runs[0].log_global, *(stack.log_factors[0] for stack in runs[0].rows)

        recording = recorded(flat, examples).folded()
        if any(operation.is_hidden or not is_repeatable(operation.target) for operation in recording.operations):
            raise NotRecordedError("a program that writes to tensors, draws random numbers, or has other derivatives")
        (run,) = runs
        labels = run.labels
        self._repeated = Repeated(recording, ["prior", "global", *(label.kind for label in run.labels)])
        self._labels = [tuple(labels[number - 2] for number in group) for group in self._repeated.groups[2:]]
        self._rows_symbol, self._num_rows = run.rows_symbol, run.num_rows
        self(*examples)

    def __call__(self, *inputs: Tensor) -> Factors:
        (log_prior,), (log_global,), *stacks = self._repeated(*inputs)
        rows = tuple(Stack(stack, labels) for stack, labels in zip(stacks, self._labels, strict=True))
        return Factors(log_prior, log_global, rows, self._rows_symbol, self._num_rows, {})
