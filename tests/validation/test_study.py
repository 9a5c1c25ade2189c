"""A study end to end: the same rows whatever runs it, failures that are rows, and wrong estimators found out."""

import importlib
import pickle
import sys
from collections import Counter
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from estimators import EM
from tests.validation.studies import run_here, without_times
from validation.claims.compare import compare
from validation.claims.judge import assess_claims
from validation.claims.results import assess
from validation.scenarios import Seeds
from validation.statistics.check import Verdict
from validation.study import task as task_module
from validation.study.attempt import Attempt
from validation.study.cluster import ClusterError
from validation.study.contenders import Contender
from validation.study.pool import perform
from validation.study.row import ERROR
from validation.study.shared_search import searched
from validation.study.store import Store
from validation.study.study import Study, run
from validation.study.task import Task, failed_rows, run_task

EM_ONLY = (Contender("EM", EM(progress_bar=False), laplace=True),)


@pytest.fixture(scope="module")
def beside():
    """Imports a module beside this one, under a name that a spawned process can import too."""
    folder = str(Path(__file__).parent)
    sys.path.insert(0, folder)
    yield importlib.import_module
    sys.path.remove(folder)


@pytest.fixture(scope="module")
def broken(beside):
    """The module of broken estimators."""
    return beside("broken_estimators")


@pytest.fixture(scope="module")
def own_study(beside):
    """A user's own scenarios."""
    return beside("own_study")


@pytest.fixture(scope="module")
def study(scenarios):
    """Truths that are fixed, drawn from the prior, unknown, and of another world."""
    names = ("five_points", "separated_100", "prior_truths_set", "student_noise")
    return Study(tuple(scenarios[name] for name in names), EM_ONLY, seed=3, replicates=2)


@pytest.fixture(scope="module")
def rows(study):
    return run_here(study)


# ---------------------------------------------------------------- the same rows


def test_each_contender_has_its_share_of_the_replicates(scenarios):
    half, most = replace(EM_ONLY[0], name="half", share=1 / 2), replace(EM_ONLY[0], name="most", share=2 / 3)
    study = Study((replace(scenarios["separated_100"], replicates=9),), (*EM_ONLY, half, most))
    (planned,) = study.plan().scenarios
    assert planned.replicates == {"EM": 9, "EM+laplace": 9, "half": 5, "half+laplace": 5, "most": 6, "most+laplace": 6}
    keys = [key for task in study.tasks() for key in task.keys]
    assert Counter(name for _, name, _ in keys) == planned.replicates
    assert study.plan().num_rows == len(set(keys)) == len(keys) == 40
    assert {replicate for _, name, replicate in keys if name == "half"} == set(range(5))
    assert set(replace(study, replicates=4).plan().scenarios[0].replicates.values()) == {4}
    with pytest.raises(ValueError, match=r"contender half: share: expected a number in \(0, 1\], got 1.5"):
        replace(half, share=1.5)


@pytest.mark.slow
def test_a_pool_gives_the_same_rows_on_one_thread_each(study, rows, broken):
    outcomes = []
    counted = replace(study, contenders=(*EM_ONLY, Contender("Counts", broken.Counts())))
    found = run(counted, workers=2, on_outcome=outcomes.append)
    assert without_times(row for row in found if row.estimator != "Counts") == without_times(rows)
    told = sorted(row for outcome in outcomes for row in map(repr, outcome.rows))
    assert told == sorted(map(repr, found)), "every task is told of once"
    counts = {row.warnings for row in found if row.estimator == "Counts"}
    assert counts == {("EstimationWarning: torch 1, pools [1], ['1', '1', '1']",)}
    assert not active_children()


def test_threads_and_order_do_not_matter(study, rows):
    backwards = replace(study, scenarios=study.scenarios[::-1])
    with ThreadPoolExecutor(3) as executor:
        found = run(backwards, executor=executor)
    order = [scenario.name for scenario in study.scenarios]
    found = sorted(found, key=lambda row: order.index(row.scenario))
    assert sorted(map(repr, without_times(found))) == sorted(map(repr, without_times(rows)))


def test_what_else_runs_does_not_matter(study, rows):
    alone = run_here(replace(study, scenarios=study.scenarios[1:2], replicates=1))
    expected = [row for row in without_times(rows) if row.scenario == "separated_100" and row.replicate == 0]
    assert without_times(alone) == expected


def test_rows_are_in_the_order_of_the_tasks(study, rows):
    assert [(row.scenario, row.estimator, row.replicate) for row in rows] == [
        key for task in study.tasks() for key in task.keys
    ]
    assert not any(row.failed for row in rows)


