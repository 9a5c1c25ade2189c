"""The topics of a scenario: estimates, coverage, calibration, predictions, distance to the exact posterior, endings."""

from collections.abc import Mapping, Sequence
from functools import partial

from validation.claims.results import Results
from validation.report import scenario_tables as tables
from validation.report.endings import endings
from validation.report.figures import by_rows, densities, estimates, forest, ranks, spreads
from validation.report.panels import Palette
from validation.report.summaries import ByEstimator
from validation.report.topic import Figures, Topic
from validation.report.words import count
from validation.scenarios import Truth
from validation.study.plan import PlannedScenario
from validation.study.row import RANKED

Rows = Mapping[str, ByEstimator]  # by scenario
COVERAGE = ("coverage", "floor")  # kinds of claims of which an estimator without intervals has none
TRUTHS = {
    Truth.FIXED: "the truth",
    Truth.EXACT: "the mean of the exact posterior, whose Monte Carlo error is part of the errors",
    Truth.SAMPLED: "the mean of another program's draws from the posterior",
    Truth.OUTSIDE: "the truth, which this world has for queries only, since it is not one of the model's",
}


def topics_of(scenario: PlannedScenario, rows: ByEstimator, results: Results, palette: Palette) -> list[Topic]:
    """Return the topics of one scenario of which there is anything to show."""
    topics = [_estimates(scenario, rows, palette)]
    if not scenario.truth.is_posterior:  # there is nothing to cover in the mean of a posterior
        claims = results.plan.claims
        claimed = frozenset(c.estimator for c in claims if c.scenario == scenario.name and c.kind in COVERAGE)
        topics.append(_coverage(scenario, rows, palette, claimed))
    if scenario.truth.is_calibrating:
        topics.append(_calibration(scenario, rows, palette))
    topics += [draw(scenario, rows, palette) for draw in (_interventions, _exactness, _endings)]
    return [topic.within(palette.panels) for topic in topics if topic.table.lines]


def efficiency(members: Sequence[PlannedScenario], rows: Rows, palette: Palette) -> list[Topic]:
    """Return the efficiency of a family against its number of rows; none where no bound is known."""
    known = [scenario for scenario in members if scenario.asymptotics]
    if not known:
        return []
    worse = "below" if len(known) > 1 else "to the left"

    def figures() -> Figures:
        if len(known) > 1:
            return [by_rows.efficiency(known, rows, palette)]
        return [forest.efficiency(known[0], rows[known[0].name], palette)]

    return [
        Topic(
            title="Efficiency against the number of rows" if len(known) > 1 else "Efficiency",
            reading=f"A ring on the dashed line is as precise as theory allows; {worse} is worse.",
            notes=(
                "Cramér–Rao bound over mean squared error with its 95 % interval (exact where errors are normal): 1 "
                "is efficient; less is worse; an estimator that is biased towards the truth can exceed 1."
            ),
            figures=figures,
            table=tables.efficiency(known, [rows[scenario.name] for scenario in known]),
        )
    ]


def _estimates(scenario: PlannedScenario, rows: ByEstimator, palette: Palette) -> Topic:
    if scenario.truth.varies:
        reading = "A dot is the estimate of a replicate against its own truth: the closer to the diagonal, the better."
        draw = estimates.scatters
    else:
        reading = f"A dot is the estimate of a replicate, a bar their mean; dashed is {TRUTHS[scenario.truth]}."
        draw = estimates.strips
    notes = (
        f"Upright lines are 90 % intervals of up to {palette.intervals} replicates, evenly chosen, red where they "
        "leave the truth out; those of a point fit are of its Laplace approximation."
    )
    if scenario.asymptotics:
        notes = f"Nine in ten estimates of an efficient estimator fall in the shaded band. {notes}"
    return Topic(
        title="Truth and estimates",
        reading=reading,
        notes=notes + _beyond(scenario, palette),
        figures=partial(draw, scenario, rows, palette),
        table=tables.recovery(scenario, rows),
    )


