"""The stored list of statistical tests by which one false-alarm budget is split, so that a selection moves no share."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from validation.testing.writing import write

SCHEMA = 1
COMMAND = "pytest --statistical-update"


class ManifestError(ValueError):
    """The stored list is missing, damaged, or not that of the tests at hand."""


@dataclass(frozen=True)
class Entry:
    """What a test has of the budget: its weight against the others', and the number of checks that share it."""

    weight: float = 1.0
    checks: int = 1


@dataclass(frozen=True)
class Manifest:
    """The budget and every statistical test of the suite, by id."""

    false_alarm: float
    tests: Mapping[str, Entry] = field(default_factory=dict)

    def alpha(self, test: str) -> float:
        """Return what one check of a test may spend: ``budget · weight / Σ weights / checks``."""
        entry = self.tests[test]
        return self.false_alarm * entry.weight / sum(other.weight for other in self.tests.values()) / entry.checks

    def write(self, path: Path) -> None:
        """Write the list as JSON, sorted, one line a test."""
        tests = {name: vars(self.tests[name]) for name in sorted(self.tests)}
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in tests.items())
        head = f'{{\n "schema": {SCHEMA},\n "false_alarm": {json.dumps(self.false_alarm)},\n "tests": {{\n'
        write(path, f"{head}{lines}\n }}\n}}\n")

    @staticmethod
    def read(path: Path) -> "Manifest":
        """Read the list; raise ManifestError where it is missing or damaged."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ManifestError(
                f"there are statistical tests, but no list of them at {path}, by which they share the false-alarm "
                f"budget. Run: {COMMAND}"
            ) from None
        except (OSError, RecursionError, ValueError) as problem:
            raise ManifestError(f"{path} cannot be read ({problem}). Restore it, or run: {COMMAND}") from None
        return _parsed(document, path)


def _parsed(document: Any, path: Path) -> Manifest:
    try:
        if document["schema"] != SCHEMA:
            raise ManifestError(f"{path} has schema {document['schema']!r}, expected {SCHEMA}. Run: {COMMAND}")
        tests = {
            str(name): Entry(float(entry["weight"]), int(entry["checks"])) for name, entry in document["tests"].items()
        }
        if not all(0 < entry.weight < float("inf") and entry.checks >= 1 for entry in tests.values()):
            raise ValueError("a weight or a number of checks is not positive")
        return Manifest(float(document["false_alarm"]), tests)
    except ManifestError:
        raise
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as problem:
        raise ManifestError(f"{path} is damaged ({problem!r}). Restore it, or run: {COMMAND}") from None


def check_current(manifest: Manifest, false_alarm: float, collected: Mapping[str, Entry], path: Path) -> None:
    """Raise a ManifestError unless the list has this budget and every collected test as it is now."""
    if manifest.false_alarm != false_alarm:
        raise ManifestError(
            f"statistical_false_alarm is {false_alarm:g}, but {path} was made for {manifest.false_alarm:g}. "
            f"Run: {COMMAND}"
        )
    stale = [_difference(name, manifest.tests.get(name), entry) for name, entry in collected.items()]
    stale = [line for line in stale if line]
    if stale:
        shown = "\n".join(f"  {line}" for line in stale[:5]) + (f"\n  and {len(stale) - 5} more" if stale[5:] else "")
        raise ManifestError(f"{path} is not up to date with the statistical tests:\n{shown}\nRun: {COMMAND}")


def updated(
    manifest: Manifest | None, false_alarm: float, collected: Mapping[str, Entry], files: Collection[str], root: Path
) -> tuple[Manifest, list[str]]:
    """Return the list as it should be, and lines that say what changed.

    Tests of `files`, which were collected, are replaced; those of other files stay, as long as the file exists.
    """
    before = manifest.tests if manifest else {}
    elsewhere = {name: old for name, old in before.items() if _file(name) not in files}
    elsewhere = {name: old for name, old in elsewhere.items() if (root / _file(name)).exists()}
    after = Manifest(false_alarm, {**elsewhere, **collected})
    lines = [_difference(name, before.get(name), new) for name, new in after.tests.items()]
    lines += [f"{name}: dropped" for name in before if name not in after.tests]
    if manifest and manifest.false_alarm != false_alarm:
        lines.append(f"false_alarm: {manifest.false_alarm:g} to {false_alarm:g}")
    return after, [line for line in lines if line]


def _file(test: str) -> str:
    return test.split("::")[0]


def _difference(name: str, old: Entry | None, new: Entry) -> str:
    if old is None:
        return f"{name}: new, {_words(new)}"
    return "" if old == new else f"{name}: {_words(old)} to {_words(new)}"


def _words(entry: Entry) -> str:
    return f"weight {entry.weight:g}, checks {entry.checks}"
