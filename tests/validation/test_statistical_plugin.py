"""The plugin in sessions of its own: the marker, the stored list, workers, summary, records, replay."""

import json
import os
import re
import subprocess
import sys

import pytest

# Loaded here, so that sessions inside this process do not import them anew, which NumPy forbids.
import validation.testing.fits
import validation.testing.stat  # noqa: F401

pytest_plugins = ("pytester",)

HEAD = """
import pathlib

import numpy as np
import pytest

def normals(seed, n=4000, shift=0.0):
    return np.random.default_rng(seed).normal(shift, size=n)
"""
SUITE = (
    HEAD
    + """
@pytest.mark.statistical(min_effect=0.2)
def test_mean(stat):
    stat.mean(normals(stat.seed), 0.0)

@pytest.mark.statistical(weight=3, checks=2, min_effect=0.2)
class TestTwo:
    def test_both(self, stat):
        x = normals(stat.seed)
        stat.mean(x, 0.0)
        stat.proportion(int((x > 0).sum()), len(x), 0.5)

@pytest.mark.statistical(min_effect=0.2)
@pytest.mark.parametrize("shift", [-1.0, 2.0])
def test_cases(stat, shift):
    stat.mean(normals(stat.seed, shift=shift), shift)

def test_plain():
    pass
"""
)
IDS = (
    "test_it.py::test_mean",
    "test_it.py::TestTwo::test_both",
    "test_it.py::test_cases[-1.0]",
    "test_it.py::test_cases[2.0]",
)


@pytest.fixture
def suite(pytester):
    """Write a suite, renew its list, and return a function that runs it."""
    pytester.makeini("[pytest]\naddopts = --strict-markers\n")

    def write(text=SUITE, *, update=True):
        pytester.makepyfile(test_it=text)
        if update:
            assert run("--statistical-update", "-q").ret in (0, 1)
        return run

    def run(*arguments):
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:randomly", *arguments)

    return write


def failing(body, marker="min_effect=0.2"):
    return f"{HEAD}\n@pytest.mark.statistical({marker})\ndef test_it(stat):\n    {body}\n"


def listed(pytester):
    return json.loads((pytester.path / "statistical-manifest.json").read_text())


def records(run, pytester, *arguments):
    """The records of a run, by test and check."""
    run("--statistical-report=out/report.json", "-q", *arguments)
    found = json.loads((pytester.path / "out" / "report.json").read_text())
    return {(each["test"], each["check"]): each for each in found["checks"]}


# ---------------------------------------------------------------- the list, and what each check may spend


def test_the_marker_is_described(suite):
    result = suite(update=False)("--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.statistical(weight=1, checks=1, min_effect=None, power=0.9)*"])


def test_a_list_that_is_missing(suite, pytester):
    result = suite(update=False)()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = result.stderr.str() + result.stdout.str()
    assert f"no list of them at {pytester.path / 'statistical-manifest.json'}" in text
    assert "Run: pytest --statistical-update" in text


def test_the_budget_is_split_by_weight_and_checks(suite, pytester):
    run = suite()
    assert listed(pytester)["tests"] == {
        name: {"weight": 3.0 if "Two" in name else 1.0, "checks": 2 if "Two" in name else 1} for name in IDS
    }
    found = records(run, pytester)
    alpha = {key: each["alpha"] for key, each in found.items()}
    assert alpha == pytest.approx(
        {
            (IDS[0], 0): 1e-3 / 6,
            (IDS[1], 0): 1e-3 / 4,
            (IDS[1], 1): 1e-3 / 4,
            (IDS[2], 0): 1e-3 / 6,
            (IDS[3], 0): 1e-3 / 6,
        }
    )
    assert sum(alpha.values()) == pytest.approx(1e-3)


@pytest.mark.parametrize(
    "arguments",
    [
        ("-k", "mean or cases"),
        pytest.param(("-n2",), marks=pytest.mark.slow),
        (IDS[3], IDS[0]),
        ("--statistical-seed=5",),
    ],
)
def test_a_selection_moves_no_threshold(arguments, suite, pytester):
    run = suite()
    whole, part = records(run, pytester), records(run, pytester, *arguments)
    assert part and part.keys() <= whole.keys()
    for key, each in part.items():
        assert each["alpha"] == whole[key]["alpha"]
        assert (each["observed"] == whole[key]["observed"]) == ("seed" not in arguments[0])