def _coverage(scenario: PlannedScenario, rows: ByEstimator, palette: Palette, claimed: frozenset[str]) -> Topic:
    notes = (
        "Of all replicates (one without an interval does not hold it), with the exact 95 % interval of that rate. "
        "Intervals that hold the truth in 90 % of data sets have their ring in the grey band 95 times in 100."
    )
    if not scenario.truth.is_calibrating:
        notes += " Over truths drawn from the prior posterior intervals hold 90 %; elsewhere nobody promises it."
    figures = partial(forest.coverage, scenario, rows, palette, claimed)
    return Topic(
        title="Coverage of 90 % intervals",
        reading="A ring is the share of intervals that hold the truth: in the grey band is 90 %, to the left too few.",
        notes=notes,
        figures=lambda: [figures()],
        table=tables.coverage(scenario, rows, claimed),
    )


def _calibration(scenario: PlannedScenario, rows: ByEstimator, palette: Palette) -> Topic:
    return Topic(
        title="Calibration",
        reading=(
            "A line within the grey band is calibrated; a ∪ is a posterior too low, a ∩ one too high; up, then down "
            "is one too narrow."
        ),
        notes=(
            f"Ranks of the truth among {RANKED} near-independent draws: their ECDF less that of uniform ranks. Those "
            f"of a calibrated posterior stay in the band, at all ranks at once, with probability {1 - ranks.ALPHA:g}: "
            f"that is, where the p-value of γ is above {ranks.ALPHA:g}. Down, then up is a posterior too wide."
        ),
        figures=lambda: [ranks.differences(scenario, rows, palette)],
        table=tables.calibration(scenario, rows),
    )


def _interventions(scenario: PlannedScenario, rows: ByEstimator, palette: Palette) -> Topic:
    varies = scenario.truth.varies
    number = densities.drawn(scenario, palette)
    which = "of the first replicate" if number == 1 else f"of the first {number} replicates"
    which += ", each with a truth of its own" if varies and number > 1 else ""

    def figures() -> Figures:
        return [draw(scenario, rows, palette) for draw in (densities.panels, spreads.divergences)]

    return Topic(
        title="Predicted interventions",
        reading=f"Grey is the true distribution under each intervention, coloured are predictions {which}.",
        notes=(
            "Below them: the divergence from true to predicted in every replicate, a bar at the median"
            + ("; dashed is what is expected of an efficient estimator." if scenario.asymptotics else ".")
            + _beyond(scenario, palette)
        ),
        figures=figures,
        table=tables.interventions(scenario, rows),
    )


def _exactness(scenario: PlannedScenario, rows: ByEstimator, palette: Palette) -> Topic:
    return Topic(
        title="Distance to the exact posterior",
        reading="A ring is the mean distance of an estimator's draws to the exact posterior: further left is closer.",
        notes=(
            "Give or take two standard errors, to independent draws from the exact posterior, whose own Monte Carlo "
            "error is included: 0 cannot be reached."
        ),
        figures=lambda: [forest.distances(scenario, rows, palette)],
        table=tables.exactness(scenario, rows),
    )


def _endings(scenario: PlannedScenario, rows: ByEstimator, palette: Palette) -> Topic:
    return Topic(
        title="Time, and how the fits ended",
        reading="A dot is a fit, a bar the median; the axis is logarithmic.",
        notes="A Laplace approximation's time has that of its point estimate in it." + _beyond(scenario, palette),
        figures=lambda: [spreads.seconds(scenario, rows, palette)],
        table=endings(scenario, rows),
    )


def _beyond(scenario: PlannedScenario, palette: Palette) -> str:
    """What is said of dots that are not drawn."""
    words, replicates = " ▲ and ▼ count dots beyond the panel.", max(scenario.replicates.values())
    if palette.is_crowded:
        words += f" At most {palette.panels} panels of a row are drawn; the table has all."
    if replicates > palette.dots:
        words += f" Of {count(replicates, 'replicate')} {palette.dots}, evenly chosen, are drawn; bars are of all."
    return words
