"""Labels of hidden sites: their names, and whether a question may rely on what they mean."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import pyro.distributions as dist
from torch import Tensor

from estimators.data.levels import Levels, in_words, is_in_order
from estimators.data.values import numbers
from estimators.status import warn_user

# Probabilities sum to 1 but for this.
ROUNDING = 1e-6


class Doubt(NamedTuple):
    """Why the labels of some hidden sites may not be relied on; which these are is a function, as in `Labels`."""

    words: str
    sites: Callable[[], Collection[str]]


@dataclass(eq=False)
class Labels:
    """The labels of a fit: ``names`` of 0 to K - 1 (or none), and why they may not be relied on, if so.

    ``levels`` are the names of the levels of observed variables. Which sites the labels number is a function: to say it
    a program has to be run. Of a site the first doubt is said.
    """

    names: Sequence[str]
    sites: Callable[[], Collection[str]]
    levels: Levels
    doubts: tuple[Doubt, ...] = ()
    # Each warning is given once.
    _said: set[str] = field(default_factory=set, init=False, repr=False)

    @property
    def by_variable(self) -> dict[str, Sequence[str]]:
        """The names of the levels, or labels, of every variable that has any."""
        return {**self.levels, **(dict.fromkeys(self.sites(), self.names) if self.names else {})}

    def numbered(self, call: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The same question with labels and levels by number where they are given by name.

        Raises ValueError for an unknown name.
        """
        names = self.by_variable
        return {
            name: numbers_of(f"{call}: {name}", self._noun(name), value, names[name]) if name in names else value
            for name, value in asked.items()
        }

    def need_mean(self, name: str, call: str, way_out: str) -> None:
        """Raise a ValueError for a variable of more than two named levels in no declared order, which has no mean."""
        levels = self.levels.get(name, ())
        if len(levels) > 2 and not is_in_order(levels):
            raise ValueError(
                f"{call}: {name} has levels in no order, {in_words(levels)}, so a mean would be one of their numbers, "
                f"0 to {len(levels) - 1}; {way_out}, or give it an order, pandas.Categorical({name}, [...], "
                "ordered=True), for the mean of its ranks"
            )

    def _noun(self, name: str) -> str:
        return "label" if self.names and name in self.sites() else "level"

    def warn_of(self, asked: Collection[str]) -> None:
        """Warn, once for each doubt, where a question is about a hidden site whose labels are in doubt."""
        for name in asked if self.doubts else ():
            words = next((doubt.words for doubt in self.doubts if name in doubt.sites()), None)
            if words is not None and words not in self._said:
                self._said.add(words)
                warn_user(f"{name}: {words}")


def names_of(order: Mapping[Any, Any], num_labels: int) -> tuple[str, ...]:
    """The names of labels 0 to K - 1 from ``{"low": 0, "high": 1}``, or an error that says what was expected.

    >>> names_of({"high": 1, "low": 0}, 2)
    ('low', 'high')
    """
    example = "{" + ", ".join(f'"name {k}": {k}' for k in range(num_labels)) + "}"
    numbers = list(order.values())
    if not all(isinstance(name, str) and name for name in order):
        raise TypeError(f"relabel: expected names of labels such as {example}, got {dict(order)!r}")
    if any(isinstance(k, bool | np.bool_) or not isinstance(k, Integral) for k in numbers):
        raise TypeError(f"relabel: expected a label for each name, {example}, got {dict(order)!r}")
    if sorted(numbers) != list(range(num_labels)):
        raise ValueError(f"relabel: expected a name for every label, each once, {example}, got {dict(order)!r}")
    return tuple(sorted(order, key=order.__getitem__))


def numbers_of(what: str, noun: str, value: Any, names: Sequence[str]) -> Any:
    """A label or a level, or a list of them, by number where it is given by name; anything else as it is.

    A mapping of names to probabilities is the distribution of a stochastic setting. Raises ValueError for a name that
    is none of the names.
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, Mapping):
        return _law_of(what, noun, value, names)
    labels = np.asarray(value, dtype=object)
    if labels.ndim > 1 or not any(isinstance(label, str) for label in labels.flat):
        return value
    _need_known(what, noun, (label for label in labels.flat if isinstance(label, str)), names)
    known = [names.index(label) if isinstance(label, str) else label for label in labels.flat]
    return known if labels.ndim else known[0]


def _law_of(what: str, noun: str, shares: Mapping[Any, Any], names: Sequence[str]) -> Any:
    """The distribution of a label or level whose probabilities are given by name; what is not named has none."""
    _need_known(what, noun, shares, names)
    probabilities = numbers(what, [shares.get(name, 0.0) for name in names])
    if not bool((probabilities >= 0).all()) or abs(float(probabilities.sum()) - 1.0) > ROUNDING:
        raise ValueError(f"{what} expects probabilities that sum to 1, got {dict(shares)}")
    return dist.Categorical(probabilities)


def _need_known(what: str, noun: str, asked: Iterable[Any], names: Sequence[str]) -> None:
    unknown = next((name for name in asked if name not in names), None)
    if unknown is not None:
        raise ValueError(f"{what} has no {noun} {unknown!r}; it has {list(names)}, or 0 to {len(names) - 1}")


def entry_names(greek: str, shape: Sequence[int], names: Mapping[int, Sequence[str]]) -> list[str]:
    """The names of a Greek's entries; ``names`` are those along its axes, where they have any.

    >>> entry_names("p_T", (2, 1), {0: ("low", "high")})
    ['p_T[low, 0]', 'p_T[high, 0]']
    """

    def entry(index: tuple[int, ...]) -> str:
        positions = [names[axis][k] if axis in names else str(k) for axis, k in enumerate(index)]
        return f"{greek}[{', '.join(positions)}]" if positions else greek

    return [entry(index) for index in np.ndindex(*shape)]
