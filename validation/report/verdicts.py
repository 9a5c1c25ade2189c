"""The verdicts: one line per finding, what is claimed in words, and what the exit status counts."""

from collections import Counter
from collections.abc import Mapping, Sequence

from validation.claims.judge import Finding
from validation.claims.results import Results
from validation.report.tables import Cell, Column, Table, number_cell
from validation.report.words import short
from validation.statistics.check import Verdict
from validation.study.plan import Plan

MEANING = {
    Verdict.PASS: "the claim held, and the run could have seen it fail",
    Verdict.FAIL: "the claim did not hold",
    Verdict.UNDERPOWERED: "nothing was seen, but the run could not have seen the effect asked for: raise --replicates",
    Verdict.REPORTED: "shown with its figures and not judged",
}
ORDER = (Verdict.FAIL, Verdict.UNDERPOWERED, Verdict.PASS, Verdict.REPORTED)
# What a reader asks first: are the numbers right, are the predictions, are the intervals, and then how they were found.
KINDS = ("bias", "divergence", "efficiency", "coverage", "calibration", "exactness", "mode", "candour", "convergence")
COLUMNS = (
    Column("Verdict", numeric=False),
    Column("Scenario", numeric=False),
    Column("Estimator", numeric=False),
    Column("Claim", numeric=False),
    Column("Statistic"),
    Column("Closest at", numeric=False, hint="of several numbers, the one nearest to its bound or furthest beyond"),
    Column("Accepted from"),
    Column("to"),
    Column("False alarm", hint="probability that the statistic of a true claim leaves that interval"),
    Column("Would see", hint="smallest effect that is found with the stated probability, in the statistic's unit"),
    Column("Asked", hint="the effect that the claim must be able to see"),
    Column("Replicates"),
    Column("Missing", hint="replicates without a result"),
)
EXIT = {
    0: "0: every judged claim passed",
    1: "1: a judged claim failed",
    3: "3: no judged claim failed, but some were underpowered",
}


def verdict_table(results: Results, anchors: Mapping[str, str]) -> Table:
    """Return every finding, the failed first; `anchors` are those of scenarios on the page."""
    order = {scenario.name: i for i, scenario in enumerate(results.plan.scenarios)}
    findings = sorted(results.findings, key=lambda f: (ORDER.index(f.verdict), order[f.scenario], _kind(f)))
    lines = tuple(_line(finding, order, results.plan, anchors) for finding in findings)
    return Table("verdicts", COLUMNS, lines, tuple(finding.verdict.name for finding in findings))


def counts(findings: Sequence[Finding]) -> list[tuple[Verdict, int]]:
    """Return how many claims came out how."""
    number_of = Counter(finding.verdict for finding in findings)
    return [(verdict, number_of[verdict]) for verdict in Verdict]


def claims(findings: Sequence[Finding]) -> list[tuple[str, str, str]]:
    """Return kind, sentence and unit of every kind of claim."""
    by_kind = {f.kind: (f.kind, f.sentence, f.unit) for f in sorted(findings, key=_kind)}
    return list(by_kind.values())


def exit_words(results: Results) -> str:
    """Return the exit status in words."""
    if not any(finding.verdict is not Verdict.REPORTED for finding in results.findings):
        return "0: nothing was judged"
    return EXIT[results.exit_status]


def _kind(finding: Finding) -> int:
    return KINDS.index(finding.kind) if finding.kind in KINDS else len(KINDS)


def _line(finding: Finding, order: Mapping[str, int], plan: Plan, anchors: Mapping[str, str]) -> tuple[Cell, ...]:
    f = finding
    estimators = plan.scenario(f.scenario).estimators
    return (
        Cell(f.verdict.name, ORDER.index(f.verdict), css=f"verdict {f.verdict.name}"),
        Cell(f.scenario, order[f.scenario], href=anchors.get(f.scenario, "")),
        Cell(f.estimator, estimators.index(f.estimator) if f.estimator in estimators else len(estimators)),
        Cell(f"{f.kind}: {f.only}" if f.only else f.kind),
        number_cell(f.statistic),
        Cell(short(f.worst) or "–", f.worst),
        number_cell(f.low),
        number_cell(f.high),
        number_cell(f.alpha, 2),
        number_cell(f.detectable),
        number_cell(f.min_effect),
        number_cell(f.replicates, 9),
        Cell(str(f.missing), f.missing, css="bad" if f.missing else ""),
    )
