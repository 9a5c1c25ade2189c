"""Checks as records of plain numbers and words: for JSON, for the way between processes, and for the summary."""

import json
import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from validation.statistics.check import Check, Verdict
from validation.study.environment import versions
from validation.testing.manifest import Manifest
from validation.testing.writing import write

SCHEMA = 2
CLOSEST = 3
JUDGED = (Verdict.PASS, Verdict.FAIL, Verdict.UNDERPOWERED)
PACKAGES = ("pytest", "exact-estimators", "numpy", "scipy", "torch", "pyro-ppl", "arviz")
Record = dict[str, Any]


def record_of(check: Check, *, test: str, index: int, seed: int, replay: str) -> Record:
    """Return one check as a record; a number that is not finite is None."""
    words = {"expected": check.message.expected, "got": check.message.got, "distance": check.message.distance}
    return {
        "test": test,
        "check": index,
        "kind": check.kind,
        "outcome": check.verdict.value,
        "n": check.n,
        "ess": _finite(check.ess),
        "observed": _finite(check.observed),
        "expected": _finite(check.expected),
        "statistic": _finite(check.statistic),
        "p_value": _finite(check.p_value),
        "alpha": check.requirement.alpha,
        "bound": _finite(check.bound),
        "detectable": _finite(check.detectable),
        "min_effect": check.requirement.min_effect,
        "power": check.requirement.power,
        "needed": check.needed,
        "in_words": words,
        "seed": seed,
        "replay": replay,
    }


def write_report(path: Path, records: Sequence[Record], run: Mapping[str, Any]) -> None:
    """Write all records as one JSON document, with the versions they depend on in each."""
    packages = {"python": platform.python_version(), **versions(PACKAGES)}
    checks = [{**record, **run, "versions": packages} for record in records]
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, json.dumps({"schema": SCHEMA, **run, "checks": checks}, indent=1, allow_nan=False) + "\n")


def summary(records: Sequence[Record], manifest: Manifest, name: str, root_seed: int) -> list[str]:
    """Return the lines of the terminal summary: budget, checks, closest margins, failed and underpowered ones."""
    controls = [record for record in records if record["control"]]
    records = [record for record in records if not record["control"]]
    counts = {verdict: sum(record["outcome"] == verdict.value for record in records) for verdict in JUDGED}
    lines = [
        f"budget {manifest.false_alarm:g} over {len(manifest.tests)} tests of {name}, "
        f"root seed {root_seed} (--statistical-seed={root_seed})",
        f"{len(records)} checks: " + ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items()),
    ]
    if controls:
        refused = sum(record["outcome"] == Verdict.FAIL.value for record in controls)
        lines.append(f"negative controls: {refused} of {len(controls)} refused, as all must be")
    judged = [record for record in records if record["p_value"] is not None and record["outcome"] == Verdict.PASS.value]
    ranked = sorted(judged, key=lambda record: float(record["p_value"]) / float(record["alpha"]))
    if ranked:
        lines.append("closest margins:")
        lines += [
            f"  p = {e['p_value']:.2g}, {e['p_value'] / e['alpha']:.2g} × its α: {_name(e)}" for e in ranked[:CLOSEST]
        ]
    for verdict in (Verdict.FAIL, Verdict.UNDERPOWERED):
        not_passed = [record for record in records if record["outcome"] == verdict.value]
        if not_passed:
            lines += [f"{verdict.value}:", *(f"  {_name(record)}{_fate(record)}" for record in not_passed)]
    return lines


def _name(record: Record) -> str:
    return f"{record['test']} (check {record['check'] + 1}, {record['kind']})"


def _fate(record: Record) -> str:
    if record["outcome"] == Verdict.UNDERPOWERED.value:
        sees = "nothing" if record["detectable"] is None else f"{record['detectable']:.3g}"
        wants = "" if record["needed"] is None else f"; {record['needed']:,} would do"
        return f": n = {record['n']:,} sees {sees}, asked for {record['min_effect']:g}{wants}"
    return f": p = {record['p_value']:.2g}" + (
        ", but the test passed" if record.get("test_outcome") == "passed" else ""
    )


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
