"""The page: results in, one HTML file out, with nothing to load from anywhere else."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from validation.claims import Finding
from validation.report import figures, tables
from validation.results import Described, Results
from validation.scenarios import Truth
from validation.tolerances import BUDGET, POWER, Verdict

# What a reader asks first: are the numbers right, are the predictions, are the intervals, and then how they were found.
KINDS = ("bias", "divergence", "coverage", "centred", "exactness", "mode", "convergence")


@dataclass(frozen=True)
class Group:
    """The findings of one kind of claim, under the sentence they share."""

    kind: str
    sentence: str
    unit: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Section:
    """One scenario's tables and figures."""

    scenario: Described
    fixed: bool
    estimates: tuple[Markup, ...]
    predictions: tuple[Markup, ...]
    has_curves: bool
    recovery: tuple[tables.RecoveryLine, ...]
    interventional: tuple[tables.Interventional, ...]
    distances: tuple[tables.Distance, ...]
    endings: tuple[tables.Ending, ...]


def write_report(results: Results, path: Path) -> None:
    """Write the report as one HTML file."""
    path.write_text(render(results), encoding="utf-8")


def render(results: Results) -> str:
    """Return the report as HTML: verdicts first, then scenario by scenario, then what it was made with."""
    environment = Environment(
        loader=PackageLoader("validation", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, signed=signed, tolerance=tolerance, readable=figures.readable)
    return environment.get_template("index.html.jinja").render(
        style=Markup(files("validation.report").joinpath("style.css").read_text(encoding="utf-8")),
        results=results,
        verdicts=list(Verdict),
        counts={verdict: sum(f.verdict is verdict for f in results.findings) for verdict in Verdict},
        groups=_groups(results.findings),
        sections=[_section(each, results) for each in results.scenarios],
        budget=BUDGET,
        power=POWER,
    )


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with `digits` significant digits, or a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        mantissa = mantissa.replace("-", "−")
        return f"{mantissa}·10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
    return text.replace("-", "−")


def signed(value: float | None, digits: int = 2) -> str:
    """Return a number with its sign."""
    return f"+{number(value, digits)}" if value is not None and value > 0 else number(value, digits)


def tolerance(finding: Finding) -> str:
    """Return the interval in which a claim's statistic is accepted."""
    if finding.low is not None and finding.high is not None:
        return f"{number(finding.low)} to {number(finding.high)}"
    if finding.high is not None and math.isfinite(finding.high):
        return f"≤ {number(finding.high)}"
    return "–"


def _groups(findings: Sequence[Finding]) -> list[Group]:
    """Return findings by kind of claim, the failed first within each."""
    order = {
        verdict: i for i, verdict in enumerate((Verdict.FAIL, Verdict.UNDERPOWERED, Verdict.PASS, Verdict.REPORTED))
    }
    groups = []
    kinds = dict.fromkeys(finding.kind for finding in findings)
    for kind in sorted(kinds, key=lambda kind: KINDS.index(kind) if kind in KINDS else len(KINDS)):
        mine = [finding for finding in findings if finding.kind == kind]
        mine.sort(key=lambda finding: order[finding.verdict])
        groups.append(Group(kind, mine[0].sentence, mine[0].unit, tuple(mine)))
    return groups


def _section(scenario: Described, results: Results) -> Section:
    rows = tables.by_estimator(scenario, results.rows)
    fixed = scenario.kind != Truth.PRIOR.name
    curves = figures.densities(scenario, rows) if fixed else []
    return Section(
        scenario=scenario,
        fixed=fixed,
        estimates=_safe(figures.estimates(scenario, rows) if fixed else figures.truth_against_estimate(scenario, rows)),
        predictions=_safe(curves or figures.divergences(scenario, rows)),
        has_curves=bool(curves),
        recovery=tuple(tables.recovery(scenario, rows)),
        interventional=tuple(tables.interventional(scenario, rows)),
        distances=tuple(tables.distances(rows)),
        endings=tuple(tables.endings(rows)),
    )


def _safe(panels: Sequence[str]) -> tuple[Markup, ...]:
    return tuple(Markup(panel) for panel in panels)
