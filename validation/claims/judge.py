"""Judge the claims of a plan on the rows of its study."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from validation.claims.kind import Asked, Kind
from validation.claims.kinds import KINDS
from validation.statistics.check import Verdict
from validation.statistics.measured import Measured
from validation.study.assertions import Claim
from validation.study.plan import Plan, PlannedScenario
from validation.study.row import Row, by_estimator

V = TypeVar("V")
HARM = (Verdict.FAIL, Verdict.UNDERPOWERED, Verdict.PASS)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A claim with what came out: the number that is worst of those it is about, with its interval.

    PASS if the interval ``[low, high]`` lies in what the sentence allows, ``[least, most]``, FAIL if it lies outside,
    UNDERPOWERED otherwise: `needed` replicates would then pass with this value (None: none would). `allowed` is the
    number in the sentence, and `used` how much of what it allows the interval takes, 1 where it ends at the bound.
    `alpha` is the probability that the intervals of the claim miss what is true. `sees` is the value that would not
    have passed with probability 0.95. `missing` fits gave nothing, and `why` says what else keeps a claim from being
    judged.
    """

    scenario: str
    estimator: str
    kind: str
    only: str
    sentence: str
    allowed: float
    unit: str
    worst: str = ""
    statistic: float | None = None
    low: float | None = None
    high: float | None = None
    least: float | None = None
    most: float | None = None
    used: float | None = None
    sees: float | None = None
    needed: int | None = None
    alpha: float
    replicates: int
    missing: int
    verdict: Verdict
    why: str = ""


def assess_claims(plan: Plan, rows: Sequence[Row]) -> tuple[Finding, ...]:
    """Judge every claim of a plan on the rows."""
    groups = by_estimator(rows)
    return tuple(assess_claim(claim, plan.scenario(claim.scenario), groups) for claim in plan.claims)


def assess_claim(claim: Claim, scenario: PlannedScenario, groups: Mapping[tuple[str, str], Sequence[Row]]) -> Finding:
    """Judge one claim on rows by scenario and estimator: those of its own, and of the one it is compared with."""
    kind, limits = KINDS[claim.kind], scenario.asymptotics
    rows, others = groups[claim.scenario, claim.estimator], groups[claim.scenario, kind.compares_with]
    if claim.only:
        rows = [_restricted(row, claim.only) for row in rows]
        limits = limits and replace(limits, sd={claim.only: limits.sd[claim.only]})
    with_result = [row for row in rows if kind.has_result(row)]
    counted = rows if kind.counts_failures else with_result
    replicates = scenario.replicates.get(claim.estimator, len(rows))
    allowed = kind.allowed(max(replicates, 1)) if claim.allowed is None else claim.allowed
    # The sentence of a study that is not at its end is that of the whole one.
    allowed_of = (lambda n: kind.allowed(max(n, replicates))) if claim.allowed is None else None
    finding = _unknown(claim, kind, allowed, len(rows), len(rows) - len(with_result))
    if limits is None and kind.needs_asymptotics:
        return replace(finding, why="the efficient error is not known: the information of the scenario is singular")
    by_replicate = {row.replicate: row for row in others if kind.has_result(row)}
    if counted and kind.compares_with and not by_replicate:
        return replace(finding, why=f"{kind.compares_with} has no fit to compare with on the same rows")
    expected = scenario.expected.get(claim.estimator, {})
    asked = Asked(allowed, claim.alpha, limits, by_replicate, scenario.reference, expected, allowed_of)
    measured = kind.measure(counted, asked) if counted else []
    if not measured:
        return finding
    verdict = min((one.verdict for one in measured), key=HARM.index)
    worst = max((one for one in measured if one.verdict is verdict), key=lambda one: one.used)
    return replace(_of(finding, worst), verdict=finding.verdict if finding.verdict is Verdict.FAIL else verdict)


def _unknown(claim: Claim, kind: Kind, allowed: float, replicates: int, missing: int) -> Finding:
    """A claim of which nothing was measured; lost fits fail it all the same."""
    return Finding(
        scenario=claim.scenario,
        estimator=claim.estimator,
        kind=claim.kind,
        only=claim.only,
        sentence=kind.said(allowed),
        allowed=allowed,
        unit=kind.unit,
        alpha=claim.alpha,
        replicates=replicates,
        missing=missing,
        verdict=Verdict.FAIL if missing and not kind.counts_failures else Verdict.UNDERPOWERED,
    )


def _of(finding: Finding, worst: Measured) -> Finding:
    (low, high), (least, most) = worst.interval, worst.allowed
    return replace(
        finding,
        worst=worst.entry,
        statistic=_finite(worst.value),
        low=_finite(low),
        high=_finite(high),
        least=_finite(least),
        most=_finite(most),
        used=_finite(worst.used),
        sees=_finite(worst.sees),
        needed=worst.needed,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _restricted(row: Row, only: str) -> Row:
    """The row as if it held one quantity."""

    def restricted(values: Mapping[str, V]) -> dict[str, V]:
        return {name: value for name, value in values.items() if name == only}

    return replace(
        row, truth=restricted(row.truth), estimate=restricted(row.estimate), intervals=restricted(row.intervals)
    )
