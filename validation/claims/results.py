"""What a study leaves behind: plan, findings, rows and versions, as one value and as ``results.json``.

The file holds one object; numbers that are infinite or undefined are null, never NaN.

- ``schema`` (``exact-estimators/results``) and ``schema_version`` (4).
- ``plan``: the fields of `validation.study.plan.Plan`: ``seed``, ``preset``, ``budget`` (the probability of any false
  alarm), ``contenders`` (settings by name), ``scenarios`` (the fields of `PlannedScenario`: ``replicates`` by
  estimator, ``asymptotics`` where the truth is fixed: true quantities, efficient standard deviations, expected
  divergences) and ``claims`` (the fields of `Claim`).
- ``power`` with which what a claim ``sees`` is not passed, ``level`` of every interval, ``ranked`` draws behind every
  rank.
- ``environments``: list of ``python``, ``packages`` (versions by name) and ``machine``, one for each in which rows were
  made.
- ``notes``: what else the study says of itself; empty but for a study of one's own data (`validation.study.own_data`).
- ``findings``: one per claim, the fields of `validation.claims.judge.Finding`; ``verdict`` is a name of `Verdict`.
- ``rows``: one per scenario, estimator and replicate, the fields of `validation.study.row.Row`. ``seconds`` is the only
  field that may differ between two runs of one study.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from estimators.fits.atomic_file import write_atomically
from validation.claims.judge import Finding, assess_claims
from validation.statistics.check import Verdict
from validation.statistics.measured import POWER
from validation.study.plain import converter
from validation.study.plan import Plan
from validation.study.row import LEVEL, RANKED, Row
from validation.study.store import Store, StoreError

SCHEMA, SCHEMA_VERSION = "exact-estimators/results", 4
PLAIN = converter(lambda number: number if math.isfinite(number) else None)


@dataclass(frozen=True, repr=False)
class Results:
    """Everything the report is made of."""

    plan: Plan
    environments: tuple[Mapping[str, Any], ...]
    findings: tuple[Finding, ...]
    rows: tuple[Row, ...]
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        """How many claims came out how."""
        counts = Counter(finding.verdict for finding in self.findings)
        return f"{', '.join(f'{counts[verdict]} {verdict.name}' for verdict in Verdict)} of {self.plan.looks}"

    def __repr__(self) -> str:
        return f"Results({self.outcome}; {len(self.rows)} rows)"

    @property
    def exit_status(self) -> int:
        """Return 0 if every claim passed, 1 if one failed, 3 if some were only underpowered."""
        verdicts = {finding.verdict for finding in self.findings}
        if Verdict.FAIL in verdicts:
            return 1
        return 3 if Verdict.UNDERPOWERED in verdicts else 0


def assess(
    plan: Plan,
    rows: Sequence[Row],
    *,
    environments: Sequence[Mapping[str, Any]] = (),
    notes: Mapping[str, Any] | None = None,
) -> Results:
    """Judge the rows of a study and return its results, rows in the plan's order.

    Raises TypeError for what is no plan, and ValueError for a row of a scenario or an estimator that the plan has not.
    """
    if not isinstance(plan, Plan):
        raise TypeError(f"plan: expected a Plan, as study.plan(), got {type(plan).__name__}")
    order = plan.order
    strays = [row for row in rows if (row.scenario, row.estimator) not in order]
    if strays:
        raise ValueError(
            f"the row of {strays[0].scenario} / {strays[0].estimator} / replicate {strays[0].replicate} is not of the "
            "plan; give the rows of one study"
        )
    rows = sorted(rows, key=lambda row: (order[row.scenario, row.estimator], row.replicate))
    return Results(plan, tuple(environments), assess_claims(plan, rows), tuple(rows), notes or {})


def results_of(store: Store) -> Results:
    """Judge the rows in the file of a study; raises StoreError where it is damaged, or they are of another plan."""
    rows = list(store.rows())
    try:
        return assess(store.plan, rows, environments=store.environments, notes=store.notes)
    except ValueError as problem:
        raise StoreError(f"{store.path}: {problem}") from problem


def write_results(results: Results, path: Path) -> None:
    """Write ``results.json`` as this module describes it."""
    document = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "plan": results.plan,
        "power": POWER,
        "level": LEVEL,
        "ranked": RANKED,
        "environments": results.environments,
        "notes": results.notes,
        "findings": results.findings,
        "rows": results.rows,
    }
    text = json.dumps(PLAIN.unstructure(document), allow_nan=False, separators=(",", ":"))
    write_atomically(path, text + "\n")
