"""Calibration by simulation: right posteriors pass, and each of three wrong ones is found out."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from estimators import NUTS
from tests.validation.studies import SCENARIOS, judged, replicated
from validation.statistics.check import Verdict
from validation.statistics.uniformity import band, escape_probability
from validation.study.contenders import Contender
from validation.study.row import LEVEL as LEVEL_OF_INTERVALS
from validation.study.row import RANKED

QUANTITIES = ("theta[0]", "mu_X[0]", "mu_X[1]", "E[X | do(Z=1)] − E[X | do(Z=0)]", "log p(data)")
RIGHT = {"close": 80, "mostly_set": 80}
# The quantity that gives each control away, and the replicates at which the slow test below computes a power of at
# least 0.99, at a level below that of any check here.
CONTROLS = {
    "halved": (260, "mu_X[1]"),
    "order": (60, "mu_X[1]"),
    "set_as_seen": (180, "theta[0]"),
}
LEVEL = 1e-7


@pytest.fixture(scope="module")
def controls():
    """The module of controls, under a name that a spawned process can import too."""
    folder = str(Path(__file__).parent)
    sys.path.insert(0, folder)
    yield importlib.import_module("calibration_controls")
    sys.path.remove(folder)


def ranks(rows, quantity):
    return [row.intervals[quantity].rank for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.statistical(checks=len(QUANTITIES), min_effect=1.0)
def test_a_right_posterior_is_calibrated(stat, name, controls):
    rows, described = replicated(*controls.CASES[name], RIGHT[name], seed=stat.seed)
    for quantity in QUANTITIES:
        stat.uniform_ranks(ranks(rows, quantity), RANKED)
    # The claim of a study judges the same ranks; so few cannot show what its sentence says.
    found = judged(rows, described, "calibration", stat.alpha * len(QUANTITIES))
    assert found.verdict is not Verdict.FAIL, found
    assert found.missing == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTROLS)
@pytest.mark.statistical(min_effect=1.0)
def test_a_wrong_posterior_is_found_out(stat, name, controls):
    replicates, quantity = CONTROLS[name]
    rows, described = replicated(*controls.CASES[name], replicates, seed=stat.seed)
    with stat.control():
        stat.uniform_ranks(ranks(rows, quantity), RANKED)
    assert judged(rows, described, "calibration", 1e-4).verdict is not Verdict.PASS


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTROLS)
def test_the_controls_are_large_enough_to_be_seen(name, controls):
    """The rank distribution of 1,000 other replicates, with half a rank added to each place, gives the exact power."""
    rows, _ = replicated(*controls.CASES[name], 1000, seed=1, workers=2)
    size, quantity = CONTROLS[name]
    counts = np.bincount(ranks(rows, quantity), minlength=RANKED + 1) + 0.5
    assert escape_probability(band(size, RANKED, LEVEL), size, counts / counts.sum()) >= 0.99


@pytest.mark.slow
@pytest.mark.statistical(checks=len(QUANTITIES) + 4, min_effect=0.3)
def test_a_thousand_replicates_of_the_standard_scenario_are_calibrated(stat):
    scenario = SCENARIOS["prior_truths"]
    sampler = NUTS(num_samples=250, warmup_steps=250, num_chains=1, progress_bar=False)
    contender = Contender("NUTS", sampler, posterior=True)
    rows, described = replicated(scenario, contender, 1000, seed=stat.seed, workers=2)
    for quantity in QUANTITIES:
        stat.uniform_ranks(ranks(rows, quantity), RANKED)
        with stat.control():
            stat.uniform_ranks(np.minimum(np.array(ranks(rows, quantity)) + 8, RANKED), RANKED)
    for quantity in QUANTITIES[:4]:
        intervals = [row.intervals[quantity] for row in rows]
        ends = [(each.lower, each.upper) for each in intervals]
        truths = [row.truth[quantity] for row in rows]
        stat.coverage(ends, truths, LEVEL_OF_INTERVALS, min_effect=0.1)
        with stat.control():  # intervals of two thirds of their width
            stat.coverage(np.array(ends) @ [[5 / 6, 1 / 6], [1 / 6, 5 / 6]], truths, LEVEL_OF_INTERVALS)
    assert judged(rows, described, "calibration", stat.alpha * len(QUANTITIES)).verdict is Verdict.PASS


@pytest.mark.slow
@pytest.mark.parametrize("num_rows", [5, 20, 100])
@pytest.mark.parametrize("name", ["tutorial", "unknown_spread"])
@pytest.mark.statistical(checks=len(QUANTITIES), min_effect=1.0)
def test_chains_that_find_every_mode_are_calibrated_under_the_tutorial_s_prior(stat, name, num_rows, controls):
    """Half of the data sets have a class that may be without rows; fits that have not converged count like all."""
    case = controls.UNDER_THE_TUTORIALS_PRIOR[f"{name}, {num_rows} rows"], controls.SAMPLERS["NUTS"]
    rows, _ = replicated(*case, 150, seed=stat.seed)
    for quantity in QUANTITIES:
        stat.uniform_ranks(ranks(rows, quantity), RANKED)


@pytest.mark.slow
@pytest.mark.statistical(checks=len(QUANTITIES), min_effect=1.0)
def test_so_are_clouds(stat, controls):
    case = controls.UNDER_THE_TUTORIALS_PRIOR["tutorial, 5 rows"], controls.SAMPLERS["SMC"]
    rows, _ = replicated(*case, 80, seed=stat.seed)
    for quantity in QUANTITIES:
        stat.uniform_ranks(ranks(rows, quantity), RANKED)


@pytest.mark.slow
@pytest.mark.statistical(min_effect=1.0)
def test_chains_that_keep_rows_in_every_class_are_not(stat, controls):
    case = controls.UNDER_THE_TUTORIALS_PRIOR["tutorial, 20 rows"], controls.SAMPLERS["in every class"]
    rows, _ = replicated(*case, 150, seed=stat.seed)
    with stat.control():
        stat.uniform_ranks(ranks(rows, "theta[0]"), RANKED)
