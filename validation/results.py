"""What a study leaves behind: scenarios, findings, rows and versions, as one value and as ``results.json``.

The file holds one object; numbers that are infinite or undefined are null, never NaN.

- ``schema`` (``exact-estimators/results``) and ``schema_version`` (1).
- ``study``: ``seed``; ``budget``, the probability of any false alarm; ``power``; ``level`` of every interval.
- ``environment``: ``python`` and ``packages``, versions by name. Nothing depends on the machine.
- ``scenarios``: list of ``name``, ``sentence``, ``num_rows``, ``role`` (JUDGED or REPORTED), ``kind`` (FIXED, PRIOR or
  EXACT: what estimates are compared with), ``estimators``, and, null unless the truth is fixed, ``truth`` and
  ``efficient_sd`` (by entry) and ``efficient_kl`` (by z).
- ``findings``: one per claim, the fields of `validation.claims.Finding`; ``verdict`` is a name of `Verdict`.
- ``rows``: one per scenario, estimator and replicate, the fields of `validation.record.Row`. ``seconds`` is the only
  field that may differ between two runs of one study.
"""

import dataclasses
import importlib.metadata
import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from validation.asymptotics import asymptotics
from validation.claims import Finding, assess_claims
from validation.record import LEVEL, Curve, Exactness, Interval, Prediction, Row
from validation.scenarios import Scenario
from validation.study import Study
from validation.tolerances import BUDGET, POWER, Verdict

SCHEMA, SCHEMA_VERSION = "exact-estimators/results", 1
PACKAGES = ("exact-estimators", "torch", "pyro-ppl", "arviz", "scipy", "numpy", "nutpie")


@dataclass(frozen=True)
class Described:
    """A scenario in words and numbers, without its code."""

    name: str
    sentence: str
    num_rows: int
    role: str
    kind: str
    estimators: tuple[str, ...]
    truth: Mapping[str, float] | None
    efficient_sd: Mapping[str, float] | None
    efficient_kl: tuple[float, ...] | None


@dataclass(frozen=True)
class Results:
    """Everything the report is made of."""

    seed: int
    environment: Mapping[str, Any]
    scenarios: tuple[Described, ...]
    findings: tuple[Finding, ...]
    rows: tuple[Row, ...]

    @property
    def exit_status(self) -> int:
        """Return 0 if every judged claim passed, 1 if one failed, 3 if some were only underpowered."""
        verdicts = {finding.verdict for finding in self.findings}
        if Verdict.FAIL in verdicts:
            return 1
        return 3 if Verdict.UNDERPOWERED in verdicts else 0


def assess(study: Study, rows: Sequence[Row]) -> Results:
    """Judge a study's rows and return its results."""
    return Results(
        seed=study.seed,
        environment=environment(),
        scenarios=tuple(_describe(study, scenario) for scenario in study.scenarios),
        findings=assess_claims(study.scenarios, study.contenders, rows),
        rows=tuple(rows),
    )


def environment() -> dict[str, Any]:
    """Return the versions that a result depends on."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {"python": platform.python_version(), "packages": versions}


def write_results(results: Results, path: Path) -> None:
    """Write ``results.json`` as this module describes it."""
    document = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "study": {"seed": results.seed, "budget": BUDGET, "power": POWER, "level": LEVEL},
        "environment": results.environment,
        "scenarios": [dataclasses.asdict(each) for each in results.scenarios],
        "findings": [dataclasses.asdict(each) | {"verdict": each.verdict.name} for each in results.findings],
        "rows": [dataclasses.asdict(each) for each in results.rows],
    }
    path.write_text(json.dumps(_finite(document), allow_nan=False, separators=(",", ":")) + "\n", encoding="utf-8")


def read_results(path: Path) -> Results:
    """Read what `write_results` wrote.

    Raises ValueError for a file that is not a results file, or one of another version.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as problem:
        raise ValueError(f"{path}: expected a results.json of this package, but it is not JSON ({problem})") from None
    found = (document.get("schema"), document.get("schema_version")) if isinstance(document, dict) else (None, None)
    if found != (SCHEMA, SCHEMA_VERSION):
        raise ValueError(
            f"{path}: expected schema {SCHEMA} version {SCHEMA_VERSION}, got {found[0]} version {found[1]}"
        )
    return Results(
        seed=document["study"]["seed"],
        environment=document["environment"],
        scenarios=tuple(_read_described(each) for each in document["scenarios"]),
        findings=tuple(Finding(**(each | {"verdict": Verdict[each["verdict"]]})) for each in document["findings"]),
        rows=tuple(_read_row(each) for each in document["rows"]),
    )


def _describe(study: Study, scenario: Scenario) -> Described:
    reference = asymptotics(scenario)
    return Described(
        scenario.name,
        scenario.sentence,
        scenario.num_rows,
        scenario.role.name,
        scenario.source.truth.name,
        tuple(name for contender in study.contenders_on(scenario) for name in contender.rows),
        None if reference is None else reference.truth,
        None if reference is None else reference.sd,
        None if reference is None else reference.kl,
    )


def _finite(value: Any) -> Any:
    """Return the value with mappings and sequences made plain and every infinite or undefined number made None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


def _read_described(each: dict[str, Any]) -> Described:
    kl = each["efficient_kl"]
    return Described(
        **each | {"estimators": tuple(each["estimators"]), "efficient_kl": None if kl is None else tuple(kl)}
    )


def _read_row(each: dict[str, Any]) -> Row:
    return Row(
        **each
        | {
            "warnings": tuple(each["warnings"]),
            "intervals": {name: Interval(**interval) for name, interval in each["intervals"].items()},
            "predictions": tuple(_read_prediction(prediction) for prediction in each["predictions"]),
            "exactness": {
                name: Exactness(tuple(exactness["gaps"]), exactness["wasserstein"])
                for name, exactness in each["exactness"].items()
            },
        }
    )


def _read_prediction(each: dict[str, Any]) -> Prediction:
    curve = each["curve"]
    return Prediction(
        **each | {"curve": None if curve is None else Curve(*(tuple(curve[k]) for k in ("x", "true", "predicted")))}
    )
