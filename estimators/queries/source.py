"""What an estimate is of: the quantity at any Greeks, and the modes of the density that they were estimated by.

Quantities are partial calls of functions of this module, of all but the draws, so that questions can be pickled.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from estimators.contract import Answer, Density, Draws, Predictive
from estimators.data.data import Data
from estimators.modes.profile import Maxima
from estimators.optimise.arrays import Array

# What is asked at draws [S, *shape] of the Greeks, and its values [S, ...] there.
Asked = Callable[[Draws], Predictive]
Values = Callable[[Draws], Answer]


class RivalGreeks(NamedTuple):
    """The Greeks [R, *shape] of other modes that count, or None.

    ``are_open`` says at which of them the rows leave some Greeks open, ``is_open`` whether they do at the fit's own.
    """

    greeks: Draws | None
    are_open: tuple[bool, ...] = ()
    is_open: bool = False


@dataclass(frozen=True, eq=False)
class Origin:
    """A fit as its answers remember it: its density's modes, which are found where they are needed."""

    density: Callable[[], Density]
    maxima: Callable[[Density], Maxima]
    rivals: Callable[[], RivalGreeks]
    # Earlier rows of a unit as `Data`, with levels numbered as in the fit.
    rows: Callable[[Any], Data]
    # Which mode each draw [S] is of; None where all are of one, or it is not known.
    mode_of_draw: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Source:
    """The quantity [S, ...] as a function of draws of the Greeks, and the fit that it was asked of."""

    values: Values
    origin: Origin


def seeing(asked: Asked, seen: Mapping[str, Any], draws: Draws) -> Predictive:
    """What was asked, where something is also seen."""
    return asked(draws).given(seen)


class Once:
    """A quantity that several others are parts of: computed once for all of them, while draws are the same object."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self._last: tuple[Draws, Answer] | None = None

    def __call__(self, draws: Draws) -> Answer:
        """The quantity at draws of the Greeks."""
        if self._last is None or self._last[0] is not draws:
            self._last = draws, self._values(draws)
        return self._last[1]

    def __reduce__(self) -> tuple[Any, ...]:
        return Once, (self._values,)


def row_of(values: Values, row: int, draws: Draws) -> Answer:
    """One row of a quantity [S, rows, ...] that is exact."""
    return Answer(values(draws).values[:, row])


def at_coordinates(values: Values, density: Density, is_simulated: bool, coordinates: Array) -> Array:
    """A quantity [S] at coordinates [S, D]; what is simulated one by one, each with the same random numbers."""
    blocks = [coordinates[i : i + 1] for i in range(len(coordinates))] if is_simulated else [coordinates]
    return torch.cat([values(density.draws(block)).values for block in blocks]).numpy()


def function_of(function: Callable[..., Tensor], quantities: Sequence[Values], draws: Draws) -> Answer:
    """A function of several quantities of one fit."""
    return Answer(function(*aligned([quantity(draws).values for quantity in quantities])))


def aligned(values: Sequence[Tensor]) -> list[Tensor]:
    """Values [S, ...] in one shape: one for all rows meets those of each row, [S, rows, ...]."""
    axes = max(value.ndim for value in values)
    same = [value.reshape(len(value), *[1] * (axes - value.ndim), *value.shape[1:]) for value in values]
    return list(torch.broadcast_tensors(*same))


def probability_of(asked: Asked, name: str, value: float, draws: Draws) -> Answer:
    """P(name = value) at draws of the Greeks."""
    return predicted_probability(asked(draws), name, value)


def predicted_probability(predictive: Predictive, name: str, value: float) -> Answer:
    """P(name = value) of a predictive: 0 or 1 of what is set to a value, or seen."""
    known = {**predictive.settings, **predictive.seen}.get(name)
    if not isinstance(known, Tensor):
        return predictive.probability(name, value)
    is_it = (known == value).double()
    return Answer(is_it.expand(predictive.num_draws, *is_it.shape))


def mean_of(asked: Asked, name: str, draws: Draws) -> Answer:
    """E[name] at draws of the Greeks."""
    return predicted_mean(asked(draws), name)


def predicted_mean(predictive: Predictive, name: str) -> Answer:
    """E[name] of a predictive, which is what it was set to or seen as if it was."""
    known = {**predictive.settings, **predictive.seen}.get(name)
    if not isinstance(known, Tensor):
        return predictive.mean(name)
    value, width = known.double(), predictive.variables[name].num_columns
    if width is not None and value.ndim == (name in predictive.rows):
        # A vector may be set to one number, which all its entries then are.
        value = value[..., None].expand(*value.shape, width)
    return Answer(value.expand(predictive.num_draws, *value.shape))
