"""Judge the claims of a plan on the rows of its study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from validation.claims.kinds import (
    AgreesWithExact,
    BiasIsSmall,
    Converges,
    Covers,
    DivergenceIsSmall,
    IsCalibrated,
    IsEfficient,
    IsExpected,
    Kind,
)
from validation.statistics.tolerances import Verdict, judge
from validation.study.plan import Claim, Described, Plan
from validation.study.row import Row

V = TypeVar("V")
KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        BiasIsSmall(),
        DivergenceIsSmall(),
        IsEfficient(),
        Covers(),
        IsCalibrated(),
        AgreesWithExact(),
        Converges(),
    )
}


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
    mine: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        mine.setdefault((row.scenario, row.estimator), []).append(row)
    return tuple(
        assess_claim(claim, plan.scenario(claim.scenario), mine.get((claim.scenario, claim.estimator), []))
        for claim in plan.claims
    )


def assess_claim(claim: Claim, scenario: Described, rows: Sequence[Row]) -> Finding:
    """Judge one claim on the rows of its estimator and scenario."""
    kind = kind_of(claim, scenario)
    limits = scenario.asymptotics
    if claim.only:
        rows = [_restricted(row, claim.only) for row in rows]
        limits = limits and replace(limits, sd={claim.only: limits.sd[claim.only]})
    if limits is None and kind.needs_asymptotics:
        return _unjudged(claim, kind, rows)
    measured = kind.measure(rows, limits, claim.alpha)
    accepted = measured.accepted and (measured.missing == 0 or kind.counts_failures)
    verdict = judge(accepted=accepted, detectable=measured.detectable, min_effect=claim.min_effect)
    return Finding(
        scenario=claim.scenario,
        estimator=claim.estimator,
        kind=claim.kind,
        only=claim.only,
        sentence=kind.sentence,
        unit=kind.unit,
        statistic=measured.statistic,
        worst=measured.worst,
        low=measured.low,
        high=measured.high,
        alpha=claim.alpha,
        detectable=measured.detectable,
        min_effect=claim.min_effect,
        replicates=len(rows),
        missing=measured.missing,
        verdict=verdict if claim.judged else Verdict.REPORTED,
    )


def kind_of(claim: Claim, scenario: Described) -> Kind:
    """Return the kind of a claim; that of a mode holds the numbers known in closed form."""
    if claim.kind == IsExpected.name:
        return IsExpected(tuple(scenario.expected[claim.estimator].items()))
    return KINDS[claim.kind]


def _unjudged(claim: Claim, kind: Kind, rows: Sequence[Row]) -> Finding:
    """A claim about errors in units of an efficient one, where the information of the scenario is singular."""
    verdict = Verdict.UNDERPOWERED if claim.judged else Verdict.REPORTED
    head = claim.scenario, claim.estimator, claim.kind, claim.only, kind.sentence, kind.unit
    seen = claim.alpha, None, claim.min_effect, len(rows), 0
    return Finding(*head, None, "the efficient error is not known", None, None, *seen, verdict)


def _restricted(row: Row, only: str) -> Row:
    """The row as if it held one quantity."""

    def kept(values: Mapping[str, V]) -> dict[str, V]:
        return {name: value for name, value in values.items() if name == only}

    return replace(row, truth=kept(row.truth), estimate=kept(row.estimate), intervals=kept(row.intervals))
