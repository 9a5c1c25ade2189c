"""A distribution function whose values are kept, since one of a program takes milliseconds."""

from collections.abc import Callable

from estimators.contract import Answer


class Evaluations:
    """A CDF that is evaluated once at a point, however many quantiles are searched for."""

    def __init__(self, cdf: Callable[[float], Answer]) -> None:
        self._cdf, self._answers = cdf, dict[float, Answer]()

    def __call__(self, point: float) -> float:
        """P(value <= point)."""
        return float(self._at(point).values)

    def error(self, point: float) -> float | None:
        """The standard error of that, None where it is exact."""
        error = self._at(point).error
        return None if error is None else float(error)

    def bracket(self, level: float) -> tuple[float, float] | None:
        """The closest evaluated points below and above a quantile; None where one of the two is missing."""
        below = [point for point, answer in self._answers.items() if answer.values < level]
        above = [point for point, answer in self._answers.items() if answer.values >= level]
        return (max(below), min(above)) if below and above else None

    def _at(self, point: float) -> Answer:
        if point not in self._answers:
            self._answers[point] = self._cdf(point)
        return self._answers[point]
