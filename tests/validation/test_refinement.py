"""The loop of refutation: it ends at the right model, stays there, and keeps its history."""

from dataclasses import dataclass, replace

import pandas as pd
import pytest

from estimators import EM, Data, Status
from tests.models import fit_quietly
from tests.refutation_models import (
    CLASSES,
    GOOD,
    ONE_SCALE,
    POWER,
    SCALES,
    THREE,
    TWO,
    TWO_SCALES,
    hidden,
    set_labels,
)
from validation import History, refine

# ---------------------------------------------------------------- the loop

# (candidates, truth, Greeks, the candidate that is right).
LOOPS = {
    "two classes, then three": ([ONE_SCALE, THREE], THREE, CLASSES, 1),
    "one known scale, then unequal ones": ([ONE_SCALE, SCALES], SCALES, TWO_SCALES, 1),
    "right from the start": ([ONE_SCALE, THREE], ONE_SCALE, TWO, 0),
    "right from the start, with scales": ([SCALES, THREE], SCALES, TWO_SCALES, 0),
}


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(5, marks=pytest.mark.statistical(min_effect=0.92)),
        pytest.param(60, marks=[pytest.mark.slow, pytest.mark.statistical(min_effect=0.4)]),
    ],
)
@pytest.mark.filterwarnings("ignore::estimators.EstimationWarning")  # three classes, after a false alarm of two
@pytest.mark.parametrize("case", [pytest.param(case, marks=[pytest.mark.slow] * ("scale" in case)) for case in LOOPS])
def test_the_loop_ends_at_the_right_model_and_stays(stat, case, count):
    """Two experiments of 40 rows per setting after 300 hidden rows; each test at level 0.01 may raise a false alarm."""
    candidates, truth, greeks, right = LOOPS[case]
    ended = 0
    for seed in range(stat.seed, stat.seed + count):
        experiments = [set_labels(truth, greeks, (40, 40), 10_000 * (place + 1) + seed) for place in range(2)]
        history = refine(candidates, hidden(truth, greeks, 300, seed), experiments, EM(num_starts=5), seed=seed)
        ended += history.model is candidates[right] and not history.exhausted
        if history.model is candidates[right]:
            assert [step.number for step in history.steps] == sorted(step.number for step in history.steps)
    stat.proportion(ended, count, POWER - 2 * 0.01, alternative="less")
    with stat.control():  # as if the loops had ended at the other candidate, and these there
        stat.proportion(count - ended, count, POWER - 2 * 0.01, alternative="less")


def test_history_says_what_happened():
    experiments = [set_labels(SCALES, TWO_SCALES, (60, 60), 10_000 * (place + 1)) for place in range(2)]
    history = refine([ONE_SCALE, SCALES], hidden(SCALES, TWO_SCALES, 300, 0), experiments, EM(), seed=0)
    assert [(step.number, step.experiment, step.num_rows) for step in history.steps] == [
        (0, 0, 300),
        (1, 0, 300),  # the next candidate has not seen the experiment either
        (1, 1, 420),
        (1, None, 540),
    ]
    table = history.table()
    assert isinstance(table, pd.DataFrame)
    assert table["refuted"].tolist()[:3] == [True, False, False]
    assert table["p_value"].notna().tolist() == [True, True, True, False]
    assert history.fit is history.steps[-1].fit
    assert history.fit.data.num_rows == 540
    assert int(history.fit.data.is_set("Z").sum()) == 240
    lines = str(history).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        f"{number}. candidate {step.number}, {step.num_rows} rows" for number, step in enumerate(history.steps)
    ]
    assert all(step.refutation.sentence in line for step, line in zip(history.steps[:3], lines, strict=False))
    assert "stands after 2" in lines[-1]
    assert repr(history).startswith("History(4 step(s), the last: ") and "stands after 2" in repr(history)
    # Of many steps the first and the last, which say what is left out.
    many = str(History(history.steps[:3] * 20 + history.steps[3:])).splitlines()
    assert len(many) == 25 and many[-2:] == ["... the table() has all 61 steps; the last:", f"60. {lines[-1][3:]}"]


def test_candidates_that_run_out_are_said_to():
    rows = set_labels(SCALES, TWO_SCALES, (60, 60), 1)
    history = refine([ONE_SCALE], hidden(SCALES, TWO_SCALES, 300, 0), [rows, rows], EM(), seed=0)
    assert history.exhausted
    assert len(history.steps) == 1
    assert "No candidate is left" in str(history)


def test_a_label_that_the_model_lacks_counts_against_it():
    rows = set_labels(THREE, CLASSES, (20, 20, 20), 1, num_labels=3)
    history = refine([ONE_SCALE, THREE], hidden(THREE, CLASSES, 300, 0), [rows], EM(), seed=0)
    assert history.model is THREE
    assert history.steps[0].refutation is None
    assert "sets Z=2: the model has no such label" in history.table()["outcome"][0]


@dataclass(frozen=True)
class LosesAThird:
    """EM whose fit of three classes has lost one."""

    def fit(self, model, data, *, seed=None):
        fit = fit_quietly(EM(), model, data, seed=seed)
        return replace(fit, status=Status.BOUNDARY) if model is THREE else fit


def test_a_class_without_an_estimate_counts_against_the_model():
    rows = set_labels(ONE_SCALE, TWO, (20, 20), 1)
    history = refine([THREE, ONE_SCALE], hidden(ONE_SCALE, TWO, 100, 0), [rows], LosesAThird(), seed=0)
    assert history.model is ONE_SCALE
    assert history.steps[0].refutation is None
    assert "cannot predict experiment 0: refute: the fit has no estimate of every class" in history.steps[0].note


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"models": []}, ValueError, "models: expected at least one"),
        ({"models": ONE_SCALE}, TypeError, "models: expected a list"),
        ({"models": ["two"]}, TypeError, "models: expected CausalMixture"),
        ({"experiments": []}, ValueError, "experiments: expected at least one"),
        ({"experiments": Data(**GOOD)}, TypeError, "experiments: expected a list"),
        ({"experiments": [Data(X=[1.0])]}, ValueError, "no entry was set"),
        ({"seed": "one"}, TypeError, "seed: expected"),
        ({"level": 0.0}, ValueError, "level: expected"),
    ],
)
def test_refusals_of_refine(change, error, message):
    arguments = {"models": [ONE_SCALE], "data": {"X": [0.0, 1.0]}, "experiments": [Data(**GOOD)], **change}
    models, data, experiments = (arguments.pop(name) for name in ("models", "data", "experiments"))
    with pytest.raises(error, match=message):
        refine(models, data, experiments, EM(), **arguments)
