"""The page and the Markdown: complete, self-contained, and every number that of the stored rows."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
from scipy import stats

from estimators import EM, Data, Exact, GaussianMixture
from tests.validation.studies import SCENARIOS, run_here
from validation import Study, assess
from validation.claims.results import Results, write_results
from validation.report import marks, panels, topics
from validation.report.figures import estimates, forest, ranks
from validation.report.markdown import escaped, render_markdown
from validation.report.marks import Axis
from validation.report.page import render
from validation.report.words import number, short, signed
from validation.scenarios import Intervention, Scenario
from validation.statistics.check import Verdict
from validation.statistics.uniformity import uniformity_p_value
from validation.study.contenders import Contender
from validation.study.environment import environment
from validation.study.own_data import asked
from validation.study.row import CONVERGED, ERROR, RANKED, Interval, Row

VOID = {"meta", "br", "wbr", "link", "img", "input", "hr"}
FITTED = ("five_points", "separated_100", "separated_300", "student_noise")
REPLICATES = 3
PRIOR, DISCRETE = "prior_truths", "discrete_outcome"
CONTRAST = "E[X | do(Z=1)] − E[X | do(Z=0)]"
GAUSSIAN = stats.norm.ppf(0.95)  # half of a central 90 % interval


class Page(HTMLParser):
    """Checks that every tag is closed (lines and cells of a table where the next begin); collects what there is."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sections: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.text: list[str] = []
        self.tables: list[tuple[str, str, list[list[tuple[str, str | None]]]]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag in ("td", "th", "tr"):
            self.end({"td", "th"} if tag != "tr" else {"td", "th", "tr"})
        self.ids += [value for name, value in attrs if name == "id"]
        self.references += [v for name, v in attrs if name in ("src", "href", "action", "data", "poster", "srcset")]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section":
            self.sections.append(given["id"])
        if tag == "table":
            self.tables.append((self.sections[-1] if self.sections else "", given["data-table"], []))
        if tag == "tr":
            self.tables[-1][2].append([])
        if tag in ("td", "th"):
            self.tables[-1][2][-1].append(("", given.get("data-sort")))
        if tag == "br" and "td" in self.open:
            self.handle_data("\n")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def end(self, implied):
        """Close what needs no end tag."""
        while self.open and self.open[-1] in implied:
            self.open.pop()

    def handle_endtag(self, tag):
        self.end({"td", "th", "tr"} - {tag} if tag in ("tr", "tbody", "thead", "table") else set())
        if tag in ("tbody", "thead", "table"):
            self.end({"td", "th", "tr"})
        assert self.open.pop() == tag
        if tag == "section":
            self.sections.pop()

    def handle_data(self, data):
        if "script" not in self.open and "style" not in self.open:
            self.text.append(data)
        if "td" in self.open or "th" in self.open:
            text, key = self.tables[-1][2][-1][-1]
            self.tables[-1][2][-1][-1] = (text + data, key)

    def lines(self, section: str, table: str) -> Iterator[dict[str, tuple[str, str | None]]]:
        """The lines of a table, cells by the name of their column; of columns of one name, by name and place."""
        for where, name, lines in self.tables:
            if (where, name) == (section, table):
                header = [text for text, _ in lines[0]]
                names = [h if header.index(h) == i else f"{h} {i}" for i, h in enumerate(header)]
                for line in lines[1:]:
                    yield dict(zip(names, line, strict=True))

    def line(self, section: str, table: str, first: str, estimator: str) -> dict[str, tuple[str, str | None]]:
        """The one line of a quantity or intervention and an estimator."""
        lines = [each for each in self.lines(section, table) if each["Estimator"][0] == estimator]
        (found,) = [each for each in lines if next(iter(each.values()))[0] == first]
        return found


def value(cell: tuple[str, str | None]) -> float | None:
    """What a cell is sorted by."""
    return None if cell[1] == "" else float(cell[1])


def drawn_rows(estimator: str, *, n: int = 60, width: float = 1.0, point: bool = False, seed: int = 0) -> list[Row]:
    """Rows of a normal posterior over truths from a prior: intervals `width` times too wide, one fit in 20 failed."""
    rng, rows = np.random.default_rng(seed), []
    for replicate in range(n):
        truth = {name: float(rng.normal()) for name in ("theta[0]", "theta[1]", "mu_X[0]", CONTRAST, "log p(data)")}
        if replicate % 20 == 7:
            rows.append(Row(PRIOR, estimator, replicate, 0, ERROR, "ValueError: <lost>", 0.5, (), truth))
            continue
        centre = {name: v + 0.3 * rng.normal() for name, v in truth.items()}
        half = 0.3 * width * GAUSSIAN
        spread = {
            name: Interval(
                0.3 * width,
                v - half,
                v + half,
                int(rng.binomial(RANKED, stats.norm.cdf((truth[name] - v) / (0.3 * width)))),
                float(rng.uniform(100, 400)),
            )
            for name, v in centre.items()
        }
        centre.pop("log p(data)")
        found = {"max_r_hat": 1 + 0.01 * rng.random(), "min_ess": 100 * (1 + rng.random())}
        head = (PRIOR, estimator, replicate, 0, CONVERGED, "", float(rng.uniform(0.1, 0.3)), ())
        rows.append(Row(*head, truth, centre, {} if point else spread, (), {}, {} if point else found))
    return rows


@pytest.fixture(scope="session")
def results() -> Results:
    """A study with a truth of each kind, one of them by hand, and an estimator that returns nothing."""
    discrete = replace(
        SCENARIOS["hidden_confounder"],
        name=DISCRETE,
        interventions=(Intervention("T", {"Z": 0}), Intervention("T", {"Z": 1})),
    )
    fitted = tuple(replace(each, replicates=REPLICATES) for each in (*(SCENARIOS[name] for name in FITTED), discrete))
    contenders = (
        Contender("EM", EM(progress_bar=False), efficient=True, laplace=True),
        Contender("<Broken>", estimator=None, posterior=True),
    )
    part = Study(fitted, contenders)
    rows = list(run_here(part))
    impossible = next(i for i, row in enumerate(rows) if row.scenario == DISCRETE and row.predictions)
    first, *others = rows[impossible].predictions
    rows[impossible] = replace(rows[impossible], predictions=(replace(first, kl=math.inf), *others))
    whole = Study((replace(SCENARIOS[PRIOR], replicates=60), *part.scenarios), contenders).plan()
    by_hand = [
        *drawn_rows("EM", point=True, seed=1),
        *drawn_rows("EM+laplace", width=0.5, seed=2),
        *drawn_rows("<Broken>", seed=3),
    ]
    return assess(whole, [*by_hand, *rows], environments=[environment(), environment() | {"python": "3.99"}])


@pytest.fixture(scope="session")
def html(results) -> str:
    return render(results)


@pytest.fixture(scope="session")
def page(html) -> Page:
    return Page(html)


def rows_of(results, scenario, estimator) -> list[Row]:
    return [row for row in results.rows if (row.scenario, row.estimator) == (scenario, estimator)]


# ---------------------------------------------------------------- the page as a whole


def test_the_page_is_self_contained(page, html):
    assert {each for each in page.references if not each.startswith("#")} == {"data:,"}  # an icon that is empty
    assert {each[1:] for each in page.references if each.startswith("#")} <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)
    assert not re.search(r"url\(|@import|https?://|<img|<iframe|<script [^>]*src", html)


