"""What the report says, in order: verdicts, then families of scenarios, and of each scenario its topics.

A topic is a table with figures. The page and the Markdown are two templates of the same contents.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from validation.claims.results import Results
from validation.report import candour, own_data, verdicts
from validation.report import scenario_tables as tables
from validation.report.endings import endings
from validation.report.figures import by_rows, densities, estimates, forest, ranks, spreads
from validation.report.panels import MOST, Palette
from validation.report.summaries import ByEstimator
from validation.report.topic import Figures, Topic
from validation.report.words import count
from validation.scenarios import Truth
from validation.statistics.check import POWER, Verdict
from validation.study.plan import PlannedScenario
from validation.study.row import RANKED, by_estimator


@dataclass(frozen=True)
class Section:
    """One scenario: what it is, how its claims came out, and its topics, unfolded where anything is claimed of it."""

    scenario: PlannedScenario
    anchor: str
    facts: list[str]
    verdicts: list[tuple[Verdict, int]]
    topics: list[Topic]
    is_open: bool


@dataclass(frozen=True)
class Family:
    """Scenarios that differ in their number of rows, and the topics of all of them."""

    name: str
    anchor: str
    topics: list[Topic]
    sections: list[Section]


@dataclass(frozen=True)
class Contents:
    """The contents of the report of a study's results."""

    results: Results

    @cached_property
    def rows(self) -> dict[str, ByEstimator]:
        """Rows by scenario and estimator, every one of the plan among the keys."""
        groups = by_estimator(self.results.rows)
        return {
            scenario.name: {name: groups[scenario.name, name] for name in scenario.estimators}
            for scenario in self.results.plan.scenarios
        }

    @cached_property
    def palette(self) -> Palette:
        return Palette.of(self.results.plan)

    @cached_property
    def anchors(self) -> dict[str, str]:
        """The anchor of each scenario on the page, its name where that can be one."""
        return {
            scenario.name: f"scenario-{scenario.name if re.fullmatch(r'[A-Za-z0-9_.-]+', scenario.name) else i}"
            for i, scenario in enumerate(self.results.plan.scenarios)
        }

    def variables(self) -> dict[str, Any]:
        """Return what the templates are filled with."""
        results, table = self.results, verdicts.verdict_table(self.results, self.anchors)
        return {
            "results": results,
            "plan": results.plan,
            "missing": results.plan.num_rows - len(results.rows),
            "failed": sum(row.failed for row in results.rows),
            "count": count,
            "counts": verdicts.counts(results.findings),
            "meaning": verdicts.MEANING,
            "claims": verdicts.claims(results.findings),
            "exit": verdicts.exit_words(results),
            "looks": results.plan.looks,
            "verdicts": table,
            "power": POWER,
            "mine": self._own_data(),
            "candour": candour.topic(self.results.plan, self.rows),
            "palette": self.palette,
            "families": self._families(),
        }

    def _own_data(self) -> dict[str, Any] | None:
        notes = self.results.notes.get("mine")
        if notes is None:
            return None
        rows = self.rows[self.results.plan.scenarios[0].name]
        return {
            **notes,
            "explanation": own_data.explanation(notes),
            "tables": own_data.tables(self.results, rows),
            "endings": own_data.endings(notes),
        }

    def _families(self) -> list[Family]:
        """Scenarios that differ in their number of rows, together, the smallest first; the plan's order otherwise."""
        members: dict[str, list[PlannedScenario]] = {}
        for scenario in self.results.plan.scenarios:
            members.setdefault(scenario.family, []).append(scenario)
        return [
            self._family(name, f"family-{i}", sorted(scenarios, key=lambda scenario: scenario.num_rows))
            for i, (name, scenarios) in enumerate(members.items())
        ]

    def _family(self, name: str, anchor: str, members: list[PlannedScenario]) -> Family:
        efficiency = self._efficiency(members)
        if len(members) > 1:
            return Family(name, anchor, efficiency, [self._section(scenario, []) for scenario in members])
        return Family(name, anchor, [], [self._section(members[0], efficiency)])

    def _section(self, scenario: PlannedScenario, efficiency: list[Topic]) -> Section:
        came_out = Counter(finding.verdict for finding in self.results.findings if finding.scenario == scenario.name)
        topics = self._topics(scenario)
        return Section(
            scenario=scenario,
            anchor=self.anchors[scenario.name],
            facts=[
                count(scenario.num_rows, "row"),
                _replicates(scenario),
                f"truth: {scenario.truth.value}",
                f"{scenario.role.name}: {scenario.role.value}",
            ],
            verdicts=[(verdict, came_out[verdict]) for verdict in verdicts.ORDER if came_out[verdict]],
            topics=[*topics[:1], *efficiency, *topics[1:]],
            is_open=bool(came_out),
        )

    def _topics(self, scenario: PlannedScenario) -> list[Topic]:
        rows, palette = self.rows[scenario.name], self.palette
        topics = [_estimates(scenario, rows, palette)]
        if scenario.truth is not Truth.EXACT:  # there is nothing to cover in the mean of the exact posterior
            claims = self.results.plan.claims
            claimed = frozenset(c.estimator for c in claims if c.scenario == scenario.name and c.kind == "coverage")
            topics.append(_coverage(scenario, rows, palette, claimed))
        if scenario.truth.is_calibrating:
            topics.append(_calibration(scenario, rows, palette))
        topics += [draw(scenario, rows, palette) for draw in (_interventions, _exactness, _endings)]
        return [topic for topic in topics if topic.table.lines]

    def _efficiency(self, members: Sequence[PlannedScenario]) -> list[Topic]:
        """The efficiency of a family against its number of rows; none where no bound is known."""
        known = [scenario for scenario in members if scenario.asymptotics]
        if not known:
            return []
        caption = (
            "Cramér–Rao bound over mean squared error with its 95 % interval (exact where errors are normal): 1 is "
            "efficient; less is worse; an estimator that is biased towards the truth can exceed 1."
        )

        def figures() -> Figures:
            if len(known) > 1:
                return [by_rows.efficiency(known, self.rows, self.palette)]
            return [forest.efficiency(known[0], self.rows[known[0].name], self.palette)]

        table = tables.efficiency(known, [self.rows[scenario.name] for scenario in known])
        title = "Efficiency against the number of rows" if len(known) > 1 else "Efficiency"
        return [Topic(title, caption, figures, table)]


