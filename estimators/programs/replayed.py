"""The factors of a program without running it: its arithmetic, that of sites that are alike as one computation."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from estimators.isolation import program_mode, single_thread
from estimators.programs.elimination import Stack, unstacked
from estimators.programs.factors import Factors
from estimators.programs.operations import is_repeatable
from estimators.programs.recorded import NotRecordedError, check_same, other_inputs, recorded_once
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
    """The factors as a recording gives them, in stacks."""

    def __init__(self, factors: OfTensors, examples: Sequence[Tensor]) -> None:
        runs: list[Factors] = []

        def flat(*inputs: Tensor) -> tuple[Tensor, ...]:
            runs[:] = [factors(*inputs)]
            return runs[0].log_prior, runs[0].log_global, *(stack.log_factors[0] for stack in runs[0].rows)

        recording = recorded_once(flat, examples).folded()
        if any(operation.is_hidden or not is_repeatable(operation.target) for operation in recording.operations):
            raise NotRecordedError("a program that writes to tensors, draws random numbers, or has other derivatives")
        (run,) = runs
        labels = run.labels
        self._repeated = Repeated(recording, ["prior", "global", *(label.kind for label in labels)])
        self._labels = [tuple(labels[number - 2] for number in group) for group in self._repeated.groups[2:]]
        self._rows_symbol, self._num_rows = run.rows_symbol, run.num_rows
        self._check(factors, other_inputs(examples))

    def _check(self, factors: OfTensors, inputs: Sequence[Tensor]) -> None:
        """Raise NotRecordedError where the factors, or their derivatives, are not those of the function."""
        leaves = [value.requires_grad_() for value in inputs]
        run, replay = factors(*leaves), self(*leaves)
        by_label = dict(unstacked(run.rows))
        ours = [replay.log_prior, replay.log_global, *(factor for _, factor in unstacked(replay.rows))]
        expected = [run.log_prior, run.log_global, *(by_label[label] for label in replay.labels)]
        check_same(ours, expected)
        check_same(_slopes(ours, leaves), _slopes(expected, leaves))

    def __call__(self, *inputs: Tensor) -> Factors:
        (log_prior,), (log_global,), *stacks = self._repeated(*inputs)
        rows = tuple(Stack(stack, labels) for stack, labels in zip(stacks, self._labels, strict=True))
        return Factors(log_prior, log_global, rows, self._rows_symbol, self._num_rows, {})


def _slopes(values: Sequence[Tensor], leaves: Sequence[Tensor]) -> Sequence[Tensor]:
    """The derivatives of a sum in which every number has a weight of its own."""
    total = torch.zeros((), dtype=torch.float64)
    for position, value in enumerate(values):
        weights = torch.arange(value.numel(), dtype=torch.float64).add(position).cos().reshape(value.shape)
        total = total + (weights * value.masked_fill(value.isinf(), 0.0)).sum()
    if not total.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    return torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
