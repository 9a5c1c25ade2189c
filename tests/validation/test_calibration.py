"""Calibration by simulation: right posteriors pass, and each of three wrong ones is found out."""

import importlib
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from estimators import NUTS
from validation.claims import assess_claim
from validation.contenders import Contender
from validation.plan import Claim
from validation.record import RANKED
from validation.scenarios import STANDARD_SCENARIOS
from validation.study import Study, run
from validation.tolerances import Verdict
from validation.uniformity import band, escape_probability, shifted_cells

LEVEL = 1e-4  # of one test here: all of its quantities together
# Replicates at which the slow test below computes a power of at least 0.99 at this level.
CONTROLS = {"halved": 150, "order": 60, "set_as_seen": 150}
RIGHT = {"close": 80, "mostly_set": 80}


@pytest.fixture(scope="module")
def controls():
    """The module of controls, under a name that a spawned process can import too."""
    folder = str(Path(__file__).parent)
    sys.path.insert(0, folder)
    yield importlib.import_module("calibration_controls")
    sys.path.remove(folder)


def calibration(case, replicates, *, seed=0, workers=None):
    scenario, contender = case
    study = Study((scenario,), (contender,), seed=seed, replicates=replicates)
    if workers:
        rows = run(study, workers=workers)
    else:
        with ThreadPoolExecutor(1) as executor:
            rows = run(study, executor=executor)
    claim = Claim(scenario.name, "NUTS", "calibration", judged=True, alpha=LEVEL, min_effect=1.0)
    return rows, assess_claim(claim, study.plan().scenarios[0], rows)


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_posterior_is_calibrated(name, controls):
    rows, finding = calibration(controls.CASES[name], RIGHT[name])
    assert finding.verdict is Verdict.PASS, finding
    assert finding.missing == 0
    assert finding.detectable < 1.0
    quantities = {"theta[0]", "mu_X[1]", "E[X | do(Z=1)] − E[X | do(Z=0)]", "log p(data)"}
    assert quantities <= set(rows[0].intervals)


@pytest.mark.parametrize("name", CONTROLS)
def test_a_wrong_posterior_is_found_out(name, controls):
    _, finding = calibration(controls.CASES[name], CONTROLS[name])
    assert finding.verdict is Verdict.FAIL, finding


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTROLS)
def test_the_controls_are_large_enough_to_be_seen(name, controls):
    """The rank distribution of 1,000 other replicates, with half a rank added to each place, gives the exact power."""
    rows, _ = calibration(controls.CASES[name], 1000, seed=1, workers=2)
    size, quantities = CONTROLS[name], list(rows[0].intervals)
    limits = band(size, RANKED, LEVEL / len([q for q in quantities if q != "theta[1]"]))
    power = {}
    for quantity in quantities:
        counts = np.bincount([row.intervals[quantity].rank for row in rows], minlength=RANKED + 1) + 0.5
        power[quantity] = escape_probability(limits, size, counts / counts.sum())
    assert max(power.values()) >= 0.99, power


@pytest.mark.slow
def test_a_thousand_replicates_of_the_standard_scenario_are_calibrated():
    scenario = next(each for each in STANDARD_SCENARIOS if each.name == "prior_truths")
    sampler = NUTS(num_samples=250, warmup_steps=250, num_chains=1, progress_bar=False)
    contender = Contender("NUTS", sampler, posterior=True)
    rows, finding = calibration((scenario, contender), 1000, workers=2)
    assert finding.verdict is Verdict.PASS, finding
    claim = Claim(scenario.name, "NUTS", "calibration", judged=True, alpha=LEVEL, min_effect=1.0)
    described = Study((scenario,), (contender,), replicates=1).plan().scenarios[0]
    # A shift of a fifth of a posterior sd would have been seen.
    assert finding.detectable < 0.25
    seen = escape_probability(band(1000, RANKED, finding.low), 1000, shifted_cells(RANKED, finding.detectable))
    assert seen >= 0.9 - 1e-6
    coverage = replace(claim, kind="coverage", min_effect=0.1)
    covered = assess_claim(coverage, described, rows)
    assert covered.verdict is Verdict.PASS, covered
    moved = [
        replace(row, intervals={name: replace(i, rank=min(RANKED, i.rank + 8)) for name, i in row.intervals.items()})
        for row in rows
    ]
    assert assess_claim(claim, described, moved).verdict is Verdict.FAIL