def test_the_list_is_renewed_and_keeps_what_was_not_collected(suite, pytester):
    run = suite()
    pytester.makepyfile(test_other=failing("stat.mean(normals(stat.seed), 0.0)"))
    result = run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "test_other.py::test_it: new, weight 1, checks 1" in result.stderr.str() + result.stdout.str()
    run("--statistical-update", "test_other.py").stdout.fnmatch_lines(["statistical: *5 tests: 1 changes*"])
    assert set(listed(pytester)["tests"]) == {*IDS, "test_other.py::test_it"}
    run("--statistical-update", "-k", "mean").stdout.fnmatch_lines(["statistical: *5 tests: no change*"])
    (pytester.path / "test_other.py").unlink()
    run("--statistical-update").stdout.fnmatch_lines(["*test_other.py::test_it: dropped*"])
    assert set(listed(pytester)["tests"]) == set(IDS)
    assert run().ret == 0


def test_a_list_that_is_stale_or_damaged(suite, pytester):
    run = suite()
    pytester.makepyfile(test_it=SUITE.replace("weight=3", "weight=4"))
    result = run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "TestTwo::test_both: weight 3, checks 2 to weight 4, checks 2" in result.stderr.str() + result.stdout.str()
    (pytester.path / "statistical-manifest.json").write_text("{")
    assert "cannot be read" in (result := run()).stderr.str() + result.stdout.str()
    pytester.makeini("[pytest]\nstatistical_false_alarm = 0.01\n")
    run("--statistical-update")
    assert listed(pytester)["false_alarm"] == 0.01
    pytester.makeini("[pytest]\nstatistical_false_alarm = 0.02\n")
    assert "is 0.02, but" in (result := run()).stderr.str() + result.stdout.str()
    pytester.makeini("[pytest]\nstatistical_false_alarm = 2\n")
    result = run("--statistical-update")
    assert "expected a probability above 0 and below 1, got '2'" in result.stderr.str() + result.stdout.str()


def test_files_that_cannot_be_written_are_one_sentence(suite, pytester):
    run = suite()
    result = run("--statistical-report=test_it.py/r.json")
    said = result.stderr.str() + result.stdout.str()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--statistical-report: test_it.py/r.json cannot be written: " in said
    assert "INTERNALERROR" not in said
    (pytester.path / "statistical-manifest.json").unlink()
    (pytester.path / "statistical-manifest.json").mkdir()
    result = run("--statistical-update")
    said = result.stderr.str() + result.stdout.str()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "statistical: the list cannot be written: " in said
    assert "INTERNALERROR" not in said


def test_a_list_is_renewed_by_whole_files_in_one_process(suite):
    run = suite()
    for arguments, message in (
        ((IDS[0],), f"--statistical-update needs whole files, got {IDS[0]}"),
        (("-n2",), "--statistical-update collects in one process: run it with -n0"),
    ):
        result = run("--statistical-update", *arguments)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert message in result.stderr.str() + result.stdout.str()


def test_other_suites_need_no_list(suite, pytester):
    run = suite("def test_plain():\n    pass\n", update=False)
    assert run().ret == 0
    run("--statistical-update").stdout.fnmatch_lines(["statistical: no statistical tests, nothing written"])
    assert not (pytester.path / "statistical-manifest.json").exists()


# ---------------------------------------------------------------- outcomes


def test_a_failure_says_what_to_do_and_is_replayed(suite, pytester):
    run = suite(failing("stat.mean(normals(stat.seed, shift=0.5), 0.0)"))
    result = run("--statistical-seed=7")
    result.assert_outcomes(failed=1)
    out = result.stdout.str()
    for line in (
        "expected   a mean of 0",
        "got        0.",
        "standard errors of 0.01",
        "by chance  this or worse once in",
    ):
        assert line in out
    command = re.search(r"replay     (pytest .*)", out).group(1)
    assert command == 'pytest "test_it.py::test_it" --statistical-seed=7'
    first = records(run, pytester, "--statistical-seed=7")
    again = records(run, pytester, *[part.strip('"') for part in command.split()[1:]])
    other = records(run, pytester)
    (key,) = first
    assert first[key]["observed"] == again[key]["observed"] != other[key]["observed"]
    assert first[key]["outcome"] == "failed" and first[key]["test_outcome"] == "failed"
    assert first[key]["p_value"] <= first[key]["alpha"]


def test_underpowered_fails_with_the_number_that_would_do(suite, pytester):
    run = suite(failing("stat.mean(normals(stat.seed, n=int(pathlib.Path('n').read_text())), 0.0)"))
    (pytester.path / "n").write_text("100")
    result = run()
    result.assert_outcomes(failed=1)
    out = result.stdout.str()
    assert "stat.mean: underpowered, which is not a pass" in out
    enough = re.search(r"enough     ([\d,]+) would do", out).group(1).replace(",", "")
    (pytester.path / "n").write_text(enough)
    run().assert_outcomes(passed=1)


