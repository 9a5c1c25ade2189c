"""A study: scenarios × estimators × replicates, on any executor, with the same rows whatever runs it."""

import multiprocessing
import os
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass

from validation import worker
from validation.cell import Cell, failed_rows, run_cell
from validation.contenders import Contender
from validation.record import Row
from validation.scenarios import Scenario

CURVES = 8  # replicates whose predicted densities are kept for the figures
OnRows = Callable[[tuple[Row, ...]], None]


@dataclass(frozen=True)
class Study:
    """What to run. `replicates` overrides the scenarios' own numbers.

    Raises ValueError for no scenario or estimator, a name given twice, fewer than one replicate or a negative seed.
    """

    scenarios: tuple[Scenario, ...]
    contenders: tuple[Contender, ...]
    seed: int = 0
    replicates: int | None = None

    def __post_init__(self) -> None:
        for what, names in (
            ("scenarios", [scenario.name for scenario in self.scenarios]),
            ("estimators", [contender.name for contender in self.contenders]),
        ):
            if not names or len(set(names)) < len(names):
                raise ValueError(f"{what}: expected at least one, each of its own name, got {names}")
        if self.replicates is not None and self.replicates < 1:
            raise ValueError(f"replicates: expected at least 1, got {self.replicates}")
        if self.seed < 0:
            raise ValueError(f"seed: expected 0 or more, got {self.seed}")

    def cells(self) -> tuple[Cell, ...]:
        """Return every cell, in the order in which rows are reported."""
        return tuple(
            Cell(scenario, contender, self.seed, replicate, keep_curves=replicate < CURVES)
            for scenario in self.scenarios
            for contender in self.contenders_on(scenario)
            for replicate in range(self.replicates or scenario.replicates)
        )

    def contenders_on(self, scenario: Scenario) -> tuple[Contender, ...]:
        """Return the contenders that can run on a scenario: `Exact` only where its allocations can be summed."""
        return tuple(each for each in self.contenders if scenario.exact or not each.small_only)


def run(
    study: Study, *, executor: Executor | None = None, workers: int | None = None, on_rows: OnRows | None = None
) -> tuple[Row, ...]:
    """Run a study and return its rows in the order of `Study.cells`, however they were scheduled.

    By default a pool of `workers` spawned processes (default: the available cores), one thread each; or any
    `concurrent.futures.Executor`. `on_rows` is called with the rows of each cell as it ends. A cell that raises, or
    whose process dies, becomes a row with its reason.
    """
    cells = study.cells()
    report = on_rows or _ignore
    if executor is not None:
        done, lost = _collect(executor, dict(enumerate(cells)), report)
        done |= {i: _announce(failed_rows(cells[i], reason), report) for i, reason in lost.items()}
    else:
        with _pool(workers or available_cores()) as pool:
            done, lost = _collect(pool, dict(enumerate(cells)), report)
        done |= _rerun_alone({i: cells[i] for i in lost}, report)
    return tuple(row for i in range(len(cells)) for row in done[i])


def available_cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=worker.start)


def _collect(
    executor: Executor, cells: Mapping[int, Cell], report: OnRows
) -> tuple[dict[int, tuple[Row, ...]], dict[int, str]]:
    """Return rows by cell, and the cells whose process died, with the reason."""
    done: dict[int, tuple[Row, ...]] = {}
    lost: dict[int, str] = {}
    futures: dict[Future[tuple[Row, ...]], int] = {}
    try:
        for i, cell in cells.items():
            futures[executor.submit(run_cell, cell)] = i
        for future in as_completed(futures):
            i = futures[future]
            try:
                done[i] = _announce(future.result(), report)
            except BrokenExecutor as problem:
                lost[i] = f"the worker process died: {problem}"
            except Exception as problem:
                done[i] = _announce(failed_rows(cells[i], f"{type(problem).__name__}: {problem}"), report)
    except BrokenExecutor as problem:  # while submitting
        lost |= {i: f"the worker process died: {problem}" for i in cells if i not in done}
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    return done, lost


def _rerun_alone(cells: Mapping[int, Cell], report: OnRows) -> dict[int, tuple[Row, ...]]:
    """Run cells lost with a pool one by one, each at the risk of its own process only."""
    done: dict[int, tuple[Row, ...]] = {}
    pending = list(cells)
    while pending:
        with _pool(1) as pool:
            while pending:
                i = pending.pop(0)
                rows, lost = _collect(pool, {i: cells[i]}, report)
                done |= rows
                if lost:
                    done[i] = _announce(failed_rows(cells[i], lost[i]), report)
                    break
    return done


def _announce(rows: tuple[Row, ...], report: OnRows) -> tuple[Row, ...]:
    report(rows)
    return rows


def _ignore(rows: tuple[Row, ...]) -> None:
    """Do nothing with the rows of a cell."""
