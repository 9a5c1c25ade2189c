"""The pytest plugin: marker ``statistical``, fixture ``stat``, and one false-alarm budget for the suite.

Only hooks are here. What they need is imported when a statistical test is collected: other sessions pay nothing.
"""

import json
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from validation.testing.ledger import Ledger
    from validation.testing.marker import TestBudget
    from validation.testing.stat import Stat

MARKER = (
    "statistical(weight=1, checks=1, min_effect=None, power=0.9): a test with statistical checks, made through the "
    "fixture `stat`; `weight` and `checks` split the suite's false-alarm budget"
)
PROPERTY = "statistical"
SEED = "statistical_seed"
BUDGET: "pytest.StashKey[TestBudget]" = pytest.StashKey()
LEDGER: "pytest.StashKey[Ledger]" = pytest.StashKey()
FAILURE: "pytest.StashKey[AssertionError]" = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and ini values."""
    group = parser.getgroup("statistical", "statistical checks")
    group.addoption("--statistical-update", action="store_true", help="Renew the list by which the budget is split.")
    group.addoption(
        "--statistical-seed", metavar="N|random", help="Root seed (default: 0; random: drawn, and printed)."
    )
    group.addoption("--statistical-report", metavar="FILE", help="Write every check as JSON.")
    parser.addini("statistical_false_alarm", "Probability that a right suite raises any false alarm.", default="1e-3")
    parser.addini("statistical_manifest", "Where the list of tests is stored.", default="statistical-manifest.json")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker and what this session keeps; draw the root seed, once for all workers."""
    config.addinivalue_line("markers", MARKER)
    config.pluginmanager.register(Session(config, _root_seed(config)), "statistical-session")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist the root seed."""
    node.workerinput[SEED] = _session(node.config).root_seed


@pytest.fixture
def stat(request: pytest.FixtureRequest) -> "Stat":
    """Statistical checks with computed tolerances, at what this test may spend of the suite's false-alarm budget."""
    from validation.testing.ledger import Ledger
    from validation.testing.stat import Stat

    item = request.node
    if BUDGET not in item.stash:
        pytest.fail("the fixture `stat` needs the marker: @pytest.mark.statistical(min_effect=...)", pytrace=False)

    if FAILURE not in item.stash:  # of an earlier run, where something reruns tests
        item.user_properties[:] = [(name, value) for name, value in item.user_properties if name != PROPERTY]

    def keep(check: dict[str, Any]) -> None:
        item.user_properties.append((PROPERTY, json.dumps(check)))

    ledger = item.stash[LEDGER] = Ledger(item.stash[BUDGET], keep)
    return Stat(ledger)


