"""A log density that Python computes, as nutpie calls it: from a thread of its own, in which nothing may be raised."""

from math import isfinite

import numpy as np

from estimators.contract import Objective
from estimators.optimise.arrays import Array

# nutpie refuses a slope of exactly 0 while it adapts its step; this one in its place changes no sum or product.
SMALLEST_SLOPE = 1e-100


class NutpieCallback:
    """A log density for one chain from `start`, that can be told to stop.

    nutpie 0.16 answers an exception in a callback, and a value that is not finite where a chain had been before, with
    a Rust panic. So an exception is kept as ``error``; from then on, and after `stop`, every call gives the last good
    answer without computing anything, until the chain is aborted.
    """

    def __init__(self, objective: Objective, start: Array) -> None:
        self.error: BaseException | None = None
        self.is_refused: bool | None = None
        self._objective, self._start = objective, start
        self._is_warm, self._is_stopped = False, False
        self._last = float("nan"), np.full(objective.size, np.nan)

    def first_point(self, seed: int) -> Array:
        """Where the chain starts. Asked a second time, which means that nutpie has refused it, this ends the chain."""
        if self.is_refused is None:
            self.is_refused = False
            return self._start
        self.is_refused = True
        raise ValueError("there is one start")

    def log_density(self, coordinates: Array) -> tuple[float, Array]:
        """The log density and its gradient; -inf where they are not finite."""
        if self._is_stopped:
            return self._last
        try:
            value, gradient = self._objective.value_and_gradient(coordinates)
            if not (isfinite(value) and np.isfinite(gradient).all()):
                return float("-inf"), np.zeros(self._objective.size)
            if self._is_warm and not gradient.all():
                gradient = np.where(gradient == 0.0, SMALLEST_SLOPE, gradient)
            self._last = value, gradient
        except BaseException as error:
            self.error, self._is_stopped = error, True
        return self._last

    def expand(self, coordinates: Array) -> dict[str, Array]:
        """A draw, as nutpie stores it."""
        self._is_warm = True
        return {"coordinates": np.array(coordinates)}

    def stop(self) -> None:
        """Let the chain run idle."""
        self._is_stopped = True
