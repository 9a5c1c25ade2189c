"""Judge the claims of a plan on the rows of its study."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from validation.claims.kinds import KINDS, IsExpected, Kind, unknown
from validation.statistics.check import POWER, Check, Requirement, Verdict
from validation.study.plan import Claim, Plan, PlannedScenario
from validation.study.row import Row, by_estimator

V = TypeVar("V")


@dataclass(frozen=True)
class Finding:
    """A claim with what came out: the statistic and the interval [low, high] in which it is accepted.

    `alpha` is the probability that the statistic of a true claim leaves that interval. `detectable` is the smallest
    effect, in the unit of the statistic and as a deviation from what is claimed, that would have been found with
    probability 0.9; `min_effect` is the effect the claim must be able to see. `missing` fits gave nothing.
    """

    scenario: str
    estimator: str
    kind: str
    only: str
    sentence: str
    unit: str
    statistic: float | None
    worst: str
    low: float | None
    high: float | None
    alpha: float
    detectable: float | None
    min_effect: float
    replicates: int
    missing: int
    verdict: Verdict


def assess_claims(plan: Plan, rows: Sequence[Row]) -> tuple[Finding, ...]:
    """Judge every claim of a plan on the rows."""
    groups = by_estimator(rows)
    return tuple(
        assess_claim(claim, plan.scenario(claim.scenario), groups[claim.scenario, claim.estimator])
        for claim in plan.claims
    )


def assess_claim(claim: Claim, scenario: PlannedScenario, rows: Sequence[Row]) -> Finding:
    """Judge one claim on the rows of its estimator and scenario."""
    kind, limits = kind_of(claim, scenario), scenario.asymptotics
    requirement = Requirement(claim.alpha, POWER, claim.min_effect)
    if claim.only:
        rows = [_restricted(row, claim.only) for row in rows]
        limits = limits and replace(limits, sd={claim.only: limits.sd[claim.only]})
    if limits is None and kind.needs_asymptotics:
        why = "the efficient error is not known"  # the information of the scenario is singular
        return _finding(claim, kind, unknown(kind.name, requirement, why=why, detectable=math.nan), len(rows), 0)
    with_result = [row for row in rows if kind.has_result(row)]
    counted = rows if kind.counts_failures else with_result
    check = kind.check(counted, limits, requirement) if counted else unknown(kind.name, requirement)
    return _finding(claim, kind, check, len(rows), len(rows) - len(with_result))


def kind_of(claim: Claim, scenario: PlannedScenario) -> Kind:
    """Return the kind of a claim; that of a mode holds the numbers known in closed form."""
    if claim.kind == IsExpected.name:
        return IsExpected(tuple(scenario.expected[claim.estimator].items()))
    return KINDS[claim.kind]


def _finding(claim: Claim, kind: Kind, check: Check, replicates: int, missing: int) -> Finding:
    verdict = Verdict.FAIL if missing and not kind.counts_failures else check.verdict
    return Finding(
        scenario=claim.scenario,
        estimator=claim.estimator,
        kind=claim.kind,
        only=claim.only,
        sentence=kind.sentence,
        unit=kind.unit,
        statistic=None if math.isnan(check.observed) else check.observed,
        worst=check.entry,
        low=None if check.low == -math.inf else check.low,
        high=None if check.high == math.inf else check.high,
        alpha=claim.alpha,
        detectable=None if math.isnan(check.detectable) else check.detectable,
        min_effect=claim.min_effect,
        replicates=replicates,
        missing=missing,
        verdict=verdict if claim.judged else Verdict.REPORTED,
    )


def _restricted(row: Row, only: str) -> Row:
    """The row as if it held one quantity."""

    def restricted(values: Mapping[str, V]) -> dict[str, V]:
        return {name: value for name, value in values.items() if name == only}

    return replace(
        row, truth=restricted(row.truth), estimate=restricted(row.estimate), intervals=restricted(row.intervals)
    )