SWALLOWED = {
    "except": "try:\n        {check}\n    except AssertionError:\n        pass",
    "raises": "with pytest.raises(AssertionError):\n        {check}",
    "skip": "try:\n        {check}\n    except AssertionError:\n        pytest.skip('not today')",
    "another error": "try:\n        {check}\n    except AssertionError:\n        raise KeyError('mu') from None",
}


@pytest.mark.parametrize("how", SWALLOWED)
def test_a_check_that_failed_fails_the_run_whatever_the_test_makes_of_it(how, suite):
    result = suite(failing(SWALLOWED[how].format(check="stat.mean(normals(stat.seed, shift=0.5), 0.0)")))()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(failed=1)
    assert "stat.mean: not what was expected" in result.stdout.str()


@pytest.mark.parametrize("check", ["stat.mean(normals(stat.seed, n=40), 0.0)", "{control}"])
def test_so_do_underpowered_checks_and_controls_that_passed(check, suite):
    control = "with stat.control(): stat.mean(normals(stat.seed), 0.0)"
    body = SWALLOWED["except"].format(check=check.format(control=control))
    result = suite(failing(body + "\n    stat.mean(normals(stat.seed), 0.0)", "checks=2, min_effect=0.2"))()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(failed=1)


def test_a_check_that_a_fixture_makes_and_catches_fails_the_run(suite):
    text = """
@pytest.fixture
def checked(stat):
    yield stat
    try:
        stat.mean(normals(stat.seed, shift=0.5), 0.0)
    except AssertionError:
        pass

@pytest.mark.statistical(checks=2, min_effect=0.2)
def test_it(stat, checked):
    stat.mean(normals(stat.seed), 0.0)
"""
    result = suite(HEAD + text)()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1, errors=1)


def test_a_test_without_failures_passes_though_it_catches_some_of_its_own(suite):
    body = "stat.mean(normals(stat.seed), 0.0)\n    with pytest.raises(KeyError):\n        {}['mu']"
    suite(failing(body))().assert_outcomes(passed=1)


def test_more_checks_than_said_are_an_error(suite):
    result = suite(failing("x = normals(stat.seed); stat.mean(x, 0.0); stat.mean(x**3, 0.0)"))()
    result.assert_outcomes(failed=1)
    assert "this test says checks=1 and makes check 2: say how many in the marker" in result.stdout.str()


def test_a_test_that_checks_nothing_fails(suite):
    result = suite(failing("pass"))()
    result.assert_outcomes(failed=1)
    assert "made no check, so it could not have failed" in result.stdout.str()


def test_the_fixture_and_the_marker_belong_together(suite):
    result = suite(HEAD + "def test_it(stat):\n    pass\n")()
    result.assert_outcomes(errors=1)
    assert "the fixture `stat` needs the marker" in result.stdout.str()
    result = suite(HEAD + "@pytest.mark.statistical(min_effect=1)\ndef test_it():\n    pass\n", update=False)(
        "--statistical-update"
    )
    assert "is marked statistical but does not take the fixture `stat`" in result.stderr.str() + result.stdout.str()


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("weight=0", "weight: expected a positive number, got 0"),
        ("checks=0", "checks: expected a whole number, 1 or more, got 0"),
        ("power=1", "power: expected a probability above 0 and below 1, got 1"),
        ("min_effect=-1", "min_effect: expected a positive number"),
        ("effect=1", "expected keywords among weight, checks, min_effect, power, got ['effect']"),
    ],
)
def test_a_marker_that_makes_no_sense(marker, message, suite):
    result = suite(failing("pass", marker), update=False)("--statistical-update")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = result.stderr.str() + result.stdout.str()
    assert f"test_it.py::test_it: @pytest.mark.statistical: {message}" in text


def test_an_argument_that_makes_no_sense_is_an_error_at_the_call(suite):
    result = suite(failing("stat.mean([1.0, float('nan')], 0.0)"))()
    result.assert_outcomes(failed=1)
    assert "ValueError: samples: expected finite numbers, got [nan] at [1]" in result.stdout.str()


# ---------------------------------------------------------------- tests that something else runs again

