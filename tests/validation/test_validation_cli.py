"""The command line: exit statuses, messages, what it writes, and an import that stays light."""

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import validation.cli.commands as commands
from estimators import EM
from tests.validation.studies import run_here, without_times
from validation.__main__ import main
from validation.cli import progress
from validation.statistics.check import Verdict
from validation.study.contenders import Contender
from validation.study.environment import environment
from validation.study.own_modules import contender_in, scenarios_in
from validation.study.pool import TaskOutcome, perform
from validation.study.presets import PRESETS
from validation.study.row import CONVERGED, ERROR, Row
from validation.study.store import Store
from validation.study.study import Study

OWN = Path(__file__).with_name("own_study.py")
EM_ONLY = Contender("EM", EM(progress_bar=False))
FILES = {"study.sqlite", "results.json", "index.html"}


@pytest.fixture
def quick(monkeypatch, scenarios):
    """Two scenarios and EM alone, run without other processes."""
    chosen = (replace(scenarios["five_points"], replicates=3), replace(scenarios["separated_100"], replicates=24))
    contenders = (EM_ONLY, Contender("MAP", estimator=None), Contender("Exact", estimator=None, small_only=True))
    monkeypatch.setitem(commands.PRESETS, "quick", replace(PRESETS["quick"], scenarios=(), contenders=()))
    monkeypatch.setattr(commands, "STANDARD_SCENARIOS", chosen)
    monkeypatch.setattr(commands, "standard_contenders", lambda: contenders)
    monkeypatch.setattr(commands, "run", run_here)


@pytest.fixture
def alone(monkeypatch):
    """Users' modules are found and forgotten again."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith("/tmp"):
            del sys.modules[name]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, scenarios):
    """The file of a whole study, and one of which a task is missing."""
    folder = tmp_path_factory.mktemp("finished")
    study = Study((scenarios["five_points"], scenarios["separated_100"]), (EM_ONLY,), replicates=2)
    outcomes = [perform(task) for task in study.tasks()]
    for name, kept in (("whole", outcomes), ("partial", outcomes[:3]), ("empty", [])):
        (folder / name).mkdir()
        with closing(Store.create(folder / name / "study.sqlite", study.plan())) as store:
            for outcome in kept:
                store.add(outcome.rows, outcome.environment)
    return folder


@pytest.fixture
def copied(finished, tmp_path):
    """Copies of these files, to do with as one likes."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path


def rows_in(path):
    with closing(Store.open(path)) as store:
        found = sorted(store.rows(), key=lambda row: (row.scenario, row.estimator, row.replicate))
    return without_times(found)


def names_in(folder):
    return {path.name for path in folder.iterdir()}


# ---------------------------------------------------------------- exit statuses


def test_a_run_that_passes(quick, tmp_path, capsys):
    arguments = ["run", "--scenario", "five_points", "--estimator", "EM", "--seed", "5"]
    assert main([*arguments, "--output", str(tmp_path / "new" / "folder")]) == 0
    folder = tmp_path / "new" / "folder"
    assert names_in(folder) == FILES
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == f"Report: {folder / 'index.html'}"
    assert "1 PASS, 0 FAIL, 0 UNDERPOWERED of 1 claims in 1 looks" in out
    assert err == ""
    results = json.loads((folder / "results.json").read_text())
    assert (results["plan"]["seed"], results["plan"]["preset"], len(results["rows"])) == (5, "quick", 3)
    before = rows_in(folder / "study.sqlite")
    assert main(["resume", str(folder / "study.sqlite")]) == 0
    assert rows_in(folder / "study.sqlite") == before, "a whole study is not run again"


def test_few_replicates_are_underpowered(quick, tmp_path, capsys):
    assert main(["run", "--output", str(tmp_path), "--estimator", "EM", "--replicates", "2"]) == 3
    assert "UNDERPOWERED  separated_100 / EM / bias" in capsys.readouterr().out


