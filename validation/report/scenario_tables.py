"""The tables of a scenario, each a line per quantity (or intervention) and estimator."""

from collections.abc import Callable, Sequence

import numpy as np

from validation.report import summaries
from validation.report.figures.estimates import fitted
from validation.report.figures.ranks import ALPHA
from validation.report.summaries import ByEstimator, Mean
from validation.report.tables import Cell, Column, Table, name_cell, number_cell, number_cells, signed_cell
from validation.study.plan import PlannedScenario

QUANTITY, ESTIMATOR = Column("Quantity", numeric=False), Column("Estimator", numeric=False)
FITS = Column("Fits", hint="replicates with a result, of all")
Cells = tuple[Cell, ...]


def recovery(scenario: PlannedScenario, rows: ByEstimator) -> Table:
    """Return bias with its standard error and root mean squared error."""
    columns = (
        QUANTITY,
        ESTIMATOR,
        Column("Truth", hint="its mean over replicates, where it varies"),
        Column("Bias"),
        Column("± s.e."),
        Column("RMSE"),
        Column("Efficient sd", hint="the square root of the Cramér–Rao bound"),
        FITS,
    )
    bounds, names = summaries.bounds(scenario), summaries.quantities(rows)
    all_rows = [row for of_estimator in rows.values() for row in of_estimator]
    truths = {q: number_cell(Mean.of([row.truth[q] for row in all_rows if q in row.truth]).value, 4) for q in names}

    def cells(quantity: str, estimator: str) -> Cells:
        bias, rmse = summaries.recovery(rows[estimator], quantity)
        numbers = signed_cell(bias.value), number_cell(bias.error, 2), *number_cells(rmse, bounds.get(quantity))
        return truths[quantity], *numbers, _fits(bias.count, len(rows[estimator]))

    return Table("recovery", columns, _lines(names, _present(scenario, rows), scenario, cells))


def coverage(scenario: PlannedScenario, rows: ByEstimator, claimed: frozenset[str]) -> Table:
    """Return how many 90 % intervals hold the truth, with the exact 95 % interval of that rate."""
    columns = (QUANTITY, ESTIMATOR, Column("Hold it"), Column("of"), Column("Rate"), Column("from"), Column("to"))

    def cells(quantity: str, estimator: str) -> Cells:
        rate, replicates = summaries.coverage(rows[estimator], quantity), len(rows[estimator])
        numbers = number_cells(rate.value if replicates else None, rate.low, rate.high)
        return number_cell(rate.count), number_cell(replicates, 9), *numbers

    estimators = summaries.with_intervals(scenario, rows, claimed)
    return Table("coverage", columns, _lines(summaries.quantities(rows), estimators, scenario, cells))


def efficiency(scenarios: Sequence[PlannedScenario], rows: Sequence[ByEstimator]) -> Table:
    """Return Cramér–Rao bound over mean squared error with its 95 % interval, for scenarios of one family."""
    columns = (QUANTITY, Column("N"), ESTIMATOR, Column("Efficiency"), Column("from"), Column("to"), Column("Fits"))
    names = list(dict.fromkeys(quantity for scenario in scenarios for quantity in summaries.bounds(scenario)))
    lines = []
    for quantity in names:
        for scenario, of_scenario in zip(scenarios, rows, strict=True):
            bound = summaries.bounds(scenario).get(quantity)
            for estimator in fitted(scenario, of_scenario):
                if bound and (e := summaries.efficiency(of_scenario[estimator], quantity, bound)):
                    size = number_cell(scenario.num_rows, 9)
                    head = name_cell(quantity, names), size, name_cell(estimator, scenario.estimators)
                    lines.append((*head, *number_cells(e.value, e.low, e.high), number_cell(e.count, 9)))
    return Table("efficiency", columns, tuple(lines))


