"""One cell of a study: simulate a replicate, fit one estimator to it, measure the fit, and return rows."""

import hashlib
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from estimators import Data, Fit
from validation.contenders import LAPLACE_DRAWS, Contender, exact_reference
from validation.measurement import Target, known_target, measure, reference_target
from validation.record import CONVERGED, ERROR, Row
from validation.scenarios import Scenario, Seeds

T = TypeVar("T")


@dataclass(frozen=True)
class Cell:
    """What one worker is asked to do; picklable, and complete in itself."""

    scenario: Scenario
    contender: Contender
    study_seed: int
    replicate: int
    keep_curves: bool

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


def run_cell(cell: Cell) -> tuple[Row, ...]:
    """Return one row per name of the contender: the fit's and, for a point estimate, its Laplace approximation's."""
    drawn = attempt(lambda: cell.scenario.source.draw(cell.scenario.model, cell.scenario.num_rows, cell.seeds))
    if drawn.value is None:
        return failed_rows(cell, f"simulating the data: {drawn.error}")
    truth, data = drawn.value
    prepared = attempt(lambda: _target(cell, truth, data))
    fitted = attempt(lambda: cell.contender.estimator.fit(cell.scenario.model, data, seed=cell.seeds.fit))
    attempts = [fitted, *([_laplace(fitted, cell.seeds.fit)] if cell.contender.laplace else [])]
    return tuple(_row(cell, name, each, prepared) for name, each in zip(cell.contender.rows, attempts, strict=True))


def failed_rows(cell: Cell, reason: str) -> tuple[Row, ...]:
    """Return the rows of a cell that gave no fit at all."""
    head = cell.replicate, cell.seeds.fit
    return tuple(Row(cell.scenario.name, name, *head, ERROR, reason) for name in cell.contender.rows)


def _laplace(fitted: Attempt[Fit], seed: int) -> Attempt[Fit]:
    point = fitted.value
    if point is None:
        return fitted
    spread = attempt(lambda: point.laplace(num_draws=LAPLACE_DRAWS, seed=seed))
    return Attempt(spread.value, spread.error, spread.warnings, fitted.seconds + spread.seconds)


def _target(cell: Cell, truth: Mapping[str, np.ndarray] | None, data: Data) -> Target:
    reference = None
    if cell.scenario.exact:
        reference = exact_reference().fit(cell.scenario.model, data, seed=cell.seeds.reference)
    if truth is not None:
        return known_target(cell.scenario, truth, reference)
    if reference is None:
        raise ValueError(f"scenario {cell.scenario.name}: neither a truth nor an exact posterior to compare with")
    return reference_target(cell.scenario, reference)


def _row(cell: Cell, name: str, fitted: Attempt[Fit], prepared: Attempt[Target]) -> Row:
    head = (cell.scenario.name, name, cell.replicate, cell.seeds.fit)
    target, fit = prepared.value, fitted.value
    if fit is None or target is None:
        truth = {} if target is None else target.entries
        reason = fitted.error or f"preparing the truth: {prepared.error}"
        return Row(*head, ERROR, reason, fitted.seconds, fitted.warnings, truth)
    measured = attempt(lambda: measure(cell.scenario, fit, target, keep_curves=cell.keep_curves))
    if measured.value is None:
        reason = f"measuring the fit: {measured.error}"
        return Row(*head, ERROR, reason, fitted.seconds, fitted.warnings, target.entries)
    status = fit.status.name
    reason = "" if status == CONVERGED else fit.status.value
    measures = measured.value
    return Row(
        *head,
        status,
        reason,
        fitted.seconds,
        fitted.warnings,
        target.entries,
        measures.estimate,
        measures.intervals,
        measures.predictions,
        measures.exactness,
    )