def test_text_is_escaped_and_nothing_is_lost(page, html, results):
    assert "<Broken>" not in html
    assert "&lt;Broken&gt;" in html
    text = "".join(page.text)
    assert "NaN" not in text and "None" not in text.replace("'NoneType'", "").replace("<Broken>None", "")
    assert "AttributeError: 'NoneType' object has no attribute 'fit'" in text
    assert "3 × ERROR: ValueError: <lost>" in text
    assert all(each.sentence in text for each in results.plan.scenarios)
    assert all(each in text for each in (*results.plan.contenders.values(), "3.99", environment()["packages"]["torch"]))


def test_the_page_says_what_the_exit_status_counts(page, results):
    text = " ".join("".join(page.text).split())
    assert [table[:2] for table in page.tables[:3]] == [("", "matrix"), ("trust", "trust"), ("verdicts", "verdicts")]
    assert f"Exit status {results.exit_status}:" in text
    assert f"Preset {results.plan.preset}, study seed {results.plan.seed}" in text
    for verdict in Verdict:
        assert f"{sum(f.verdict is verdict for f in results.findings)} {verdict.name}" in text


def test_every_finding_is_a_line_of_the_verdict_table(page, results):
    lines = list(page.lines("verdicts", "verdicts"))
    bounds = ("Measured", "Between", "and", "Claimed from", "to", "Used", "Sees", "Miss")
    numbers = (*bounds, "Replicates", "Would do", "Missing")
    told = {
        (line["Scenario"][0], line["Estimator"][0], line["Claim"][0]): (
            line["Verdict"][0],
            line["Worst at"][0].replace("–", ""),
            *(value(line[column]) for column in numbers),
        )
        for line in lines
    }
    assert len(told) == len(lines) == len(results.findings)
    for f in results.findings:
        found = f.verdict.name, short(f.worst), f.statistic, f.low, f.high, f.least, f.most, f.used, f.sees, f.alpha
        asked = (*found, f.replicates, f.needed, f.missing)
        for seen, right in zip(told[f.scenario, f.estimator, f.kind], asked, strict=True):
            assert seen == (pytest.approx(right) if isinstance(right, float) else right)


