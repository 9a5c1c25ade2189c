"""One cell of a study: simulate a replicate, fit one estimator to it, measure the fit, and return rows."""

import hashlib
import math
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from estimators import Fit, own_modes
from validation.scenarios import Draw, Scenario, Seeds
from validation.study.contenders import LAPLACE_DRAWS, Contender, exact_reference
from validation.study.measure import Measures, Target, measure, target_of
from validation.study.row import CONVERGED, ERROR, Row
from validation.study.worker import one_thread

T = TypeVar("T")
# Pyro's handlers and the list of warnings belong to a whole process, so threads of one executor take turns.
_TURN = threading.Lock()


@dataclass(frozen=True)
class Cell:
    """What one worker is asked to do; picklable, and complete in itself."""

    scenario: Scenario
    contender: Contender
    study_seed: int
    replicate: int
    keep_curves: bool

    @property
    def keys(self) -> tuple[tuple[str, str, int], ...]:
        """Scenario, estimator and replicate of each of its rows."""
        return tuple((self.scenario.name, name, self.replicate) for name in self.contender.rows)

    @property
    def seeds(self) -> Seeds:
        """The replicate's seeds: a function of (study seed, scenario name, replicate), whoever runs it and when."""
        digest = hashlib.sha256(self.scenario.name.encode()).digest()
        root = np.random.SeedSequence((self.study_seed, int.from_bytes(digest[:8], "big"), self.replicate))
        return Seeds(*(int(child.generate_state(1)[0]) for child in root.spawn(len(Seeds._fields))))


@dataclass(frozen=True)
class Attempt(Generic[T]):
    """What came of an action: its value or the exception in words, the warnings it gave, the seconds it took."""

    value: T | None
    error: str
    warnings: tuple[str, ...]
    seconds: float


def attempt(action: Callable[[], T]) -> Attempt[T]:
    """Run an action; every exception but a request to stop becomes text, a panic of a compiled library included."""
    start = time.perf_counter()
    value, error = None, ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = action()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as problem:
            error = f"{type(problem).__name__}: {problem}"
    messages = tuple(dict.fromkeys(f"{w.category.__name__}: {w.message}" for w in caught))
    return Attempt(value, error, messages, time.perf_counter() - start)


@own_modes()
def run_cell(cell: Cell) -> tuple[Row, ...]:
    """Return one row per name of the contender: the fit's and, for a point estimate, its Laplace approximation's."""
    with _TURN, one_thread():
        drawn = attempt(lambda: cell.scenario.source.draw(cell.scenario, cell.seeds))
        if drawn.value is None:
            return failed_rows(cell, f"simulating the data: {drawn.error}")
        replicate = drawn.value
        prepared = attempt(lambda: _target(cell, replicate))
        fitted = attempt(lambda: cell.contender.estimator.fit(cell.scenario.model, replicate.data, seed=cell.seeds.fit))
        attempts = [fitted, *([with_laplace(fitted, cell.seeds.fit)] if cell.contender.laplace else [])]
        names = zip(cell.contender.rows, attempts, strict=True)
        return tuple(_row(cell, name, each, replicate, prepared) for name, each in names)


def failed_rows(cell: Cell, reason: str) -> tuple[Row, ...]:
    """Return the rows of a cell that gave no fit at all."""
    head = cell.replicate, cell.seeds.fit
    return tuple(Row(cell.scenario.name, name, *head, ERROR, reason) for name in cell.contender.rows)


def with_laplace(fitted: Attempt[Fit], seed: int) -> Attempt[Fit]:
    """Return the Laplace approximation of a point fit, or why there is none."""
    point = fitted.value
    if point is None:
        return fitted
    spread = attempt(lambda: point.laplace(num_draws=LAPLACE_DRAWS, seed=seed))
    return Attempt(spread.value, spread.error, spread.warnings, fitted.seconds + spread.seconds)


def _target(cell: Cell, drawn: Draw) -> Target:
    reference = None
    if cell.scenario.exact:
        reference = exact_reference().fit(cell.scenario.model, drawn.data, seed=cell.seeds.reference)
    target = target_of(cell.scenario, drawn, reference, cell.seeds)
    if undefined := [name for name, value in target.quantities.items() if math.isnan(value)]:
        raise ValueError(f"the true {undefined[0]} is not a number")
    return target


def _row(cell: Cell, name: str, fitted: Attempt[Fit], drawn: Draw, prepared: Attempt[Target]) -> Row:
    head = (cell.scenario.name, name, cell.replicate, cell.seeds.fit)
    target, fit = prepared.value, fitted.value
    if fit is None or target is None:
        truth = {} if target is None else target.quantities
        reason = fitted.error or f"preparing the truth: {prepared.error}"
        return Row(*head, ERROR, reason, fitted.seconds, fitted.warnings, truth)
    measured = attempt(
        lambda: _defined(measure(cell.scenario, fit, target, drawn.data, cell.seeds, keep_curves=cell.keep_curves))
    )
    if measured.value is None:
        reason = f"measuring the fit: {measured.error}"
        return Row(*head, ERROR, reason, fitted.seconds, fitted.warnings, target.quantities)
    status = fit.status.name
    reason = "" if status == CONVERGED else f"{fit.status.value} {fit.stats.get('at_edge', '')}".rstrip()
    return Row(*head, status, reason, fitted.seconds, fitted.warnings, target.quantities, **vars(measured.value))


def _defined(measures: Measures) -> Measures:
    """Return measures without diagnostics that are undefined; raises ValueError where an estimate or interval is."""
    for name, value in measures.estimate.items():
        spread = measures.intervals.get(name)
        if any(math.isnan(each) for each in (value, *(astuple(spread) if spread else ()))):
            raise ValueError(f"the estimate or the interval of {name} is not a number")
    known = {name: value for name, value in measures.diagnostics.items() if not math.isnan(value)}
    return replace(measures, diagnostics=known)
