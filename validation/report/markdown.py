"""The report as Markdown: the same tables as the page, without its figures."""

import re
from collections.abc import Sequence
from html import escape

from validation.claims.results import Results
from validation.report import verdicts, your_data
from validation.report.sections import Part, Study, facts
from validation.report.tables import Table
from validation.report.words import count, number


def render_markdown(results: Results) -> str:
    """Return the report as Markdown, with tables as GitHub reads them."""
    study = Study(results, with_figures=False)
    lines = ["# Validation of estimators", *_summary(study), *_mine(study)]
    lines += ["## Verdicts", *_verdicts(results)]
    for name, members in study.families():
        level = "##"
        efficiency = study.efficiency(members)
        if len(members) > 1:
            lines.append(f"## {escaped(name)}")
            level = "###"
        for i, each in enumerate(members):
            lines += [f"{level} {escaped(each.name)}", escaped(each.sentence), escaped(" · ".join(facts(each)))]
            parts = study.parts(each)
            if efficiency and i == len(members) - 1:
                parts.append(efficiency)
            for part in parts:
                lines += _part(part, f"{level}#")
    return "\n\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, in one line."""
    text = escape(text, quote=False)
    text = re.sub(r"([\\`*|~$]|\](?=\())", r"\\\1", text)
    text = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)  # within a word it is only itself
    return text.replace("\n", "<br>")


def _summary(study: Study) -> list[str]:
    results = study.results
    counted = ", ".join(f"{n} {verdict.name}" for verdict, n in verdicts.counts(results.findings))
    plan = results.plan
    said = [
        f"**{counted}.** Exit status {verdicts.exit_words(results)}; what is REPORTED does not count.",
        f"Preset {escaped(plan.preset)}, seed {plan.seed}, false-alarm budget {number(plan.budget)}, "
        f"{count(len(results.rows), 'result')}, of which {sum(row.failed for row in results.rows)} failed.",
    ]
    if study.missing > 0:
        said.append(f"**The study is not complete: {count(study.missing, 'result')} of its plan are missing.**")
    return said


def _verdicts(results: Results) -> list[str]:
    claims = verdicts.claims(results.findings)
    told = [
        f"- **{escaped(kind)}**: {escaped(sentence)}. Statistic: {escaped(unit)}." for kind, sentence, unit in claims
    ]
    return [_table(verdicts.verdict_table(results, {})), "What is claimed:", "\n".join(told)]


def _mine(study: Study) -> list[str]:
    if "mine" not in study.results.notes:
        return []
    mine = study.results.notes["mine"]
    lines = [
        f"## Your data: {escaped(mine['file'])}, {count(mine['rows'], 'row')}",
        escaped(your_data.explanation(mine)),
    ]
    for title, table in your_data.tables(study.results, study.rows[study.results.plan.scenarios[0].name]):
        lines += [f"### {title}", _table(table)]
    told = [f"{name}: {status}. {reason}" for name, status, reason in your_data.endings(mine) if reason]
    return [*lines, *(escaped(each) for each in told)]


def _part(part: Part, level: str) -> list[str]:
    return [f"{level} {part.title}", _table(part.table)]


def _table(table: Table) -> str:
    rule = "|".join("---:" if column.numeric else ":---" for column in table.columns)
    header = _line([column.name for column in table.columns])
    return "\n".join([header, f"|{rule}|", *(_line([cell.text for cell in line]) for line in table.lines)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(escaped(cell) for cell in cells)} |"
