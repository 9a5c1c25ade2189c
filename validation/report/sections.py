"""What the report says, in order: families of scenarios, and of each scenario its parts with figures and tables."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from validation.claims.results import Results
from validation.report import scenario_tables as tables
from validation.report.endings import endings
from validation.report.figures import by_rows, densities, estimates, forest, ranks, spreads
from validation.report.panels import MOST, Palette
from validation.report.summaries import ByEstimator
from validation.report.tables import Table
from validation.report.words import count
from validation.scenarios import Role, Truth
from validation.study.plan import Described
from validation.study.row import RANKED, Row

Figures = Sequence[Sequence[str]]  # rows of panels


@dataclass(frozen=True)
class Part:
    """A heading, figures with what they show, and a table."""

    title: str
    words: str
    figures: Figures
    table: Table


@dataclass(frozen=True)
class Study:
    """The results with their rows by scenario and estimator. Without `with_figures` only tables are made."""

    results: Results
    with_figures: bool = True

    @cached_property
    def rows(self) -> dict[str, dict[str, list[Row]]]:
        """Rows by scenario and estimator, every one of the plan among the keys."""
        found: dict[str, dict[str, list[Row]]] = {
            each.name: {name: [] for name in each.estimators} for each in self.results.plan.scenarios
        }
        for row in self.results.rows:
            found[row.scenario][row.estimator].append(row)
        return found

    @cached_property
    def palette(self) -> Palette:
        """The colours of the estimators."""
        return Palette.of(self.results.plan)

    @property
    def missing(self) -> int:
        """How many rows of the plan are not there yet."""
        planned = sum(each.replicates * len(each.estimators) for each in self.results.plan.scenarios)
        return planned - len(self.results.rows)

    def families(self) -> list[tuple[str, tuple[Described, ...]]]:
        """Scenarios that differ in their number of rows, together, the smallest first; the plan's order otherwise."""
        names = dict.fromkeys(each.family for each in self.results.plan.scenarios)
        members = {name: [each for each in self.results.plan.scenarios if each.family == name] for name in names}
        return [(name, tuple(sorted(each, key=lambda s: s.num_rows))) for name, each in members.items()]

    def parts(self, scenario: Described) -> list[Part]:
        """Return what there is to say of one scenario."""
        rows = self.rows[scenario.name]
        found = [_estimates(self, scenario, rows)]
        if scenario.truth is not Truth.EXACT:  # there is nothing to cover in the mean of the exact posterior
            found.append(_coverage(self, scenario, rows))
        if scenario.truth is Truth.PRIOR:
            found.append(_calibration(self, scenario, rows))
        found += [
            _interventions(self, scenario, rows),
            _exactness(self, scenario, rows),
            _endings(self, scenario, rows),
        ]
        return [part for part in found if part.table.lines]

    def efficiency(self, members: Sequence[Described]) -> Part | None:
        """Return the efficiency of a family against its number of rows, or None where no bound is known."""
        known = [each for each in members if each.asymptotics]
        if not known:
            return None
        words = (
            "Cramér–Rao bound over mean squared error with its 95 % interval (exact where errors are normal): 1 is "
            "efficient; less is worse; an estimator that is biased towards the truth can exceed 1."
        )
        figures = []
        if self.with_figures and len(known) > 1:
            figures = [by_rows.efficiency(known, self.rows, self.palette)]
        elif self.with_figures:
            figures = [forest.efficiency(known[0], self.rows[known[0].name], self.palette)]
        table = tables.efficiency(known, [self.rows[each.name] for each in known])
        title = "Efficiency against the number of rows" if len(known) > 1 else "Efficiency"
        return Part(title, words, figures, table)


def facts(scenario: Described) -> list[str]:
    """Return what a scenario is, in short phrases."""
    return [
        count(scenario.num_rows, "row"),
        count(scenario.replicates, "replicate"),
        f"truth: {scenario.truth.value}",
        f"{scenario.role.name}: {scenario.role.value}",
    ]


def is_open(scenario: Described) -> bool:
    """Whether figures and tables are unfolded: those of scenarios that are only reported are not."""
    return scenario.role is not Role.REPORTED


def anchors(results: Results) -> Mapping[str, str]:
    """Return the place of each scenario on the page, its name where that can be one."""
    return {
        each.name: f"scenario-{each.name if re.fullmatch(r'[A-Za-z0-9_.-]+', each.name) else i}"
        for i, each in enumerate(results.plan.scenarios)
    }


