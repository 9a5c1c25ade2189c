"""The results file and the page: complete, self-contained, and made from stored rows alone."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser

import pytest

from estimators import EM
from validation import Study, assess, read_results, run, write_results
from validation.contenders import Contender
from validation.record import ERROR, Row
from validation.report.page import number, render, signed
from validation.scenarios import STANDARD_SCENARIOS

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Checks that every tag is closed, and collects ids, references and text."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.references, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
                self.references.append(value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def results():
    """A small study with a scenario of each kind, and one estimator that returns nothing."""
    scenarios = tuple(s for s in STANDARD_SCENARIOS if s.name in ("five_points", "overlapping", "few_rows"))
    contenders = (Contender("EM", EM(progress_bar=False), laplace=True), Contender("<Broken>", estimator=None))
    study = Study(scenarios, contenders, replicates=2)
    with ThreadPoolExecutor(1) as executor:
        return assess(study, run(study, executor=executor))


@pytest.fixture(scope="module")
def html(results):
    return render(results)


def test_results_come_back_as_they_were_written(results, tmp_path):
    write_results(results, tmp_path / "results.json")
    back = read_results(tmp_path / "results.json")
    assert back.rows == results.rows
    assert back.scenarios == results.scenarios
    assert render(back) == render(results)
    assert back.exit_status == results.exit_status


def test_results_are_json_without_nan(results, tmp_path):
    path = tmp_path / "results.json"
    write_results(results, path)

    def refuse(constant):
        raise AssertionError(f"{constant} in results.json")

    document = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert document["schema"] == "exact-estimators/results"
    assert {row["status"] for row in document["rows"]} >= {"CONVERGED", ERROR}
    assert any(finding["detectable"] is None for finding in document["findings"])  # infinite


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "expected schema"),
        ('{"schema": "exact-estimators/results", "schema_version": 99}', "99"),
    ],
)
def test_a_file_that_is_not_results(text, message, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_results(path)


def test_the_page_is_whole_and_loads_nothing(html):
    page = Page()
    page.feed(html)
    page.close()
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert all(reference.startswith("#") and reference[1:] in page.ids for reference in page.references)
    assert not re.search(r"https?://|@import|<script|<link|<img|<iframe", html)
    assert all(url.startswith("#") for url in re.findall(r"url\(([^)]*)\)", html))


def test_the_page_shows_everything(html, results):
    page = Page()
    page.feed(html)
    text = " ".join(" ".join(page.text).split())
    for scenario in results.scenarios:
        assert scenario.name in text
    for verdict in {finding.verdict for finding in results.findings}:
        assert verdict.name in text
    assert text.index("Verdicts") < text.index("Truth and estimates")
    assert "<Broken>" in text
    assert "AttributeError: 'NoneType' object has no attribute 'fit'" in text
    assert "prefers-color-scheme: dark" in html
    assert 'name="viewport"' in html
    assert results.environment["packages"]["torch"] in text
    assert html.count("<svg") >= 10


def test_colours_follow_the_page(html):
    figures = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    for figure in figures:
        assert "var(--ink)" in figure
        assert "#0101" not in figure


def test_a_page_of_failures_only(results):
    rows = tuple(Row(r.scenario, r.estimator, r.replicate, 0, ERROR, "ValueError: nothing") for r in results.rows)
    html = render(type(results)(results.seed, results.environment, results.scenarios, (), rows))
    assert "2 × ERROR: ValueError: nothing" in html


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("inf"), "–"),
        (0.0, "0"),
        (1.23456, "1.23"),
        (-0.5, "−0.5"),
        (2.5e-7, "2.5·10⁻⁷"),
        (-3e-7, "−3·10⁻⁷"),
    ],
)
def test_numbers(value, text):
    assert number(value) == text


def test_signed_numbers():
    assert (signed(0.5), signed(-0.5), signed(0.0), signed(None)) == ("+0.5", "−0.5", "0", "–")
