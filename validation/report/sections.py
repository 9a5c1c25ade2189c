"""What the report says, in order: what was shown, whom to trust, what is open, then scenario by scenario.

The page and the Markdown are two templates of the same contents.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from validation.claims.judge import HARM
from validation.claims.results import Results
from validation.report import candour, headline, matrix, own_data, topics, trust, verdicts
from validation.report.anchors import Anchors
from validation.report.panels import Palette
from validation.report.summaries import ByEstimator
from validation.report.topic import Topic
from validation.report.words import count
from validation.statistics.check import Verdict
from validation.statistics.measured import POWER
from validation.study.plan import PlannedScenario
from validation.study.row import by_estimator


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
        results, families = self.results, self._families()
        anchors = self._anchors(families)
        open_claims = headline.open_claims(results, anchors)
        names = [section.scenario.name for family in families for section in family.sections]
        return {
            "results": results,
            "plan": results.plan,
            "missing": results.plan.num_rows - len(results.rows),
            "failed": sum(row.failed for row in results.rows),
            "count": count,
            "headline": headline.headline(results),
            "named": headline.named(open_claims),
            "open_claims": open_claims,
            "matrix": matrix.matrix(results, names, anchors),
            "trust": None if results.notes.get("mine") else trust.trust_table(results, names, anchors),
            "counts": verdicts.counts(results.findings),
            "meaning": verdicts.MEANING,
            "mark": verdicts.MARK,
            "claims": verdicts.claims(results.findings),
            "exit": verdicts.exit_words(results),
            "looks": results.plan.looks,
            "verdicts": verdicts.verdict_table(results, self.anchors),
            "power": POWER,
            "mine": self._own_data(),
            "candour": self.candour,
            "palette": self.palette,
            "families": families,
        }

    @cached_property
    def candour(self) -> Topic | None:
        return candour.topic(self.results.plan, self.rows)

    def _anchors(self, families: Sequence[Family]) -> Anchors:
        """Where each topic is on the page; what members of a family share is with the family."""
        anchors: dict[tuple[str, str], str] = {}
        for family in families:
            for section in family.sections:
                name = section.scenario.name
                anchors |= {(name, topic.name): f"{section.anchor}-{topic.name}" for topic in section.topics}
                anchors |= {(name, topic.name): f"{family.anchor}-{topic.name}" for topic in family.topics}
                if self.candour and section.scenario.allowed is not None:
                    anchors[name, self.candour.name] = self.candour.name
        return Anchors(self.anchors, anchors)

    def _own_data(self) -> dict[str, Any] | None:
        notes = self.results.notes.get("mine")
        if notes is None:
            return None
        rows = self.rows[self.results.plan.scenarios[0].name]
        return {
            **notes,
            "explanation": own_data.explanation(notes),
            "around": own_data.around(self.results),
            "around_at": [self.anchors[scenario.name] for scenario in self.results.plan.scenarios[1:]],
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
        efficiency = topics.efficiency(members, self.rows, self.palette)
        if len(members) > 1:
            return Family(name, anchor, efficiency, [self._section(scenario, []) for scenario in members])
        return Family(name, anchor, [], [self._section(members[0], efficiency)])

    def _section(self, scenario: PlannedScenario, efficiency: list[Topic]) -> Section:
        came_out = Counter(finding.verdict for finding in self.results.findings if finding.scenario == scenario.name)
        own = topics.topics_of(scenario, self.rows[scenario.name], self.results, self.palette)
        return Section(
            scenario=scenario,
            anchor=self.anchors[scenario.name],
            facts=[
                count(scenario.num_rows, "row"),
                _replicates(scenario),
                f"truth: {scenario.truth.value}",
                f"{scenario.role.name}: {scenario.role.value}",
            ],
            verdicts=[(verdict, came_out[verdict]) for verdict in HARM if came_out[verdict]],
            topics=[*own[:-1], *efficiency, *own[-1:]],
            is_open=bool(came_out),
        )


def _replicates(scenario: PlannedScenario) -> str:
    """How many replicates the estimators have."""
    fewest, most = min(scenario.replicates.values()), max(scenario.replicates.values())
    return count(most, "replicate") if fewest == most else f"{fewest} to {most} replicates"