def test_scenarios_of_one_family_stand_together(page, results):
    (family,) = {where for where, name, _ in page.tables if name == "efficiency" and where.startswith("family-")}
    places = [each for each in page.ids if each in (family, "scenario-separated_100", "scenario-separated_300")]
    assert places == [family, "scenario-separated_100", "scenario-separated_300"]


def test_figures_take_their_colours_from_the_page(html, results):
    figures = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert len(figures) > 60
    assert not re.search(r"#[0-9a-fA-F]{3,6}\b|rgb|nan|inf\b", "".join(figures))
    assert all('role="img" aria-label=' in each or "aria-hidden" in each for each in figures)


def test_an_unfinished_study_is_said_to_be_one(results):
    part = replace(results, rows=results.rows[:-3])
    assert "3 results of its plan are missing" in render(part)
    assert "3 results of its plan are missing" in render_markdown(part)


def test_a_page_without_any_result(results):
    nothing = assess(results.plan, [])
    failed = assess(results.plan, [Row(r.scenario, r.estimator, r.replicate, 0, ERROR, "no") for r in results.rows])
    for each in (nothing, failed):
        lines = list(Page(render(each)).lines("verdicts", "verdicts"))
        assert len(lines) == len(results.findings)
        assert "## Verdicts" in render_markdown(each)


# ---------------------------------------------------------------- numbers, recomputed


@pytest.mark.parametrize("name", ["separated_100", DISCRETE, "student_noise", PRIOR])
def test_recovery(page, results, name):
    rows = rows_of(results, name, "EM")
    lines = [each for each in page.lines(f"scenario-{name}", "recovery") if each["Estimator"][0] == "EM"]
    assert len(lines) == {"separated_100": 6, DISCRETE: 12, "student_noise": 3, PRIOR: 3}[name]
    for line in lines:
        quantity = line["Quantity"][0]
        errors = np.array([row.estimate[quantity] - row.truth[quantity] for row in rows if row.estimate])
        assert value(line["Bias"]) == pytest.approx(errors.mean(), rel=1e-6, abs=1e-9)
        assert value(line["± s.e."]) == pytest.approx(errors.std(ddof=1) / math.sqrt(len(errors)))
        assert value(line["RMSE"]) == pytest.approx(math.sqrt((errors**2).mean()))
        assert line["RMSE"][0] == number(math.sqrt((errors**2).mean()))
        assert line["Fits"][0] == f"{len(errors)} of {len(rows)}"
        assert value(line["Truth"]) == pytest.approx(np.mean([row.truth[quantity] for row in rows]), abs=0.2)


