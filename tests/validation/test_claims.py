"""Every kind of claim passes on rows of a right estimator; no wrong one of the table passes where it is to be seen."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from validation.claims.judge import KINDS, assess_claims
from validation.claims.kind import ALPHA, UNLUCKY, Asked, rounded_up, shown_share
from validation.scenarios import STANDARD_SCENARIOS, Truth
from validation.statistics.check import BUDGET, Verdict
from validation.statistics.tolerances import proportion_interval
from validation.study.assertions import asserted_of
from validation.study.contenders import Contender, standard_contenders
from validation.study.plain import converter
from validation.study.plan import Plan, plan_of
from validation.study.presets import PRESETS
from validation.study.row import CONVERGED, ERROR, LEVEL, RANKED, Answer, Interval, Row

POINT = Contender("EM", estimator=None, efficient=True, candid=True)
OTHER = Contender("MAP", estimator=None)
POSTERIOR = Contender("NUTS", estimator=None, posterior=True, candid=True)
FIXED = ["separated_100", "overlapping_1000", "unknown_scales", "hidden_confounder", "partly_set"]
# Those whose efficient errors, which take long to compute, no other test asks for.
ALONE = ("unknown_scales", "partly_set")
SIZES = ("quick", "standard")
PLANS = {}


def size(preset, scenario):
    """How many replicates a preset has of a scenario."""
    return PRESETS[preset].replicates_of(scenario)


def plan(scenarios, contenders, preset="quick"):
    """Made once for the same scenarios and contenders: what an efficient estimator attains takes long to compute."""
    key = repr((scenarios, contenders, preset))
    if key not in PLANS:
        PLANS[key] = plan_of(scenarios, contenders, PRESETS[preset], seed=0, replicates=None)
    return PLANS[key]


def findings(scenario, contender, rows, preset="quick", *, beside=()):
    """What came of the claims of one estimator, by kind; `beside` are others in the study."""
    found = assess_claims(plan([scenario], [*beside, contender], preset), rows)
    return {finding.kind: finding for finding in found if finding.estimator == contender.name}


def verdicts(*args, **kwargs):
    return {kind: finding.verdict for kind, finding in findings(*args, **kwargs).items()}


def lost(row, status=ERROR):
    """The row of the same replicate, had its fit failed."""
    return Row(row.scenario, row.estimator, row.replicate, row.seed, status, "ValueError: no", truth=row.truth)


# ---------------------------------------------------------------- right estimators


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in ALONE)) for n in FIXED])
@pytest.mark.parametrize("preset", list(SIZES))
def test_an_efficient_estimator_passes_at_the_size_of_each_preset(name, preset, scenarios, efficient_rows):
    found = verdicts(scenarios[name], POINT, efficient_rows(name, "EM", n=size(preset, scenarios[name])), preset)
    for kind in ("candour", "answered"):  # of which these rows say nothing
        found.pop(kind, None)
    assert found == dict.fromkeys(("bias", "efficiency", "gross", "divergence", "convergence"), Verdict.PASS)


@pytest.mark.parametrize("preset", list(SIZES))
def test_an_efficient_posterior_passes(preset, scenarios, efficient_rows):
    em, nuts = (
        efficient_rows("separated_100", name, n=size(preset, scenarios["separated_100"])) for name in ("EM", "NUTS")
    )
    found = verdicts(scenarios["separated_100"], POSTERIOR, [*em, *nuts], preset, beside=[POINT])
    kinds = ("bias", "gross", "divergence", "agreement", "spread", "floor", "convergence")
    assert found == dict.fromkeys(kinds, Verdict.PASS)


@pytest.mark.parametrize("preset", list(SIZES))
def test_a_calibrated_posterior_passes(preset, scenarios, posterior_rows):
    rows = posterior_rows("prior_truths", "NUTS", n=size(preset, scenarios["prior_truths"]))
    found = findings(scenarios["prior_truths"], POSTERIOR, rows, preset)
    assert {kind: f.verdict for kind, f in found.items()} == dict.fromkeys(("calibration", "coverage"), Verdict.PASS)
    assert found["coverage"].low < 0.9 < found["coverage"].high


def test_draws_from_the_exact_posterior_pass(scenarios, posterior_rows):
    found = verdicts(scenarios["few_rows"], POSTERIOR, posterior_rows("few_rows", "NUTS", n=200))
    assert found["exactness"] is Verdict.PASS


# ---------------------------------------------------------------- the table of wrong estimators

WRONG = {
    "a bias of .5 efficient sd": ({"bias": 0.5}, {"quick": {"bias", "agreement"}, "standard": {"bias", "agreement"}}),
    "a bias of 1 efficient sd": ({"bias": 1.0}, {"quick": {"bias", "agreement"}, "standard": {"bias", "agreement"}}),
    "twice the efficient variance": (
        {"inflation": 2**0.5},
        {"quick": {"efficiency", "divergence"}, "standard": {"efficiency", "divergence"}},
    ),
    "one row in 25 used": (
        {"inflation": 5.0},
        {"quick": {"efficiency", "divergence"}, "standard": {"efficiency", "divergence"}},
    ),
    "intervals 20 % short": ({"width": 0.8}, {"quick": {"spread"}, "standard": {"spread"}}),
    "labels by coin flip": (
        {"flips": 0.5},
        {"quick": {"bias", "efficiency", "divergence", "agreement"}, "standard": {"bias", "efficiency", "agreement"}},
    ),
    "one fit in twelve far off": ({"gross": 1 / 12}, {"quick": {"gross"}, "standard": {"gross", "efficiency"}}),
    "a quarter of the fits not converging": ({"lame": 0.25}, {"quick": {"convergence"}, "standard": {"convergence"}}),
}
SEEDS = 3
# Of thousands of rows each.
PRESET_SIZES = ["quick", pytest.param("standard", marks=pytest.mark.slow)]


@pytest.mark.parametrize("preset", PRESET_SIZES)
@pytest.mark.parametrize("name", list(WRONG))
def test_a_wrong_estimator_does_not_pass(name, preset, scenarios, efficient_rows):
    """Of what a sentence allows and no more, at most one in a million passes."""
    wrong, seen = WRONG[name]
    both = Contender("EM", None, posterior=True, efficient=True)
    reference = replace(POINT, name="EM")
    count = size(preset, scenarios["separated_100"])
    for seed in range(SEEDS):
        rows = efficient_rows("separated_100", "EM", n=count, seed=seed, **wrong)
        found = verdicts(scenarios["separated_100"], both, rows, preset)
        if "agreement" in seen[preset]:
            right = efficient_rows("separated_100", "EM", n=count, seed=seed)
            other = [replace(row, estimator="MAP") for row in rows]
            found |= verdicts(scenarios["separated_100"], OTHER, [*right, *other], preset, beside=[reference])
            assert found["agreement"] is not Verdict.PASS
        missed = {kind for kind in seen[preset] if found.get(kind) is Verdict.PASS}
        assert not missed


POSTERIORS = {
    # What .3 sd of shift and three quarters of the spread are too small for at `quick`, exactness and spread see there.
    "a posterior .3 sd off": ({"shift": 0.3, "gap": 0.115}, {"quick": {"exactness"}, "standard": {"calibration"}}),
    "a posterior of .75 the sd": (
        {"width": 0.75, "gap": -0.06},
        {"quick": {"exactness"}, "standard": {"calibration", "coverage"}},
    ),
    "intervals 20 % short": ({"width": 0.8}, {"quick": set(), "standard": {"coverage"}}),
    "a posterior 1 sd off": ({"shift": -1.0, "gap": 0.3}, {"quick": {"calibration"}, "standard": {"calibration"}}),
}


@pytest.mark.parametrize("preset", PRESET_SIZES)
@pytest.mark.parametrize("name", list(POSTERIORS))
def test_a_wrong_posterior_does_not_pass(name, preset, scenarios, posterior_rows):
    wrong, seen = POSTERIORS[name]
    scenario = scenarios[{"quick": "few_rows", "standard": "prior_truths"}[preset]]
    for seed in range(SEEDS):
        rows = posterior_rows(scenario.name, "NUTS", n=size(preset, scenario), seed=seed, **wrong)
        found = verdicts(scenario, POSTERIOR, rows, preset)
        assert not {kind for kind in seen[preset] if found[kind] is Verdict.PASS}


@pytest.mark.parametrize(
    ("preset", "silent", "verdict"),
    [
        ("quick", 0.0, Verdict.PASS),
        ("quick", 0.3, Verdict.FAIL),
        ("standard", 0.0, Verdict.PASS),
        ("standard", 0.3, Verdict.FAIL),
    ],
)
def test_one_of_two_modes_missing_is_silent_and_wrong(preset, silent, verdict, scenarios):
    """Where the truth is in the mode that is missing, in three data sets of ten, as of equal spreads."""
    effect, rng = "E[Y | do(T=1)] − E[Y | do(T=0)]", np.random.default_rng(0)
    rows = []
    for replicate in range(size(preset, scenarios["rival_effects"])):
        interval = (0.5, 1.0) if rng.random() < silent else (-1.2, -0.8)
        answers = {effect: Answer((interval,), 0.999)}
        numbers = {"truth": {effect: -1.0}, "estimate": {effect: 0.0}}
        rows.append(Row("rival_effects", "EM", replicate, 0, CONVERGED, **numbers, answers=answers))
    assert verdicts(scenarios["rival_effects"], POINT, rows, preset)["candour"] is verdict


@pytest.mark.parametrize("always", ["a warning", "an error"])
def test_an_estimator_that_never_answers_does_not_pass(always, scenarios):
    effect, rows = "E[Y | do(T=1)] − E[Y | do(T=0)]", []
    for replicate in range(size("quick", scenarios["hidden_confounder"])):
        answers = {effect: Answer(((-2.0, 0.0),), 0.999, warnings=("EstimationWarning: perhaps",))}
        row = Row("hidden_confounder", "EM", replicate, 0, CONVERGED, truth={effect: -1.0}, answers=answers)
        rows.append(lost(row) if always == "an error" else row)
    found = verdicts(scenarios["hidden_confounder"], POINT, rows)
    # Of what nobody answered nothing is measured of candour.
    assert found["candour"] is (Verdict.PASS if always == "a warning" else Verdict.UNDERPOWERED)
    assert found["answered"] is Verdict.FAIL


def test_the_numbers_of_sentences_are_what_replicates_can_show():
    """A bias below about 8.2/√R efficient sds, a coverage within about 3/√R; beyond the most they do not grow."""
    assert KINDS["bias"].allowed(300) == pytest.approx(0.47) and KINDS["bias"].allowed(1000) == pytest.approx(0.26)
    assert KINDS["coverage"].allowed(1000) == pytest.approx(0.092) and KINDS["coverage"].allowed(12) == 0.3
    assert [KINDS["floor"].allowed(n) for n in (150, 300, 1000)] == pytest.approx([0.57, 0.66, 0.75])
    assert "below 0.26 efficient" in KINDS["bias"].said(KINDS["bias"].allowed(1000))
    for kind in KINDS.values():
        numbers = [kind.allowed(replicates) for replicates in (3, 30, 300, 3000, 30000)]
        ordered = sorted(numbers, reverse=kind.name not in ("floor", "answered"))
        assert numbers == ordered and max(numbers[0], numbers[-1]) <= kind.most
        assert min(numbers) >= kind.least
    assert [rounded_up(x) for x in (0.0433, 0.2, 0.9999, 1.234, 1.23)] == [0.044, 0.2, 1.0, 1.24, 1.23]


@pytest.mark.parametrize("share", [0.003, 0.9])
def test_a_share_is_shown_but_where_its_count_is_unlucky(share):
    for count in (50, 200, 1000):
        least, most = shown_share(share, count)
        counts = np.arange(count + 1)
        intervals = np.array([proportion_interval(k, count, level=1 - ALPHA) for k in counts])
        unlucky = binom.pmf(counts, count, share)[(intervals[:, 0] < least) | (intervals[:, 1] > most)]
        assert unlucky.sum() <= UNLUCKY


def test_what_is_said_of_ranks_is_what_they_would_be():
    """Truths beside posteriors that are off as far as the sentence allows, and as much too wide or too narrow."""
    kind, rng, allowed = KINDS["calibration"], np.random.default_rng(0), KINDS["calibration"].allowed(200)
    assert f"less than {allowed:g} of" in kind.said(allowed)
    factor = float(kind.said(allowed).split("factor of ")[1].split(" ")[0].rstrip(","))

    def scores(off, sd, count=20_000):
        draws, truths = rng.normal(size=(count, RANKED)), off + sd * rng.normal(size=(count, 1))
        ranks = (draws < truths).sum(1)
        rows = [
            Row("few_rows", "NUTS", i, 0, CONVERGED, intervals={"mu": Interval(1.0, 0.0, 0.0, int(rank), 400.0)})
            for i, rank in enumerate(ranks)
        ]
        return kind.measure(rows, Asked(allowed, 0.1))

    location, _, _ = scores(allowed, 1.0)
    assert location.allowed[1] == pytest.approx(location.value, abs=0.04)
    for sd, end in ((math.sqrt(factor), 1), (1 / math.sqrt(factor), 0)):
        _, spread, _ = scores(0.0, sd)
        # A rank among 63 draws varies about the share that it stands for.
        assert spread.allowed[end] == pytest.approx(spread.value, rel=0.1)


def test_as_many_as_are_needed_pass_the_sentence_of_so_many(scenarios, efficient_rows):
    """The sentence of more replicates claims more, so a value that stays need not do."""
    found = findings(scenarios["separated_100"], POINT, efficient_rows("separated_100", "EM", n=300, bias=0.2))["bias"]
    assert found.verdict is Verdict.UNDERPOWERED and found.statistic < 0.25 < found.most
    half = 0.5 * (found.high - found.low)
    assert found.needed == pytest.approx(300 * (half / (0.25 - found.statistic)) ** 2, rel=0.1)
    beyond = findings(scenarios["separated_100"], POINT, efficient_rows("separated_100", "EM", n=300, bias=0.3))["bias"]
    assert beyond.verdict is Verdict.UNDERPOWERED and beyond.statistic < beyond.most and beyond.needed is None


@pytest.mark.slow
def test_what_a_claim_sees_is_not_passed(scenarios, efficient_rows):
    """The bias of which a finding says that it would not have passed does not, in 19 of 20 studies or more."""
    of = scenarios["separated_100"]
    sees = findings(of, POINT, efficient_rows("separated_100", "EM", n=300))["bias"].sees
    assert 0.1 < sees < KINDS["bias"].allowed(300)
    passed = 0
    for seed in range(20):
        rows = efficient_rows("separated_100", "EM", n=300, seed=seed, bias=sees)
        passed += verdicts(of, POINT, rows)["bias"] is Verdict.PASS
    assert passed <= 4  # P(more) of 20 at .05 is .003, and there are several numbers, each of which may refuse


# ---------------------------------------------------------------- how rows count


@pytest.mark.parametrize("kind", ["bias", "divergence", "efficiency"])
def test_swapped_labels_fail(kind, scenarios, efficient_rows):
    found = verdicts(scenarios["separated_100"], POINT, efficient_rows("separated_100", "EM", swapped=True))
    assert found[kind] is Verdict.FAIL


def test_an_erratic_estimator_cannot_widen_its_way_to_a_pass(scenarios, efficient_rows):
    rows = efficient_rows("separated_100", "EM", n=300, inflation=4.0)
    assert verdicts(scenarios["separated_100"], POINT, rows)["bias"] is not Verdict.PASS


def test_few_replicates_are_underpowered_with_the_number_that_would_do(scenarios, efficient_rows):
    found = findings(scenarios["overlapping_1000"], POINT, efficient_rows("overlapping_1000", "EM", n=30))
    assert {f.verdict for f in found.values()} == {Verdict.UNDERPOWERED}
    assert all(30 < found[kind].needed < 10_000 for kind in ("efficiency", "gross", "divergence", "convergence"))
    # As large as this, no number of replicates would show it to be what more of them claim.
    assert found["bias"].used > 1 and abs(found["bias"].statistic) > 0.25 and found["bias"].needed is None
    few = findings(scenarios["overlapping_1000"], POINT, efficient_rows("overlapping_1000", "EM", n=2))
    assert {f.verdict for f in few.values()} == {Verdict.UNDERPOWERED}


def test_no_rows_are_underpowered():
    for finding in assess_claims(plan(STANDARD_SCENARIOS[:5], standard_contenders()), []):
        assert finding.verdict is Verdict.UNDERPOWERED and finding.statistic is None


def test_a_lost_fit_is_not_forgotten(scenarios, efficient_rows):
    rows = efficient_rows("overlapping_1000", "EM", n=300)
    found = findings(scenarios["overlapping_1000"], POINT, [lost(rows[0]), *rows[1:]])
    assert found["bias"].verdict is Verdict.FAIL
    assert found["bias"].missing == 1
    assert found["bias"].replicates == len(rows)
    assert found["convergence"].verdict is Verdict.PASS
    assert found["convergence"].statistic == pytest.approx(1 / len(rows))


def test_a_comparison_with_nothing_says_so(scenarios, efficient_rows):
    em, rows = (efficient_rows("separated_100", name, n=20) for name in ("EM", "NUTS"))
    found = findings(scenarios["separated_100"], POSTERIOR, [*map(lost, em), *rows], beside=[POINT])["agreement"]
    assert found.verdict is Verdict.UNDERPOWERED and found.why == "EM has no fit to compare with on the same rows"


def test_a_replicate_without_an_interval_does_not_cover(scenarios, posterior_rows):
    rows = posterior_rows("prior_truths", "NUTS", n=200)
    some = [lost(row) if row.replicate % 2 else row for row in rows]
    found = findings(scenarios["prior_truths"], POSTERIOR, some)
    assert found["coverage"].verdict is Verdict.FAIL
    assert found["coverage"].replicates == len(rows)
    assert found["coverage"].statistic <= 0.5
    assert found["calibration"].verdict is Verdict.FAIL
    assert found["calibration"].missing == len(rows) // 2


def test_an_odd_shape_of_ranks_is_refuted_though_location_and_spread_are_right(scenarios, posterior_rows):
    rows = posterior_rows("prior_truths", "NUTS", n=1000)
    rng = np.random.default_rng(0)
    # Two heaps, of the mean square of a normal score.
    odd = [
        replace(
            row,
            intervals={
                name: replace(interval, rank=int(rng.choice([10, 53])) if rng.random() < 0.99 else 0)
                for name, interval in row.intervals.items()
            },
        )
        for row in rows
    ]
    found = findings(scenarios["prior_truths"], POSTERIOR, odd, "standard")
    assert found["calibration"].verdict is Verdict.FAIL and found["calibration"].worst.endswith("γ")
    assert found["calibration"].used is None  # beyond all that is allowed


@pytest.mark.parametrize(("error", "verdict"), [(9e-6, Verdict.PASS), (2e-5, Verdict.FAIL)])
def test_the_mode_known_in_closed_form(error, verdict, scenarios):
    scenario = scenarios["five_points"]
    expected = {name: value + error for name, value in scenario.expected["EM"].items()}
    rows = [Row("five_points", "EM", r, 0, "CONVERGED", truth=expected, estimate=expected) for r in range(3)]
    found = findings(scenario, POINT, rows)
    assert found["mode"].verdict is verdict and set(found) == {"mode"}
    assert found["mode"].alpha == 0.0


def test_closed_form_modes_are_the_known_numbers(scenarios):
    expected = scenarios["five_points"].expected
    assert expected["EM"] == pytest.approx({"theta[0]": 0.4, "theta[1]": 0.6, "mu_X[0]": 0.5, "mu_X[1]": 11.0})
    known = {"theta[0]": 0.375, "theta[1]": 0.625, "mu_X[0]": 0.497512, "mu_X[1]": 10.963455}
    assert expected["MAP"] == pytest.approx(known, abs=1e-6)


# ---------------------------------------------------------------- what is claimed of whom


def claimed(scenario, contenders=None):
    found = {}
    for claim in asserted_of(scenario, contenders or standard_contenders()):
        found.setdefault(claim.estimator, set()).add(claim.kind)
    return found


def test_what_is_claimed_of_whom(scenarios):
    errors = {"bias", "gross", "divergence", "convergence"}
    assert claimed(scenarios["separated_100"]) == {
        "EM": errors | {"efficiency"},
        "EM+laplace": {"spread", "floor"},
        "MAP": errors | {"agreement"},
        "MAP+laplace": {"spread", "floor"},
        "NUTS": errors | {"agreement", "spread", "floor"},
    }
    assert claimed(scenarios["overlapping_100"]) == {name: {"candour", "answered"} for name in ("EM", "MAP", "NUTS")}
    # Draws hold both answers in proportion, of which a maximum has to warn.
    both = claimed(scenarios["rival_effects"])
    assert "answered" in both["NUTS"] and "answered" not in both["EM"]
    assert claimed(scenarios["few_rows"]) == {
        "EM": {"candour"},
        "MAP": {"candour"},
        "NUTS": {"calibration", "coverage", "exactness", "candour"},
        "Exact": {"calibration", "coverage", "candour"},
        "SMC": {"calibration", "coverage", "exactness", "candour"},
    }
    assert claimed(scenarios["five_points"]) == {"EM": {"mode"}, "MAP": {"mode"}}
    assert not claimed(scenarios["student_noise"])


def test_nothing_is_compared_with_itself_or_with_who_is_not_there(scenarios):
    for scenario in STANDARD_SCENARIOS:
        kinds = claimed(scenario)
        assert "agreement" not in kinds.get("EM", ()) and "exactness" not in kinds.get("Exact", ())
    assert "agreement" not in claimed(scenarios["separated_100"], [OTHER])["MAP"]


# ---------------------------------------------------------------- the budget


@pytest.fixture(scope="session")
def standard_plan():
    return plan(STANDARD_SCENARIOS, standard_contenders(), "standard")


# What an efficient estimator attains takes long to compute for all scenarios. By default those of one's own are asked.
@pytest.mark.slow
def test_the_budget_is_spent_once_and_whole(standard_plan):
    spending = [claim for claim in standard_plan.claims if claim.spends]
    assert sum(claim.alpha for claim in spending) == pytest.approx(BUDGET)
    by_look = {}
    for claim in spending:
        by_look[claim.look] = by_look.get(claim.look, 0.0) + claim.alpha
    assert np.ptp(list(by_look.values())) < 1e-15, "estimators on the same data are one look"
    assert {claim.kind for claim in standard_plan.claims} == set(KINDS), "every kind of claim is made"


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
    assert plan(mine, [POINT]).miss == pytest.approx(BUDGET)
    # Beside a part of the standard study they add to what may go wrong, and the page says so.
    part = plan([scenarios["separated_100"]], [POINT]).miss
    assert 0 < part < BUDGET
    assert plan([scenarios["separated_100"], *mine], [POINT]).miss == pytest.approx(BUDGET + part)


def test_presets_name_scenarios_and_estimators_that_there_are(scenarios):
    quick = PRESETS["quick"]
    assert len(quick.scenarios) == 6 and set(quick.scenarios) <= set(scenarios)
    assert set(quick.contenders) <= {contender.name for contender in standard_contenders()}
    assert quick.replicates[Truth.FIXED] == 300 and LEVEL == 0.9
    assert set(quick.named) <= set(quick.scenarios)
    for preset in PRESETS.values():
        assert set(preset.named) <= set(scenarios)
    assert all(quick.replicates_of(scenarios[name]) == 300 for name in quick.scenarios)