def _estimates(scenario: PlannedScenario, rows: ByEstimator, palette: Palette) -> Topic:
    line = {
        Truth.FIXED: "the truth",
        Truth.EXACT: "the mean of the exact posterior, whose Monte Carlo error is part of the errors",
        Truth.OUTSIDE: "the truth, which this world has for queries only, since it is not one of the model's",
    }
    if scenario.truth.varies:
        caption = "A dot per replicate and entry, each with a truth of its own; a perfect estimate lies on the line."
        draw = estimates.scatters
    else:
        caption = f"A dot per replicate, a bar at their mean; dashed is {line[scenario.truth]}."
        draw = estimates.strips
    if scenario.asymptotics:
        caption += " Nine in ten estimates of an efficient estimator fall in the shaded band."
    caption += _beyond(scenario)
    return Topic(
        "Truth and estimates", caption, partial(draw, scenario, rows, palette), tables.recovery(scenario, rows)
    )


def _coverage(scenario: PlannedScenario, rows: ByEstimator, palette: Palette, claimed: frozenset[str]) -> Topic:
    caption = (
        "How many 90 % intervals hold the truth, of all replicates (one without an interval does not), with the exact "
        "95 % interval of that rate."
    )
    if not scenario.truth.is_calibrating:
        caption += " Over truths drawn from the prior posterior intervals hold 90 %; elsewhere nobody promises it."
    table = tables.coverage(scenario, rows, claimed)
    figures = partial(forest.coverage, scenario, rows, palette, claimed)
    return Topic("Coverage of 90 % intervals", caption, lambda: [figures()], table)


def _calibration(scenario: PlannedScenario, rows: ByEstimator, palette: Palette) -> Topic:
    caption = (
        f"Ranks of the truth among {RANKED} near-independent draws: their ECDF less that of uniform ranks. Those of a "
        f"calibrated posterior stay in the grey band, at all ranks at once, with probability {1 - ranks.ALPHA:g}: that "
        f"is, where the p-value of γ is above {ranks.ALPHA:g}. A ∪ is a posterior too low, a ∩ one too high; up, then "
        "down is one too narrow; down, then up one too wide."
    )
    table = tables.calibration(scenario, rows)
    return Topic("Calibration", caption, lambda: [ranks.differences(scenario, rows, palette)], table)


def _interventions(scenario: PlannedScenario, rows: ByEstimator, palette: Palette) -> Topic:
    varying = f"in the first {densities.VARYING} replicates, each with a truth of its own"
    which = varying if scenario.truth.varies else "in the first replicates"
    caption = (
        f"Grey: the true distribution of the outcome under each intervention; coloured: predictions {which}. Below: "
        "the divergence from true to predicted in every replicate, a bar at the median"
        + ("; dashed is what is expected of an efficient estimator." if scenario.asymptotics else ".")
        + _beyond(scenario)
    )

    def figures() -> Figures:
        return [draw(scenario, rows, palette) for draw in (densities.panels, spreads.divergences)]

    return Topic("Predicted interventions", caption, figures, tables.interventions(scenario, rows))


def _exactness(scenario: PlannedScenario, rows: ByEstimator, palette: Palette) -> Topic:
    caption = (
        "Mean distance, give or take two standard errors, from an estimator's draws to independent draws from the "
        "exact posterior, whose own Monte Carlo error is included: 0 cannot be reached."
    )
    table = tables.exactness(scenario, rows)
    return Topic("Distance to the exact posterior", caption, lambda: [forest.distances(scenario, rows, palette)], table)


def _endings(scenario: PlannedScenario, rows: ByEstimator, palette: Palette) -> Topic:
    caption = "A dot per fit, a bar at the median. A Laplace approximation's time has that of its point estimate in it."
    caption += _beyond(scenario)
    table = endings(scenario, rows)
    return Topic("Time, and how the fits ended", caption, lambda: [spreads.seconds(scenario, rows, palette)], table)


def _beyond(scenario: PlannedScenario) -> str:
    """What a caption says of dots that are not drawn."""
    words = " ▲ and ▼ count dots beyond the panel."
    if max(scenario.replicates.values()) > MOST:
        words += f" Of more than {MOST} replicates {MOST}, evenly chosen, are drawn; the bars are of all."
    return words


def _replicates(scenario: PlannedScenario) -> str:
    """How many replicates the estimators have."""
    fewest, most = min(scenario.replicates.values()), max(scenario.replicates.values())
    return count(most, "replicate") if fewest == most else f"{fewest} to {most} replicates"
