"""Two studies compared: what is noise is called noise at the rate that was asked, and what changed is found."""

from collections import Counter
from contextlib import closing
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from estimators import EM
from validation.__main__ import main
from validation.claims.compare import compare
from validation.claims.results import assess
from validation.statistics.check import Verdict
from validation.study.contenders import Contender
from validation.study.row import ERROR
from validation.study.store import Store
from validation.study.study import Study

NAME = "separated_300"
CONTRAST = "E[X | do(Z=1)] − E[X | do(Z=0)]"


@pytest.fixture(scope="module")
def plan(scenarios):
    return Study((scenarios[NAME],), (Contender("EM", EM()),), replicates=100).plan()


@pytest.fixture
def study(plan, efficient_rows):
    """Results of a study whose rows are made by hand; `luck` is the replicate's seed in the file."""

    def make(*, luck=0, n=100, change=lambda row: row, **how):
        rows = [replace(row, seed=1000 * luck + row.replicate) for row in efficient_rows(NAME, "EM", n=n, **how)]
        return assess(plan, [change(row) for row in rows])

    return make


def test_a_study_equals_itself(study):
    found = compare(study(), study())
    assert not found.changes and not found.verdicts and not found.only
    assert found.exit_status == 0
    assert {each.p_value for each in found.compared} == {1.0}
    assert all(each.paired for each in found.compared)
    assert found.seconds == {(NAME, "EM"): 1.0}


def test_results_and_comparisons_print_their_counts(study):
    first, second = study(seed=1, luck=1), study(seed=2, luck=2, bias=1.5)
    counts = Counter(finding.verdict for finding in second.findings)
    assert counts[Verdict.FAIL] > 0
    words = ", ".join(f"{counts[verdict]} {verdict.name}" for verdict in Verdict)
    assert repr(second) == f"Results({words} of {second.plan.looks}; 100 rows)"
    assert second.plan.looks.startswith(f"{len(second.findings)} claims in ")
    found = compare(first, second)
    worse = [change for change in found.compared if change.p_value <= found.alpha and change.worse]
    better = [change for change in found.compared if change.p_value <= found.alpha and not change.worse]
    changed = sum(one.verdict is not other.verdict for one, other in zip(first.findings, second.findings, strict=True))
    assert worse and changed
    assert repr(found) == (
        f"Comparison({len(found.compared)} comparisons at {1e-3 / len(found.compared):.1e} each: {len(worse)} worse, "
        f"{len(better)} better beyond noise, {changed} verdicts changed)"
    )


def test_rounding_is_no_change(study):
    def rounded(row):
        return replace(row, estimate={name: value * (1 + 1e-12) for name, value in row.estimate.items()})

    assert not compare(study(), study(change=rounded)).changes


@pytest.mark.slow
@pytest.mark.parametrize("false_alarm", [0.05, 0.3])
@pytest.mark.statistical(min_effect=0.35)
def test_noise_is_called_a_change_no_more_often_than_was_asked(stat, false_alarm, study):
    """Studies of one law from different seeds: none may change, and the level is held over many pairs."""
    pairs, first, study = 150, stat.seed, partial(study, n=40)
    alarms = sum(
        bool(compare(study(seed=i, luck=1), study(seed=i + 1, luck=2), false_alarm=false_alarm).changes)
        for i in range(first, first + 2 * pairs, 2)
    )
    stat.proportion(alarms, pairs, false_alarm, alternative="greater")
    changes = [
        bool(compare(study(seed=i, luck=1), study(seed=i + 1, luck=2, bias=1.5), false_alarm=false_alarm).changes)
        for i in range(first, first + 60, 2)
    ]
    with stat.control():  # studies of two laws
        stat.proportion(sum(changes), len(changes), false_alarm, alternative="greater")


def test_a_bias_is_found_and_is_worse(study):
    found = compare(study(seed=1, luck=1), study(seed=2, luck=2, bias=1.5))
    assert not any(each.paired for each in found.compared)
    assert found.exit_status == 1
    assert all(each.worse for each in found.changes)
    assert f"|error| of {CONTRAST}" in {each.measure for each in found.changes}
    back = compare(study(seed=2, luck=2, bias=1.5), study(seed=1, luck=1))
    assert back.changes and not any(each.worse for each in back.changes)
    assert back.exit_status == 0


