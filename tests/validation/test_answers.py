"""Sets of answers: what draws can promise, how answers end, and what a study claims of them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from estimators import EM, Data, Exact, Fit, modes
from tests.validation.studies import run_here
from validation.claims.endings import Ending, answered, ending, holds_truth
from validation.claims.judge import assess_claims
from validation.measures.answers import holds, length, range_of_draws
from validation.scenarios import Allowed, Role, Seeds, Truth
from validation.scenarios.random_graphs import random_effect
from validation.statistics.check import Verdict
from validation.study.answers import answers_of, own_labels
from validation.study.contenders import Contender, WithSearch, standard_contenders
from validation.study.effective_draws import effective_sizes
from validation.study.measure import arranged
from validation.study.plain import converter
from validation.study.plan import PlannedScenario, asserted_of
from validation.study.row import ANSWER_LEVEL, ERROR, Answer, Row
from validation.study.study import Study
from validation.study.task import Task, run_task

EFFECT = "E[Y | do(T=1)] − E[Y | do(T=0)]"
SEEDS = Seeds(1, 2, 3, 4, 5, 6)
SEARCHED = Contender("EM", WithSearch(EM(progress_bar=False)), candid=True)
ALONE = replace(SEARCHED, name="EM-unsearched", estimator=WithSearch(EM(progress_bar=False), search=None))


def row(replicate=0, *, low=-1.2, high=-0.8, status="CONVERGED", warnings=(), truth=-1.0, refused=""):
    answer = Answer(() if refused else ((low, high),), ANSWER_LEVEL, refused=refused)
    head = ("rival_effects", "EM", replicate, 0, status, "", 0.1, warnings)
    return Row(*head, truth={EFFECT: truth}, estimate={EFFECT: 0.0}, answers={EFFECT: answer})


# ---------------------------------------------------------------- sets


def test_draws_promise_what_their_number_allows():
    """Of n independent draws the k-th from either end leave out another with probability 2k/(n + 1), by symmetry."""
    draws = np.random.default_rng(0).permutation(np.arange(3999.0))
    assert range_of_draws(draws, 3999.0, 0.999) == (1.0, 3997.0, pytest.approx(0.999))
    assert range_of_draws(draws[:99], math.inf, 0.999)[2] == pytest.approx(1 - 2 / 100)
    low, high, level = range_of_draws(draws, 199.0, 0.98)  # worth a twentieth: the second of 199 is about the 20th
    assert (low, high, level) == (20.0, 3978.0, pytest.approx(0.98))
    assert range_of_draws(draws, 0.5, 0.9)[2] == 0.0, "what is worth nothing promises nothing"


def test_a_union_of_intervals():
    union = ((-1.2, -0.8), (0.5, 1.0))
    assert [holds(union, x) for x in (-1.2, -1.0, 0.0, 1.0, 1.1)] == [True, True, False, True, False]
    assert length(union) == pytest.approx(0.9) and not holds((), 0.0) and length(()) == 0


def test_resampled_draws_are_worth_what_their_weights_are(scenarios):
    scenario = scenarios["separated_100"]
    drawn = scenario.source.draw(scenario, SEEDS)
    fit = EM(progress_bar=False).fit(scenario.model, drawn.data, seed=0).laplace(num_draws=400, seed=0)
    draws = [np.asarray(fit.draws["mu_X"][:, 0])]
    assert effective_sizes(fit, draws) == [min(400.0, fit.stats["importance_ess"])]
    assert effective_sizes(replace(fit, stats={}), draws) == [400.0]


# ---------------------------------------------------------------- how an answer ends


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Ending.RIGHT),
        ({"low": 0.5, "high": 1.0}, Ending.SILENT),
        ({"low": 0.5, "high": 1.0, "status": "RIVAL_MODES"}, Ending.WARNED),
        ({"status": "NOT_IDENTIFIED"}, Ending.WARNED),
        ({"warnings": ("EstimationWarning: Z has no meaning",)}, Ending.WARNED),
        ({"low": 0.5, "high": 1.0, "warnings": ("DeprecationWarning: old",)}, Ending.SILENT),
        ({"refused": "EstimationError: no maximum"}, Ending.WARNED),
    ],
)
def test_how_an_answer_ends(changes, expected):
    assert ending(row(**changes), EFFECT) is expected


def test_a_fit_that_failed_is_lost_and_a_question_may_warn():
    failed = Row("rival_effects", "EM", 0, 0, ERROR, truth={EFFECT: -1.0})
    assert ending(failed, EFFECT) is Ending.LOST and not holds_truth(failed, EFFECT) and not answered([failed])
    warned = row()
    unsure = replace(warned.answers[EFFECT], warnings=("EstimationWarning: an end did not settle",))
    assert ending(replace(warned, answers={EFFECT: unsure}), EFFECT) is Ending.WARNED


# ---------------------------------------------------------------- asked of fits


def test_a_search_names_the_answer_that_one_maximum_hides(scenarios):
    """Of this replicate the higher maximum is the wrong one."""
    found = {row.estimator: row for row in run_task(Task(scenarios["rival_effects"], (ALONE, SEARCHED), 0, 0, False))}
    assert ending(found["EM-unsearched"], EFFECT) is Ending.SILENT and found["EM-unsearched"].held == ("CONVERGED",)
    assert ending(found["EM"], EFFECT) is Ending.WARNED and "RIVAL_MODES" in found["EM"].held
    (hidden,), shown = found["EM-unsearched"].answers[EFFECT].intervals, found["EM"].answers[EFFECT]
    assert len(shown.intervals) == 2 and holds_truth(found["EM"], EFFECT)
    assert shown.intervals[1] == pytest.approx(hidden, abs=1e-4)
    assert len(shown.rivals) == 1 and not found["EM-unsearched"].answers[EFFECT].rivals
    plain = converter()
    assert plain.structure(plain.unstructure(found["EM"]), Row) == found["EM"], "as it is stored"


def test_of_many_rivals_no_intervals_are_sought(scenarios, monkeypatch):
    monkeypatch.setattr("validation.study.answers.MOST_RIVALS", 0)
    (found,) = run_task(Task(scenarios["rival_effects"], (SEARCHED,), 0, 0, False))
    answer = found.answers[EFFECT]
    assert not answer.intervals and len(answer.rivals) == 1 and ending(found, EFFECT) is Ending.WARNED


def test_a_refusal_is_an_answer_in_words(scenarios):
    scenario = scenarios["rival_effects"]
    truth = Fit.from_greeks(scenario.model, scenario.source.greeks)  # no rows, so no likelihood
    (answer,) = answers_of(scenario, truth, truth).values()
    assert not answer.intervals and answer.refused
    assert answers_of(replace(scenario, allowed=None), truth, truth) == {}


def test_the_labels_that_are_asked_are_those_of_the_sorted_truth(scenarios):
    """A fit may put its labels in another order than the truth's: here by hand."""
    scenario = scenarios["few_rows"]
    data = Data(X=torch.tensor([-5.0, -4.5, -5.5, -4.8, 5.0, 5.2]))
    fit = Exact(num_draws=500).fit(scenario.model, data, seed=0)
    point = EM().fit(scenario.model, data, seed=0)
    for one, is_turned in ((fit, False), (fit, True), (point, False)):
        turned = replace(one, draws={name: value.flip(1) for name, value in one.draws.items()}) if is_turned else one
        (answer,) = answers_of(scenario, turned, arranged(scenario, turned)).values()
        (low, high) = answer.intervals[0]
        assert 0 < low < 9.9 < high
    turned = replace(point, draws={name: value.flip(1) for name, value in point.draws.items()})
    asked = own_labels(scenario, turned)
    assert [asked(one).do["Z"] for one in scenario.interventions] == [1, 0]


