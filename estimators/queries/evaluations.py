"""A distribution function that is dear to evaluate, as the search for its quantiles asks it."""

from collections.abc import Callable

from estimators.queries.prediction import Prediction


class Evaluations:
    """A CDF at one point after another, each of them once."""

    def __init__(self, cdf: Callable[[float], Prediction]) -> None:
        self._cdf, self._known = cdf, dict[float, Prediction]()

    def __call__(self, point: float) -> Prediction:
        """P(value <= point)."""
        if point not in self._known:
            self._known[point] = self._cdf(point)
        return self._known[point]

    def bracket(self, level: float) -> tuple[float, float]:
        """The closest points about a quantile so far, or two to begin with."""
        below = [point for point, found in self._known.items() if found < level]
        above = [point for point, found in self._known.items() if found >= level]
        return (max(below), min(above)) if below and above else (-1.0, 1.0)