@pytest.mark.parametrize(("name", "estimator"), [("separated_100", "EM+laplace"), (PRIOR, "EM+laplace")])
def test_coverage(page, results, name, estimator):
    rows = rows_of(results, name, estimator)
    for quantity in ("mu_X[0]", CONTRAST):
        line = page.line(f"scenario-{name}", "coverage", quantity, estimator)
        spreads = [(row.intervals.get(quantity), row.truth[quantity]) for row in rows]
        held = sum(each is not None and each.lower <= truth <= each.upper for each, truth in spreads)
        low = stats.beta.ppf(0.025, held, len(rows) - held + 1)
        high = stats.beta.ppf(0.975, held + 1, len(rows) - held) if held < len(rows) else 1.0
        found = [value(line[column]) for column in ("Hold it", "of", "Rate", "from", "to")]
        assert found == pytest.approx([held, len(rows), held / len(rows), low, high])
    assert value(page.line("scenario-separated_100", "coverage", CONTRAST, "<Broken>")["Rate"]) == 0
    assert not list(page.lines("scenario-five_points", "coverage"))  # nothing to cover


def test_efficiency(page, results):
    (where,) = {where for where, name, _ in page.tables if name == "efficiency" and where.startswith("family-")}
    lines = list(page.lines(where, "efficiency"))
    assert {value(line["N"]) for line in lines} == {100.0, 300.0}
    for line in lines:
        name, quantity = f"separated_{value(line['N']):g}", line["Quantity"][0]
        errors = [row.estimate[quantity] - row.truth[quantity] for row in rows_of(results, name, "EM")]
        ratio = results.plan.scenario(name).asymptotics.sd[quantity] ** 2 / np.mean(np.square(errors))
        assert value(line["Efficiency"]) == pytest.approx(ratio)
        # n·MSE/σ² ~ χ²_n
        law = stats.chi2(REPLICATES)
        assert value(line["from"]) == pytest.approx(ratio * law.ppf(0.025) / REPLICATES)
        assert value(line["to"]) == pytest.approx(ratio * law.ppf(0.975) / REPLICATES)


@pytest.mark.parametrize(("name", "asked"), [("separated_100", "X | do(Z=1)"), (DISCRETE, "T | do(Z=1)")])
def test_interventions(page, results, name, asked):
    line = page.line(f"scenario-{name}", "interventions", asked, "EM")
    found = [p for row in rows_of(results, name, "EM") for p in row.predictions if p.of == asked]
    for column, values in (
        ("KL", [p.kl for p in found]),
        ("W1", [p.wasserstein for p in found]),
        ("Regret", [p.regret for p in found]),
    ):
        place = list(line).index(column)
        assert value(line[column]) == pytest.approx(np.mean(values))
        assert value(list(line.values())[place + 1]) == pytest.approx(np.std(values, ddof=1) / math.sqrt(REPLICATES))
    assert value(line["Median KL"]) == pytest.approx(np.median([p.kl for p in found]))


def test_a_divergence_that_is_infinite(page):
    line = page.line(f"scenario-{DISCRETE}", "interventions", "T | do(Z=0)", "EM")
    assert line["KL"] == ("∞", "Infinity")
    assert line["± s.e."] == ("–", "")


