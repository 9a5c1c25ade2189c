"""Scenarios by estimators: the worst verdict of each pair, and its worst margin, linked to the figures that show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from validation.claims.judge import HARM, Finding
from validation.claims.results import Results
from validation.report.anchors import Anchors
from validation.report.verdicts import MARK
from validation.report.words import count, number
from validation.statistics.check import Verdict


@dataclass(frozen=True)
class Square:
    """What came of one estimator on one scenario; no verdict where nothing is claimed."""

    estimator: str
    verdict: Verdict | None
    mark: str
    margin: str
    href: str
    description: str


@dataclass(frozen=True)
class MatrixLine:
    """The squares of one scenario."""

    scenario: str
    num_rows: int
    href: str
    squares: tuple[Square, ...]


@dataclass(frozen=True)
class Matrix:
    """All scenarios of which anything is claimed, in the report's order."""

    estimators: tuple[str, ...]
    lines: tuple[MatrixLine, ...]


def matrix(results: Results, scenarios: Sequence[str], anchors: Anchors) -> Matrix:
    """Return the squares of these scenarios."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in results.findings:
        groups.setdefault((finding.scenario, finding.estimator), []).append(finding)
    estimators = tuple(dict.fromkeys(name for scenario in results.plan.scenarios for name in scenario.estimators))
    judged = [name for name in estimators if any(estimator == name for _, estimator in groups)]
    lines = tuple(
        MatrixLine(
            name,
            results.plan.scenario(name).num_rows,
            anchors.scenarios[name],
            tuple(_square(name, estimator, groups, anchors) for estimator in judged),
        )
        for name in scenarios
        if any(scenario == name for scenario, _ in groups)
    )
    return Matrix(tuple(judged), lines)


def margin(findings: Sequence[Finding]) -> float | None:
    """Return the most that any interval takes of what its claim allows; None where nothing was measured."""
    used = [_used(finding) for finding in findings if finding.statistic is not None]
    return max(used, default=None)


def _used(finding: Finding) -> float:
    return float("inf") if finding.used is None else finding.used


def _square(
    scenario: str, estimator: str, groups: Mapping[tuple[str, str], Sequence[Finding]], anchors: Anchors
) -> Square:
    findings = groups.get((scenario, estimator), ())
    if not findings:
        return Square(estimator, None, "", "", "", f"{estimator} on {scenario}: nothing is claimed")
    verdict = min((finding.verdict for finding in findings), key=HARM.index)
    worst = max(
        (finding for finding in findings if finding.verdict is verdict),
        key=lambda finding: -1.0 if finding.statistic is None else _used(finding),
    )
    taken = number(margin(findings), 2)
    came_out = ", ".join(
        f"{sum(finding.verdict is one for finding in findings)} {one.value}"
        for one in HARM
        if any(finding.verdict is one for finding in findings)
    )
    description = (
        f"{estimator} on {scenario}: {count(len(findings), 'claim')}, {came_out}; the worst takes {taken} of what is "
        f"allowed; see {worst.kind}"
    )
    return Square(estimator, verdict, MARK[verdict], taken, anchors.figure(scenario, worst.kind), description)
