"""The command line: exit statuses, messages, and an import that stays light."""

import subprocess
import sys
from dataclasses import replace

import pytest

import validation.commands as commands
import validation.report as report
from estimators import EM
from validation.__main__ import main
from validation.contenders import Contender
from validation.tolerances import Verdict


@pytest.fixture
def quick(monkeypatch, scenarios):
    """Two scenarios and EM alone, run without other processes."""
    chosen = (replace(scenarios["five_points"], replicates=20), replace(scenarios["well_separated"], replicates=20))
    contenders = (
        Contender("EM", EM(progress_bar=False)),
        Contender("Exact", estimator=None, posterior=True, small_only=True),
    )
    monkeypatch.setattr(commands, "STANDARD_SCENARIOS", chosen)
    monkeypatch.setattr(commands, "standard_contenders", lambda: contenders)
    monkeypatch.setattr(commands, "run", run_here)


def run_here(study, *, workers, on_rows):
    from concurrent.futures import ThreadPoolExecutor

    from validation.study import run

    with ThreadPoolExecutor(1) as executor:
        return run(study, executor=executor, on_rows=on_rows)


def test_a_run_that_passes(quick, tmp_path, capsys):
    assert main(["run", "--output", str(tmp_path / "new"), "--estimator", "EM"]) == 0
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"index.html", "results.json"}
    out = capsys.readouterr().out
    assert "0 FAIL" in out
    assert "index.html" in out


def test_few_replicates_are_underpowered(quick, tmp_path, capsys):
    assert main(["run", "--output", str(tmp_path), "--estimator", "EM", "--replicates", "2"]) == 3
    assert "UNDERPOWERED  well_separated / EM / bias" in capsys.readouterr().out


def test_a_failure(quick, tmp_path, capsys):
    assert main(["run", "--output", str(tmp_path), "--replicates", "1"]) == 1
    out = capsys.readouterr().out
    assert "FAIL  five_points / Exact / exactness" in out
    assert "1 fits without a result" in out


def test_a_scenario_of_the_few(quick, tmp_path):
    arguments = ["run", "--output", str(tmp_path), "--scenario", "five_points", "--estimator", "EM"]
    assert main([*arguments, "--seed", "5"]) == 0
    assert '"seed":5' in (tmp_path / "results.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scenario", "wel_separated"], "no scenario 'wel_separated'; did you mean well_separated?"),
        (["--estimator", "em"], "did you mean EM?"),
        (["--scenario", "qqqq"], "There are: five_points, well_separated"),
        (["--scenario", "well_separated", "--estimator", "Exact"], "runs on small scenarios only"),
        (["--output", "/proc/nowhere"], "cannot write to /proc/nowhere"),
    ],
)
def test_unusable_arguments(quick, arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["run", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--replicates", "0"], "expected a whole number of at least 1, got '0'"),
        (["run", "--workers", "two"], "expected a whole number of at least 1, got 'two'"),
        (["run", "--seed", "-1"], "expected a whole number of at least 0, got '-1'"),
        (["walk"], "invalid choice"),
        ([], "required"),
    ],
)
def test_arguments_that_cannot_be_read(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_missing_report_packages_are_named_before_anything_runs(quick, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(report, "EXTRA", ("jinja2", "no_such_package"))
    assert main(["run", "--output", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert "no_such_package" in message
    assert "exact-estimators[report]" in message


def test_an_interrupt_is_not_a_traceback(quick, monkeypatch, capsys, tmp_path):
    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "run", interrupted)
    assert main(["run", "--output", str(tmp_path)]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_list(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for name in ("five_points", "prior_truths", "EM", "NUTS"):
        assert name in out


def test_importing_the_package_is_light():
    code = "import sys, validation; sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'pyro')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_package_says_what_it_has():
    import validation

    assert set(validation.__all__) <= set(dir(validation))
    assert validation.Verdict is Verdict
    assert all(getattr(validation, name) is not None for name in validation.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = validation.nothing
