"""One task of a study: simulate a replicate, fit every estimator to it, measure the fits, and return rows."""

import hashlib
import math
import threading
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from functools import cache, partial

import numpy as np
from threadpoolctl import ThreadpoolController

from estimators import Fit, own_modes
from validation.scenarios import Draw, Scenario, Seeds
from validation.study.attempt import Attempt, attempt
from validation.study.contenders import EXACT, LAPLACE_DRAWS, Contender
from validation.study.measure import Measures, SharedTruth, Target, measure, shared_truth, target_of
from validation.study.row import CONVERGED, ERROR, Row
from validation.study.shared_search import fitted, searched

# Pyro's handlers and the list of warnings belong to a whole process, so threads of one executor take turns.
_TURN = threading.Lock()


@dataclass(frozen=True)
class Task:
    """What one worker is asked to do; picklable, and complete in itself.

    All `contenders` are fitted to the same rows. What each gives does not depend on which others there are. `shared` is
    what is true of every replicate, None where that is not known yet or there is nothing.
    """

    scenario: Scenario
    contenders: tuple[Contender, ...]
    study_seed: int
    replicate: int
    keep_curves: bool
    shared: SharedTruth | None = None

    @property
    def keys(self) -> tuple[tuple[str, str, int], ...]:
        """Scenario, estimator and replicate of each of its rows."""
        return tuple((self.scenario.name, name, self.replicate) for one in self.contenders for name in one.rows)

    @property
    def seeds(self) -> Seeds:
        """The replicate's seeds: a function of (study seed, scenario name, replicate), whoever runs it and when."""
        digest = hashlib.sha256(self.scenario.name.encode()).digest()
        root = np.random.SeedSequence((self.study_seed, int.from_bytes(digest[:8], "big"), self.replicate))
        return Seeds(*(int(child.generate_state(1)[0]) for child in root.spawn(len(Seeds._fields))))

    @property
    def by_contender(self) -> tuple["Task", ...]:
        """The same in tasks of one contender each."""
        return tuple(replace(self, contenders=(contender,)) for contender in self.contenders)


@cache
def _libraries() -> ThreadpoolController:
    """The libraries that have threads, found once in a process: to look for them takes as long as a small fit."""
    return ThreadpoolController()


@own_modes()
def run_task(task: Task) -> tuple[Row, ...]:
    """Return one row per name of each contender: a fit's and, for a point estimate, its Laplace approximation's.

    Rows, what is true of them and the search for modes are made once for all.
    """
    with _TURN, _libraries().limit(limits=1):  # processes, not threads, share the cores
        drawn = attempt(lambda: _draw(task))
        if drawn.value is None:
            return failed_rows(task, f"simulating the data: {drawn.error}")
        scenario, replicate = drawn.value
        task = replace(task, scenario=scenario)
        prepared = attempt(lambda: _target(task, replicate))
        model, seeds = task.scenario.model, task.seeds
        needs_search = any(contender.searches for contender in task.contenders)
        search = searched(model, replicate.data, seed=seeds.search) if needs_search else None
        rows: list[Row] = []
        for contender in task.contenders:
            fit = fitted(contender, model, replicate.data, seed=seeds.fit, search=search)
            fits = [fit, with_laplace(fit, seeds.fit)] if contender.laplace else [fit]
            rows += [_row(task, *named, replicate, prepared) for named in zip(contender.rows, fits, strict=True)]
        return tuple(rows)


@own_modes()
def with_shared_truths(tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks, each with what is true of all replicates of its scenario, computed once.

    Where that fails the tasks are as they were, and what comes of them says why.
    """
    firsts = {task.scenario.name: task for task in reversed(tasks)}
    shared = {name: attempt(partial(shared_truth, first.scenario, first.seeds)) for name, first in firsts.items()}
    return [replace(task, shared=shared[task.scenario.name].value) for task in tasks]


def failed_rows(task: Task, reason: str) -> tuple[Row, ...]:
    """Return the rows of a task that gave no fit at all."""
    return tuple(Row(*key, task.seeds.fit, ERROR, reason) for key in task.keys)


def with_laplace(fitted: Attempt[Fit], seed: int) -> Attempt[Fit]:
    """Return the Laplace approximation of a point fit, or why there is none."""
    point = fitted.value
    if point is None:
        return fitted
    return attempt(lambda: point.laplace(num_draws=LAPLACE_DRAWS, seed=seed)).after(fitted)


def _draw(task: Task) -> tuple[Scenario, Draw]:
    """A replicate, and its scenario with the one model that all who look at the replicate share."""
    scenario = task.scenario.with_model(task.scenario.model)
    drawn = scenario.source.draw(scenario, task.seeds)
    return scenario.of(drawn), drawn


def _target(task: Task, drawn: Draw) -> Target:
    reference = None
    if task.scenario.exact:
        reference = EXACT.fit(task.scenario.model, drawn.data, seed=task.seeds.reference)
    target = target_of(task.scenario, drawn, reference, task.seeds, task.shared)
    if undefined := [name for name, value in target.quantities.items() if math.isnan(value)]:
        raise ValueError(f"the true {undefined[0]} is not a number")
    return target


def _row(task: Task, name: str, fitted: Attempt[Fit], drawn: Draw, prepared: Attempt[Target]) -> Row:
    key = task.scenario.name, name, task.replicate, task.seeds.fit
    target, fit = prepared.value, fitted.value
    truth = {} if target is None else target.quantities

    def failed(reason: str) -> Row:
        return Row(*key, ERROR, reason, fitted.seconds, fitted.warnings, truth)

    if fit is None or target is None:
        return failed(fitted.error or f"preparing the truth: {prepared.error}")
    measured = attempt(
        lambda: _defined(measure(task.scenario, fit, target, drawn.data, task.seeds, keep_curves=task.keep_curves))
    )
    if measured.value is None:
        return failed(f"measuring the fit: {measured.error}")
    status = fit.status.name
    reason = "" if status == CONVERGED else fit.advice[0].removeprefix(f"{status}: ")
    held = tuple(finding.name for finding in fit.findings)
    return Row(*key, status, reason, fitted.seconds, fitted.warnings, truth, **vars(measured.value), held=held)


def _defined(measures: Measures) -> Measures:
    """Return measures without diagnostics that are undefined; raises ValueError where an estimate or interval is."""
    for name, value in measures.estimate.items():
        interval = measures.intervals.get(name)
        if any(math.isnan(number) for number in (value, *(astuple(interval) if interval else ()))):
            raise ValueError(f"the estimate or the interval of {name} is not a number")
    known = {name: value for name, value in measures.diagnostics.items() if not math.isnan(value)}
    return replace(measures, diagnostics=known)
