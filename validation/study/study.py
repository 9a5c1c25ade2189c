"""A study: scenarios × estimators × replicates, on any executor, with the same rows whatever runs it."""

import multiprocessing
import os
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

from estimators import own_modes
from validation.scenarios import Scenario
from validation.study import worker
from validation.study.cell import Cell, failed_rows, run_cell
from validation.study.cluster import ClusterError
from validation.study.contenders import Contender
from validation.study.environment import environment
from validation.study.plan import Plan, plan_of, runnable
from validation.study.presets import PRESETS
from validation.study.row import Row
from validation.study.store import Store

CURVES = 8  # replicates whose predicted densities are kept for the figures


@dataclass(frozen=True)
class Study:
    """What to run. `replicates` overrides the numbers of the preset and of the scenarios.

    Raises ValueError for no scenario or estimator, a name given twice, an unknown preset, fewer than one replicate or a
    negative seed.
    """

    scenarios: tuple[Scenario, ...]
    contenders: tuple[Contender, ...]
    seed: int = 0
    preset: str = "quick"
    replicates: int | None = None

    def __post_init__(self) -> None:
        for what, names in (
            ("scenarios", [scenario.name for scenario in self.scenarios]),
            ("estimators", [contender.name for contender in self.contenders]),
        ):
            if not names or len(set(names)) < len(names):
                raise ValueError(f"{what}: expected at least one, each of its own name, got {names}")
        if self.preset not in PRESETS:
            raise ValueError(f"preset: expected one of {', '.join(PRESETS)}, got {self.preset!r}")
        if self.replicates is not None and self.replicates < 1:
            raise ValueError(f"replicates: expected at least 1, got {self.replicates}")
        if self.seed < 0:
            raise ValueError(f"seed: expected 0 or more, got {self.seed}")

    @own_modes()
    def plan(self) -> Plan:
        """Return what is run and claimed, with the efficient errors of every fixed truth."""
        return plan_of(
            self.scenarios, self.contenders, PRESETS[self.preset], seed=self.seed, replicates=self.replicates
        )

    def cells(self) -> tuple[Cell, ...]:
        """Return every cell, in the order in which rows are reported."""
        preset = PRESETS[self.preset]
        return tuple(
            Cell(scenario, contender, self.seed, replicate, keep_curves=replicate < CURVES)
            for scenario in self.scenarios
            for contender in runnable(scenario, self.contenders)
            for replicate in range(self.replicates or preset.replicates_of(scenario))
        )


@dataclass(frozen=True)
class Outcome:
    """What came of a cell: its rows, and the environment they were made in."""

    rows: tuple[Row, ...]
    environment: Mapping[str, Any]


OnOutcome = Callable[[Outcome], None]


def run(
    study: Study,
    *,
    store: Store | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    on_outcome: OnOutcome | None = None,
) -> tuple[Row, ...]:
    """Run a study and return its rows in the order of `Study.cells`, however they were scheduled.

    By default in a pool of `workers` spawned processes (default: the available cores), one thread each; or on any
    `concurrent.futures.Executor`. With a `store`, what is in it is not run again, and the rows of each cell are written
    as it ends. `on_outcome` is told of every cell that ends. A cell that raises, or whose process dies, becomes a row
    with its reason.
    """
    cells = study.cells()
    known = {} if store is None else {(r.scenario, r.estimator, r.replicate): r for r in store.rows()}
    done = {i: found for i, cell in enumerate(cells) if (found := _known(cell, known)) is not None}
    left = {i: cell for i, cell in enumerate(cells) if i not in done}

    def finish(i: int, outcome: Outcome) -> None:
        if store is not None:
            store.add(outcome.rows, outcome.environment)
        done[i] = outcome.rows
        if on_outcome is not None:
            on_outcome(outcome)

    if executor is not None:
        for i, reason in _collect(executor, left, finish).items():
            finish(i, Outcome(failed_rows(cells[i], reason), environment()))
    while executor is None and left:
        size = min(workers or available_cores(), len(left))
        with _Pool(size) as pool:
            lost = sorted(_collect(pool, left, finish))
        # Cells begin in order, so the one whose process died is among the first that are lost.
        _run_alone({i: cells[i] for i in lost[:size]}, finish)
        left = {i: cells[i] for i in lost[size:]}
    return tuple(row for i in range(len(cells)) for row in done[i])


def available_cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def perform(cell: Cell) -> Outcome:
    """Run one cell where this is called."""
    return Outcome(run_cell(cell), environment())


def _known(cell: Cell, known: Mapping[tuple[str, str, int], Row]) -> tuple[Row, ...] | None:
    return tuple(known[key] for key in cell.keys) if all(key in known for key in cell.keys) else None


class _Pool(ProcessPoolExecutor):
    """Spawned processes. Where a run stops, for an interrupt or a full disk, nobody waits for the fits in hand."""

    def __init__(self, size: int) -> None:
        super().__init__(size, multiprocessing.get_context("spawn"), initializer=worker.start)
        self._others = set(multiprocessing.active_children())

    def __exit__(self, kind: type[BaseException] | None, *details: Any) -> bool | None:
        if kind is not None:
            for process in set(multiprocessing.active_children()) - self._others:
                process.kill()
        return super().__exit__(kind, *details)


def _collect(executor: Executor, cells: Mapping[int, Cell], finish: Callable[[int, Outcome], None]) -> dict[int, str]:
    """Finish cells as they end, and return those whose process died, with the reason."""
    lost: dict[int, str] = {}
    futures: dict[Future[Outcome], int] = {}
    try:
        for i, cell in cells.items():
            futures[executor.submit(perform, cell)] = i
        for future in as_completed(futures):
            i = futures.pop(future)  # nothing of a cell is kept once it is written
            try:
                outcome = future.result()
            except BrokenExecutor as problem:
                lost[i] = f"the worker process died: {problem}"
                continue
            except CancelledError:  # by nobody here: a failure of the cluster, not of the fit
                raise ClusterError("the executor has gone, and its work with it; what was written is whole") from None
            except Exception as problem:
                outcome = Outcome(failed_rows(cells[i], f"{type(problem).__name__}: {problem}"), environment())
            finish(i, outcome)
    except BrokenExecutor as problem:  # while submitting: what was submitted is lost with the pool
        waiting = {*futures.values(), *(i for i in cells if i not in futures.values())}
        lost |= dict.fromkeys(waiting, f"the worker process died: {problem}")
    except BaseException:
        for future in futures if not isinstance(executor, _Pool) else ():  # a pool of ours is ended
            future.cancel()
        raise
    return lost


def _run_alone(cells: Mapping[int, Cell], finish: Callable[[int, Outcome], None]) -> None:
    """Run cells lost with a pool one by one, each at the risk of its own process only."""
    pending = list(cells)
    while pending:
        with _Pool(1) as pool:
            while pending:
                i = pending.pop(0)
                lost = _collect(pool, {i: cells[i]}, finish)
                if lost:
                    finish(i, Outcome(failed_rows(cells[i], lost[i]), environment()))
                    break
