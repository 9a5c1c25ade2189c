"""A study end to end: the same rows whatever runs it, and failures that are rows."""

import importlib
import sys
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from estimators import EM
from validation.cell import Cell
from validation.claims import assess_claims
from validation.contenders import Contender
from validation.record import ERROR
from validation.study import Study, run
from validation.tolerances import Verdict

EM_ONLY = (Contender("EM", EM(progress_bar=False), laplace=True),)


@pytest.fixture(scope="module")
def broken():
    """The module of broken estimators, under a name that a spawned process can import too."""
    folder = str(Path(__file__).parent)
    sys.path.insert(0, folder)
    yield importlib.import_module("broken_estimators")
    sys.path.remove(folder)


def run_here(study):
    with ThreadPoolExecutor(1) as executor:
        return run(study, executor=executor)


def without_times(rows):
    return [replace(row, seconds=None) for row in rows]


def test_rows_do_not_depend_on_the_executor_or_on_what_else_runs(scenarios):
    chosen = (scenarios["five_points"], scenarios["unbalanced"])
    study = Study(chosen, EM_ONLY, seed=3, replicates=2)
    announced = []
    in_processes = run(study, workers=2, on_rows=announced.extend)
    here = run_here(study)
    assert without_times(in_processes) == without_times(here)
    assert sorted(announced, key=repr) == sorted(in_processes, key=repr)
    alone = run_here(replace(study, scenarios=chosen[1:], replicates=1))
    assert without_times(alone) == [
        row for row in without_times(here) if row.scenario == "unbalanced" and row.replicate == 0
    ]
    assert len(here) == 8
    assert not any(row.failed for row in here)


def test_seeds_depend_on_study_scenario_and_replicate_alone(scenarios):
    def seeds(name="overlapping", study_seed=0, replicate=0, contender=EM_ONLY[0]):
        return Cell(scenarios[name], contender, study_seed, replicate, False).seeds

    assert seeds() == seeds(contender=Contender("other", estimator=None))
    others = [seeds(), seeds(study_seed=1), seeds(replicate=1), seeds(name="unbalanced")]
    assert len({number for each in others for number in each}) == 16


def test_replicates_have_data_of_their_own_and_contenders_share_them(scenarios):
    rows = run_here(Study((scenarios["overlapping"],), (*EM_ONLY, replace(EM_ONLY[0], name="again")), replicates=2))
    mine, again = ([row.estimate for row in rows if row.estimator == name] for name in ("EM", "again"))
    assert mine == again
    assert mine[0] != mine[1]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("Raises", "RuntimeError: no luck"), ("Panics", "BaseException: panicked"), ("Nonsense", "measuring the fit")],
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
        findings = {f.kind: f for f in assess_claims(study.scenarios, study.contenders, rows)}
        assert findings["mode"].verdict is Verdict.FAIL
        assert findings["mode"].missing == 2


def test_a_worker_that_dies_costs_its_own_cell_only(broken, scenarios):
    study = Study((scenarios["five_points"],), (Contender("Dies", broken.Dies()), *EM_ONLY), replicates=1)
    dead, *others = run(study, workers=1)
    assert dead.status == ERROR
    assert "worker process died" in dead.reason
    assert [row.status for row in others] == ["CONVERGED", "CONVERGED"]


def test_an_executor_that_breaks_gives_rows(broken, scenarios):
    class Breaks(ThreadPoolExecutor):
        def submit(self, *_args, **_kwargs):
            raise BrokenExecutor("gone")

    rows = run(Study((scenarios["five_points"],), EM_ONLY, replicates=1), executor=Breaks(1))
    assert [row.reason for row in rows] == ["the worker process died: gone"] * 2


@pytest.mark.parametrize(
    ("name", "settings", "kinds"),
    [
        ("Biased", {"by": 0.6}, {"bias", "divergence"}),
        ("Swapped", {}, {"bias", "divergence"}),
        ("Biased", {"by": 0.0}, set()),
    ],
)
def test_a_wrong_estimator_is_found_out(name, settings, kinds, broken, scenarios):
    contender = Contender("EM", getattr(broken, name)(**settings))
    study = Study((scenarios["well_separated"],), (contender,), replicates=20)
    findings = assess_claims(study.scenarios, study.contenders, run_here(study))
    assert {finding.kind for finding in findings if finding.verdict is Verdict.FAIL} == kinds
    assert not any(finding.verdict is Verdict.UNDERPOWERED for finding in findings)


@pytest.mark.parametrize(("width", "verdict"), [(1.0, Verdict.PASS), (0.3, Verdict.FAIL)])
def test_over_confident_intervals_are_found_out(width, verdict, broken, scenarios):
    contender = Contender("NUTS", broken.Spread(width), posterior=True)
    study = Study((scenarios["prior_truths"],), (contender,))
    findings = {finding.kind: finding for finding in assess_claims(study.scenarios, study.contenders, run_here(study))}
    assert findings["coverage"].verdict is verdict


def test_laplace_draws_are_not_the_exact_posterior(broken, scenarios):
    contender = Contender("NUTS", broken.Spread(0.5), posterior=True)
    study = Study((scenarios["five_points"],), (contender,), replicates=20)
    findings = {finding.kind: finding for finding in assess_claims(study.scenarios, study.contenders, run_here(study))}
    assert findings["exactness"].verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"replicates": 0}, "replicates: expected at least 1, got 0"),
        ({"seed": -1}, "seed: expected 0 or more, got -1"),
        ({"scenarios": ()}, "scenarios: expected at least one"),
        ({"contenders": EM_ONLY * 2}, "estimators: expected at least one, each of its own name"),
    ],
)
def test_a_study_that_makes_no_sense(change, message, scenarios):
    study = Study((scenarios["five_points"],), EM_ONLY)
    with pytest.raises(ValueError, match=message):
        replace(study, **change)
