"""A study that is killed: whole tasks are kept, no process is left behind, and resuming ends with the same rows."""

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.validation.studies import run_here, without_times
from validation.study.own_modules import contender_in, scenarios_in
from validation.study.store import Store
from validation.study.study import Study, run

OWN = Path(__file__).with_name("own_study.py")
REPLICATES = 6
PATIENCE = 600


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    place = str(shutil.copy(OWN, tmp_path_factory.mktemp("unbroken") / "unbroken_study.py"))
    return Study(
        tuple(each for each in scenarios_in(place) if each.name == "own_mixture"),
        (contender_in(f"{place}:slow"),),
        replicates=REPLICATES,
    )


@pytest.fixture(scope="module")
def unbroken(study):
    """The rows of the study, run here and never interrupted."""
    return in_order(run_here(study))


def in_order(rows):
    return sorted(without_times(rows), key=lambda row: (row.estimator, row.replicate))


class Command:
    """``python -m validation ...`` in a process group of its own."""

    def __init__(self, *arguments, cwd):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "validation", *arguments],
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def until(self, condition):
        """Wait for something that happens before the end."""
        assert until(lambda: condition() or self.process.poll() is not None)
        assert self.process.poll() is None, self.process.communicate()

    def end(self):
        """Wait for the end, and return the exit status and what was said."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err

    def kill(self):
        """End it as the kernel would, and its workers not with it."""
        self.process.kill()
        self.process.communicate()

    def workers(self):
        """The processes of the pool: those that are forked from the one that has imported what they need."""
        same = [pid for pid in self.group() if b"forkserver" in command_line(pid)]
        return [pid for pid in same if parent_of(pid) in same]

    def group(self):
        """Every process of the group but the first that is still running, whoever its parent now is."""
        found = []
        for place in Path("/proc").iterdir():
            if place.name.isdigit() and int(place.name) != self.process.pid:
                with contextlib.suppress(OSError):
                    state, _, group, *_ = (place / "stat").read_text().rpartition(")")[2].split()
                    if int(group) == self.process.pid and state != "Z":
                        found.append(int(place.name))
        return found

    def leaves_nobody(self):
        """Whether all processes of the group have ended."""
        return until(lambda: not self.group(), patience=120)


def parent_of(pid):
    with contextlib.suppress(OSError):
        return int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    return None


def command_line(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def until(condition, patience=PATIENCE):
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def count(path):
    """How many rows of the study are written, 0 as long as there is none."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT count(*) FROM rows").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def begin(folder, workers):
    """The arguments that begin the study in a folder."""
    shutil.copy(OWN, folder)
    chosen = ["--scenario", "own_mixture", "--estimator", "slow", "--replicates", f"{REPLICATES}", "--workers", workers]
    return ["run", "--scenarios", "own_study.py", "--estimators", "own_study.py:slow", "--output", "out", *chosen]


def stored(path):
    """What is in the file after a kill: whole tasks of two rows, each once."""
    with closing(Store.open(path)) as store:
        rows = list(store.rows())
    tasks = Counter((row.scenario, row.replicate) for row in rows)
    assert set(tasks.values()) <= {2}
    assert len({(row.scenario, row.estimator, row.replicate) for row in rows}) == len(rows)
    return rows


def killed(tmp_path):
    """The rows that are kept of a study whose first process is killed."""
    path = tmp_path / "out" / "study.sqlite"
    with Command(*begin(tmp_path, workers="1"), cwd=tmp_path) as command:
        command.until(lambda: count(path) >= 2)
        assert len(command.workers()) == 1
        command.kill()
        assert command.leaves_nobody()
    rows = stored(path)
    assert 2 <= len(rows) < 2 * REPLICATES
    return rows


def interrupted(tmp_path, before, workers):
    """The rows that are kept where the study is resumed, and interrupted as a terminal does it."""
    path = tmp_path / "out" / "study.sqlite"
    with Command("resume", "out/study.sqlite", "--workers", f"{workers}", cwd=tmp_path) as command:
        command.until(lambda: count(path) > len(before))
        assert len(command.workers()) == workers
        os.killpg(command.process.pid, signal.SIGINT)
        status, out, err = command.end()
        assert command.leaves_nobody()
    rows = stored(path)
    assert (status, out) == (130, "")
    kept = f"interrupted; {len(rows)} of {2 * REPLICATES} rows are kept."
    assert err.splitlines()[-1] == f"validation: {kept} Go on with: python -m validation resume out/study.sqlite"
    assert {repr(row) for row in before} <= {repr(row) for row in rows}
    return rows


def test_kill_and_resume(tmp_path, study, unbroken):
    """Killed with its worker at work: in the end the rows are those of an unbroken run."""
    before = killed(tmp_path)
    path = tmp_path / "out" / "study.sqlite"
    with closing(Store.open(path)) as store, ThreadPoolExecutor(1) as executor:
        run(study, executor=executor, store=store)
    rows = stored(path)
    assert {repr(row) for row in before} <= {repr(row) for row in rows}
    assert in_order(rows) == unbroken


@pytest.mark.slow
def test_kill_interrupt_rob_and_resume(tmp_path, unbroken):
    """Killed, interrupted with two workers, and robbed of its only one."""
    before = interrupted(tmp_path, killed(tmp_path), workers=2)
    path = tmp_path / "out" / "study.sqlite"
    with Command("resume", "out/study.sqlite", "--workers", "1", cwd=tmp_path) as command:
        command.until(lambda: count(path) > len(before))
        (only,) = command.workers()
        os.kill(only, signal.SIGKILL)
        status, _, err = command.end()
        assert command.leaves_nobody()
    assert status in (0, 3), err
    rows = stored(path)
    assert {repr(row) for row in before} <= {repr(row) for row in rows}
    assert in_order(rows) == unbroken


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_kills_at_any_moment(seed, tmp_path, unbroken):
    """Killed again and again, after a random while, until a run ends by itself."""
    generator = random.Random(seed)
    path = tmp_path / "out" / "study.sqlite"
    arguments, kills, before = begin(tmp_path, workers="2"), 0, set()
    while True:
        with Command(*arguments, cwd=tmp_path) as command:
            whole = until(
                lambda: command.process.poll() is not None, generator.uniform(0, 15) if kills < 6 else PATIENCE
            )
            command.kill()
            assert command.leaves_nobody()
        if whole:
            break
        kills += 1
        if path.exists():
            rows = {repr(row) for row in stored(path)}
            assert before <= rows
            before, arguments = rows, ["resume", str(path)]
    assert command.process.returncode in (0, 3)
    assert in_order(stored(path)) == unbroken


@pytest.mark.slow
def test_an_interrupt_of_the_parent_alone(tmp_path):
    """As from a job scheduler: nobody waits for the fits in hand."""
    path = tmp_path / "out" / "study.sqlite"
    with Command(*begin(tmp_path, workers="2"), cwd=tmp_path) as command:
        command.until(lambda: count(path) >= 2)
        command.process.send_signal(signal.SIGINT)
        status, _, err = command.end()
        assert command.leaves_nobody()
    assert status == 130
    assert "Go on with: python -m validation resume" in err
    assert 2 <= len(stored(path)) < 2 * REPLICATES
