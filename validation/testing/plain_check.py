"""Checks as plain numbers and words: for JSON, for the way between processes, and for the summary."""

import json
import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from validation.statistics.check import Check, Verdict
from validation.study.environment import versions
from validation.testing.manifest import Manifest
from validation.testing.marker import TestBudget
from validation.testing.writing import write

SCHEMA = 2
CLOSEST = 3
JUDGED = (Verdict.PASS, Verdict.FAIL, Verdict.UNDERPOWERED)
PACKAGES = ("pytest", "exact-estimators", "numpy", "scipy", "torch", "pyro-ppl", "arviz")
PlainCheck = dict[str, Any]


def plain_check(check: Check, budget: TestBudget, index: int) -> PlainCheck:
    """Return one check; a number that is not finite is None."""
    words = {"expected": check.message.expected, "got": check.message.got, "distance": check.message.distance}
    return {
        "test": budget.test,
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
        "seed": budget.seed(),
        "replay": budget.replay,
    }


def write_report(path: Path, checks: Sequence[PlainCheck], run: Mapping[str, Any]) -> None:
    """Write all checks as one JSON document, with the versions they depend on in each."""
    packages = {"python": platform.python_version(), **versions(PACKAGES)}
    documents = [{**check, **run, "versions": packages} for check in checks]
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, json.dumps({"schema": SCHEMA, **run, "checks": documents}, indent=1, allow_nan=False) + "\n")


def summary(checks: Sequence[PlainCheck], manifest: Manifest, name: str, root_seed: int) -> list[str]:
    """Return the lines of the terminal summary: budget, checks, closest margins, failed and underpowered ones."""
    controls = [check for check in checks if check["control"]]
    checks = [check for check in checks if not check["control"]]
    counts = {verdict: sum(check["outcome"] == verdict.value for check in checks) for verdict in JUDGED}
    lines = [
        f"budget {manifest.false_alarm:g} over {len(manifest.tests)} tests of {name}, "
        f"root seed {root_seed} (--statistical-seed={root_seed})",
        f"{len(checks)} checks: " + ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items()),
    ]
    if controls:
        refused = sum(check["outcome"] == Verdict.FAIL.value for check in controls)
        lines.append(f"negative controls: {refused} of {len(controls)} refused, as all must be")
    passed = [check for check in checks if check["outcome"] == Verdict.PASS.value]
    ranked = sorted(
        (check for check in passed if check["p_value"] is not None),
        key=lambda check: float(check["p_value"]) / float(check["alpha"]),
    )
    if ranked:
        lines.append("closest margins:")
        lines += [
            f"  p = {e['p_value']:.2g}, {e['p_value'] / e['alpha']:.2g} × its α: {_name(e)}" for e in ranked[:CLOSEST]
        ]
    for verdict in (Verdict.FAIL, Verdict.UNDERPOWERED):
        not_passed = [check for check in checks if check["outcome"] == verdict.value]
        if not_passed:
            lines += [f"{verdict.value}:", *(f"  {_name(check)}{_fate(check)}" for check in not_passed)]
    return lines


def _name(check: PlainCheck) -> str:
    return f"{check['test']} (check {check['check'] + 1}, {check['kind']})"


def _fate(check: PlainCheck) -> str:
    if check["outcome"] == Verdict.UNDERPOWERED.value:
        sees = "nothing" if check["detectable"] is None else f"{check['detectable']:.3g}"
        wants = "" if check["needed"] is None else f"; {check['needed']:,} would do"
        return f": n = {check['n']:,} sees {sees}, asked for {check['min_effect']:g}{wants}"
    return f": p = {check['p_value']:.2g}" + (", but the test passed" if check.get("test_outcome") == "passed" else "")


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