def test_pairs_see_what_single_replicates_cannot(study):
    """A loss of precision of 5 % in every replicate is far below the luck of the data, which pairs share."""

    def coarser(row):
        moved = {name: row.truth[name] + 1.05 * (value - row.truth[name]) for name, value in row.estimate.items()}
        return replace(row, estimate=moved)

    def worse(found):
        return {each.measure for each in found.changes if each.worse and each.measure.startswith("|error|")}

    assert worse(compare(study(), study(change=coarser)))
    assert not worse(compare(study(seed=1, luck=1), study(seed=2, luck=2, change=coarser)))


def test_fits_that_fail_or_do_not_converge(study):
    def broken(row):
        return replace(row, status=ERROR, estimate={}, predictions=()) if row.replicate % 4 == 0 else row

    def stopped(row):
        return replace(row, status="MAX_ITERATIONS") if row.replicate % 4 == 0 else row

    for change, measures in (
        (broken, {"share of fits that failed", "share of fits that converged"}),
        (stopped, {"share of fits that converged"}),
    ):
        found = compare(study(), study(change=change))
        assert {each.measure for each in found.changes} == measures
        assert all(each.worse for each in found.changes)
        for each in found.changes:
            assert each.p_value == pytest.approx(2 * 0.5**25)  # McNemar: 25 of 25 pairs went one way
        assert found.exit_status == 1


def test_a_claim_that_fails_now(study):
    found = compare(study(), study(seed=0, swapped=True))
    assert any(new is Verdict.FAIL and old is Verdict.PASS for _, old, new in found.verdicts)
    assert found.exit_status == 1


def test_a_verdict_alone_is_enough(plan, study):
    """The same rows judged at another effect: nothing changed but the verdict."""
    old = study()
    blind = replace(plan, claims=tuple(replace(each, allowed=0.3, alpha=1e-300) for each in plan.claims))
    found = compare(old, assess(blind, old.rows))
    assert not found.changes
    assert {new for _, _, new in found.verdicts} == {Verdict.UNDERPOWERED}
    assert found.exit_status == 0


def test_infinite_divergences_are_compared(study):
    def ruled_out(row):
        return replace(row, predictions=tuple(replace(each, kl=np.inf) for each in row.predictions))

    found = compare(study(seed=1, luck=1), study(seed=2, luck=2, change=ruled_out))
    assert {f"KL of X | do(Z={z})" for z in (0, 1)} <= {each.measure for each in found.changes if each.worse}


def test_what_only_one_has(scenarios, plan, study, efficient_rows):
    both = (scenarios[NAME], scenarios["separated_100"])
    larger = Study(both, (Contender("EM", EM()),), replicates=100).plan()
    rows = [*efficient_rows(NAME, "EM", n=10), *efficient_rows("separated_100", "EM", n=10)]
    found = compare(study(), assess(larger, rows))
    assert found.only == ("separated_100 / EM: only in the new study",)
    with pytest.raises(ValueError, match="no scenario and estimator in common"):
        compare(study(), assess(larger, [row for row in rows if row.scenario == "separated_100"]))


@pytest.fixture
def files(tmp_path, plan, study):
    """Two studies in files: the second made other estimates from the same data."""
    for name, results in (("old", study()), ("new", study(bias=1.5)), ("same", study())):
        with closing(Store.create(tmp_path / f"{name}.sqlite", plan)) as store:
            store.add(results.rows, {})
    return tmp_path


def test_the_command(files, capsys):
    old, new, same = (str(files / f"{name}.sqlite") for name in ("old", "new", "same"))
    assert main(["compare", old, same]) == 0
    assert ": 0 worse, 0 better beyond noise, 0 verdicts changed" in capsys.readouterr().out
    assert main(["compare", old, new]) == 1
    out = capsys.readouterr().out
    assert out.startswith(f"WORSE   {NAME} / EM: ")
    assert "100 pairs of replicates)" in out
    assert "PASS -> FAIL" in out
    assert "Time per fit, new/old: median 1.00" in out
    assert main(["compare", new, old]) == 0
    assert capsys.readouterr().out.startswith(f"better  {NAME} / EM: ")
    assert main(["compare", old, str(files / "nothing.sqlite")]) == 2
    assert "there is no such file" in capsys.readouterr().err