def test_calibration(page, results):
    lines = list(page.lines(f"scenario-{PRIOR}", "calibration"))
    assert {each["Quantity"][0] for each in lines} == {"theta[0]", "mu_X[0]", CONTRAST, "log p(data)"}
    for line in lines:
        rows = [row for row in rows_of(results, PRIOR, line["Estimator"][0]) if row.intervals]
        p = uniformity_p_value([row.intervals[line["Quantity"][0]].rank for row in rows], RANKED)
        assert value(line["p-value of γ"]) == pytest.approx(p)
        assert line["In the 95% band"][0] == ("inside" if p > 0.05 else "outside")
        assert line["Fits"][0] == f"{len(rows)} of 60"
    verdicts = {line["Estimator"][0]: line["In the 95% band"][0] for line in lines if line["Quantity"][0] == "mu_X[0]"}
    assert verdicts["EM+laplace"] == "outside"  # the negative control: half as wide as it should be


def test_exactness(page, results):
    rows = rows_of(results, "five_points", "EM+laplace")
    line = page.line("scenario-five_points", "exactness", "mu_X[1]", "EM+laplace")
    found = [row.exactness["mu_X[1]"] for row in rows]
    gaps = np.mean([each.gaps for each in found], axis=0)
    assert value(line["W1 / sd"]) == pytest.approx(np.mean([each.wasserstein for each in found]))
    assert value(line["Largest mean gap"]) == pytest.approx(gaps[np.abs(gaps).argmax()])


@pytest.mark.parametrize("name", ["separated_100", PRIOR])
def test_endings(page, results, name):
    for line in page.lines(f"scenario-{name}", "endings"):
        rows = rows_of(results, name, line["Estimator"][0])
        assert value(line["Failed"]) == sum(row.status == ERROR for row in rows)
        assert value(line["Converged"]) == sum(row.status == CONVERGED for row in rows)
        assert value(line["Fits"]) == len(rows)
        assert value(line["Seconds"]) == pytest.approx(np.median([row.seconds for row in rows]))
        assert value(line["Slowest"]) == pytest.approx(max(row.seconds for row in rows))
        if kept := [row for row in rows if row.intervals]:
            speed = [min(each.ess for each in row.intervals.values()) / row.seconds for row in kept]
            assert value(line["ESS / s"]) == pytest.approx(np.median(speed))
        else:
            assert line["ESS / s"] == ("–", "")
        if r_hat := [row.diagnostics["max_r_hat"] for row in rows if "max_r_hat" in row.diagnostics]:
            ess = [row.diagnostics["min_ess"] for row in rows if "min_ess" in row.diagnostics]
            found = [value(line[column]) for column in ("R̂", "Worst R̂", "ESS", "Worst ESS")]
            assert found == pytest.approx([np.median(r_hat), max(r_hat), np.median(ess), min(ess)])


# ---------------------------------------------------------------- figures


def test_rings_lie_where_the_rates_are(html, results):
    """The coverage figure and its table: places are an affine function of the rates."""
    section = html[html.index(f'id="scenario-{PRIOR}"') : html.index('id="scenario-five_points"')]
    (figure,) = re.findall(r'<svg role="img" aria-label="Share of 90 %.*?</svg>', section, flags=re.DOTALL)
    places = [float(x) for x in re.findall(r'<circle [^>]*cx="([^"]+)"', figure)]
    page = Page(html)
    rates = [value(line["Rate"]) for line in page.lines(f"scenario-{PRIOR}", "coverage")]
    slope, start = np.polyfit(rates, places, 1)
    assert slope > 0
    assert np.abs(start + slope * np.array(rates) - places).max() <= 0.06  # they are written to a tenth of a pixel


@pytest.mark.parametrize("n", [20, 150, 300])
def test_the_band_holds_the_share_of_a_right_coverage(n):
    low, high = forest.band(n)
    inside = stats.binom.cdf(round(high * n), n, 0.9) - stats.binom.cdf(round(low * n) - 1, n, 0.9)
    assert 0.95 <= inside < 0.99


def test_ranks_are_counted_at_every_place():
    found = np.random.default_rng(0).integers(RANKED + 1, size=50)
    expected = [np.mean(found <= i) - (i + 1) / (RANKED + 1) for i in range(RANKED)]
    assert ranks.difference(found.tolist()) == pytest.approx(expected)


