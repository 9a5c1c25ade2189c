"""The verdicts: one line per finding, what is claimed in words, and what the exit status counts."""

from collections import Counter
from collections.abc import Mapping, Sequence

from validation.claims.judge import HARM, Finding
from validation.claims.kinds import KINDS
from validation.claims.results import Results
from validation.report.tables import Cell, Column, Table, number_cell
from validation.report.words import short
from validation.statistics.check import Verdict
from validation.study.plan import Plan

MEANING = {
    Verdict.PASS: "what the sentence says is shown: the opposite is excluded",
    Verdict.FAIL: "the opposite of what the sentence says is shown",
    Verdict.UNDERPOWERED: "neither is excluded: more replicates would tell",
}
MARK = {Verdict.PASS: "✓", Verdict.FAIL: "✗", Verdict.UNDERPOWERED: "?"}
COLUMNS = (
    Column("Verdict", numeric=False),
    Column("Scenario", numeric=False),
    Column("Estimator", numeric=False),
    Column("Claim", numeric=False),
    Column("Worst at", numeric=False, hint="of several numbers, the one that takes most of what is allowed"),
    Column("Measured"),
    Column("Between", hint="the interval that misses what is true with the stated probability"),
    Column("and"),
    Column("Claimed from"),
    Column("to"),
    Column("Used", hint="how much of what is claimed the interval takes: up to 1 is a PASS"),
    Column("Sees", hint="the value that would not have passed with the stated probability"),
    Column("Miss", hint="probability that the intervals of the claim miss what is true"),
    Column("Replicates"),
    Column("Would do", hint="replicates with which this value would pass"),
    Column("Missing", hint="replicates without a result"),
)
EXIT = {
    0: "0: every claim passed",
    1: "1: a claim failed",
    3: "3: no claim failed, but some were underpowered",
}


def verdict_table(results: Results, anchors: Mapping[str, str]) -> Table:
    """Return every finding, the failed first; `anchors` are those of scenarios on the page."""
    order = {scenario.name: i for i, scenario in enumerate(results.plan.scenarios)}
    findings = sorted(results.findings, key=lambda f: (HARM.index(f.verdict), order[f.scenario], _kind(f)))
    lines = tuple(_line(finding, order, results.plan, anchors) for finding in findings)
    return Table("verdicts", COLUMNS, lines, tuple(finding.verdict.name for finding in findings))


def counts(findings: Sequence[Finding]) -> list[tuple[Verdict, int]]:
    """Return how many claims came out how."""
    number_of = Counter(finding.verdict for finding in findings)
    return [(verdict, number_of[verdict]) for verdict in Verdict]


def claims(findings: Sequence[Finding]) -> list[tuple[str, list[str], str]]:
    """Return kind, sentences (which differ in their numbers) and unit of every kind of claim."""
    by_kind: dict[str, list[Finding]] = {}
    for finding in sorted(findings, key=_kind):
        by_kind.setdefault(finding.kind, []).append(finding)
    return [(kind, list(dict.fromkeys(f.sentence for f in of)), of[0].unit) for kind, of in by_kind.items()]


def exit_words(results: Results) -> str:
    """Return the exit status in words."""
    if not results.findings:
        return "0: nothing was claimed"
    return EXIT[results.exit_status]


def _kind(finding: Finding) -> int:
    return tuple(KINDS).index(finding.kind) if finding.kind in KINDS else len(KINDS)


def _line(finding: Finding, order: Mapping[str, int], plan: Plan, anchors: Mapping[str, str]) -> tuple[Cell, ...]:
    f = finding
    estimators = plan.scenario(f.scenario).estimators
    return (
        Cell(f.verdict.name, HARM.index(f.verdict), css=f"verdict {f.verdict.name}"),
        Cell(f.scenario, order[f.scenario], href=anchors.get(f.scenario, "")),
        Cell(f.estimator, estimators.index(f.estimator) if f.estimator in estimators else len(estimators)),
        Cell(f"{f.kind}: {f.only}" if f.only else f.kind),
        Cell(short(f.worst) or "–", f.worst),
        *(number_cell(value) for value in (f.statistic, f.low, f.high, f.least, f.most, f.used, f.sees)),
        number_cell(f.alpha, 2),
        number_cell(f.replicates, 9),
        number_cell(f.needed, 9),
        Cell(str(f.missing), f.missing, css="bad" if f.missing else ""),
    )
