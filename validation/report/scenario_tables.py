"""The tables of a scenario, each a line per quantity (or intervention) and estimator."""

from collections.abc import Sequence

from validation.report import summaries
from validation.report.figures.estimates import fitted
from validation.report.figures.ranks import ALPHA
from validation.report.summaries import ByEstimator, Mean
from validation.report.tables import Cell, Column, Table, name_of, of, signed_of
from validation.study.plan import Described

QUANTITY, ESTIMATOR = Column("Quantity", numeric=False), Column("Estimator", numeric=False)
FITS = Column("Fits", hint="replicates with a result, of all")


def recovery(scenario: Described, rows: ByEstimator) -> Table:
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
    bounds, lines = summaries.bounds(scenario), []
    names = summaries.quantities(rows)
    for quantity in names:
        truth = Mean.of([r.truth[quantity] for each in rows.values() for r in each if quantity in r.truth]).value
        for estimator in _present(scenario, rows):
            found = summaries.recovery(rows[estimator], quantity)
            numbers = signed_of(found.bias.value), of(found.bias.error, 2), of(found.rmse), of(bounds.get(quantity))
            fits = _fits(found.bias.count, len(rows[estimator]))
            lines.append((*_head(quantity, names, estimator, scenario), of(truth, 4), *numbers, fits))
    return Table("recovery", columns, tuple(lines))


def coverage(scenario: Described, rows: ByEstimator, claimed: frozenset[str]) -> Table:
    """Return how many 90 % intervals hold the truth, with the exact 95 % interval of that rate."""
    columns = (QUANTITY, ESTIMATOR, Column("Hold it"), Column("of"), Column("Rate"), Column("from"), Column("to"))
    names, lines = summaries.quantities(rows), []
    for quantity in names:
        for estimator in summaries.with_intervals(scenario, rows, claimed):
            rate = summaries.coverage(rows[estimator], quantity)
            numbers = of(rate.count), of(rate.replicates, 9), of(rate.value), of(rate.low), of(rate.high)
            lines.append((*_head(quantity, names, estimator, scenario), *numbers))
    return Table("coverage", columns, tuple(lines))


def efficiency(scenarios: Sequence[Described], rows: Sequence[ByEstimator]) -> Table:
    """Return Cramér–Rao bound over mean squared error with its 95 % interval, for scenarios of one family."""
    columns = (QUANTITY, Column("N"), ESTIMATOR, Column("Efficiency"), Column("from"), Column("to"), Column("Fits"))
    names = list(dict.fromkeys(quantity for each in scenarios for quantity in summaries.bounds(each)))
    lines = []
    for quantity in names:
        for scenario, mine in zip(scenarios, rows, strict=True):
            bound = summaries.bounds(scenario).get(quantity)
            for estimator in fitted(scenario, mine):
                if bound and (e := summaries.efficiency(mine[estimator], quantity, bound)):
                    first, last = _head(quantity, names, estimator, scenario)
                    numbers = of(e.value), of(e.low), of(e.high), of(e.replicates, 9)
                    lines.append((first, of(scenario.num_rows, 9), last, *numbers))
    return Table("efficiency", columns, tuple(lines))


def interventions(scenario: Described, rows: ByEstimator) -> Table:
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
    lines = []
    for asked in scenario.interventions:
        for estimator in _present(scenario, rows):
            found = summaries.interventional(rows[estimator], asked)
            numbers = (
                *(of(found.kl.value), of(found.kl.error, 2), of(found.kl_median), of(expected.get(asked))),
                *(of(found.wasserstein.value), of(found.wasserstein.error, 2)),
                *(of(found.regret.value), of(found.regret.error, 2)),
            )
            head = _head(asked, scenario.interventions, estimator, scenario)
            lines.append((*head, *numbers, _fits(found.kl.count, len(rows[estimator]))))
    return Table("interventions", columns, tuple(lines))


def calibration(scenario: Described, rows: ByEstimator) -> Table:
    """Return the p-value of γ for each quantity."""
    columns = (
        QUANTITY,
        ESTIMATOR,
        Column("p-value of γ", hint="probability that uniform ranks stray as far as these"),
        Column(f"In the {1 - ALPHA:.0%} band", numeric=False),
        FITS,
    )
    names, lines = summaries.ranked(rows), []
    for quantity in names:
        for estimator in _present(scenario, rows):
            p = summaries.p_value(rows[estimator], quantity)
            if p is not None:
                fits = _fits(len(summaries.ranks(rows[estimator], quantity)), len(rows[estimator]))
                verdict = Cell("inside" if p > ALPHA else "outside", css="" if p > ALPHA else "bad")
                lines.append((*_head(quantity, names, estimator, scenario), of(p, 2), verdict, fits))
    return Table("calibration", columns, tuple(lines))


def exactness(scenario: Described, rows: ByEstimator) -> Table:
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
    names, lines = summaries.compared(rows), []
    for entry in names:
        for estimator in _present(scenario, rows):
            if found := summaries.distance(rows[estimator], entry):
                mean, gap, level = found
                numbers = of(mean.value), of(mean.error, 2), signed_of(gap), Cell(f"{level:.0%}", level)
                fits = _fits(mean.count, len(rows[estimator]))
                lines.append((*_head(entry, names, estimator, scenario), *numbers, fits))
    return Table("exactness", columns, tuple(lines))


def _present(scenario: Described, rows: ByEstimator) -> list[str]:
    """Estimators of which there are rows."""
    return [name for name in scenario.estimators if rows[name]]


def _head(quantity: str, order: Sequence[str], estimator: str, scenario: Described) -> tuple[Cell, Cell]:
    return name_of(quantity, order), name_of(estimator, scenario.estimators)


def _fits(count: int, replicates: int) -> Cell:
    return Cell(f"{count} of {replicates}", count, css="bad" if count < replicates else "")
