"""A study: scenarios × estimators × replicates, on any executor, with the same rows whatever runs it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from estimators import own_modes
from validation.scenarios import Scenario
from validation.study.contenders import Contender
from validation.study.plan import Plan, contenders_with_replicates, plan_of
from validation.study.pool import Pool, TaskOutcome, available_cores, collect, failed, run_alone
from validation.study.presets import PRESETS
from validation.study.row import Row
from validation.study.store import Store
from validation.study.task import Task, with_shared_truths

CURVES = 8  # replicates whose predicted densities are kept for the figures


@dataclass(frozen=True)
class Study:
    """What to run. `replicates` overrides the numbers of the preset and of the scenarios.

    Raises TypeError for what is no list of scenarios, or of contenders, and ValueError for none, a name given twice, an
    unknown preset, fewer than one replicate or a negative seed.
    """

    scenarios: tuple[Scenario, ...]
    contenders: tuple[Contender, ...]
    seed: int = 0
    preset: str = "quick"
    replicates: int | None = None

    def __post_init__(self) -> None:
        _check_list("scenarios", self.scenarios, Scenario, "STANDARD_SCENARIOS[:1]")
        _check_list("contenders", self.contenders, Contender, '[Contender("EM", EM())]')
        for argument, names in (
            ("scenarios", [scenario.name for scenario in self.scenarios]),
            ("contenders", [contender.name for contender in self.contenders]),
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
        """Return every task, one a replicate, in the order in which rows are returned."""
        return tuple(task for scenario in self.scenarios for task in self._tasks_of(scenario))

    def _tasks_of(self, scenario: Scenario) -> Iterator[Task]:
        counts = contenders_with_replicates(scenario, self.contenders, PRESETS[self.preset], self.replicates)
        for replicate in range(max((number for _, number in counts), default=0)):
            contenders = tuple(contender for contender, number in counts if replicate < number)
            yield Task(scenario, contenders, self.seed, replicate, keep_curves=replicate < CURVES)


def _check_list(argument: str, members: object, kind: type[Scenario | Contender], example: str) -> None:
    """Raise a TypeError unless an argument is a list of scenarios, or of contenders."""
    listed = list(members) if isinstance(members, Sequence) else [members]
    wrong = [type(one).__name__ for one in listed if not isinstance(one, kind)]
    if wrong or not isinstance(members, Sequence):
        came = wrong[0] if wrong else f"one {kind.__name__}"
        raise TypeError(f"{argument}: expected a list of {kind.__name__}, such as {example}, got {came}")


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
    `concurrent.futures.Executor`. With a `store`, what is in it is not run again (of a replicate in which only some
    estimators are, the others), and the rows of each task are written as it ends. `on_outcome` is called with what came
    of every task. A task that raises, or an estimator whose process dies, becomes rows with its reason.
    """
    if not isinstance(study, Study):
        raise TypeError(f"run: expected a Study, as Study(scenarios, contenders), got {type(study).__name__}")
    tasks = study.tasks()
    rows = {} if store is None else {row.key: row for row in store.rows()}
    left = with_shared_truths([part for task in _long_first(tasks) if (part := _missing(task, rows)).contenders])

    def finish(outcome: TaskOutcome) -> None:
        if store is not None:
            store.add(outcome.rows, outcome.environment)
        rows.update({row.key: row for row in outcome.rows})
        if on_outcome is not None:
            on_outcome(outcome)

    if executor is not None:
        for task, reason in collect(executor, left, finish):
            finish(failed(task, reason))
    while executor is None and left:
        size = min(workers or available_cores(), len(left))
        with Pool(size) as pool:
            lost = [task for task, _ in collect(pool, left, finish)]
        # Tasks begin in order, so the one whose process died is among the first that are lost.
        run_alone(lost[:size], finish)
        left = lost[size:]
    return tuple(rows[key] for task in tasks for key in task.keys)


def _long_first(tasks: Sequence[Task]) -> list[Task]:
    """Those of scenarios with few replicates first: their fits take longest, and at the end one would run alone."""
    replicates = Counter(task.scenario.name for task in tasks)
    return sorted(tasks, key=lambda task: replicates[task.scenario.name])


def _missing(task: Task, rows: Mapping[tuple[str, str, int], Row]) -> Task:
    """The task with those contenders alone of whose rows some are not there."""
    return replace(task, contenders=tuple(one.contenders[0] for one in task.by_contender if {*one.keys} - rows.keys()))
