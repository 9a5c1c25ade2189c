"""Quantities that a law may determine, as functions of coordinates: questions to a fit, effects, and Greeks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from estimators.contract import Density, Predictive
from estimators.fits.kind import Kind
from estimators.fits.level_names import by_number, levels_of
from estimators.fits.summary import entries_of
from estimators.isolation import float64
from estimators.modes.region import Quantity
from estimators.optimise.arrays import Array
from estimators.queries.estimate import Estimate
from estimators.queries.source import at_coordinates
from estimators.status import Status

if TYPE_CHECKING:
    from estimators.fits.fit import Fit

# A question: what a fit answers, as an estimate or as numbers of its own Greeks.
Question = Callable[["Fit"], Any]
# Below this a number is 0 but for rounding.
ZERO = 1e-9


@dataclass(frozen=True, eq=False)
class Asked:
    """A quantity by its name, as a function of points [S, D], and the standard error of its simulation, if any."""

    name: str
    at: Quantity
    error: float = 0.0


def known_fit(fit: "Fit", density: Density, points: Array) -> "Fit":
    """A fit at one point [1, D], with labels as they are there."""
    said: dict[str, Any] = {"stats": {"labels": "as given"}, "info": {}, "findings": {}, "remarks": (), "found": None}
    draws = density.draws(points)
    return replace(fit, kind=Kind.KNOWN, draws=draws, num_chains=1, status=Status.CONVERGED, **said)


def questions_of(fit: "Fit", density: Density, query: Question | Mapping[str, Question]) -> list[Asked]:
    """The quantities of one question, or of several by name; each entry of a vector is one."""
    named = query if isinstance(query, Mapping) else {"the answer": query}
    if not named:
        raise ValueError("query: expected at least one question, got none; leave `query` out to ask about everything")
    for name, question in named.items():
        if not callable(question):
            raise TypeError(
                f"query: expected a function of a fit such as lambda fit: fit.do(T=1).mean('Y'), got {question!r}"
                + (f" for {name!r}" if isinstance(query, Mapping) else "")
            )
    return [asked for name, question in named.items() for asked in _asked(fit, density, name, question)]


def effects_of(fit: "Fit", density: Density, predictive: Predictive, points: Array) -> list[Asked]:
    """The effect of each observed variable on each that it acts on, as the values at some points show."""
    names = [name for name in predictive.variables if name not in predictive.hidden]
    outcomes = [name for name in names if predictive.variables[name].has_law]
    found, known, numbered = [], levels_of(fit), by_number(fit)
    for cause in (name for name in names if predictive.variables[name].num_columns is None):
        levels = predictive.levels(cause)
        first, *others = _two_values(fit, cause) if levels is None else levels.tolist()
        for value, outcome in product(others, (name for name in outcomes if name != cause)):
            pair = [known[cause][int(level)] if cause in known else f"{level:g}" for level in (value, first)]
            which = f" ({' against '.join(pair)})" if levels is None or len(others) > 1 or cause in known else ""
            question = partial(_contrast, outcome, cause, value, first)
            try:
                asked = _asked(numbered, density, f"effect of {cause} on {outcome}{which}", question)
                found += [one for one in asked if np.abs(one.at(points)).max() > ZERO]
            except (ValueError, NotImplementedError):
                # It has no finite mean, say.
                continue
    return found


def _two_values(fit: "Fit", cause: str) -> tuple[float, float]:
    """0 and 1, or 1 and 2 of a variable that cannot be 0."""
    try:
        fit.do(**{cause: 0.0})
    except ValueError:
        return 1.0, 2.0
    return 0.0, 1.0


def entries(fit: "Fit", density: Density) -> list[Asked]:
    """Every entry of the Greeks."""
    names = entries_of(fit)
    return [
        Asked(entry, partial(_entry, density, greek, number))
        for greek in density.names
        for number, entry in enumerate(names[greek])
    ]


def _contrast(outcome: str, cause: str, value: float, other: float, fit: "Fit") -> Estimate:
    return fit.contrast(outcome, do={cause: value}, versus={cause: other})


def _asked(fit: "Fit", density: Density, name: str, question: Question) -> list[Asked]:
    answer = question(fit)
    is_estimate = isinstance(answer, Estimate)
    error = float(answer.error.max()) if is_estimate and answer.error is not None else 0.0
    if is_estimate and answer.source is not None:
        whole = partial(at_coordinates, answer.source.values, density, answer.error is not None)
        size = answer.draws[0].numel()
    else:
        whole = partial(_one_by_one, fit, density, question)
        size = _numbers(answer).size
    if size == 1:
        return [Asked(name, partial(_column, whole, 0), error)]
    return [Asked(f"{name}[{number}]", partial(_column, whole, number), error) for number in range(size)]


def _one_by_one(fit: "Fit", density: Density, question: Question, points: Array) -> Array:
    return np.array([_numbers(question(known_fit(fit, density, point[None]))) for point in points])


def _numbers(answer: Any) -> Array:
    value = answer.draws[0] if isinstance(answer, Estimate) else answer
    try:
        return np.asarray(float64(value).numpy()).reshape(-1)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"query: expected an Estimate or numbers of a function of a fit, got {answer!r}") from None


def _column(whole: Callable[[Array], Array], number: int, points: Array) -> Array:
    return np.asarray(whole(points).reshape(len(points), -1)[:, number])


def _entry(density: Density, greek: str, number: int, points: Array) -> Array:
    return np.asarray(density.constrain(points)[greek].reshape(len(points), -1)[:, number])