# As pytest-rerunfailures does it: the same item, its fixtures anew, every run reported.
RERUNS = """
import pytest
from _pytest.runner import runtestprotocol

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for run in range(3):
        item._initrequest()
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        failed = any(report.failed for report in reports)
        for report in reports:
            if report.when == "call" and failed and run < 2:
                report.outcome = "rerun"
            item.ihook.pytest_runtest_logreport(report=report)
        if not failed:
            break
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
"""
RERUN = """
RUNS = []

@pytest.mark.statistical(checks=2, min_effect=0.2)
def test_it(stat):
    RUNS.append(stat.seed)
    x = normals(stat.seed)
    {body}

def test_runs():
    assert len(RUNS) == {runs} and len(set(RUNS)) == 1
"""


def rerun(suite, pytester, body, runs, *arguments):
    pytester.makeconftest(RERUNS)
    run = suite(HEAD + RERUN.format(body=body, runs=runs), update=False)
    run("--statistical-update", "--collect-only")
    result = run("--statistical-report=r.json", *arguments)
    return result, json.loads((pytester.path / "r.json").read_text())["checks"]


@pytest.mark.parametrize("workers", ["-n0", pytest.param("-n1", marks=pytest.mark.slow)])
def test_the_checks_of_a_test_that_is_rerun_count_once(workers, suite, pytester):
    """The first two runs fail for a reason of their own, after one check or both; the last run counts."""
    body = "stat.mean(x, 0.0); assert len(RUNS) > 1; stat.mean(x[::2], 0.0); assert len(RUNS) > 2"
    result, found = rerun(suite, pytester, body, 3, workers)
    result.assert_outcomes(passed=2)
    assert [(each["check"], each["outcome"], each["test_outcome"]) for each in found] == [
        (0, "passed", "passed"),
        (1, "passed", "passed"),
    ]
    assert "2 checks: 2 passed, 0 failed, 0 underpowered" in result.stdout.str()


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ("stat.mean(x, 0.0); stat.mean(x + (len(RUNS) == 1), 0.0)", "failed"),
        ("stat.mean(x, 0.0); stat.mean(x[: 4000 if len(RUNS) > 1 else 20], 0.0)", "underpowered"),
    ],
)
def test_a_rerun_is_not_another_chance(body, outcome, suite, pytester):
    """A check that failed on what is not of its seed would pass the second time; it is not asked again."""
    result, found = rerun(suite, pytester, body, 1)
    result.assert_outcomes(passed=1, failed=1)
    assert [each["outcome"] for each in found] == ["passed", outcome]
    assert "2 checks: 1 passed" in result.stdout.str()


def test_an_interrupted_session_ends_at_once_and_keeps_what_was_checked(suite, pytester):
    run = suite(
        SUITE
        + """
@pytest.mark.statistical(min_effect=0.2)
def test_interrupted(stat):
    import signal
    x = normals(stat.seed)
    signal.raise_signal(signal.SIGINT)
    stat.mean(x, 0.0)

@pytest.mark.statistical(min_effect=0.2)
def test_after(stat):
    stat.mean(normals(stat.seed), 0.0)
""",
        update=False,
    )
    run("--statistical-update", "--collect-only")
    arguments = ("-p", "no:cacheprovider", "-p", "no:randomly", "--statistical-report=r.json")
    assert pytester.inline_run(*arguments, no_reraise_ctrlc=True).ret == pytest.ExitCode.INTERRUPTED
    found = json.loads((pytester.path / "r.json").read_text())["checks"]
    assert {each["test"] for each in found} == set(IDS)


# ---------------------------------------------------------------- seeds, workers, summary, records


@pytest.mark.parametrize("workers", ["-n1", pytest.param("-n2", marks=pytest.mark.slow)])
def test_a_drawn_seed_is_printed_for_replay_and_shared_by_workers(workers, suite, pytester):
    run = suite()
    seeds = set()
    for number in ("-n0", workers):
        result = run("--statistical-seed=random", "--statistical-report=r.json", number)
        seed = int(re.search(r"root seed (\d+); replay with --statistical-seed=\1", result.stdout.str()).group(1))
        found = json.loads((pytester.path / "r.json").read_text())
        assert found["root_seed"] == seed
        assert {each["root_seed"] for each in found["checks"]} == {seed}
        again = records(run, pytester, f"--statistical-seed={seed}")
        assert {each["observed"] for each in found["checks"]} == {each["observed"] for each in again.values()}
        seeds.add(seed)
    assert len(seeds) == 2
    result = run("--statistical-seed=soon")
    assert (
        "--statistical-seed: expected a whole number, or random, got 'soon'"
        in result.stderr.str() + result.stdout.str()
    )