def test_seeds_depend_on_study_scenario_and_replicate_alone(scenarios):
    def seeds(name="overlapping_300", study_seed=0, replicate=0, contender=EM_ONLY[0], **changes):
        return Task(replace(scenarios[name], **changes), (contender,), study_seed, replicate, False).seeds

    assert seeds() == seeds(contender=Contender("other", estimator=None)) == seeds(num_rows=7, replicates=3)
    others = [seeds(), seeds(study_seed=1), seeds(replicate=1), seeds(name="separated_300")]
    assert len({number for each in others for number in each}) == 4 * len(Seeds._fields)


def test_replicates_have_data_of_their_own_and_contenders_share_them(scenarios):
    twice = (*EM_ONLY, replace(EM_ONLY[0], name="again"))
    found = run_here(Study((scenarios["overlapping_300"],), twice, replicates=2))
    mine, again = ([row.estimate for row in found if row.estimator == name] for name in ("EM", "again"))
    assert mine == again
    assert mine[0] != mine[1]


def test_a_search_is_made_once_for_those_that_take_one(scenarios, own_study, monkeypatch):
    made, given = [], []
    monkeypatch.setattr(task_module, "searched", lambda *args, **seed: made.append(searched(*args, **seed)) or made[-1])

    class Listens:
        def fit(self, model, data, *, seed=None, **search):
            given.append(search)
            return EM(progress_bar=False).fit(model, data, seed=seed, **search)

    contenders = tuple(Contender(name, Listens(), searches=name != "c") for name in "abc")

    def rows_of(scenario):
        return run_task(Task(scenario, contenders, 0, 0, False))

    rows = rows_of(scenarios["separated_100"])
    (search,) = made
    assert [list(each.values()) for each in given] == [[search.value], [search.value], []]
    assert all(row.seconds >= search.seconds for row in rows[:2])
    assert rows[0].estimate == rows[1].estimate == pytest.approx(rows[2].estimate, abs=1e-6), "as EM finds by itself"
    given.clear()
    assert not any(row.failed for row in rows_of(own_study.SCENARIOS[1]))
    assert [list(each.values()) for each in given] == [[None], [None], []], "a program is not searched"
    given.clear()
    monkeypatch.setattr(task_module, "searched", lambda *_, **__: Attempt(None, "ValueError: no", (), 0.0))
    assert not any(row.failed for row in rows_of(scenarios["separated_100"])) and given == [{}] * 3, "each by itself"


def test_of_a_replicate_the_missing_estimators_are_run(scenarios, tmp_path):
    searching = tuple(Contender(name, EM(progress_bar=False), searches=True, laplace=True) for name in "abc")
    study = Study((scenarios["separated_100"],), searching, replicates=3)
    rows = run_here(study)
    store = Store.create(tmp_path / "study.sqlite", study.plan())
    kept = [row for row in rows if row.replicate == 1 or (row.replicate == 0 and row.estimator[0] == "a")]
    kept = [row for row in kept if row.key != ("separated_100", "c+laplace", 1)]  # one row of two is none
    store.add(kept, {"machine": "another"})
    outcomes = []
    assert without_times(run_here(study, store=store, on_outcome=outcomes.append)) == without_times(rows)
    made = [[row.estimator for row in outcome.rows] for outcome in outcomes]
    names = [name for contender in searching for name in contender.rows]
    assert made == [names[2:], names[4:], names]
    assert {repr(row) for row in kept} <= {repr(row) for row in store.rows()}, "what was there is left as it was"
    store.close()


def test_a_study_with_a_store_runs_what_is_not_in_it(study, rows, tmp_path):
    store = Store.create(tmp_path / "study.sqlite", study.plan())
    some = [task for i, task in enumerate(study.tasks()) if i % 3 == 0]
    for task in some:
        store.add(perform(task).rows, {"machine": "another"})
    outcomes = []
    found = run_here(study, store=store, on_outcome=outcomes.append)
    assert without_times(found) == without_times(rows)
    assert len(outcomes) == len(study.tasks()) - len(some)
    assert sorted(map(repr, store.rows())) == sorted(map(repr, found))
    assert len(store.environments) == 2
    assert run_here(study, store=store, on_outcome=outcomes.append) == found
    assert len(outcomes) == len(study.tasks()) - len(some), "a whole study runs nothing"
    store.close()


# ---------------------------------------------------------------- threads


