"""A scalar whose gradients are computed by hand, as autograd sees it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from estimators.optimise.arrays import Array

Evaluate = Callable[..., tuple[Array, list[Array]]]


def differentiable(evaluate: Evaluate, arguments: list[Tensor]) -> Tensor:
    """Return the scalar that `evaluate` gives with its gradients, differentiable to first order."""
    result: Tensor = _FirstOrder.apply(evaluate, *arguments)  # type: ignore[no-untyped-call]
    return result


class _FirstOrder(torch.autograd.Function):
    """A scalar with known gradients: autograd continues through its arguments, and a second derivative is an error."""

    @staticmethod
    def forward(ctx: Any, evaluate: Evaluate, *arguments: Tensor) -> Tensor:
        value, slopes = evaluate(*arguments)
        ctx.save_for_backward(*(torch.from_numpy(np.asarray(slope)) for slope in slopes))
        return torch.as_tensor(value, dtype=torch.float64)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return (None, *(gradient * slope for slope in ctx.saved_tensors))
