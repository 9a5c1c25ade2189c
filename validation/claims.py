"""Claims: what is asserted of which estimator on which scenario, and how each claim is judged from rows.

The false-alarm budget is split evenly over the judged claims of the *standard* study, so that running a part of it
moves no threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from validation.asymptotics import Asymptotics, asymptotics
from validation.contenders import Contender, standard_contenders
from validation.kinds import (
    AgreesWithExact,
    BiasIsSmall,
    Converges,
    Covers,
    DivergenceIsSmall,
    IsCentred,
    IsExpected,
    Kind,
)
from validation.record import Row
from validation.scenarios import STANDARD_SCENARIOS, Role, Scenario, Truth
from validation.tolerances import BUDGET, Verdict, judge


@dataclass(frozen=True)
class Claim:
    """One assertion about one estimator (`contender`, a row name) on one scenario; `judged` ones count."""

    scenario: Scenario
    contender: str
    kind: Kind
    judged: bool

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies the claim in the budget."""
        return self.scenario.name, self.contender, self.kind.name

    @property
    def spends(self) -> bool:
        """Whether the claim takes a share of the false-alarm budget."""
        return self.judged and self.kind.random


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


def claims_on(scenario: Scenario, contenders: Sequence[Contender]) -> tuple[Claim, ...]:
    """Return the claims of a scenario: by its source of truth, and by what each contender is."""
    judged = scenario.role is Role.JUDGED
    return tuple(
        Claim(scenario, name, kind, judged and counts)
        for contender in contenders
        if scenario.exact or not contender.small_only
        for name in contender.rows
        for kind, counts in _kinds(scenario, contender, name)
    )


def standard_share() -> tuple[float, frozenset[tuple[str, str, str]]]:
    """Return the false-alarm probability of each claim of the standard study, and the claims that share the budget."""
    keys = frozenset(claim.key for claim in _all(STANDARD_SCENARIOS, standard_contenders()) if claim.spends)
    return BUDGET / len(keys), keys


def assess_claims(
    scenarios: Sequence[Scenario], contenders: Sequence[Contender], rows: Sequence[Row]
) -> tuple[Finding, ...]:
    """Judge every claim of the given scenarios and contenders on the rows.

    Claims of the standard study keep their share of its budget; if there are others, these share a budget of their
    own.
    """
    claims = _all(scenarios, contenders)
    share, standard = standard_share()
    others = sum(claim.spends and claim.key not in standard for claim in claims)
    references = {scenario.name: asymptotics(scenario) for scenario in scenarios}
    findings = []
    for claim in claims:
        alpha = BUDGET / others if claim.spends and claim.key not in standard else share
        mine = [row for row in rows if (row.scenario, row.estimator) == claim.key[:2]]
        findings.append(_assess(claim, mine, references[claim.scenario.name], alpha if claim.kind.random else 0.0))
    return tuple(findings)


def _all(scenarios: Sequence[Scenario], contenders: Sequence[Contender]) -> list[Claim]:
    return [claim for scenario in scenarios for claim in claims_on(scenario, contenders)]


def _kinds(scenario: Scenario, contender: Contender, name: str) -> list[tuple[Kind, bool]]:
    """Return the kinds of claims on the rows of one name, each with whether it counts where the scenario is judged.

    The Laplace approximation of a point estimate promises nothing: its coverage and its distance to the exact
    posterior are shown. Coverage is nominal over truths drawn from the prior, so at fixed truths it is shown too.
    """
    truth = scenario.source.truth
    approximate = name != contender.name
    has_draws = approximate or contender.posterior
    kinds: list[tuple[Kind, bool]] = []
    if name in scenario.expected:
        kinds.append((IsExpected(tuple(scenario.expected[name].items())), True))
    if truth is Truth.FIXED and not approximate:
        kinds += [(BiasIsSmall(), True), (DivergenceIsSmall(), True)]
    if scenario.exact and has_draws:
        kinds.append((AgreesWithExact(), contender.posterior))
    if truth is not Truth.EXACT and has_draws:
        kinds.append((Covers(), contender.posterior and truth is Truth.PRIOR))
    if truth is Truth.PRIOR and contender.posterior:
        kinds.append((IsCentred(), True))
    if not approximate:
        kinds.append((Converges(), truth is not Truth.PRIOR))
    return kinds


def _assess(claim: Claim, rows: Sequence[Row], reference: Asymptotics | None, alpha: float) -> Finding:
    measured = claim.kind.measure(rows, reference, alpha)
    accepted = measured.accepted and (measured.missing == 0 or claim.kind.counts_failures)
    verdict = judge(accepted=accepted, detectable=measured.detectable, min_effect=claim.kind.min_effect)
    return Finding(
        scenario=claim.scenario.name,
        estimator=claim.contender,
        kind=claim.kind.name,
        sentence=claim.kind.sentence,
        unit=claim.kind.unit,
        statistic=measured.statistic,
        worst=measured.worst,
        low=measured.low,
        high=measured.high,
        alpha=alpha,
        detectable=measured.detectable,
        min_effect=claim.kind.min_effect,
        replicates=len(rows),
        missing=measured.missing,
        verdict=verdict if claim.judged else Verdict.REPORTED,
    )
