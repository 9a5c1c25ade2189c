"""Numbers of a predictive distribution that say how exact they are."""

from typing import Any

import torch
from torch import Tensor


class Prediction(Tensor):
    """A tensor of densities, probabilities or quantiles with ``error``: None where they are exact.

    Else the standard error of each number, in their shape; that of a log density is the error of the logarithm. What is
    computed from a prediction is a plain tensor, which states no error.

    >>> Prediction.of(torch.tensor([0.5]), torch.tensor([0.01])).error
    tensor([0.0100])
    """

    error: Tensor | None = None

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def of(values: Tensor, error: Tensor | None = None) -> "Prediction":
        """The values with their standard error, or None for exact values."""
        prediction: Prediction = values.detach().as_subclass(Prediction)
        prediction.error = error
        return prediction

    def __deepcopy__(self, memo: dict[int, Any]) -> "Prediction":
        return Prediction.of(self.clone(), None if self.error is None else self.error.clone())

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return Prediction.of, (self.as_subclass(Tensor), self.error)
