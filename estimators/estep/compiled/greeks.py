"""Where the Greeks of a model stand among the numbers [3, size] that the compiled routine reads."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from estimators.optimise.arrays import Array
from estimators.parameters.parameter import Parameter
from estimators.parameters.transforms import LOGS

LOG_NAMES, REST_NAMES = LOGS


class Address(NamedTuple):
    """Where the number of class 0 and cell 0 stands, and the steps to the next class and to the next cell."""

    start: int
    by_class: int
    by_cell: int


class GreekPlaces:
    """The estimated Greeks first, in their order and flat, then known numbers, then those that a family makes."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self._parameters = parameters
        ends = np.cumsum([0, *(int(np.prod(parameter.shape)) for parameter in parameters)]).tolist()
        self.slices = {p.name: slice(a, b) for p, a, b in zip(parameters, ends, ends[1:], strict=False)}
        self.size = int(ends[-1])
        self._known = [np.zeros(self.size)]
        # The Greeks whose logs, and those whose log(1 - value) too, are what terms are made of.
        self.with_logs, self.with_rests = set[str](), set[str]()

    def add(self, numbers: Array) -> int:
        """Where known numbers will stand."""
        start = self.size
        self.size += numbers.size
        self._known.append(numbers.reshape(-1))
        return start

    def known(self) -> Array:
        """[3, size], the known numbers and their logs in their places."""
        values = np.concatenate(self._known)
        with np.errstate(all="ignore"):
            return np.stack([values, np.log(values), np.log1p(-values)])

    def filled(self, known: Array, greeks: Mapping[str, Array], num_sets: int) -> Array:
        """[S, 3, size] at Greeks [S, *shape], given by their values or by their logs."""
        numbers = np.empty((num_sets, *known.shape))
        numbers[:] = known
        with np.errstate(all="ignore"):
            for name, places in self.slices.items():
                by_logs, flat = LOG_NAMES.format(name), (num_sets, places.stop - places.start)
                if by_logs in greeks:
                    numbers[:, 1, places] = greeks[by_logs].reshape(flat)
                    if name in self.with_rests:
                        numbers[:, 2, places] = greeks[REST_NAMES.format(name)].reshape(flat)
                    continue
                numbers[:, 0, places] = values = greeks[name].reshape(flat)
                if name in self.with_logs:
                    numbers[:, 1, places] = np.log(values)
                if name in self.with_rests:
                    numbers[:, 2, places] = np.log1p(-values)
        return numbers