# ---------------------------------------------------------------- random graphs


def test_each_replicate_has_a_graph_of_its_own(scenarios):
    scenario = scenarios["random_graphs"]
    drawn = [scenario.source.draw(scenario, replace_seed(i)) for i in range(8)]
    for one in drawn:
        assert {"T", "Y"} <= set(one.data.columns) and "Z" not in one.data.columns and one.data.num_rows == 500
        assert "T" in one.model.mechanisms["Y"].parents
        effect = Fit.from_greeks(scenario.of(one).model, one.greeks).contrast("Y", do={"T": 1}, versus={"T": 0})
        assert math.isfinite(float(effect.value))
    assert len({one.model.K for one in drawn}) == 2 and len({tuple(one.data.columns) for one in drawn}) > 1
    again = random_effect(replace_seed(3).truth, 500)
    assert all(np.array_equal(again.data.columns[c], drawn[3].data.columns[c]) for c in again.data.columns)


def replace_seed(number):
    return SEEDS._replace(truth=number)


def test_a_row_of_a_random_graph_holds_queries_alone(scenarios):
    (found,) = run_task(Task(scenarios["random_graphs"], (ALONE,), 0, 10, False))
    assert not found.failed, found.reason
    assert set(found.truth) == {"E[Y | do(T=0)]", "E[Y | do(T=1)]", EFFECT} and set(found.answers) == {EFFECT}


