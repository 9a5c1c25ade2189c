"""Every kind of claim passes on rows of a correct estimator, and fails on rows of a wrong one."""

from dataclasses import replace

import pytest

from validation.claims.judge import KINDS, assess_claims
from validation.claims.kinds import second_order
from validation.scenarios import STANDARD_SCENARIOS, Truth
from validation.statistics.check import BUDGET, Verdict
from validation.study.contenders import Contender, standard_contenders
from validation.study.plain import converter
from validation.study.plan import Plan, asserted_of, plan_of
from validation.study.presets import PRESETS
from validation.study.row import ERROR, Row

POINT = Contender("EM", estimator=None, efficient=True)
POSTERIOR = Contender("NUTS", estimator=None, posterior=True)
FIXED = ["separated_100", "overlapping_1000", "unknown_scales", "hidden_confounder", "partly_set"]

# Those whose efficient errors, which take long to compute, no other test asks for.
ALONE = ("unknown_scales", "partly_set")
# Thousands and tens of thousands of rows.
LARGER = [pytest.param(name, marks=pytest.mark.slow) for name in ("standard", "full")]


PLANS = {}


def plan(scenarios, contenders, preset="quick"):
    """Made once for the same scenarios and contenders: what an efficient estimator attains takes long to compute."""
    key = repr((scenarios, contenders, preset))
    if key not in PLANS:
        PLANS[key] = plan_of(scenarios, contenders, PRESETS[preset], seed=0, replicates=None)
    return PLANS[key]


def verdicts(scenario, contender, rows, preset="quick"):
    return {finding.kind: finding for finding in assess_claims(plan([scenario], [contender], preset), rows)}


def lost(row, status=ERROR):
    """The row of the same replicate, had its fit failed."""
    return Row(row.scenario, row.estimator, row.replicate, row.seed, status, "ValueError: no", truth=row.truth)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in ALONE)) for n in FIXED])
@pytest.mark.parametrize("preset", ["quick", *LARGER])
def test_an_efficient_estimator_passes_at_the_size_of_each_preset(name, preset, scenarios, efficient_rows):
    size = PRESETS[preset].replicates_of(scenarios[name])
    found = verdicts(scenarios[name], POINT, efficient_rows(name, "EM", n=size), preset)
    judged = {kind: f.verdict for kind, f in found.items() if f.verdict is not Verdict.REPORTED}
    assert judged == dict.fromkeys(judged, Verdict.PASS)
    assert {"bias", "divergence", "convergence"} <= set(judged)
    assert ("efficiency" in judged) == (scenarios[name].num_rows >= 1000)


@pytest.mark.parametrize("name", ["separated_1000", "overlapping_1000", "hidden_confounder"])
@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({"bias": 2.5}, "bias"),
        ({"bias": -2.5}, "bias"),
        ({"bias": 3.2}, "divergence"),
        ({"inflation": 3.5}, "divergence"),
        ({"inflation": 6**0.5 * 1.2}, "efficiency"),
        ({"inflation": 0.2}, "efficiency"),
    ],
)
def test_a_wrong_estimator_fails(name, wrong, kind, scenarios, efficient_rows):
    found = verdicts(scenarios[name], POINT, efficient_rows(name, "EM", **wrong))
    assert found[kind].verdict is Verdict.FAIL
    if kind != "divergence":
        assert found[kind].worst


@pytest.mark.parametrize(("inflation", "verdict"), [(1.0, Verdict.PASS), (2**0.5, Verdict.FAIL)])
def test_twice_the_variance_is_seen_by_the_standard_preset(inflation, verdict, scenarios, efficient_rows):
    rows = efficient_rows("separated_1000", "EM", n=200, inflation=inflation, seed=1)
    assert verdicts(scenarios["separated_1000"], POINT, rows, "standard")["efficiency"].verdict is verdict


def test_the_term_of_order_one_over_n_is_that_of_a_binomial_class_size(limits):
    # E[1/n] for n ~ Binomial(N, θ) exceeds 1/(Nθ) by the factor (1-θ)/(Nθ): 0.0015 at θ = 0.4, N = 1000.
    assert second_order(limits("separated_1000"), "theta[0]") == pytest.approx(0.0015, rel=0.02)
    assert second_order(limits("overlapping_1000"), "theta[0]") > 2 * second_order(limits("separated_1000"), "theta[0]")


@pytest.mark.parametrize("kind", ["bias", "divergence"])
def test_swapped_labels_fail(kind, scenarios, efficient_rows):
    found = verdicts(scenarios["separated_100"], POINT, efficient_rows("separated_100", "EM", swapped=True))
    assert found[kind].verdict is Verdict.FAIL


def test_few_replicates_are_underpowered_not_passed(scenarios, efficient_rows):
    found = verdicts(scenarios["overlapping_1000"], POINT, efficient_rows("overlapping_1000", "EM", n=3))
    assert {f.verdict for f in found.values()} == {Verdict.UNDERPOWERED}


def test_no_rows_are_underpowered():
    for finding in assess_claims(plan(STANDARD_SCENARIOS[:5], standard_contenders()), []):
        assert finding.verdict in (Verdict.UNDERPOWERED, Verdict.REPORTED)


def test_a_lost_fit_is_not_forgotten(scenarios, efficient_rows):
    rows = efficient_rows("overlapping_1000", "EM")
    found = verdicts(scenarios["overlapping_1000"], POINT, [lost(rows[0]), *rows[1:]])
    assert found["bias"].verdict is Verdict.FAIL
    assert found["bias"].missing == 1
    assert found["bias"].replicates == len(rows)
    assert found["convergence"].verdict is Verdict.PASS
    assert found["convergence"].statistic == pytest.approx(1 / len(rows))