def test_a_task_leaves_the_numbers_of_threads_of_its_process_alone(scenarios, broken):
    def threads():
        return torch.get_num_threads(), {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}

    before = torch.get_num_threads()
    contender = Contender("Counts", broken.Counts())
    try:
        torch.set_num_threads(2)
        with threadpool_limits(2):
            outside = threads()
            outcome = perform(Task(scenarios["separated_100"], (contender,), 0, 0, False))
            assert threads() == outside
            assert set(outside[1].values()) == {2}
    finally:
        torch.set_num_threads(before)
    assert "torch 1, pools [1]" in outcome.rows[0].warnings[0]


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Raises", "RuntimeError: no luck"),
        ("Panics", "BaseException: panicked"),
        ("Nonsense", "measuring the fit"),
        ("Undefined", "measuring the fit: ValueError: the estimate or the interval of nuisance[0] is not a number"),
    ],
)
def test_a_failing_estimator_becomes_rows_with_the_reason(name, reason, broken, scenarios):
    study = Study((scenarios["five_points"],), (Contender("EM", getattr(broken, name)(), laplace=True),), replicates=2)
    rows = run_here(study)
    assert [(row.estimator, row.replicate) for row in rows] == [
        ("EM", 0),
        ("EM+laplace", 0),
        ("EM", 1),
        ("EM+laplace", 1),
    ]
    first = [row for row in rows if row.estimator == "EM"]
    assert all(row.status == ERROR and reason in row.reason and not row.estimate for row in first)
    if name == "Raises":
        assert first[0].warnings == ("EstimationWarning: about to fail",)
        findings = {f.kind: f for f in assess_claims(study.plan(), rows)}
        assert findings["mode"].verdict is Verdict.FAIL
        assert findings["mode"].missing == 2


def test_a_source_that_fails_gives_rows(scenarios):
    world = scenarios["student_noise"].source

    class Fails:
        truth = world.truth

        def draw(self, scenario, seeds):
            raise ValueError("no rows today")

    class Undefined(Fails):
        def draw(self, scenario, seeds):
            drawn = world.draw(scenario, seeds)
            nowhere = {name: replace(outcome, location=float("nan")) for name, outcome in drawn.outcomes.items()}
            return replace(drawn, outcomes=nowhere)

    for source, reason in (
        (Fails(), "simulating the data: ValueError: no rows today"),
        (Undefined(), "preparing the truth: ValueError: the true E[X | do(Z=0)] is not a number"),
    ):
        task = Task(replace(scenarios["student_noise"], source=source), EM_ONLY, 0, 0, False)
        rows = perform(task).rows
        assert [(row.estimator, row.status, row.reason) for row in rows] == [
            ("EM", ERROR, reason),
            ("EM+laplace", ERROR, reason),
        ]
        assert not rows[0].truth


@pytest.mark.slow
def test_an_estimator_whose_process_dies_costs_its_own_rows_only(broken, scenarios):
    study = Study((scenarios["five_points"],), (Contender("Dies", broken.Dies()), *EM_ONLY), replicates=1)
    dead, *others = run(study, workers=1)
    assert dead.status == ERROR
    assert "worker process died" in dead.reason
    assert [row.status for row in others] == ["CONVERGED", "CONVERGED"]


def test_an_executor_that_breaks_gives_rows(scenarios):
    class Breaks(ThreadPoolExecutor):
        def submit(self, *_args, **_kwargs):
            raise BrokenExecutor("gone")

    rows = run(Study((scenarios["five_points"],), EM_ONLY, replicates=1), executor=Breaks(1))
    assert [row.reason for row in rows] == ["the worker process died: gone"] * 2


def test_an_executor_that_gives_work_back_undone_is_no_failure_of_a_fit(scenarios, tmp_path):
    class Loses(ThreadPoolExecutor):
        def submit(self, *_args, **_kwargs):
            lost = Future()
            lost.cancel()
            lost.set_running_or_notify_cancel()
            return lost

    study = Study((scenarios["five_points"],), EM_ONLY, replicates=1)
    store = Store.create(tmp_path / "study.sqlite", study.plan())
    with pytest.raises(ClusterError, match="the executor has gone"):
        run(study, executor=Loses(1), store=store)
    assert not store.done()
    store.close()


def test_an_interrupt_cancels_what_has_not_begun(scenarios):
    class Slots(ThreadPoolExecutor):
        """Does the first task only; takes no `cancel_futures`, as the executor of a cluster."""

        waiting = ()

        def submit(self, fn, task):
            future = Future()
            if self.waiting:
                self.waiting = (*self.waiting, future)
            else:
                self.waiting = (future,)
                future.set_result(perform(task))
            return future

        def shutdown(self, wait=True):
            super().shutdown(wait=wait)

    def interrupt(outcome):
        raise KeyboardInterrupt

    study = Study((scenarios["five_points"],), EM_ONLY, replicates=3)
    executor = Slots(1)
    with pytest.raises(KeyboardInterrupt):
        run(study, executor=executor, on_outcome=interrupt)
    assert [future.cancelled() for future in executor.waiting] == [False, True, True]