def test_point_fits_have_intervals_in_the_larger_presets(quick, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(commands, "standard_contenders", lambda: (replace(EM_ONLY, laplace=True),))
    for preset, found in (("quick", {"EM"}), ("standard", {"EM", "EM+laplace"})):
        asked = ["--preset", preset, "--scenario", "separated_100", "--estimator", "EM", "--replicates", "2"]
        main(["run", *asked, "--output", str(tmp_path / preset)])
        assert {row.estimator for row in rows_in(tmp_path / preset / "study.sqlite")} == found


def test_a_failure(quick, tmp_path, capsys):
    assert main(["run", "--output", str(tmp_path), "--scenario", "five_points", "--replicates", "1"]) == 1
    out = capsys.readouterr().out
    assert "FAIL  five_points / MAP / mode" in out
    assert "1 fits without a result" in out


@pytest.mark.parametrize(("scenario", "status"), [("five_points", 0), ("separated_100", 3)])
def test_quiet_prints_nothing(scenario, status, quick, tmp_path, capfd):
    arguments = ["run", "--scenario", scenario, "--estimator", "EM", "--replicates", "2", "--quiet"]
    assert main([*arguments, "--output", str(tmp_path)]) == status
    assert main(["resume", str(tmp_path / "study.sqlite"), "--quiet"]) == status
    assert capfd.readouterr() == ("", "")
    assert names_in(tmp_path) == FILES


def test_lines_of_progress_without_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(progress, "SECONDS", 0.02)
    rows = [Row("s", "EM", 0, 0, CONVERGED), Row("s", "EM+laplace", 0, 0, ERROR, "why")]

    def told(outcomes, **settings):
        with progress.progress(40, done=4, **settings) as advance:
            for _ in range(outcomes):
                advance(TaskOutcome(rows, {}))
            time.sleep(0.3)
        out, err = capsys.readouterr()
        assert out == ""
        return err.splitlines()

    before = threading.active_count()
    none, some = told(0), told(3)
    assert none[0] == "validation: 4 of 40 rows, starting, 0 failed"
    assert 1 < len(some) <= 15, "no more often than asked"
    assert re.fullmatch(r"validation: 10 of 40 rows, [\d.e+]+ a second, \d+ s left, 3 failed", some[-1]), some[-1]
    assert told(3, quiet=True) == []
    assert threading.active_count() == before


def test_an_interrupt_says_how_to_go_on(quick, monkeypatch, capsys, tmp_path):
    def interrupted(study, *, store, **_):
        store.add(perform(study.tasks()[0]).rows, environment())
        raise KeyboardInterrupt

    path = tmp_path / "study.sqlite"
    arguments = ["--scenario", "five_points", "--estimator", "EM", "--replicates", "3", "--output", str(tmp_path)]
    with monkeypatch.context() as during:
        during.setattr(commands, "run", interrupted)
        assert main(["run", *arguments]) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (f"validation: interrupted; 1 of 3 rows are kept. Go on with: python -m validation resume {path}\n")
    with monkeypatch.context() as during:
        during.setattr("validation.report.page.write_report", interrupted_by_user)
        assert main(["resume", str(path)]) == 130
    assert "interrupted; 3 of 3 rows are kept" in capsys.readouterr().err
    with monkeypatch.context() as during:
        during.setattr(commands, "run_study", interrupted_by_user)
        assert main(["run", *arguments]) == 130
    assert capsys.readouterr().err == "validation: interrupted\n"
    assert main(["resume", str(path)]) == 0


def interrupted_by_user(*_):
    raise KeyboardInterrupt


def test_a_report_that_cannot_be_written(copied, capsys):
    path = copied / "whole" / "study.sqlite"
    (copied / "whole" / "index.html").mkdir()
    assert main(["report", str(path)]) == 2
    message = capsys.readouterr().err
    assert f"cannot write the report to {copied / 'whole'} (Is a directory)" in message
    assert "the study is whole" in message


# ---------------------------------------------------------------- what cannot be used


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scenario", "sepparated_100"], "--scenario: no scenario 'sepparated_100'; did you mean separated_100?"),
        (["--estimator", "em"], "--estimator: no estimator 'em'; did you mean EM? There are: EM, MAP, Exact"),
        (["--scenario", "qqqq"], "no scenario 'qqqq'. There are: five_points, separated_100"),
        (["--scenario", "separated_100", "--estimator", "Exact"], "Exact and SMC run on small scenarios only"),
        (["--output", "/proc/nowhere"], "--output: cannot write to /proc/nowhere"),
        (["--output", "/dev/null"], "--output: cannot write to /dev/null"),
        (["--cluster", "nonsense"], "--cluster: no scheduler answers at nonsense"),
    ],
)
def test_unusable_arguments(quick, arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["run", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("validation: ")
    assert message in err
    assert not list(tmp_path.rglob("study.sqlite"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--replicates", "0"], "expected a whole number of at least 1, got '0'"),
        (["run", "--replicates", "1.5"], "expected a whole number of at least 1, got '1.5'"),
        (["run", "--workers", "two"], "expected a whole number of at least 1, got 'two'"),
        (["run", "--seed", "-1"], "expected a whole number of at least 0, got '-1'"),
        (["run", "--seed", "--1"], "--seed"),
        (["run", "--seed", "²"], "--seed"),
        (["run", "--preset", "huge"], "invalid choice: 'huge'"),
        (["run", "--workers", "2", "--cluster", "tcp://host:8786"], "not allowed with argument"),
        (["resume"], "STUDY.sqlite"),
        (["report", "x.sqlite", "--format", "pdf"], "invalid choice: 'pdf'"),
        (["walk"], "invalid choice"),
        ([], "required"),
    ],
)
def test_arguments_that_cannot_be_read(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_a_study_is_not_written_over(quick, copied, capsys):
    path = copied / "partial" / "study.sqlite"
    before = path.read_bytes()
    assert main(["run", "--estimator", "EM", "--output", str(copied / "partial")]) == 2
    message = capsys.readouterr().err
    assert (
        f"there is a study in {copied / 'partial'} already; go on with it (python -m validation resume {path})"
        in message
    )
    assert path.read_bytes() == before


# By default what the command line says is asked of the store.
@pytest.mark.slow
def test_a_full_disk_is_said_in_words(quick, monkeypatch, capsys, tmp_path):
    create = Store.create

    def small(path, plan, **settings):
        store = create(path, plan, **settings)
        (pages,) = store.connection.execute("PRAGMA page_count").fetchone()
        store.connection.execute(f"PRAGMA max_page_count = {pages + 6}")
        return store

    chosen = ["--scenario", "separated_100", "--estimator", "EM"]
    with monkeypatch.context() as during:
        during.setattr(Store, "create", staticmethod(small))
        assert main(["run", *chosen, "--output", str(tmp_path)]) == 2
    assert "the disk is full; what was written is whole: make room, then resume the study" in capsys.readouterr().err
    assert 0 < len(rows_in(tmp_path / "study.sqlite")) < 24
    # So few replicates show nothing.
    assert main(["resume", str(tmp_path / "study.sqlite")]) == 3
    assert len(rows_in(tmp_path / "study.sqlite")) == 24


# ---------------------------------------------------------------- report and resume


def test_report_from_rows_alone(copied, capsys, monkeypatch):
    path = copied / "whole" / "study.sqlite"
    assert main(["report", str(path)]) == 0
    assert names_in(copied / "whole") == FILES
    assert capsys.readouterr().out == f"Report: {copied / 'whole' / 'index.html'}\n"
    elsewhere = copied / "else" / "where"
    assert main(["report", str(path), "--output", str(elsewhere), "--format", "markdown"]) == 0
    assert names_in(elsewhere) == {"report.md", "results.json"}
    assert (elsewhere / "results.json").read_bytes() == (copied / "whole" / "results.json").read_bytes()
    assert main(["report", str(path), "--output", "/proc/nowhere"]) == 2
    assert "--output: cannot write to /proc/nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "done"), [("partial", 3), ("empty", 0)])
def test_report_of_a_study_that_is_not_complete(name, done, copied, capsys):
    path = copied / name / "study.sqlite"
    for form in ("html", "markdown"):
        assert main(["report", str(path), "--format", form]) == 0
        said = f"The study is not complete: {done} of 4 rows. python -m validation resume {path}"
        assert said in capsys.readouterr().out
    assert len(json.loads((copied / name / "results.json").read_text())["rows"]) == done


@pytest.mark.parametrize("command", ["report", "resume"])
def test_a_file_that_is_not_a_study(command, tmp_path, capsys):
    for content, message in (("text", "expected the file of a study, got something else"), (None, "no such file")):
        path = tmp_path / "study.sqlite"
        path.unlink(missing_ok=True)
        if content:
            path.write_text(content)
        assert main([command, str(path)]) == 2
        assert f"validation: {path}: " in (err := capsys.readouterr().err)
        assert message in err
    assert names_in(tmp_path) == set()


def test_resume_needs_the_study_that_was_begun(quick, copied, tmp_path, monkeypatch, capsys):
    assert main(["resume", str(copied / "partial" / "study.sqlite")]) == 2
    assert "begun from Python; give the same study to validation.run with this store" in capsys.readouterr().err
    path = tmp_path / "new" / "study.sqlite"
    assert main(["run", "--estimator", "EM", "--replicates", "1", "--output", str(path.parent)]) in (0, 3)
    fewer = commands.STANDARD_SCENARIOS[:1]
    other = (replace(EM_ONLY, estimator=EM(num_starts=3, progress_bar=False)),)
    for name, value in (("STANDARD_SCENARIOS", fewer), ("standard_contenders", lambda: other)):
        capsys.readouterr()
        with monkeypatch.context() as during:
            during.setattr(commands, name, value)
            assert main(["resume", str(path)]) == 2
        assert "begun by another release, whose scenarios or estimators differ" in capsys.readouterr().err


# ---------------------------------------------------------------- users' own modules


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("name", "text", "messages"),
    [
        ("cli_raises.py", "x = 1\n\ny = 1 / 0\n", ["cannot be imported: ZeroDivisionError", "(cli_raises.py, line 3)"]),
        ("cli_syntax.py", "x = 1\ny = = 2\n", ["cannot be imported: SyntaxError: ", "(cli_syntax.py, line 2)"]),
        ("cli_needs.py", "\nimport no_such_package\n", ["No module named 'no_such_package' (cli_needs.py, line 2)"]),
        (
            "cli_within.py",
            "from validation.scenarios import Scenario\nx = dict(name='two words')\nScenario(**x, sentence='',\n"
            "make_model=None, source=None, num_rows=1, interventions=())\n",
            ["ValueError: name: expected a word", "(cli_within.py, line 3)"],
        ),
        ("cli_leaves.py", "import sys\nsys.exit(3)\n", ["cannot be imported: SystemExit: 3 (cli_leaves.py, line 2)"]),
        ("cli_none.py", "x = 1\n", ["expected scenarios, as SCENARIOS = (Scenario(name=...), ...), found []"]),
        ("cli_one.py", "SCENARIOS = 3\n", ["expected scenarios, as SCENARIOS", "found 3"]),
        ("json.py", "x = 1\n", ["a module called 'json' is loaded already; give the file another name"]),
    ],
)
def test_scenarios_that_cannot_be_used(name, text, messages, alone, tmp_path, capsys):
    place = write(tmp_path, name, text)
    assert main(["run", "--scenarios", place, "--output", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"validation: {place}: ")
    assert [message for message in messages if message not in err] == []
    assert not (tmp_path / "out").exists()


ESTIMATORS = """
from dataclasses import dataclass

@dataclass
class Needs:
    x: int

class Refuses:
    def __init__(self):
        raise ValueError("not today")

number = 3
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "expected module:name or file.py:name, as in my_module:MyEstimator"),
        (":", "expected module:name or file.py:name"),
        (":Nothing", "has no 'Nothing'; it has dataclass, Needs, Refuses, number"),
        (":Needs", "the class cannot be made without arguments (TypeError: "),
        (":Refuses", "the class cannot be made without arguments (ValueError: not today); name an instance instead"),
        (":number", "expected an object with fit(model, data, *, seed=None), got 3"),
    ],
)
def test_estimators_that_cannot_be_used(name, message, alone, tmp_path, capsys):
    place = write(tmp_path, "cli_estimators.py", ESTIMATORS) + name
    assert main(["run", "--estimators", place, "--output", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"validation: {place}: ")
    assert message in err


def test_a_module_that_is_not_there(alone, tmp_path, capsys):
    loop = tmp_path / "loop.py"
    loop.symlink_to(loop)
    for place, message in (
        ("nowhere.py", "there is no such file"),
        ("x" * 300 + ".py", "there is no such file"),
        (str(loop), "there is no such file"),
        ("no_such_module", "No module named"),
    ):
        for command in (["run", "--output", str(tmp_path / "out")], ["list"]):
            assert main([*command, "--scenarios", place]) == 2
            out, err = capsys.readouterr()
            assert out == ""
            assert err.startswith("validation: ") and f"{place}: " in err
            assert message in err
    assert main(["list", "--estimators", "no_such_module:x"]) == 2
    assert "No module named" in capsys.readouterr().err


def test_list(alone, tmp_path, capsys):
    own = str(shutil.copy(OWN, tmp_path / "cli_listed.py"))
    assert main(["list", "--scenarios", own, "--estimators", f"{own}:slow", f"{own}:Quick"]) == 0
    out = capsys.readouterr().out
    for name in ("quick", "five_points", "prior_truths", "EM", "NUTS", "own_mixture", "own_program", "slow", "Quick"):
        assert f"  {name}" in out


def test_ones_own_scenarios_run_alone_unless_others_are_named(quick, alone, tmp_path, capsys):
    own = str(shutil.copy(OWN, tmp_path / "cli_alone.py"))
    arguments = ["run", "--scenarios", own, "--estimator", "EM", "--replicates", "1", "--quiet"]
    assert main([*arguments, "--scenario", "own_mixture", "five_points", "--output", str(tmp_path / "two")]) in (0, 3)
    assert {row.scenario for row in rows_in(tmp_path / "two" / "study.sqlite")} == {"own_mixture", "five_points"}
    with closing(Store.open(tmp_path / "two" / "study.sqlite")) as store:
        assert store.arguments["scenarios"] == [own]
    assert main([*arguments, "--scenario", "own_mixtures", "--output", str(tmp_path / "none")]) == 2
    assert "did you mean own_mixture?" in capsys.readouterr().err


def test_a_changed_module_is_refused_on_resume(quick, alone, tmp_path, capsys, monkeypatch):
    """The file is named as it is seen from the folder of the run, and found from another."""
    own = shutil.copy(OWN, tmp_path / "cli_changed.py")
    monkeypatch.chdir(tmp_path)
    chosen = ["--scenario", "own_mixture", "--estimator", "Quick", "--output", "out", "--quiet"]
    assert main(["run", "--scenarios", "cli_changed.py", "--estimators", "cli_changed.py:Quick", *chosen]) in (0, 3)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    path = tmp_path / "out" / "study.sqlite"
    assert main(["resume", str(path), "--quiet"]) in (0, 3)
    with own.open("a") as module:
        module.write("# another\n")
    assert main(["resume", str(path)]) == 2
    assert f"{own} has changed since the study was begun; begin another" in capsys.readouterr().err
    own.unlink()
    assert main(["resume", str(path)]) == 2
    assert f"{own}: there is no such file" in capsys.readouterr().err


@pytest.mark.slow
def test_ones_own_study_end_to_end(alone, tmp_path):
    """A mixture and a Pyro program, an estimator of one's own, in two processes; the same rows as here."""
    own = str(shutil.copy(OWN, tmp_path / "cli_own.py"))
    chosen = ["--estimator", "Quick", "--workers", "2", "--output", "out"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "validation",
            "run",
            "--scenarios",
            "cli_own.py",
            "--estimators",
            "cli_own.py:Quick",
            *chosen,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 3), done.stderr
    assert all(line.startswith("validation: ") for line in done.stderr.splitlines())
    assert done.stdout.startswith(f"Report: {Path('out', 'index.html')}\n")
    assert names_in(tmp_path / "out") == FILES
    study = Study(scenarios_in(own), (contender_in(f"{own}:Quick"),))
    here = without_times(run_here(study))
    assert rows_in(tmp_path / "out" / "study.sqlite") == here
    assert [row.status for row in here] == ["CONVERGED"] * 4
    assert {row.scenario for row in here} == {"own_mixture", "own_program"}


# ---------------------------------------------------------------- a light import

LIGHT = """
import contextlib, io, sys
heavy = ("torch", "numpy", "pyro", "scipy", "pandas", "matplotlib")

import validation
import validation.study.worker
from validation.__main__ import main
for command in ([], ["list"], ["run"], ["mine"], ["resume"], ["report"], ["compare"]):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        main([*command, "--help"])
    assert said.getvalue().startswith("usage: python -m validation"), command
found = [name for name in heavy if name in sys.modules]
assert not found, found

import validation.cli.commands
found = [name for name in ("jinja2", "dask", "distributed") if name in sys.modules]
assert not found, f"{found}: imported before they are needed"
"""


def test_importing_the_package_and_asking_for_help_is_light(tmp_path):
    done = subprocess.run([sys.executable, "-c", LIGHT], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_package_says_what_it_has():
    import validation

    assert set(validation.__all__) <= set(dir(validation))
    assert validation.Verdict is Verdict
    assert all(getattr(validation, name) is not None for name in validation.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = validation.nothing
