"""The top of the page: one sentence, the matrix, whom to trust, and what is not shown, all from findings."""

import os
import pickle
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.validation.test_report import Page
from validation import Study, assess
from validation.report import headline
from validation.report.markdown import render_markdown
from validation.report.page import render
from validation.report.panels import Palette
from validation.report.words import number
from validation.scenarios import STANDARD_SCENARIOS
from validation.statistics.check import Verdict
from validation.study.contenders import Contender
from validation.study.row import Curve

ROOT = Path(__file__).parents[2]
REGULAR, PRIOR = "separated_100", "prior_truths"


@pytest.fixture(scope="module")
def study(scenarios):
    contenders = (Contender("EM", None, efficient=True), Contender("NUTS", None, posterior=True))
    return Study((scenarios[REGULAR], scenarios[PRIOR]), contenders, replicates=300)


@pytest.fixture
def results(study, efficient_rows, posterior_rows):
    """EM is as it should be; NUTS has intervals of .4 the width, and three fits over prior truths."""
    rows = [
        *(replace(row, intervals={}) for row in efficient_rows(REGULAR, "EM", n=300)),
        *efficient_rows(REGULAR, "NUTS", n=300, width=0.4),
        *posterior_rows(PRIOR, "NUTS", n=3),
    ]
    return assess(study.plan(), rows)


@pytest.fixture
def page(results):
    return Page(render(results))


def test_the_sentence_counts_what_came_of_the_claims(results, page):
    sentence = headline.headline(results)
    assert sentence in " ".join("".join(page.text).split())
    of = {verdict: sum(f.verdict is verdict for f in results.findings) for verdict in Verdict}
    assert all(of.values())
    assert sentence.startswith(f"Of {len(results.findings)} claims in ")
    assert f"{of[Verdict.PASS]} are shown, {of[Verdict.FAIL]} failed and {of[Verdict.UNDERPOWERED]} not" in sentence
    assert f"at most {number(results.plan.miss)} that any" in sentence
    biases = [f.most for f in results.findings if f.kind == "bias" and f.verdict is Verdict.PASS]
    assert f"bias is below {number(min(biases))}" in sentence


def test_a_square_has_the_worst_verdict_and_the_worst_margin(results, page):
    (_, _, lines) = next(table for table in page.tables if table[1] == "matrix")
    head = [text for text, _ in lines[0]]
    assert head == ["Scenario", "EM", "NUTS"]
    marks = {Verdict.PASS: "✓", Verdict.FAIL: "✗", Verdict.UNDERPOWERED: "?"}
    for line in lines[1:]:
        scenario = line[0][0].split()[0]
        for estimator, (text, _) in zip(head[1:], line[1:], strict=True):
            findings = [f for f in results.findings if (f.scenario, f.estimator) == (scenario, estimator)]
            if not findings:
                assert text == ""
                continue
            order = (Verdict.FAIL, Verdict.UNDERPOWERED, Verdict.PASS)
            worst = next(verdict for verdict in order if any(f.verdict is verdict for f in findings))
            used = [np.inf if f.used is None else f.used for f in findings if f.statistic is not None]
            assert text.split() == [marks[worst], number(max(used), 2)]


def test_a_square_leads_to_what_shows_its_worst_claim(results):
    html = render(results)
    squares = dict(re.findall(r'<a href="#([^"]+)" title="(\w+ on \w+):', html))
    assert f"scenario-{REGULAR}-coverage" in squares  # its floor, or the spread of its draws
    assert all(f'id="{anchor}"' in html for anchor in squares)


def test_whom_to_trust(results, page):
    lines = {line["Data like"][0].split("\n")[0]: line for line in page.lines("trust", "trust")}
    regular, prior = lines[REGULAR], lines[PRIOR]
    assert [float(line["Rows N"][1]) for line in (regular, prior)] == [100, 100]
    assert regular["Asked"][0] == "effect of Z on X"
    trust = dict(part.rsplit(": ", 1) for part in regular["Trust"][0].split("\n"))
    assert trust == {"numbers and predictions": "EM, NUTS", "intervals": "none is shown"}
    assert "✓ errors efficient" in regular["EM"][0] and "✗" not in regular["EM"][0]
    floor = next(f for f in results.findings if f.kind == "floor")
    assert floor.verdict is Verdict.FAIL
    assert f"✗ floor: {number(floor.statistic, 2)}" in regular["NUTS"][0]
    assert "? coverage: not shown" in prior["NUTS"][0] and "✓" not in prior["NUTS"][0]
    assert prior["EM"][0] == "–"


def test_what_is_not_shown_stands_above_all_claims_with_what_it_would_take(results, page):
    text = " ".join("".join(page.text).split())
    body = text[text.index("What is not shown") : text.index("All claims, in numbers")]
    at = []
    for finding in results.findings:
        title = f"{finding.estimator} on {finding.scenario}: {finding.kind} "
        assert (title in body) == (finding.verdict is not Verdict.PASS)
        if finding.verdict is not Verdict.PASS:
            at.append((body.index(title), finding.verdict))
            assert finding.sentence in body and f"Measured {number(finding.statistic)}" in body
        if finding.needed is not None:
            needed = f"{finding.needed} replicates would do if the value stays, for the sentence of so many"
            assert f"{needed}; there are {finding.replicates}." in body
    failed = [place for place, verdict in at if verdict is Verdict.FAIL]
    others = [place for place, verdict in at if verdict is not Verdict.FAIL]
    assert max(failed) < min(others)
    markdown = render_markdown(results)
    assert markdown.index("## What is not shown") < markdown.index("## Verdicts")


def test_nothing_is_named_where_everything_is_shown(study, results):
    passed = replace(results, findings=tuple(f for f in results.findings if f.verdict is Verdict.PASS))
    html = render(passed)
    assert "What is not shown" not in html and 'class="open"' not in html
    assert "all are shown, none failed" in html


@pytest.mark.slow
def test_a_page_of_a_quick_study_is_small_and_a_standard_one_too(scenarios, efficient_rows, posterior_rows):
    """300 replicates of six scenarios and three estimators; a standard study has fewer dots of each."""
    names = ("separated_100", "separated_300", "unknown_scales", "hidden_confounder", "prior_truths", "few_rows")
    contenders = tuple(Contender(name, None, posterior=True) for name in ("A", "B", "C"))
    study = Study(tuple(scenarios[name] for name in names), contenders, replicates=300)
    x = np.linspace(0, 1, 60)
    curve = Curve(tuple(x), tuple(x**2), tuple(x**3))
    rows = []
    for name in names:
        for contender in contenders:
            make = efficient_rows if name in names[:4] else posterior_rows
            for row in make(name, contender.name, n=300):
                drawn = tuple(replace(p, curve=curve) for p in row.predictions) if row.replicate < 20 else ()
                rows.append(replace(row, predictions=drawn or row.predictions))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        html = render(assess(study.plan(), rows))
    assert 300_000 < len(html.encode()) < 3_000_000
    standard = Study(STANDARD_SCENARIOS, contenders, replicates=300)
    few, many = Palette.of(study.plan()), Palette.of(standard.plan())
    assert few.dots >= 300 > many.dots >= 40


@pytest.mark.slow
def test_no_library_warns_who_makes_a_report(results, tmp_path):
    """In a process and a home of its own, in which no library has said yet what it says once a day."""
    (tmp_path / "results").write_bytes(pickle.dumps(results))
    script = "import pickle, sys; from validation.report.page import render; render(pickle.load(open('results', 'rb')))"
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    made = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=home, capture_output=True, text=True)
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
