"""A study on a cluster: a real scheduler and real workers of `dask.distributed`, each a process of its own."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from estimators import EM
from tests.validation.studies import run_here, without_times
from validation.__main__ import main
from validation.study.cluster import ClusterError, cluster
from validation.study.contenders import Contender
from validation.study.own_modules import contender_in, scenarios_in
from validation.study.store import Store, StoreError
from validation.study.study import Study, run

OWN = Path(__file__).with_name("own_study.py")
PATIENCE = 600


@dataclass
class Scheduler:
    """A running scheduler and its workers."""

    address: str
    process: subprocess.Popen
    workers: list[subprocess.Popen]


@contextmanager
def ended(*command, cwd, path=""):
    """A process that is ended in the end; `path` is searched for modules before all else."""
    environment = {**os.environ, "PYTHONPATH": path}
    with (cwd / "log.txt").open("a") as log:
        process = subprocess.Popen([sys.executable, "-m", *command], cwd=cwd, stdout=log, stderr=log, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def scheduler(folder, workers, path=""):
    """A scheduler, and workers of one thread that nobody starts again."""
    file = folder / "scheduler.json"
    with ExitStack() as stack:
        where = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
        process = stack.enter_context(ended("distributed.cli.dask_scheduler", *where, cwd=folder))
        deadline = time.monotonic() + PATIENCE
        while not file.exists():
            assert time.monotonic() < deadline, (folder / "log.txt").read_text()
            time.sleep(0.05)
        address = json.loads(file.read_text())["address"]
        how = (address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")
        running = [
            stack.enter_context(ended("distributed.cli.dask_worker", *how, cwd=folder, path=path))
            for _ in range(workers)
        ]
        yield Scheduler(address, process, running)


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    with scheduler(tmp_path_factory.mktemp("dask"), workers=2) as running:
        wait_for_workers(running)
        yield running


def wait_for_workers(running):
    """Until all workers are there."""
    from dask.distributed import Client

    with Client(running.address, set_as_default=False) as client:
        client.wait_for_workers(len(running.workers), timeout=PATIENCE)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's module on no path, under a name that nothing else has."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield str(shutil.copy(OWN, tmp_path / "cluster_study.py"))
    sys.modules.pop("cluster_study", None)


def has_rows(path):
    with contextlib.suppress(StoreError), closing(Store.open(path)) as store:
        return bool(store.done())
    return False


@pytest.mark.slow
def test_users_modules_are_sent_along(dask, own, tmp_path, capsys):
    """The whole command line; the module is in no folder that a worker knows."""
    chosen = ["--scenario", "own_mixture", "--replicates", "2", "--output", str(tmp_path / "out")]
    arguments = ["run", "--scenarios", own, "--estimators", f"{own}:slow", "--estimator", "slow", *chosen]
    assert main([*arguments, "--cluster", dask.address, "--quiet"]) in (0, 3)
    assert capsys.readouterr() == ("", "")
    with closing(Store.open(tmp_path / "out" / "study.sqlite")) as store:
        found = sorted(store.rows(), key=lambda row: (row.estimator, row.replicate))
        (environment,) = store.environments
    scenarios = tuple(each for each in scenarios_in(own) if each.name == "own_mixture")
    here = run_here(Study(scenarios, (contender_in(f"{own}:slow"),), replicates=2))
    assert without_times(found) == without_times(sorted(here, key=lambda row: (row.estimator, row.replicate)))
    assert not any(row.failed for row in found)
    assert environment["machine"]["node"]


@pytest.mark.slow
def test_a_worker_is_killed_while_it_works(dask, scenarios, tmp_path):
    chosen = tuple(scenarios[name] for name in ("five_points", "separated_100", "student_noise"))
    study = Study(chosen, (Contender("EM", EM(progress_bar=False), laplace=True),), replicates=4)
    outcomes = []

    def kill_one(outcome):
        if not outcomes:
            os.kill(dask.workers[0].pid, signal.SIGKILL)
        outcomes.append(outcome)

    with closing(Store.create(tmp_path / "study.sqlite", study.plan())) as store:
        with cluster(dask.address) as executor:
            found = run(study, store=store, executor=executor, on_outcome=kill_one)
        assert dask.workers[0].wait(PATIENCE) == -signal.SIGKILL
        assert sorted(map(repr, store.rows())) == sorted(map(repr, found))
    assert without_times(found) == without_times(run_here(study))
    told = Counter((row.scenario, row.estimator, row.replicate) for outcome in outcomes for row in outcome.rows)
    assert told == Counter(key for task in study.tasks() for key in task.keys)


def test_a_scheduler_without_workers(tmp_path, capsys):
    with scheduler(tmp_path, workers=0) as lonely:
        output = tmp_path / "out"
        begun = time.monotonic()
        assert main(["run", "--estimator", "EM", "--output", str(output), "--cluster", lonely.address]) == 2
        assert time.monotonic() - begun < 20
        message = (
            f"--cluster: the scheduler at {lonely.address} has no workers; start some: dask worker {lonely.address}"
        )
        assert message in capsys.readouterr().err
        assert list(output.iterdir()) == [], "no study is begun"


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("tcp://127.0.0.1:{free}", "refused"),
        ("127.0.0.1:{free}", "refused"),
        ("nonsense", "expected a host and a port, as in tcp://10.0.0.1:8786"),
        ("tcp://127.0.0.1:99999", "Port out of range"),
        ("tcp://no.such.host.invalid:8786", "("),
    ],
)
def test_an_address_where_nobody_answers(address, reason):
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        free = listener.getsockname()[1]
    address = address.format(free=free)
    begun = time.monotonic()
    with pytest.raises(ClusterError) as raised, cluster(address):
        pass
    assert str(raised.value).startswith(f"--cluster: no scheduler answers at {address} (")
    assert reason in str(raised.value)
    assert time.monotonic() - begun < 20


def test_the_extra_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(ClusterError, match=r"pip install 'exact-estimators\[cluster\]'"), cluster("tcp://127.0.0.1:1"):
        pass


@pytest.mark.slow
def test_workers_without_this_package(tmp_path):
    """Said once, rather than of every fit."""
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "validation.py").write_text("raise ImportError('not here')\n")
    with scheduler(tmp_path, workers=1, path=str(tmp_path / "without")) as running:
        wait_for_workers(running)
        message = "a worker cannot import this package; install this release there"
        with pytest.raises(ClusterError, match=message), cluster(running.address):
            pass


@pytest.mark.slow
def test_the_scheduler_is_killed(own, tmp_path, capfd):
    """What was written stays, nothing is written of what was lost, and another machine goes on."""
    output = tmp_path / "out"
    path = output / "study.sqlite"
    chosen = ["--scenario", "own_mixture", "--replicates", "20", "--output", str(output), "--estimator", "slow"]
    arguments = ["run", "--scenarios", own, "--estimators", f"{own}:slow", *chosen]
    with scheduler(tmp_path, workers=1) as running, ThreadPoolExecutor(1) as background:
        wait_for_workers(running)

        def kill_in_the_middle():
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline and not has_rows(path):
                time.sleep(0.05)
            running.process.kill()

        killing = background.submit(kill_in_the_middle)
        assert main([*arguments, "--cluster", running.address]) == 2
        killing.result()
    assert "the executor has gone, and its work with it" in capfd.readouterr().err
    with closing(Store.open(path)) as store:
        kept = list(store.rows())
    assert 0 < len(kept) < 40
    assert not any(row.failed for row in kept)
    assert main(["resume", str(path), "--workers", "1"]) in (0, 3)
    with closing(Store.open(path)) as store:
        rows = list(store.rows())
    assert len(rows) == 40
    assert {repr(row) for row in kept} <= {repr(row) for row in rows}
