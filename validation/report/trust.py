"""Which estimator can be trusted for data like mine: what is shown of each, by rows, kind of data and question.

Everything is read from findings: a word stands for claims that passed, and a number is the worst that was measured.
"""

import re
from collections.abc import Mapping, Sequence

from validation.claims.judge import HARM, Finding
from validation.claims.results import Results
from validation.report.anchors import Anchors
from validation.report.tables import Cell, Column, Table, name_cell, number_cell
from validation.report.verdicts import MARK
from validation.report.words import number
from validation.statistics.check import Verdict
from validation.study.plan import PlannedScenario

# What a reader asks, and the kinds of claims that answer, the one that says most first.
ASPECTS: Mapping[str, tuple[str, ...]] = {
    "numbers": ("mode", "efficiency", "bias", "agreement", "gross"),
    "predictions": ("divergence",),
    "intervals": ("coverage", "floor", "calibration", "exactness", "reference", "spread"),
    "warnings": ("candour", "answered"),
    "convergence": ("convergence",),
}
SHOWN: Mapping[str, str] = {
    "mode": "finds the known maximum",
    "efficiency": "errors efficient, within ×{most}",
    "bias": "bias below {most} sd",
    "agreement": "agrees with EM within {most} sd",
    "gross": "off by 6 sd and more: {statistic}",
    "divergence": "predictions efficient, within ×{most}",
    "coverage": "intervals hold {statistic} (0.9 is right)",
    "floor": "intervals hold {statistic} (floor {least})",
    "calibration": "posterior off by less than {allowed} sd",
    "exactness": "draws exact within {most}",
    "reference": "draws agree with another program's",
    "spread": "sd of draws within ×{most}",
    "candour": "warns or is right: silent and wrong {statistic}",
    "answered": "answers without a warning, and is right: {statistic}",
    "convergence": "converges",
}
INTERVENTION = re.compile(r"(.+) \| do\((.+)\)")


def trust_table(results: Results, scenarios: Sequence[str], anchors: Anchors) -> Table:
    """Return a line for each scenario of which anything is claimed, with whom to trust first."""
    plan = results.plan
    by_scenario = {name: [finding for finding in results.findings if finding.scenario == name] for name in scenarios}
    judged = [name for name in scenarios if by_scenario[name]]
    estimators = list(dict.fromkeys(name for scenario in judged for name in plan.scenario(scenario).estimators))
    columns = (
        Column("Data like", numeric=False),
        Column("Rows N"),
        Column("Asked", numeric=False),
        Column("Trust", numeric=False, hint="those of whom all that is claimed in this respect is shown"),
        *(Column(name, numeric=False) for name in estimators),
    )
    return Table(
        "trust",
        columns,
        tuple(
            _line(plan.scenario(name), by_scenario[name], judged, estimators, anchors.scenarios[name])
            for name in judged
        ),
    )


def asked(scenario: PlannedScenario) -> str:
    """Return what is asked of a scenario in words: the effect of what is set on what is looked at."""
    effects: dict[str, list[str]] = {}
    for name in scenario.interventions:
        if parts := INTERVENTION.fullmatch(name):
            causes = ", ".join(setting.split("=")[0].strip() for setting in parts[2].split(","))
            effects.setdefault(causes, []).append(parts[1])
    return "\n".join(f"effect of {cause} on {', '.join(dict.fromkeys(of))}" for cause, of in effects.items())


def in_words(finding: Finding) -> str:
    """Return what came of a claim in a few words."""
    if finding.verdict is Verdict.PASS:
        numbers = {key: number(getattr(finding, key), 2) for key in ("statistic", "least", "most", "allowed")}
        return SHOWN.get(finding.kind, finding.kind).format(**numbers)
    if finding.verdict is Verdict.UNDERPOWERED:
        return f"{finding.kind}: not shown"
    measured = "" if finding.statistic is None else f": {number(finding.statistic, 2)}"
    return f"{finding.kind}{measured}"


def _line(
    scenario: PlannedScenario, findings: Sequence[Finding], order: Sequence[str], estimators: Sequence[str], anchor: str
) -> tuple[Cell, ...]:
    by_estimator = {name: [finding for finding in findings if finding.estimator == name] for name in estimators}
    head = name_cell(scenario.name, order)
    first_sentence = re.split(r"(?<=[.:;]) ", scenario.sentence)[0].rstrip(".:;")
    return (
        Cell(f"{scenario.name}\n{first_sentence}", head.sort, css="data", href=anchor),
        number_cell(scenario.num_rows, 9),
        Cell(asked(scenario)),
        Cell(_trusted(by_estimator), css="trusted"),
        *(_cell(by_estimator[name]) for name in estimators),
    )


def _aspects(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Findings by aspect, each in the order in which they answer; a kind that no aspect has is one of its own."""
    aspects = {name: [f for kind in kinds for f in findings if f.kind == kind] for name, kinds in ASPECTS.items()}
    known = {kind for kinds in ASPECTS.values() for kind in kinds}
    for finding in findings:
        if finding.kind not in known:
            aspects.setdefault(finding.kind, []).append(finding)
    return {name: of_aspect for name, of_aspect in aspects.items() if of_aspect}


def _trusted(by_estimator: Mapping[str, Sequence[Finding]]) -> str:
    """For each aspect the estimators of whom all claims passed, those of convergence too."""
    trusted: dict[str, list[str]] = {}
    for name, findings in by_estimator.items():
        aspects = _aspects(findings)
        converges = _passes(aspects.pop("convergence", []))
        for aspect, of_aspect in aspects.items():
            names = trusted.setdefault(aspect, [])
            if converges and _passes(of_aspect):
                names.append(name)
    aspects_of: dict[str, list[str]] = {}
    for aspect, names in trusted.items():
        aspects_of.setdefault(", ".join(names) or "none is shown", []).append(aspect)
    return "\n".join(f"{' and '.join(aspects)}: {names}" for names, aspects in aspects_of.items())


def _passes(findings: Sequence[Finding]) -> bool:
    return all(finding.verdict is Verdict.PASS for finding in findings)


def _cell(findings: Sequence[Finding]) -> Cell:
    """A line for each aspect that passed, and for each claim that did not."""
    if not findings:
        return Cell("–", "", css="absent")
    lines = []
    for of_aspect in _aspects(findings).values():
        shown = of_aspect[:1] if _passes(of_aspect) else [f for f in of_aspect if f.verdict is not Verdict.PASS]
        lines += [f"{MARK[finding.verdict]} {in_words(finding)}" for finding in shown]
    worst = min((finding.verdict for finding in findings), key=HARM.index)
    return Cell("\n".join(lines), HARM.index(worst), css="said")
