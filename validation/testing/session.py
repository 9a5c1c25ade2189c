"""A pytest session with statistical tests: their shares of the budget, or what keeps them from having any."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from validation.statistics.check import check_probability
from validation.testing.manifest import Entry, Manifest, ManifestError, check_current, updated
from validation.testing.marker import Share, Wish, wish_of
from validation.testing.record import Budget

MARKER, FIXTURE = "statistical", "stat"


@dataclass(frozen=True)
class Shares:
    """Every collected statistical test's share, by id; or the problem that keeps them all from running."""

    by_test: dict[str, Share] = field(default_factory=dict)
    problem: str = ""
    changes: tuple[str, ...] = ()


def shares_of(config: pytest.Config, items: Sequence[pytest.Item], files: Collection[str], root_seed: int) -> Shares:
    """Return the shares of the collected tests by the stored list, which ``--statistical-update`` renews first."""
    try:
        wishes = {item.nodeid: _wish(item) for item in items if item.get_closest_marker(MARKER)}
        false_alarm, path = budget_of(config), manifest_path(config)
        entries = {test: wish.entry for test, wish in wishes.items()}
        changes: tuple[str, ...] = ()
        if config.getoption("statistical_update"):
            manifest, changes = _renewed(config, entries, files)
        elif not wishes or config.getoption("collectonly"):
            return Shares()
        else:
            manifest = Manifest.read(path)
            check_current(manifest, false_alarm, entries, path)
    except (ManifestError, TypeError, ValueError) as problem:
        return Shares(problem=f"statistical: {problem}")
    except OSError as problem:
        return Shares(problem=f"statistical: the list cannot be written: {problem}")
    shares = {test: Share(test, manifest.alpha(test), wish, root_seed) for test, wish in wishes.items()}
    return Shares(shares, changes=changes)


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


def summary_budget(config: pytest.Config, root_seed: int) -> Budget:
    """Return the budget as the summary tells it."""
    try:
        manifest = Manifest.read(manifest_path(config))
    except ManifestError:
        manifest = Manifest(budget_of(config))
    return Budget(manifest.false_alarm, len(manifest.tests), root_seed, str(config.getini("statistical_manifest")))


def _wish(item: pytest.Item) -> Wish:
    marker = item.get_closest_marker(MARKER)
    assert marker is not None
    try:
        wish = wish_of(marker.args, dict(marker.kwargs))
    except (TypeError, ValueError) as problem:
        raise type(problem)(f"{item.nodeid}: @pytest.mark.statistical: {problem}") from None
    if FIXTURE not in getattr(item, "fixturenames", ()):
        raise ValueError(
            f"{item.nodeid} is marked statistical but does not take the fixture `stat`, through which it would be "
            "checked: def test_...(stat)"
        )
    return wish


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
