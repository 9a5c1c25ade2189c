"""A study: scenarios × estimators × replicates, on any executor, with the same rows whatever runs it."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from estimators import own_modes
from validation.scenarios import Scenario
from validation.study.contenders import Contender
from validation.study.environment import environment
from validation.study.plan import Plan, contenders_with_replicates, plan_of
from validation.study.pool import Pool, TaskOutcome, available_cores, collect, run_alone
from validation.study.presets import PRESETS
from validation.study.row import Row
from validation.study.store import Store
from validation.study.task import Task, failed_rows

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
        for argument, names in (
            ("scenarios", [scenario.name for scenario in self.scenarios]),
            ("estimators", [contender.name for contender in self.contenders]),
        ):
            if not names or len(set(names)) < len(names):
                raise ValueError(f"{argument}: expected at least one, each of its own name, got {names}")
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

    def tasks(self) -> tuple[Task, ...]:
        """Return every task, in the order in which rows are reported."""
        preset = PRESETS[self.preset]
        return tuple(
            Task(scenario, contender, self.seed, replicate, keep_curves=replicate < CURVES)
            for scenario in self.scenarios
            for contender, replicates in contenders_with_replicates(scenario, self.contenders, preset, self.replicates)
            for replicate in range(replicates)
        )


def run(
    study: Study,
    *,
    store: Store | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    on_outcome: Callable[[TaskOutcome], None] | None = None,
) -> tuple[Row, ...]:
    """Run a study and return its rows in the order of `Study.tasks`, however they were scheduled.

    By default in a pool of `workers` spawned processes (default: the available cores), one thread each; or on any
    `concurrent.futures.Executor`. With a `store`, what is in it is not run again, and the rows of each task are written
    as it ends. `on_outcome` is called with what came of every task. A task that raises, or whose process dies,
    becomes rows with its reason.
    """
    tasks = study.tasks()
    known = {} if store is None else {(r.scenario, r.estimator, r.replicate): r for r in store.rows()}
    done = {
        i: tuple(known[key] for key in task.keys)
        for i, task in enumerate(tasks)
        if all(key in known for key in task.keys)
    }
    left = {i: task for i, task in enumerate(tasks) if i not in done}

    def finish(i: int, outcome: TaskOutcome) -> None:
        if store is not None:
            store.add(outcome.rows, outcome.environment)
        done[i] = outcome.rows
        if on_outcome is not None:
            on_outcome(outcome)

    if executor is not None:
        for i, reason in collect(executor, left, finish).items():
            finish(i, TaskOutcome(failed_rows(tasks[i], reason), environment()))
    while executor is None and left:
        size = min(workers or available_cores(), len(left))
        with Pool(size) as pool:
            lost = sorted(collect(pool, left, finish))
        # Tasks begin in order, so the one whose process died is among the first that are lost.
        run_alone({i: tasks[i] for i in lost[:size]}, finish)
        left = {i: tasks[i] for i in lost[size:]}
    return tuple(row for i in range(len(tasks)) for row in done[i])