# ---------------------------------------------------------------- what is claimed


def findings(study, rows):
    return {(f.estimator, f.kind): f for f in assess_claims(study.plan(), rows)}


@pytest.mark.parametrize(
    ("silent", "verdict"), [(0, Verdict.PASS), (1, Verdict.PASS), (12, Verdict.UNDERPOWERED), (100, Verdict.FAIL)]
)
def test_candour(silent, verdict, scenarios):
    study = Study((scenarios["rival_effects"],), (SEARCHED,), replicates=300)
    found = [row(i, low=0.5, high=1.0) if i < silent else row(i) for i in range(300)]
    finding = findings(study, found)["EM", "candour"]
    assert (finding.verdict, finding.statistic) == (verdict, pytest.approx(silent / 300))
    warned = [replace(one, status="RIVAL_MODES") for one in found]
    assert findings(study, warned)["EM", "candour"].verdict is Verdict.PASS
    assert findings(study, found[-3:])["EM", "candour"].verdict is Verdict.UNDERPOWERED


@pytest.mark.slow
def test_one_maximum_alone_does_not_pass_where_there_are_rivals(scenarios):
    """EM without a search, said to be candid, is silent and wrong once in six times: too often for what 100 show."""
    study = Study((scenarios["rival_effects"],), (ALONE, SEARCHED))
    found = findings(study, run_here(study))
    assert found["EM-unsearched", "candour"].verdict is not Verdict.PASS
    assert found["EM", "candour"].verdict is Verdict.PASS


def test_who_is_held_to_candour(scenarios):
    """All that are said to be candid, wherever sets of answers are measured; EM without a search is not."""
    held = {
        (scenario.name, claim.estimator)
        for scenario in scenarios.values()
        for claim in asserted_of(scenario, standard_contenders())
        if claim.kind == "candour"
    }
    named = {scenario.name for scenario in scenarios.values() if scenario.allowed is not None}
    assert {"rival_effects", "few_rows", "overlapping_100", "hidden_confounder", "random_graphs"} <= named
    assert {(name, point) for name in named for point in ("EM", "MAP", "NUTS")} <= held
    assert {name for _, name in held} == {"EM", "MAP", "NUTS", "SMC", "Exact"}


def test_errors_are_claimed_to_be_small_only_where_there_is_one_answer(scenarios):
    irregular = [s for s in scenarios.values() if s.allowed and not s.allowed.is_regular]
    assert {s.allowed for s in irregular} == set(Allowed) - {Allowed.ONE}
    for scenario in irregular:
        kinds = {claim.kind for claim in asserted_of(scenario, standard_contenders())}
        assert "candour" in kinds and not kinds & {"bias", "divergence", "efficiency", "spread"}


def test_answers_are_asked_only_where_the_truth_is_known(scenarios):
    with pytest.raises(ValueError, match="allowed: expected a known truth"):
        replace(scenarios["five_points"], allowed=Allowed.ONE)


def test_a_plan_of_before_has_no_answers():
    """Stored studies do not say what the rows allow."""
    plain = converter()
    old = PlannedScenario("a", "b", "a", 5, {"EM": 2}, Role.REGULAR, Truth.FIXED, False, (), {}, None)
    fields = plain.unstructure(old)
    del fields["allowed"]
    assert plain.structure(fields, PlannedScenario) == old


def test_a_search_is_handed_on():
    given = []

    class Listens:
        def fit(self, model, data, *, seed=None, search=None):
            given.append((model, data, seed, search))

    settings = modes.Search(least=7)
    WithSearch(Listens(), settings).fit("model", Data(X=[1.0]), seed=3)
    assert given[0][2:] == (3, settings)
