"""The page: results in, one HTML file out, with nothing to load from anywhere else."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from estimators.fits.atomic_file import write_atomically
from validation.claims.results import Results
from validation.report import verdicts, your_data
from validation.report.sections import Part, Study, anchors, facts, is_open
from validation.report.words import count, number
from validation.statistics.check import POWER, Verdict
from validation.study.plan import Described


@dataclass(frozen=True)
class Section:
    """One scenario on the page: what it is, how its claims came out, and its parts, unfolded or not."""

    scenario: Described
    anchor: str
    facts: list[str]
    verdicts: list[tuple[Verdict, int]]
    parts: list[Part]
    is_open: bool


@dataclass(frozen=True)
class Family:
    """Scenarios that differ in their number of rows, and what is said of all of them."""

    name: str
    anchor: str
    parts: list[Part]
    sections: list[Section]


def write_report(results: Results, path: Path) -> None:
    """Write the report as one HTML file."""
    write_atomically(path, render(results))


def render(results: Results) -> str:
    """Return the report as HTML: verdicts first, then scenario by scenario, then what it was made with."""
    environment = Environment(
        loader=PackageLoader("validation", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, safe_panels=Markup)
    study, places = Study(results), anchors(results)
    table = verdicts.verdict_table(results, places)
    return environment.get_template("index.html.jinja").render(
        style=_asset("style.css"),
        script=_asset("sortable/sortable.min.js"),
        results=results,
        plan=results.plan,
        missing=study.missing,
        failed=sum(row.failed for row in results.rows),
        count=count,
        counts=verdicts.counts(results.findings),
        meaning=verdicts.MEANING,
        claims=verdicts.claims(results.findings),
        exit=verdicts.exit_words(results),
        verdicts=table,
        hides_reported=any(tag != Verdict.REPORTED.name for tag in table.tags),
        power=POWER,
        mine=_mine(study),
        palette=study.palette,
        names=list(dict.fromkeys(name for each in results.plan.scenarios for name in each.estimators)),
        families=[_family(i, name, members, study, places) for i, (name, members) in enumerate(study.families())],
    )


def _family(
    number_of: int, name: str, members: tuple[Described, ...], study: Study, places: Mapping[str, str]
) -> Family:
    found = Counter((each.scenario, each.verdict) for each in study.results.findings)
    efficiency = study.efficiency(members)
    several, shared = len(members) > 1, [efficiency] if efficiency else []
    sections = [
        Section(
            scenario=each,
            anchor=places[each.name],
            facts=facts(each),
            verdicts=[(verdict, found[each.name, verdict]) for verdict in verdicts.ORDER if found[each.name, verdict]],
            parts=study.parts(each) if several else _inserted(study.parts(each), shared),
            is_open=is_open(each),
        )
        for each in members
    ]
    return Family(name, f"family-{number_of}", shared if several else [], sections)


def _inserted(parts: list[Part], shared: list[Part]) -> list[Part]:
    """The parts of a scenario with those of its family, of which it is all, after the first."""
    return [*parts[:1], *shared, *parts[1:]]


def _mine(study: Study) -> dict[str, Any] | None:
    if "mine" not in study.results.notes:
        return None
    told = dict(study.results.notes["mine"])
    rows = study.rows[study.results.plan.scenarios[0].name]
    return told | {
        "explanation": your_data.explanation(told),
        "tables": your_data.tables(study.results, rows),
        "endings": your_data.endings(told),
    }


def _asset(name: str) -> Markup:
    return Markup(files("validation.report").joinpath(name).read_text(encoding="utf-8"))
