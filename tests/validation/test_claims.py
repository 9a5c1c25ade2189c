"""Every kind of claim passes on rows of a correct estimator, and fails on rows of a wrong one."""

from dataclasses import replace

import pytest

from validation.claims import assess_claims, claims_on, standard_share
from validation.contenders import Contender, standard_contenders
from validation.record import ERROR, Row
from validation.scenarios import STANDARD_SCENARIOS
from validation.tolerances import BUDGET, Verdict

POINT = Contender("EM", estimator=None)
POSTERIOR = Contender("NUTS", estimator=None, posterior=True)


def verdicts(scenario, contender, rows):
    return {finding.kind: finding for finding in assess_claims([scenario], [contender], rows)}


def lost(row, status=ERROR):
    """The row of the same replicate, had its fit failed."""
    return Row(row.scenario, row.estimator, row.replicate, row.seed, status, "ValueError: no", truth=row.truth)


@pytest.mark.parametrize("name", ["well_separated", "overlapping", "unbalanced"])
def test_an_efficient_estimator_passes(name, scenarios, efficient_rows):
    found = verdicts(scenarios[name], POINT, efficient_rows(name, "EM"))
    assert {kind: f.verdict for kind, f in found.items()} == dict.fromkeys(found, Verdict.PASS)
    assert set(found) == {"bias", "divergence", "convergence"}


@pytest.mark.parametrize("name", ["well_separated", "overlapping", "unbalanced"])
@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({"bias": 2.5}, "bias"),
        ({"bias": -2.5}, "bias"),
        ({"bias": 2.5}, "divergence"),
        ({"inflation": 3.0}, "divergence"),
        ({"swapped": True}, "bias"),
    ],
)
def test_a_wrong_estimator_fails(name, wrong, kind, scenarios, efficient_rows):
    found = verdicts(scenarios[name], POINT, efficient_rows(name, "EM", **wrong))
    assert found[kind].verdict is Verdict.FAIL
    if kind == "bias":
        assert found[kind].worst


def test_swapped_labels_fail_the_divergence_too(scenarios, efficient_rows):
    found = verdicts(scenarios["well_separated"], POINT, efficient_rows("well_separated", "EM", swapped=True))
    assert found["divergence"].verdict is Verdict.FAIL


def test_few_replicates_are_underpowered_not_passed(scenarios, efficient_rows):
    found = verdicts(scenarios["overlapping"], POINT, efficient_rows("overlapping", "EM", n=3))
    assert {f.verdict for f in found.values()} == {Verdict.UNDERPOWERED}


def test_no_rows_are_underpowered(scenarios):
    for scenario in STANDARD_SCENARIOS:
        for finding in assess_claims([scenario], standard_contenders(), []):
            assert finding.verdict in (Verdict.UNDERPOWERED, Verdict.REPORTED)


def test_a_lost_fit_is_not_forgotten(scenarios, efficient_rows):
    rows = efficient_rows("overlapping", "EM")
    found = verdicts(scenarios["overlapping"], POINT, [lost(rows[0]), *rows[1:]])
    assert found["bias"].verdict is Verdict.FAIL
    assert found["bias"].missing == 1
    assert found["bias"].replicates == len(rows)
    assert found["convergence"].verdict is Verdict.PASS
    assert found["convergence"].statistic == pytest.approx(1 / len(rows))


def test_fits_that_do_not_converge_fail(scenarios, efficient_rows):
    rows = efficient_rows("overlapping", "EM")
    half = [replace(row, status="MAX_ITERATIONS") if i % 2 else row for i, row in enumerate(rows)]
    assert verdicts(scenarios["overlapping"], POINT, half)["convergence"].verdict is Verdict.FAIL


def test_a_calibrated_posterior_passes(scenarios, posterior_rows):
    found = verdicts(scenarios["prior_truths"], POSTERIOR, posterior_rows("prior_truths", "NUTS"))
    assert found["coverage"].verdict is Verdict.PASS
    assert found["centred"].verdict is Verdict.PASS
    assert found["coverage"].low < 0.9 < found["coverage"].high


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [({"width": 0.4}, "coverage"), ({"shift": 1.5}, "centred"), ({"shift": -1.5}, "centred")],
)
def test_a_wrong_posterior_fails(wrong, kind, scenarios, posterior_rows):
    found = verdicts(scenarios["prior_truths"], POSTERIOR, posterior_rows("prior_truths", "NUTS", **wrong))
    assert found[kind].verdict is Verdict.FAIL