class Session:
    """What one pytest session keeps: the root seed, what was collected, and its checks."""

    def __init__(self, config: pytest.Config, root_seed: int) -> None:
        self.config = config
        self.root_seed = root_seed
        self.is_worker = hasattr(config, "workerinput")
        self.files: set[str] = set()
        # By test: of a test that is run again, the last run counts.
        self.checks: dict[str, list[dict[str, Any]]] = {}
        self.problem = ""
        self.changes: tuple[str, ...] = ()

    @property
    def all_checks(self) -> list[dict[str, Any]]:
        """The checks of every test, in the order of their first runs."""
        return [check for checks in self.checks.values() for check in checks]

    def pytest_report_header(self) -> str | None:
        """Say the root seed if it was drawn, before anything can go wrong."""
        if self.config.getoption(SEED) != "random":
            return None
        return f"statistical: root seed {self.root_seed}; replay with --statistical-seed={self.root_seed}"

    def pytest_sessionstart(self) -> None:
        """Refuse to renew the list where this process collects nothing."""
        if self.config.getoption("statistical_update") and self.config.pluginmanager.has_plugin("dsession"):
            raise pytest.UsageError("--statistical-update collects in one process: run it with -n0")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note which files were collected."""
        if report.passed:
            self.files.add(report.nodeid)

    @pytest.hookimpl(tryfirst=True)  # before -k, -m and others take tests away
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Give every statistical test its budget, or say what is in the way."""
        update = self.config.getoption("statistical_update") and not self.is_worker
        if not update and not any(item.get_closest_marker("statistical") for item in items):
            return
        from validation.testing.session import split_budget

        files = {item.nodeid.split("::")[0] for item in items} | self.files
        split = split_budget(self.config, items, files, self.root_seed)
        self.problem, self.changes = split.problem, split.changes
        if self.problem and not self.is_worker:
            raise pytest.UsageError(self.problem)
        for item in items:
            if item.nodeid in split.by_test:
                item.stash[BUDGET] = split.by_test[item.nodeid]

    def pytest_report_collectionfinish(self) -> list[str]:
        """Say how the list changed."""
        return list(self.changes)

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """On a worker, where a problem of the whole session cannot be raised, give it to the tests."""
        if self.problem and item.get_closest_marker("statistical"):
            pytest.fail(self.problem, pytrace=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        """Run a test, which must make a check, and fail it for a check whose failure it caught.

        Where something reruns failed tests, a check that has failed fails again: a rerun is not another chance.
        """
        __tracebackhide__ = True
        if BUDGET not in pyfuncitem.stash:
            return (yield)
        if FAILURE in pyfuncitem.stash:
            raise pyfuncitem.stash[FAILURE]
        try:
            result = yield
        except (Exception, pytest.skip.Exception, pytest.fail.Exception):
            _raise_failure(pyfuncitem)
            raise
        _raise_failure(pyfuncitem)
        pyfuncitem.stash[LEDGER].require_check()
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """Fail a test for a check whose failure a fixture caught on its way out."""
        result = yield
        if LEDGER in item.stash and FAILURE not in item.stash:
            _raise_failure(item)
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect the checks, which came with the report from whichever process ran the test."""
        if report.when == "call":
            checks = [json.loads(str(value)) for name, value in report.user_properties if name == PROPERTY]
            if checks:
                self.checks[report.nodeid] = [{**check, "test_outcome": report.outcome} for check in checks]

    def pytest_sessionfinish(self) -> None:
        """Write the report."""
        path = self.config.getoption("statistical_report")
        if path and not self.is_worker:
            from validation.testing.plain_check import write_report
            from validation.testing.session import budget_of

            run = {"false_alarm": budget_of(self.config), "root_seed": self.root_seed}
            try:
                write_report(Path(path), self.all_checks, run)
            except OSError as problem:
                raise pytest.UsageError(f"--statistical-report: {path} cannot be written: {problem}") from problem

    def pytest_terminal_summary(self, terminalreporter: "TerminalReporter") -> None:
        if not self.checks:
            return
        from validation.testing.plain_check import summary
        from validation.testing.session import stored_manifest

        terminalreporter.section("statistical checks")
        name = str(self.config.getini("statistical_manifest"))
        for line in summary(self.all_checks, stored_manifest(self.config), name, self.root_seed):
            terminalreporter.write_line(line)


def _session(config: pytest.Config) -> Session:
    session = config.pluginmanager.get_plugin("statistical-session")
    assert isinstance(session, Session)
    return session


def _raise_failure(item: pytest.Item) -> None:
    """Raise the failure of a test's checks, if any, whatever the test made of it."""
    __tracebackhide__ = True
    failure = item.stash[LEDGER].failure
    if failure is not None:
        item.stash[FAILURE] = failure
        raise failure


def _root_seed(config: pytest.Config) -> int:
    if hasattr(config, "workerinput"):
        return int(config.workerinput[SEED])
    text = config.getoption(SEED) or "0"
    if text == "random":
        import secrets

        return secrets.randbelow(2**32)
    if not text.isdecimal():
        raise pytest.UsageError(f"--statistical-seed: expected a whole number, or random, got {text!r}")
    return int(text)