@pytest.mark.parametrize("ends", [(0.9, 1.2), (3800.0, 4400.0), (0.01, 0.05), (1e-6, 10.0), (0.2, 7.0)])
def test_a_logarithmic_axis_has_a_few_ticks_on_it(ends):
    axis = Axis(*ends, 0.0, 100.0, log=True)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 7
    assert all(axis.holds(value) for value, _ in ticks)
    assert len({text for _, text in ticks}) == len(ticks)


def test_intervals_that_leave_the_truth_out_are_drawn_as_such(html, results):
    """Of intervals half as wide as they should be more than a tenth is red."""
    section = html[html.index(f'id="scenario-{PRIOR}"') : html.index('id="scenario-five_points"')]
    figure = next(f for f in re.findall(r"<svg.*?</svg>", section, flags=re.DOTALL) if "truth, EM: mu_X" in f)
    spans = {css: path.count("v") for css, path in re.findall(r'class="span ([^"]+)" d="([^"]+)"', figure)}
    shown = [row for row in rows_of(results, PRIOR, "EM+laplace") if "mu_X[0]" in row.intervals]
    held = np.mean(
        [row.intervals["mu_X[0]"].lower <= row.truth["mu_X[0]"] <= row.intervals["mu_X[0]"].upper for row in shown]
    )
    assert sum(spans.values()) <= panels.INTERVALS
    assert 0 < spans["miss"] < sum(spans.values()) and held < 0.8


def corners(path):
    """The points of relative moves and lines, in pixels."""
    numbers = [float(word) for word in re.findall(r"-?(?:\d+\.?\d*|\.\d+)", path)]
    return np.cumsum(np.array(numbers).reshape(-1, 2), axis=0)


def test_a_line_goes_where_its_points_are():
    x = np.linspace(44.0, 246.0, 81)
    y = 90 - 50 * np.sin(x / 20)
    (path,) = re.findall('d="m([^"]*)"', marks.line(x, y, "c0"))
    drawn = corners(path)
    assert len(drawn) < 60
    assert np.abs(np.interp(x, *drawn.T) - y).max() < 2 * marks.SEEN + 0.1
    at = np.array([[1.04, 20.0], [0.5, 20.3], [100.0, 0.04]])
    found = re.findall('d="m([^"]*)h0', marks.dots(*at[:1].T, "c0") + marks.dots(*at[2:].T, "c0"))
    assert [tuple(corners(path)[0]) for path in found] == [(1.0, 20.0), (100.0, 0.0)]
    (path,) = re.findall('d="([^"]*)"', marks.spans(*at.T, at[:, 1] - 7.5, "c0"))
    assert path == "m1 20v-7.5m-.5 7.8v-7.5m99.5-12.8v-7.5"


def test_a_page_of_many_scenarios_has_less_of_each(results):
    assert not panels.Palette.of(results.plan).is_crowded
    crowded = panels.Palette(("EM",), dots=12)
    assert (crowded.intervals, crowded.densities, crowded.panels) == (6, 2, 4)
    scenario = results.plan.scenario("separated_100")
    rows = {name: rows_of(results, scenario.name, name) for name in scenario.estimators}
    (topic, *_) = topics.topics_of(scenario, rows, results, crowded)
    assert {len(row) for row in topic.figures()} == {4}


def test_columns_are_thinned_and_what_lies_beyond_is_counted():
    values = np.append(np.random.default_rng(0).normal(size=999), 1e6)
    y = estimates.robust(values)
    marks = panels.column_of_dots(values, y, 100.0, 40.0, "c0")
    assert marks.count("h0") <= panels.MOST
    assert "▲1<" in marks
    assert y.high < 100


# ---------------------------------------------------------------- the reader's own data


OWN_NOTES = {"file": "<my>.csv", "rows": 300, "columns": ["X"], "model": "Model()", "truth_from": "EM"}


