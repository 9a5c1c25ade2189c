"""Where cells run by default: spawned processes, of which any may die."""

import multiprocessing
import os
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

from validation.study import worker
from validation.study.cell import Cell, failed_rows, run_cell
from validation.study.cluster import ClusterError
from validation.study.environment import environment
from validation.study.row import Row


@dataclass(frozen=True)
class CellOutcome:
    """What came of a cell: its rows, and the environment they were made in."""

    rows: tuple[Row, ...]
    environment: Mapping[str, Any]


def available_cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def perform(cell: Cell) -> CellOutcome:
    """Run one cell where this is called."""
    return CellOutcome(run_cell(cell), environment())


class Pool(ProcessPoolExecutor):
    """Spawned processes. Where a run stops, for an interrupt or a full disk, nobody waits for the fits in hand."""

    def __init__(self, size: int) -> None:
        super().__init__(size, multiprocessing.get_context("spawn"), initializer=worker.start)
        self._others = set(multiprocessing.active_children())

    def __exit__(self, kind: type[BaseException] | None, *details: Any) -> bool | None:
        if kind is not None:
            for process in set(multiprocessing.active_children()) - self._others:
                process.kill()
        return super().__exit__(kind, *details)


def collect(
    executor: Executor, cells: Mapping[int, Cell], finish: Callable[[int, CellOutcome], None]
) -> dict[int, str]:
    """Finish cells as they end, and return those whose process died, with the reason."""
    lost: dict[int, str] = {}
    futures: dict[Future[CellOutcome], int] = {}
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
                outcome = CellOutcome(failed_rows(cells[i], f"{type(problem).__name__}: {problem}"), environment())
            finish(i, outcome)
    except BrokenExecutor as problem:  # while submitting: what was submitted is lost with the pool
        waiting = {*futures.values(), *(i for i in cells if i not in futures.values())}
        lost |= dict.fromkeys(waiting, f"the worker process died: {problem}")
    except BaseException:
        for future in futures if not isinstance(executor, Pool) else ():  # a pool of ours is ended
            future.cancel()
        raise
    return lost


def run_alone(cells: Mapping[int, Cell], finish: Callable[[int, CellOutcome], None]) -> None:
    """Run cells lost with a pool one by one, each at the risk of its own process only."""
    pending = list(cells)
    while pending:
        with Pool(1) as pool:
            while pending:
                i = pending.pop(0)
                lost = collect(pool, {i: cells[i]}, finish)
                if lost:
                    finish(i, CellOutcome(failed_rows(cells[i], lost[i]), environment()))
                    break
