"""Numbers of a predictive distribution that say how exact they are."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from estimators.data.words import in_few_digits
from estimators.status import EstimationError


class AtRivals(NamedTuple):
    """What an answer is at other modes, [R, ...], and at which of them it may be one of many, as Greeks are open.

    ``is_open`` is whether they are at the mode that was asked.
    """

    values: Tensor
    are_open: tuple[bool, ...] = ()
    is_open: bool = False


OfRivals = Callable[[], AtRivals]


class HasRivals(Protocol):
    """An answer that may be another at other modes."""

    @property
    def at_rivals(self) -> AtRivals:
        """What it is there."""


def rivals_in_words(answer: HasRivals) -> str:
    """What an answer is at other modes, "" where there is none; there it may have no answer, and to print raises none.

    >>> rivals_in_words(Prediction.of(torch.tensor([0.5]), None, lambda: AtRivals(torch.tensor([[0.25]]))))
    '; rivals [[0.25]]'
    >>> rivals = AtRivals(torch.tensor([0.25, 9.0]), (False, True))
    >>> rivals_in_words(Prediction.of(torch.tensor(0.5), None, lambda: rivals))
    '; rivals [0.25, 9]; Greeks are open at rival 2, and the answer may be one of many'
    """
    try:
        rivals, are_open, is_open = answer.at_rivals
    except (ValueError, NotImplementedError, EstimationError) as error:
        return f"; of rivals it is not known: {error}"
    numbers = [str(number) for number, is_there in enumerate(are_open, 1) if is_there]
    which = f"rival{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}" if numbers else ""
    where = " and at ".join(place for place in ("this mode" if is_open else "", which) if place)
    of_open = f"; Greeks are open at {where}, and the answer may be one of many" if where else ""
    of_rivals = f"; rivals {in_few_digits(rivals)}" if len(rivals) else ""
    return of_rivals + of_open


class Prediction(Tensor):
    """A tensor of densities, probabilities or quantiles with ``error``: None where they are exact.

    Else the standard error of each number, in their shape; that of a log density is the error of the logarithm. What is
    computed from a prediction is a plain tensor, which states no error.

    >>> Prediction.of(torch.tensor([0.5]), torch.tensor([0.01])).error
    tensor([0.0100])
    """

    error: Tensor | None = None
    _of_rivals: OfRivals | None = None
    _rivals: AtRivals | None = None

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def of(
        values: Tensor, error: Tensor | None = None, of_rivals: Callable[[], AtRivals] | None = None
    ) -> "Prediction":
        """The values with their standard error, or None for exact values; ``of_rivals`` finds those of rivals."""
        prediction: Prediction = values.detach().as_subclass(Prediction)
        prediction.error, prediction._of_rivals = error, of_rivals
        return prediction

    @property
    def rivals(self) -> Tensor:
        """The same at the other modes that count, of a point fit that has any, as [R, ...]: rows may not decide."""
        return self.at_rivals.values

    @property
    def at_rivals(self) -> AtRivals:
        """The same, and which of these modes leave Greeks open."""
        if self._rivals is None:
            none = AtRivals(torch.zeros((0, *self.shape), dtype=self.dtype))
            self._rivals = none if self._of_rivals is None else self._of_rivals()
        return self._rivals

    def __repr__(self, **options: Any) -> str:  # type: ignore[override]
        values: str = Tensor.__repr__(self.as_subclass(Tensor), **options)  # type: ignore[no-untyped-call]
        return values + rivals_in_words(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Prediction":
        return Prediction.of(self.clone(), None if self.error is None else self.error.clone(), self._of_rivals)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return Prediction.of, (self.as_subclass(Tensor), self.error, partial(AtRivals, *self.at_rivals))