@pytest.fixture(scope="session")
def own() -> Results:
    """Data sets like one's own, by hand: one estimator right, one too narrow, one hardly tried, one that failed."""
    contenders = (
        Contender("EM", None, laplace=True),
        *(Contender(name, None, posterior=True) for name in ("Narrow", "Few", "Gone")),
    )
    plan = asked(Study((SCENARIOS["separated_300"],), contenders, preset="mine").plan())
    limits, rng, rows = plan.scenarios[0].asymptotics, np.random.default_rng(0), []
    for name, n, width in (("EM", 200, 0), ("EM+laplace", 200, 1), ("Narrow", 200, 0.3), ("Few", 5, 1)):
        for replicate in range(n):
            estimate = {q: limits.truth[q] + sd * rng.normal() for q, sd in limits.sd.items()}
            half = {q: GAUSSIAN * width * sd for q, sd in limits.sd.items()}
            spread = {q: Interval(1, v - half[q], v + half[q], 0, 1) for q, v in estimate.items() if width}
            head = ("separated_300", name, replicate, 0, CONVERGED, "", 0.1, ())
            rows.append(Row(*head, limits.truth, estimate, spread))
    told = {q: {"value": v + 1, "lower": v, "upper": v + 2} for q, v in limits.truth.items()}
    points = {q: each | {"lower": None, "upper": None} for q, each in told.items()}
    good = {"status": CONVERGED, "reason": ""}
    fits = {"EM": good | {"quantities": points}} | {
        name: good | {"quantities": told} for name in ("EM+laplace", "Narrow", "Few")
    }
    fits["Gone"] = {"status": ERROR, "reason": "ValueError: gone", "quantities": {}}
    return assess(plan, rows, notes={"mine": OWN_NOTES | {"fits": fits, "no_posterior": "NUTS on your rows: LOW_ESS"}})


def test_your_data_come_first_with_a_word_for_each_answer(own):
    html = render(own)
    page = Page(html)
    assert [name for _, name, _ in page.tables[1:4]] == ["queries", "greeks", "verdicts"]
    assert "&lt;my&gt;.csv" in html and "Gone: ERROR. ValueError: gone" in html
    lines = {line["Quantity"][0]: line for line in page.lines("your-data", "queries")}
    assert list(lines) == ["E[X | do(Z=0)]", "E[X | do(Z=1)]", CONTRAST]
    for quantity, line in lines.items():
        words = {name: cell[0].split("\n")[-1] for name, cell in line.items()}
        assert words["EM+laplace"] == "trusted"
        assert words["Narrow"] == "not trusted: coverage"
        assert words["Few"] == "not shown"
        assert words["EM"] == "–"
        assert words["Gone"] == "no fit"
        truth = own.plan.scenarios[0].asymptotics.truth[quantity]
        assert value(line["Narrow"]) == pytest.approx(truth + 1)
        rows = rows_of(own, "separated_300", "Narrow")
        errors = [row.estimate[quantity] - row.truth[quantity] for row in rows]
        held = sum(row.intervals[quantity].lower <= truth <= row.intervals[quantity].upper for row in rows)
        assert line["Narrow"][0].split("\n")[:3] == [
            f"{number(truth + 1)} ({number(truth)} to {number(truth + 2)})",
            f"bias {signed(np.mean(errors))}, RMSE {number(math.sqrt(np.mean(np.square(errors))))}",
            f"90% intervals hold in {held} of 200",
        ]
    assert len(list(page.lines("your-data", "greeks"))) == 3
    text = render_markdown(own)
    assert text.index("## Your data") < text.index("## Verdicts")
    assert "not trusted: coverage" in text
    assert "around your rows (posterior SBC) was not studied. NUTS on your rows: LOW" in text
    assert "around your rows (posterior SBC) was not studied. NUTS on your rows: LOW" in html