def test_what_cannot_be_sent_to_a_process_gives_rows(scenarios):
    unsendable = replace(scenarios["separated_100"], make_model=lambda: None)
    rows = run(Study((unsendable,), EM_ONLY, replicates=1), workers=1)
    assert [row.status for row in rows] == [ERROR, ERROR]
    assert "pickle" in rows[0].reason.lower()


def test_an_estimator_that_cannot_be_sent_costs_its_own_rows_only(scenarios):
    class Sends(ThreadPoolExecutor):
        """As to another process."""

        def submit(self, fn, task):
            return super().submit(lambda: fn(pickle.loads(pickle.dumps(task))))

    unsendable = Contender("unsendable", replace(EM_ONLY[0], estimator=lambda: None))
    study = Study((scenarios["five_points"],), (unsendable, *EM_ONLY), replicates=1)
    with Sends(1) as executor:
        rows = run(study, executor=executor)
    assert [row.status for row in rows] == [ERROR, "CONVERGED", "CONVERGED"]
    assert "pickle" in rows[0].reason.lower()


def test_failed_rows_say_whose_they_are(scenarios):
    task = Task(scenarios["five_points"], EM_ONLY, 0, 7, False)
    rows = failed_rows(task, "why")
    assert [(row.scenario, row.estimator, row.replicate) for row in rows] == list(task.keys)
    assert {row.seed for row in rows} == {task.seeds.fit}


# ---------------------------------------------------------------- wrong estimators


@pytest.mark.parametrize(
    ("name", "settings", "kinds"),
    [
        ("Biased", {"by": 0.6}, {"bias", "efficiency", "divergence"}),
        pytest.param("Swapped", {}, {"bias", "efficiency", "divergence", "gross"}, marks=pytest.mark.slow),
        pytest.param("Biased", {"by": 0.0}, set(), marks=pytest.mark.slow),
    ],
)
def test_a_wrong_estimator_is_found_out(name, settings, kinds, broken, scenarios):
    contender = Contender("EM", getattr(broken, name)(**settings), efficient=True)
    study = Study((scenarios["separated_100"],), (contender,), replicates=60)
    findings = assess_claims(study.plan(), run_here(study))
    assert {finding.kind for finding in findings if finding.verdict is Verdict.FAIL} == kinds
    if not kinds:
        assert all(finding.used < 1.5 for finding in findings), "more replicates would do"


@pytest.mark.parametrize(
    ("width", "replicates", "verdict"),
    [(0.3, 100, Verdict.FAIL), (1.0, 300, Verdict.PASS)],
)
@pytest.mark.slow
def test_over_confident_intervals_are_found_out(width, replicates, verdict, broken, scenarios):
    contender = Contender("NUTS", broken.Spread(width), posterior=True)
    study = Study((scenarios["prior_truths"],), (contender,), replicates=replicates)
    findings = {finding.kind: finding for finding in assess_claims(study.plan(), run_here(study))}
    assert findings["coverage"].verdict is verdict


@pytest.mark.slow
def test_laplace_draws_are_not_the_exact_posterior(broken, scenarios):
    contender = Contender("NUTS", broken.Spread(0.5), posterior=True)
    study = Study((scenarios["few_rows"],), (contender,), replicates=60)
    findings = {finding.kind: finding for finding in assess_claims(study.plan(), run_here(study))}
    assert findings["exactness"].verdict is Verdict.FAIL


# ---------------------------------------------------------------- what makes no sense


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"replicates": 0}, "replicates: expected at least 1, got 0"),
        ({"seed": -1}, "seed: expected 0 or more, got -1"),
        ({"scenarios": ()}, "scenarios: expected at least one"),
        ({"preset": "huge"}, "preset: expected one of quick, standard, full, mine, got 'huge'"),
        ({"contenders": EM_ONLY * 2}, "contenders: expected at least one, each of its own name"),
    ],
)
def test_a_study_that_makes_no_sense(change, message, scenarios):
    study = Study((scenarios["five_points"],), EM_ONLY)
    with pytest.raises(ValueError, match=message):
        replace(study, **change)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda one: Study(one, EM_ONLY), "scenarios: expected a list of Scenario, such as .*, got one Scenario"),
        (lambda one: Study((one,), EM()), "contenders: expected a list of Contender, such as .*, got EM"),
        (lambda one: Study((one,), [EM()]), "contenders: expected a list of Contender, such as .*, got EM"),
        (lambda one: run(one), "run: expected a Study, .*, got Scenario"),
        (lambda one: assess(Study((one,), EM_ONLY), []), "plan: expected a Plan, .*, got Study"),
        (lambda one: compare(EM(), EM()), "old: expected Results, .*, got EM"),
    ],
)
def test_what_is_given_in_place_of_a_study(call, message, scenarios):
    with pytest.raises(TypeError, match=message):
        call(scenarios["five_points"])
