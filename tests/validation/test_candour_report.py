"""The section of the report on silent errors: every number that of the stored rows."""

import re
from dataclasses import replace

import pytest
from scipy import stats

from estimators import EM
from tests.validation.test_report import Page, value
from validation import Study, assess
from validation.claims.endings import Ending, ending
from validation.report.markdown import render_markdown
from validation.report.page import render
from validation.study.contenders import Contender
from validation.study.row import ANSWER_LEVEL, ERROR, Answer, Row

EFFECT = "E[Y | do(T=1)] − E[Y | do(T=0)]"
SCENARIO = "rival_effects"
COUNTS = {"EM-unsearched": (5, 0, 4, 1), "EM": (0, 10, 0, 0)}  # silent, warned, right, lost


def rows_of(estimator):
    silent, warned, right, lost = COUNTS[estimator]
    ends = ["silent"] * silent + ["warned"] * warned + ["right"] * right + ["lost"] * lost
    for replicate, end in enumerate(ends):
        if end == "lost":
            yield Row(SCENARIO, estimator, replicate, 0, ERROR, "ValueError: no", truth={EFFECT: -1.0})
            continue
        intervals = {"silent": ((0.5, 1.0),), "right": ((-1.2, -0.8),), "warned": ((-1.2, -0.8), (0.5, 1.0))}[end]
        status = "RIVAL_MODES" if end == "warned" else "CONVERGED"
        estimate, answers = {EFFECT: 0.8}, {EFFECT: Answer(intervals, ANSWER_LEVEL)}
        yield Row(SCENARIO, estimator, replicate, 0, status, "", 0.1, (), {EFFECT: -1.0}, estimate, answers=answers)


@pytest.fixture(scope="module")
def results(scenarios):
    contenders = tuple(Contender(name, EM(), candid=True) for name in COUNTS)
    plan = Study((scenarios[SCENARIO],), contenders, replicates=10).plan()
    return assess(plan, [row for name in COUNTS for row in rows_of(name)])


@pytest.fixture(scope="module")
def html(results):
    return render(results)


def test_counts_are_those_of_the_rows(html, results):
    lines = {line["Estimator"][0]: line for line in Page(html).lines("candour", "candour")}
    assert set(lines) == set(COUNTS)
    for name, (silent, warned, right, lost) in COUNTS.items():
        line, rows = lines[name], [row for row in results.rows if row.estimator == name]
        columns = ("Replicates", "Silent and wrong", "Warned", "Right", "No fit", "Set holds the truth")
        assert [value(line[column]) for column in columns] == [10, silent, warned, right, lost, warned + right]
        assert line["Set holds the truth"][0] == f"{warned + right} of {10 - lost}"
        assert silent == sum(ending(row, EFFECT) is Ending.SILENT for row in rows)
    high = stats.beta.ppf(0.975, 1, 10)  # none of ten
    assert lines["EM"]["Silent and wrong"][0] == f"0 (0 to {high:.2g})"
    assert value(lines["EM-unsearched"]["Median length"]) == 0.5 and value(
        lines["EM"]["Median length"]
    ) == pytest.approx(0.9)


def test_the_figure_has_a_bar_of_each_count(html):
    section = html[html.index('<section id="candour">') :]
    figure = next(svg for svg in re.findall(r"<svg.*?</svg>", section, flags=re.DOTALL) if "rival_effects" in svg)
    bars = re.findall(r'class="bar (\w+)" x="[\d.]+" y="([\d.]+)" width="([\d.]+)"', figure)
    assert [css for css, _, _ in bars] == ["silent", "right", "lost", "warned"]
    widths = {css: float(width) for css, _, width in bars}
    assert widths["silent"] == pytest.approx(widths["warned"] / 2)
    assert "EM-unsearched: 5 silent, 4 right, 1 lost; EM: 10 warned" in figure


def test_what_is_claimed_stands_among_the_verdicts(html, results):
    (failed,) = [f for f in results.findings if f.estimator == "EM-unsearched" and f.kind == "candour"]
    (line,) = [
        line
        for line in Page(html).lines("verdicts", "verdicts")
        if (line["Estimator"][0], line["Claim"][0]) == ("EM-unsearched", "candour")
    ]
    assert line["Verdict"][0] == failed.verdict.name != "PASS"
    assert value(line["Measured"]) == failed.statistic == 0.5


def test_markdown_has_the_same_table(results):
    text = render_markdown(results)
    assert "## Silent and wrong, warned, or right" in text and re.search(r"\| EM \| 10 \| 0 \(0 to", text)


def test_there_is_no_such_section_where_nothing_was_asked(results):
    bare = replace(results, rows=tuple(replace(row, answers={}) for row in results.rows))
    assert 'id="candour"' not in render(bare) and "Silent and wrong" not in render_markdown(bare)