@pytest.mark.parametrize(("worst", "outcome"), [(RANKED, "✓ passed"), (RANKED // 3, "✗ failed")])
def test_posteriors_around_the_data_are_shown_and_how_to_read_it(worst, outcome):
    """Ranks from 0 to the worst: all of them, or only the lowest third, of a posterior that is too high."""
    fit = Exact(num_draws=20, progress_bar=False).fit(GaussianMixture(2), Data(X=[0.1, 0.9, 4.0]), seed=0)
    scenarios = (SCENARIOS["separated_300"], Scenario.around_posterior(fit))
    plan = asked(Study(scenarios, (Contender("NUTS", None, posterior=True),), preset="mine").plan())
    truth = {"mu_X[0]": 0.0}
    rows = [
        Row(
            *("mine_posterior", "NUTS", i, 0, CONVERGED, "", 0.1, (), truth, truth),
            {"mu_X[0]": Interval(1, -1 if i % 10 else 0.5, 1, i % (worst + 1), 100)},
        )
        for i in range(320)
    ]
    own = assess(plan, rows, notes={"mine": OWN_NOTES | {"fits": {}, "no_posterior": ""}})
    for text in (render(own), render_markdown(own)):
        assert "300 times, a draw of the posterior given your rows was the truth, 300 rows made with it" in text
        assert f"NUTS's calibration {outcome}, NUTS's coverage ✓ passed. If both passed" in unescape(text)


# ---------------------------------------------------------------- Markdown and results.json


def test_markdown_has_the_same_numbers(results, page):
    text = render_markdown(results)
    assert "<Broken>" not in text and "&lt;Broken&gt;" in text
    for name in ("separated_100", PRIOR):
        part = text[text.index(f"# {name}\n") :]
        for table, estimator in (("recovery", "EM"), ("coverage", "EM+laplace")):
            line = page.line(f"scenario-{name}", table, CONTRAST, estimator)
            assert f"| {' | '.join(escaped(cell[0]) for cell in line.values())} |\n" in part
    for f in results.findings:
        head = f"| {f.verdict.name} | {f.scenario} | {escaped(f.estimator)} | {f.kind} |"
        assert f"{head} {escaped(short(f.worst)) or '–'} | {number(f.statistic)} |" in text


def test_markdown_tables_are_tables(results):
    text = render_markdown(results)
    tables = re.findall(r"((?:^\|.*\|\n)+)", text, flags=re.MULTILINE)
    assert len(tables) > 20
    for table in tables:
        lines = table.replace(r"\|", "").splitlines()
        assert re.fullmatch(r"\|(-{3}:|:-{3})(\|(-{3}:|:-{3}))*\|", lines[1])
        assert len({line.count("|") for line in lines}) == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("E[X | do(Z=1)]", r"E[X \| do(Z=1)]"),
        ("mu_X[0]", "mu_X[0]"),
        ("_a_", r"\_a\_"),
        ("<b>\n&", "&lt;b&gt;<br>&amp;"),
    ],
)
def test_markdown_is_escaped(text, shown):
    assert escaped(text) == shown


def test_results_json_is_complete_and_has_no_nan(results, tmp_path):
    path = tmp_path / "results.json"
    write_results(results, path)
    document = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} in results.json"))
    assert (document["schema"], document["schema_version"]) == ("exact-estimators/results", 4)
    assert len(document["rows"]) == len(results.rows)
    assert len(document["findings"]) == len(results.findings) == len(document["plan"]["claims"])
    assert document["environments"][0]["packages"]["torch"]


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (math.nan, "NaN"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (0.0, "0"),
        (0.9, "0.9"),
        (-0.5, "−0.5"),
        (1.23456, "1.23"),
        (1234.5, "1230"),
        (2.5e-7, "2.5·10⁻⁷"),
        (-0.00001234, "−1.23·10⁻⁵"),
        (1e-5, "1·10⁻⁵"),
        (6.02e23, "6.02·10²³"),
    ],
)
def test_numbers_are_written_for_readers(value, text):
    assert number(value) == text


def test_signs_and_short_names():
    assert (signed(0.5), signed(-0.5), signed(0.0), signed(None)) == ("+0.5", "−0.5", "0", "–")
    assert short(CONTRAST) == "X: do(Z=1) − do(Z=0)"
    assert short("mu_X[0]") == "mu_X[0]"