def test_fits_that_do_not_converge_fail(scenarios, efficient_rows):
    rows = efficient_rows("overlapping_1000", "EM")
    half = [replace(row, status="MAX_ITERATIONS") if i % 2 else row for i, row in enumerate(rows)]
    assert verdicts(scenarios["overlapping_1000"], POINT, half)["convergence"].verdict is Verdict.FAIL


@pytest.mark.parametrize("preset", ["quick", *LARGER])
def test_a_calibrated_posterior_passes_at_the_size_of_each_preset(preset, scenarios, posterior_rows):
    size = PRESETS[preset].replicates[Truth.PRIOR]
    found = verdicts(scenarios["prior_truths"], POSTERIOR, posterior_rows("prior_truths", "NUTS", n=size), preset)
    assert found["coverage"].verdict is Verdict.PASS
    assert found["calibration"].verdict is Verdict.PASS
    assert found["coverage"].low < 0.9 < found["coverage"].high


@pytest.mark.parametrize(
    ("preset", "wrong", "kind"),
    [
        ("quick", {"width": 0.4}, "coverage"),
        ("quick", {"shift": 1.0}, "calibration"),
        ("quick", {"shift": -1.0}, "calibration"),
        pytest.param("standard", {"width": 0.8}, "coverage", marks=pytest.mark.slow),
        pytest.param("standard", {"shift": 0.3}, "calibration", marks=pytest.mark.slow),
        pytest.param("full", {"width": 0.9}, "coverage", marks=pytest.mark.slow),
        pytest.param("full", {"shift": -0.15}, "calibration", marks=pytest.mark.slow),
    ],
)
def test_a_wrong_posterior_fails(preset, wrong, kind, scenarios, posterior_rows):
    size = PRESETS[preset].replicates[Truth.PRIOR]
    rows = posterior_rows("prior_truths", "NUTS", n=size, **wrong)
    assert verdicts(scenarios["prior_truths"], POSTERIOR, rows, preset)[kind].verdict is Verdict.FAIL


def test_a_replicate_without_an_interval_does_not_cover(scenarios, posterior_rows):
    rows = posterior_rows("prior_truths", "NUTS")
    some = [lost(row) if row.replicate % 2 else row for row in rows]
    found = verdicts(scenarios["prior_truths"], POSTERIOR, some)
    assert found["coverage"].verdict is Verdict.FAIL
    assert found["coverage"].replicates == len(rows)
    assert found["coverage"].statistic <= 0.5
    assert found["calibration"].verdict is Verdict.FAIL
    assert found["calibration"].missing == len(rows) // 2


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
    assert {"coverage", "calibration", "exactness", "convergence"} == set(found)


def test_coverage_at_fixed_truth_and_laplace_are_reported_only(scenarios):
    asserted = asserted_of(scenarios["separated_100"], standard_contenders())
    coverage = [each for each in asserted if each.kind == "coverage"]
    assert {each.estimator for each in coverage} == {"EM+laplace", "MAP+laplace", "NUTS"}
    assert not any(each.judged for each in coverage)


def test_efficiency_is_judged_for_em_at_many_rows_only(scenarios):
    judged = {
        (scenario.name, each.estimator)
        for scenario in STANDARD_SCENARIOS
        for each in asserted_of(scenario, standard_contenders())
        if each.kind == "efficiency" and each.judged
    }
    assert {name for _, name in judged} == {"EM"}
    assert all(scenarios[name].num_rows >= 1000 for name, _ in judged)
    assert ("separated_1000", "EM") in judged


@pytest.fixture(scope="session")
def standard_plan():
    return plan(STANDARD_SCENARIOS, standard_contenders(), "standard")


# What an efficient estimator attains takes long to compute for all scenarios. By default those of one's own are asked.
@pytest.mark.slow
def test_the_budget_is_spent_once_and_whole(standard_plan):
    spending = [claim for claim in standard_plan.claims if claim.judged and claim.kind != "mode"]
    assert len({claim.alpha for claim in spending}) == 1
    assert sum(claim.alpha for claim in spending) == pytest.approx(BUDGET)


@pytest.mark.slow
def test_every_judged_kind_states_the_effect_it_must_see(standard_plan):
    kinds = {claim.kind for claim in standard_plan.claims if claim.judged} - {"mode"}
    assert kinds == set(KINDS)
    for name in ("quick", "standard", "full"):
        assert kinds <= set(PRESETS[name].effects)


def test_a_plan_survives_storage(scenarios):
    plain, one = converter(), plan([scenarios["separated_100"]], [POINT])
    assert plain.structure(plain.unstructure(one), Plan) == one


@pytest.mark.slow
def test_a_subset_keeps_its_thresholds(scenarios, standard_plan):
    alone = plan([scenarios["separated_100"]], [POINT], "standard")
    within = {(c.scenario, c.estimator, c.kind): c.alpha for c in standard_plan.claims}
    for claim in alone.claims:
        assert claim.alpha == within[claim.scenario, claim.estimator, claim.kind]


def test_claims_outside_the_standard_study_share_a_budget_of_their_own(scenarios):
    mine = [replace(scenarios["separated_100"], name=f"mine_{i}") for i in range(2)]
    spending = [claim.alpha for claim in plan(mine, [POINT]).claims if claim.judged]
    assert sum(spending) == pytest.approx(BUDGET)