def _estimates(study: Study, scenario: Described, rows: ByEstimator) -> Part:
    line = {
        Truth.FIXED: "the truth",
        Truth.EXACT: "the mean of the exact posterior, whose Monte Carlo error is part of the errors",
        Truth.OUTSIDE: "the truth, which this world has for queries only, since it is not one of the model's",
    }
    if scenario.truth is Truth.PRIOR:
        words = "A dot per replicate and entry, each with a truth of its own; a perfect estimate lies on the line."
        draw = estimates.scatters
    else:
        words = f"A dot per replicate, a bar at their mean; dashed is {line[scenario.truth]}."
        draw = estimates.strips
    if scenario.asymptotics:
        words += " Nine in ten estimates of an efficient estimator fall in the shaded band."
    words += _beyond(scenario)
    figures = draw(scenario, rows, study.palette) if study.with_figures else []
    return Part("Truth and estimates", words, figures, tables.recovery(scenario, rows))


def _coverage(study: Study, scenario: Described, rows: ByEstimator) -> Part:
    claims = study.results.plan.claims
    claimed = frozenset(c.estimator for c in claims if c.scenario == scenario.name and c.kind == "coverage")
    words = (
        "How many 90 % intervals hold the truth, of all replicates (one without an interval does not), with the exact "
        "95 % interval of that rate."
    )
    if scenario.truth is not Truth.PRIOR:
        words += " Over truths drawn from the prior posterior intervals hold 90 %; at one truth nobody promises it."
    figures = [forest.coverage(scenario, rows, study.palette, claimed)] if study.with_figures else []
    return Part("Coverage of 90 % intervals", words, figures, tables.coverage(scenario, rows, claimed))


def _calibration(study: Study, scenario: Described, rows: ByEstimator) -> Part:
    words = (
        f"Ranks of the truth among {RANKED} near-independent draws: their ECDF less that of uniform ranks. Those of a "
        f"calibrated posterior stay in the grey band, at all ranks at once, with probability {1 - ranks.ALPHA:g}: that "
        f"is, where the p-value of γ is above {ranks.ALPHA:g}. A ∪ is a posterior too low, a ∩ one too high; up, then "
        "down is one too narrow; down, then up one too wide."
    )
    figures = [ranks.differences(scenario, rows, study.palette)] if study.with_figures else []
    return Part("Calibration", words, figures, tables.calibration(scenario, rows))


def _interventions(study: Study, scenario: Described, rows: ByEstimator) -> Part:
    varying = f"in the first {densities.VARYING} replicates, each with a truth of its own"
    where = varying if scenario.truth is Truth.PRIOR else "in the first replicates"
    words = (
        f"Grey: the true distribution of the outcome under each intervention; coloured: predictions {where}. Below: "
        "the divergence from true to predicted in every replicate, a bar at the median"
        + ("; dashed is what is expected of an efficient estimator." if scenario.asymptotics else ".")
        + _beyond(scenario)
    )
    figures: Figures = []
    if study.with_figures:
        figures = [draw(scenario, rows, study.palette) for draw in (densities.panels, spreads.divergences)]
    return Part("Predicted interventions", words, figures, tables.interventions(scenario, rows))


def _exactness(study: Study, scenario: Described, rows: ByEstimator) -> Part:
    words = (
        "Mean distance, give or take two standard errors, from an estimator's draws to independent draws from the "
        "exact posterior, whose own Monte Carlo error is included: 0 cannot be reached."
    )
    figures = [forest.distances(scenario, rows, study.palette)] if study.with_figures else []
    return Part("Distance to the exact posterior", words, figures, tables.exactness(scenario, rows))


def _endings(study: Study, scenario: Described, rows: ByEstimator) -> Part:
    words = "A dot per fit, a bar at the median. A Laplace approximation's time has that of its point estimate in it."
    figures = [spreads.seconds(scenario, rows, study.palette)] if study.with_figures else []
    return Part("Time, and how the fits ended", words + _beyond(scenario), figures, endings(scenario, rows))


def _beyond(scenario: Described) -> str:
    """What a caption says of dots that are not drawn."""
    words = " ▲ and ▼ count dots beyond the panel."
    if scenario.replicates > MOST:
        words += f" Of {scenario.replicates} replicates {MOST}, evenly chosen, are drawn; the bars are of all."
    return words