def test_a_replicate_without_an_interval_does_not_cover(scenarios, posterior_rows):
    rows = posterior_rows("prior_truths", "NUTS")
    some = [lost(row) if row.replicate % 2 else row for row in rows]
    found = verdicts(scenarios["prior_truths"], POSTERIOR, some)["coverage"]
    assert found.verdict is Verdict.FAIL
    assert found.replicates == len(rows)
    assert found.statistic <= 0.5


def test_draws_from_the_exact_posterior_pass(scenarios, posterior_rows):
    found = verdicts(scenarios["five_points"], POSTERIOR, posterior_rows("five_points", "NUTS", n=24))
    assert found["exactness"].verdict is Verdict.PASS


def test_draws_from_another_distribution_fail(scenarios, posterior_rows):
    found = verdicts(scenarios["five_points"], POSTERIOR, posterior_rows("five_points", "NUTS", n=24, gap=0.06))
    assert found["exactness"].verdict is Verdict.FAIL


@pytest.mark.parametrize(("error", "verdict"), [(9e-6, Verdict.PASS), (2e-5, Verdict.FAIL)])
def test_the_mode_known_in_closed_form(error, verdict, scenarios):
    scenario = scenarios["five_points"]
    expected = {name: value + error for name, value in scenario.expected["EM"].items()}
    rows = [Row("five_points", "EM", r, 0, "CONVERGED", truth=expected, estimate=expected) for r in range(24)]
    finding = verdicts(scenario, POINT, rows)["mode"]
    assert finding.verdict is verdict
    assert finding.alpha == 0.0


def test_closed_form_modes_are_the_known_numbers(scenarios):
    expected = scenarios["five_points"].expected
    assert expected["EM"] == pytest.approx({"theta[0]": 0.4, "theta[1]": 0.6, "mu_X[0]": 0.5, "mu_X[1]": 11.0})
    known = {"theta[0]": 0.375, "theta[1]": 0.625, "mu_X[0]": 0.497512, "mu_X[1]": 10.963455}
    assert expected["MAP"] == pytest.approx(known, abs=1e-6)


def test_a_reported_scenario_never_counts(scenarios, posterior_rows):
    rows = posterior_rows("few_rows", "NUTS", width=0.1, shift=3.0, gap=0.5)
    found = verdicts(scenarios["few_rows"], POSTERIOR, rows)
    assert {finding.verdict for finding in found.values()} == {Verdict.REPORTED}


def test_coverage_at_fixed_truth_and_laplace_are_reported_only(scenarios):
    claims = claims_on(scenarios["overlapping"], standard_contenders())
    coverage = [claim for claim in claims if claim.kind.name == "coverage"]
    assert {claim.contender for claim in coverage} == {"EM+laplace", "MAP+laplace", "NUTS"}
    assert not any(claim.judged for claim in coverage)


def test_the_budget_is_spent_once_and_whole():
    share, keys = standard_share()
    spending = [c for s in STANDARD_SCENARIOS for c in claims_on(s, standard_contenders()) if c.spends]
    assert len(spending) == len(keys)
    assert share * len(spending) == pytest.approx(BUDGET)


def test_a_subset_keeps_its_thresholds(scenarios, efficient_rows):
    rows = efficient_rows("overlapping", "EM")
    alone = verdicts(scenarios["overlapping"], POINT, rows)["bias"]
    everything = assess_claims(STANDARD_SCENARIOS, standard_contenders(), rows)
    within = next(f for f in everything if (f.scenario, f.estimator, f.kind) == ("overlapping", "EM", "bias"))
    assert (alone.alpha, alone.high) == (within.alpha, within.high)


def test_claims_outside_the_standard_study_share_a_budget_of_their_own(scenarios, efficient_rows):
    mine = [replace(scenarios["overlapping"], name=f"mine_{i}") for i in range(2)]
    findings = assess_claims(mine, [POINT], [])
    assert sum(finding.alpha for finding in findings) == pytest.approx(BUDGET)
