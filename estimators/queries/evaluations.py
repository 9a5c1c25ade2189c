"""A distribution function that is dear to evaluate, as the search for its quantiles asks it."""

from collections.abc import Callable

from estimators.contract import Answer


class Evaluations:
    """A CDF at one point after another, each of them once."""

    def __init__(self, cdf: Callable[[float], Answer]) -> None:
        self._cdf, self._known = cdf, dict[float, Answer]()

    def __call__(self, point: float) -> float:
        """P(value <= point)."""
        return float(self._at(point).values)

    def error(self, point: float) -> float | None:
        """The standard error of that, None where it is exact."""
        error = self._at(point).error
        return None if error is None else float(error)

    def bracket(self, level: float) -> tuple[float, float] | None:
        """The closest points about a quantile so far."""
        below = [point for point, found in self._known.items() if found.values < level]
        above = [point for point, found in self._known.items() if found.values >= level]
        return (max(below), min(above)) if below and above else None

    def _at(self, point: float) -> Answer:
        if point not in self._known:
            self._known[point] = self._cdf(point)
        return self._known[point]