def interventions(scenario: PlannedScenario, rows: ByEstimator) -> Table:
    """Return distances from true to predicted distributions: means with standard errors."""
    columns = (
        Column("Intervention", numeric=False),
        ESTIMATOR,
        Column("KL", hint="mean divergence from the true to the predicted distribution, nats"),
        Column("± s.e."),
        Column("Median KL"),
        Column("Efficient KL", hint="what an efficient estimator is expected to reach"),
        Column("W1", hint="mean Wasserstein-1 distance, in the units of the outcome"),
        Column("± s.e."),
        Column("Regret", hint="mean log score of the truth less that of the prediction, on fresh simulated rows"),
        Column("± s.e."),
        FITS,
    )
    expected = scenario.asymptotics.kl if scenario.asymptotics else {}

    def cells(intervention: str, estimator: str) -> Cells:
        predictions = summaries.predictions(rows[estimator], intervention)
        divergences = [prediction.kl for prediction in predictions]
        kl, wasserstein = Mean.of(divergences), Mean.of([prediction.wasserstein for prediction in predictions])
        regret = Mean.of([prediction.regret for prediction in predictions])
        median = float(np.median(divergences)) if divergences else None
        return (
            *_mean_cells(kl),
            *number_cells(median, expected.get(intervention)),
            *_mean_cells(wasserstein),
            *_mean_cells(regret),
            _fits(kl.count, len(rows[estimator])),
        )

    lines = _lines(scenario.interventions, _present(scenario, rows), scenario, cells)
    return Table("interventions", columns, lines)


def calibration(scenario: PlannedScenario, rows: ByEstimator) -> Table:
    """Return the p-value of γ for each quantity."""
    columns = (
        QUANTITY,
        ESTIMATOR,
        Column("p-value of γ", hint="probability that uniform ranks stray as far as these"),
        Column(f"In the {1 - ALPHA:.0%} band", numeric=False),
        FITS,
    )

    def cells(quantity: str, estimator: str) -> Cells:
        p = summaries.p_value(rows[estimator], quantity)
        if p is None:
            return ()
        fits = _fits(len(summaries.ranks(rows[estimator], quantity)), len(rows[estimator]))
        return number_cell(p, 2), Cell("inside" if p > ALPHA else "outside", css="" if p > ALPHA else "bad"), fits

    return Table("calibration", columns, _lines(summaries.ranked(rows), _present(scenario, rows), scenario, cells))


def exactness(scenario: PlannedScenario, rows: ByEstimator) -> Table:
    """Return the distance of draws to the exact posterior by entry of the Greeks."""
    columns = (
        QUANTITY,
        ESTIMATOR,
        Column("W1 / sd", hint="mean Wasserstein-1 distance in posterior standard deviations"),
        Column("± s.e."),
        Column("Largest mean gap", hint="between the distribution functions, in probability"),
        Column("at", hint="the exact posterior's quantile"),
        FITS,
    )

    def cells(entry: str, estimator: str) -> Cells:
        distance = summaries.distance(rows[estimator], entry)
        if distance is None:
            return ()
        mean, gap, level = distance
        numbers = *_mean_cells(mean), signed_cell(gap), Cell(f"{level:.0%}", level)
        return *numbers, _fits(mean.count, len(rows[estimator]))

    return Table("exactness", columns, _lines(summaries.compared(rows), _present(scenario, rows), scenario, cells))


def _present(scenario: PlannedScenario, rows: ByEstimator) -> list[str]:
    """Estimators of which there are rows."""
    return [name for name in scenario.estimators if rows[name]]


def _lines(
    names: Sequence[str], estimators: Sequence[str], scenario: PlannedScenario, cells: Callable[[str, str], Cells]
) -> tuple[Cells, ...]:
    """A line per name and estimator that has cells."""
    return tuple(
        (name_cell(name, names), name_cell(estimator, scenario.estimators), *line)
        for name in names
        for estimator in estimators
        if (line := cells(name, estimator))
    )


def _mean_cells(mean: Mean) -> Cells:
    return number_cell(mean.value), number_cell(mean.error, 2)


def _fits(count: int, replicates: int) -> Cell:
    return Cell(f"{count} of {replicates}", count, css="bad" if count < replicates else "")