@pytest.mark.parametrize("workers", ["-n0", pytest.param("-n2", marks=pytest.mark.slow)])
def test_the_summary(workers, suite, pytester):
    body = "stat.mean(normals(stat.seed, shift=0.5), 0.0)"
    pytester.makepyfile(test_bad=failing(body), test_blind=failing("stat.mean(normals(stat.seed, n=50), 0.0)"))
    result = suite()(workers)
    out = result.stdout.str()
    section = out[out.index("statistical checks") :]
    assert "budget 0.001 over 6 tests of statistical-manifest.json, root seed 0 (--statistical-seed=0)" in section
    assert "7 checks: 5 passed, 1 failed, 1 underpowered" in section
    assert section.count("× its α") == 3
    assert re.search(r"failed:\n  test_bad.py::test_it \(check 1, mean\): p = ", section)
    assert re.search(r"underpowered:\n  test_blind.py::test_it \(check 1, mean\): n = 50 sees .*; .* would do", section)


def test_controls_are_counted_apart(suite, pytester):
    body = "x = normals(stat.seed); stat.mean(x, 0.0)\n    with stat.control():\n        stat.mean(x + {shift}, 0.0)"
    result = suite(failing(body.format(shift=1.0)))("--statistical-report=r.json")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["1 checks: 1 passed, 0 failed, 0 underpowered", "negative controls: 1 of 1 refused*"])
    found = json.loads((pytester.path / "r.json").read_text())["checks"]
    assert [(each["control"], each["outcome"]) for each in found] == [(False, "passed"), (True, "failed")]
    result = suite(failing(body.format(shift=0.0)), update=False)()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*a negative control passed, so the check is blind to it", "negative controls: 0 of 1*"]
    )


def test_a_record_of_every_check(suite, pytester):
    found = records(suite(), pytester)
    assert set(found) == {(IDS[0], 0), (IDS[1], 0), (IDS[1], 1), (IDS[2], 0), (IDS[3], 0)}
    one = found[IDS[0], 0]
    assert one["kind"] == "mean" and one["n"] == 4000 and one["ess"] is None and one["outcome"] == "passed"
    assert one["statistic"] == pytest.approx(one["observed"] / 4000**-0.5, rel=0.1)
    assert 0 < one["detectable"] <= one["min_effect"] == 0.2 and one["power"] == 0.9
    assert one["seed"] < 2**32 and one["root_seed"] == 0 and one["false_alarm"] == 1e-3
    assert set(one["versions"]) >= {"python", "pytest", "exact-estimators", "numpy"}
    assert one["replay"] == f'pytest "{IDS[0]}" --statistical-seed=0'


def test_a_fit_is_checked(suite):
    text = """
import numpy as np
import pytest
from estimators import EM, Data, GaussianMixture

TRUTH = {"theta": [0.4, 0.6], "mu_X": [-3.0, 3.0]}

@pytest.fixture
def fit(stat):
    model = GaussianMixture(K=2)
    rows = model.simulate(400, TRUTH, seed=stat.seed)
    return EM(progress_bar=False).fit(model, Data(X=rows["X"]), seed=stat.seed)

@pytest.mark.statistical(checks=2, min_effect=8.0)
def test_right(stat, fit):
    stat.recovers(fit, TRUTH)
    stat.interventions(fit, TRUTH, do={"Z": 1})

@pytest.mark.statistical(min_effect=8.0)
def test_wrong(stat, fit):
    stat.recovers(fit, {**TRUTH, "mu_X": [-3.0, 4.0]})
"""
    result = suite(text, update=False)("--statistical-update")
    result.assert_outcomes(passed=1, failed=1)
    assert "stat.recovers: not what was expected" in result.stdout.str()


# ---------------------------------------------------------------- a light import

LIGHT = """
import sys
import pytest
status = pytest.main(["-q", "-p", "no:cacheprovider", "-p", "statistical", "test_plain.py"])
assert status == 0, status
assert "validation.testing.pytest_plugin" in sys.modules, "the plugin is not installed"
heavy = {"torch", "pyro", "numpy", "scipy", "arviz", "pandas"} & set(sys.modules)
assert not heavy, heavy
assert "validation.testing.stat" not in sys.modules
"""


def test_a_session_that_does_not_use_it_pays_nothing(pytester):
    pytester.makepyfile(test_plain="def test_plain():\n    pass\n")
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # other plugins here import NumPy
    command = [sys.executable, "-c", LIGHT]
    done = subprocess.run(command, cwd=pytester.path, env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
