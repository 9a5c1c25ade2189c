"""A pytest session with statistical tests: how they split the budget, or what keeps them from it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from validation.statistics.check import check_probability
from validation.testing.manifest import Entry, Manifest, ManifestError, check_current, updated
from validation.testing.marker import MarkerSettings, TestBudget, marker_settings

MARKER, FIXTURE = "statistical", "stat"


@dataclass(frozen=True)
class BudgetSplit:
    """The budget of every collected statistical test, by id; or the problem that keeps them all from running."""

    by_test: dict[str, TestBudget] = field(default_factory=dict)
    problem: str = ""
    changes: tuple[str, ...] = ()


def split_budget(
    config: pytest.Config, items: Sequence[pytest.Item], files: Collection[str], root_seed: int
) -> BudgetSplit:
    """Return the budgets of the collected tests by the stored list, which ``--statistical-update`` renews first."""
    try:
        settings = {item.nodeid: _settings_of(item) for item in items if item.get_closest_marker(MARKER)}
        false_alarm, path = budget_of(config), manifest_path(config)
        entries = {test: marker.entry for test, marker in settings.items()}
        changes: tuple[str, ...] = ()
        if config.getoption("statistical_update"):
            manifest, changes = _renewed(config, entries, files)
        elif not settings or config.getoption("collectonly"):
            return BudgetSplit()
        else:
            manifest = Manifest.read(path)
            check_current(manifest, false_alarm, entries, path)
    except (ManifestError, TypeError, ValueError) as problem:
        return BudgetSplit(problem=f"statistical: {problem}")
    except OSError as problem:
        return BudgetSplit(problem=f"statistical: the list cannot be written: {problem}")
    budgets = {test: TestBudget(test, manifest.alpha(test), marker, root_seed) for test, marker in settings.items()}
    return BudgetSplit(budgets, changes=changes)


def budget_of(config: pytest.Config) -> float:
    """Return the suite's false-alarm budget; raise a ValueError if the ini file's is not a probability."""
    text = str(config.getini("statistical_false_alarm"))
    try:
        return check_probability("statistical_false_alarm", float(text))
    except ValueError:
        raise ValueError(f"statistical_false_alarm: expected a probability above 0 and below 1, got {text!r}") from None


def manifest_path(config: pytest.Config) -> Path:
    """Return where the stored list is: by default ``statistical-manifest.json`` in the root directory."""
    return config.rootpath / str(config.getini("statistical_manifest"))


def stored_manifest(config: pytest.Config) -> Manifest:
    """Return the stored list, one without tests where it is missing or damaged."""
    try:
        return Manifest.read(manifest_path(config))
    except ManifestError:
        return Manifest(budget_of(config))


def _settings_of(item: pytest.Item) -> MarkerSettings:
    marker = item.get_closest_marker(MARKER)
    assert marker is not None
    try:
        settings = marker_settings(marker.args, dict(marker.kwargs))
    except (TypeError, ValueError) as problem:
        raise type(problem)(f"{item.nodeid}: @pytest.mark.statistical: {problem}") from None
    if FIXTURE not in getattr(item, "fixturenames", ()):
        raise ValueError(
            f"{item.nodeid} is marked statistical but does not take the fixture `stat`, through which it would be "
            "checked: def test_...(stat)"
        )
    return settings


def _renewed(
    config: pytest.Config, entries: dict[str, Entry], files: Collection[str]
) -> tuple[Manifest, tuple[str, ...]]:
    partial = next((arg for arg in config.args if "::" in str(arg)), None)
    if partial or config.getoption("lf", False):
        raise ValueError(f"--statistical-update needs whole files, got {partial or '--lf'}")
    path = manifest_path(config)
    try:
        before = Manifest.read(path)
    except ManifestError:
        before = None
    manifest, lines = updated(before, budget_of(config), entries, files, config.rootpath)
    if not manifest.tests and before is None:
        return manifest, ("statistical: no statistical tests, nothing written",)
    if before is None or lines:
        manifest.write(path)
    head = f"statistical: {path.name}, {len(manifest.tests)} tests: " + (
        f"{len(lines)} changes" if lines else "no change"
    )
    return manifest, (head, *(f"  {line}" for line in lines))
