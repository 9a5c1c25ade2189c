"""Where tasks run by default: processes of this machine, of which any may die."""

import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

from validation.study import worker
from validation.study.cluster import ClusterError
from validation.study.environment import environment
from validation.study.row import Row
from validation.study.task import Task, failed_rows, run_task


@dataclass(frozen=True)
class TaskOutcome:
    """What came of a task: its rows, and the environment they were made in."""

    rows: tuple[Row, ...]
    environment: Mapping[str, Any]


def available_cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def perform(task: Task) -> TaskOutcome:
    """Run one task where this is called."""
    return TaskOutcome(run_task(task), environment())


class Pool(ProcessPoolExecutor):
    """Processes of this machine. Where a run stops, for an interrupt or a full disk, nobody waits for fits in hand."""

    def __init__(self, size: int) -> None:
        super().__init__(size, worker.context(), initializer=worker.start)
        self._others = set(multiprocessing.active_children())

    def __exit__(self, kind: type[BaseException] | None, *details: Any) -> bool | None:
        if kind is not None:
            for process in set(multiprocessing.active_children()) - self._others:
                process.kill()
        return super().__exit__(kind, *details)


def collect(executor: Executor, tasks: Sequence[Task], finish: Callable[[TaskOutcome], None]) -> list[tuple[Task, str]]:
    """Finish tasks as they end, and return those whose process died, in their order, with the reason.

    A task that cannot be sent, or came to no end, is run once more, each of its contenders alone.
    """
    lost: dict[int, str] = {}
    again: list[Task] = []
    futures: dict[Future[TaskOutcome], int] = {}
    try:
        for i, task in enumerate(tasks):
            futures[executor.submit(perform, task)] = i
        for future in as_completed(futures):
            i = futures.pop(future)  # nothing of a task is kept once it is written
            try:
                outcome = future.result()
            except BrokenExecutor as problem:
                lost[i] = _death(problem)
                continue
            except CancelledError:  # by nobody here: a failure of the cluster, not of the fit
                raise ClusterError("the executor has gone, and its work with it; what was written is whole") from None
            except Exception as problem:
                if len(tasks[i].contenders) > 1:
                    again += tasks[i].by_contender
                    continue
                outcome = failed(tasks[i], f"{type(problem).__name__}: {problem}")
            finish(outcome)
    except BrokenExecutor as problem:  # while submitting: what was submitted is lost with the pool
        waiting = {*futures.values(), *range(len(futures), len(tasks))}
        lost |= dict.fromkeys(waiting, _death(problem))
    except BaseException:
        for future in futures if not isinstance(executor, Pool) else ():  # a pool of ours is ended
            future.cancel()
        raise
    whole = [(tasks[i], lost[i]) for i in sorted(lost)]
    return whole + (collect(executor, again, finish) if again else [])


def run_alone(tasks: Sequence[Task], finish: Callable[[TaskOutcome], None]) -> None:
    """Run tasks lost with a pool one by one, each contender at the risk of its own process only."""
    pending = [alone for task in tasks for alone in task.by_contender]
    while pending:
        with Pool(1) as pool:
            while pending:
                lost = collect(pool, [pending.pop(0)], finish)
                if lost:
                    finish(failed(*lost[0]))
                    break


def failed(task: Task, reason: str) -> TaskOutcome:
    """Return what came of a task that gave no fit at all."""
    return TaskOutcome(failed_rows(task, reason), environment())


def _death(problem: BrokenExecutor) -> str:
    return f"the worker process died: {problem}"
