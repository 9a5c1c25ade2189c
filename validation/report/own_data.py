"""The reader's own data: what every estimator predicts, and how far the study of data sets like them trusts it."""

from collections.abc import Mapping, Sequence
from typing import Any

from validation.claims.judge import Finding
from validation.claims.results import Results
from validation.report import summaries
from validation.report.summaries import ByEstimator
from validation.report.tables import Cell, Column, Table
from validation.report.verdicts import MARK
from validation.report.words import count, interval, number, signed
from validation.scenarios.quantities import is_query, shown
from validation.statistics.check import Verdict
from validation.study.plan import PlannedScenario
from validation.study.row import ERROR, LEVEL

TRUSTED, NOT_TRUSTED, NOT_SHOWN, NOTHING = "trusted", "not trusted", "not shown", "–"
JUDGED = ("bias", "coverage")


def tables(results: Results, rows: ByEstimator) -> list[tuple[str, Table]]:
    """Return a table of queries and one of Greeks, with their titles."""
    own_data: Mapping[str, Any] = results.notes["mine"]
    scenario = results.plan.scenarios[0]
    names = shown(name for fit in own_data["fits"].values() for name in fit["quantities"])
    queries = [name for name in names if is_query(name)]
    others = [name for name in names if not is_query(name)]
    return [
        (title, _table(name, quantities, own_data["fits"], scenario, rows, results.findings))
        for title, name, quantities in (("Your questions", "queries", queries), ("The Greeks", "greeks", others))
        if quantities
    ]


def explanation(own_data: Mapping[str, Any]) -> str:
    """Return what the tables show, in words."""
    return (
        "Each cell has what an estimator says of your rows, with its 90 % interval, and then how it did on data sets "
        f"like them, made with the fit of {own_data['truth_from']} as the truth. It is trusted where its bias is "
        "small and its intervals hold the truth often enough, not trusted where either is not so, not shown where the "
        "study was too small to tell. A point estimate has no interval and is never trusted alone. All this holds if "
        f"the model is right. {own_data.get('numbers', '')}"
    ).rstrip()


def around(results: Results) -> str:
    """Return what came of posteriors around the data and how that is read, or why they were not tried."""
    own_data: Mapping[str, Any] = results.notes["mine"]
    if own_data["no_posterior"]:
        return f"Calibration around your rows (posterior SBC) was not studied. {own_data['no_posterior']}"
    scenario, added = results.plan.scenarios[1], count(own_data["rows"], "row")
    outcomes = [
        f"{f.estimator}'s {f.kind} {MARK[f.verdict]} {f.verdict.value}"
        for f in results.findings
        if f.scenario == scenario.name
    ]
    return (
        f"Calibration around your rows (posterior SBC): {count(max(scenario.replicates.values()), 'time')}, a draw of "
        f"the posterior given your rows was the truth, {added} made with it were added to yours, and it was ranked "
        f"among draws given all {scenario.num_rows}. {', '.join(outcomes)}. If both passed, its intervals "
        "mean what they say around these very rows; if either failed, do not believe them, even where the tables "
        "above, which are about one truth, say that it is trusted."
    )


def endings(own_data: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return estimator, status and reason of the fits to the data themselves."""
    return [(name, fit["status"], fit["reason"]) for name, fit in own_data["fits"].items()]


def trust(findings: Sequence[Finding], estimator: str, quantity: str) -> str:
    """Return a verdict in words: trusted only where bias and coverage of this quantity both passed."""
    verdicts = {
        f.kind: f.verdict for f in findings if f.estimator == estimator and f.only == quantity and f.kind in JUDGED
    }
    if failed := [kind for kind in JUDGED if verdicts.get(kind) is Verdict.FAIL]:
        return f"{NOT_TRUSTED}: {' and '.join(failed)}"
    if Verdict.UNDERPOWERED in verdicts.values():
        return NOT_SHOWN
    return TRUSTED if all(verdicts.get(kind) is Verdict.PASS for kind in JUDGED) else NOTHING


def _table(
    title: str,
    quantities: Sequence[str],
    fits: Mapping[str, Any],
    scenario: PlannedScenario,
    rows: ByEstimator,
    findings: Sequence[Finding],
) -> Table:
    names = list(dict.fromkeys((*(name for name in scenario.estimators if name in fits), *fits)))
    lines = []
    for i, quantity in enumerate(quantities):
        verdicts = {name: trust(findings, name, quantity) for name in names}
        cells = (_cell(quantity, fits[name], rows.get(name, ()), verdicts[name]) for name in names)
        lines.append((Cell(quantity, i), *cells))
    return Table(title, tuple(Column(name, numeric=False) for name in ("Quantity", *names)), tuple(lines))


def _cell(quantity: str, fit: Mapping[str, Any], rows: Sequence[Any], verdict: str) -> Cell:
    """Prediction with its interval on the data, then what the study says, then the verdict."""
    estimate = fit["quantities"].get(quantity)
    if estimate is None:
        return Cell("no fit" if fit["status"] == ERROR else NOTHING, "", css="stack")
    spread = "" if estimate["lower"] is None else f" ({interval(estimate['lower'], estimate['upper'])})"
    text = "\n".join([f"{number(estimate['value'])}{spread}", *_studied(quantity, rows), verdict])
    css = {TRUSTED: "good", NOTHING: ""}.get(verdict, "bad" if verdict.startswith(NOT_TRUSTED) else "unsure")
    return Cell(text, estimate["value"], css=f"stack {css}".strip())


def _studied(quantity: str, rows: Sequence[Any]) -> list[str]:
    if not rows:
        return ["not studied"]
    bias, rmse = summaries.recovery(rows, quantity)
    lines = [f"bias {signed(bias.value)}, RMSE {number(rmse)}"]
    if any(quantity in row.intervals for row in rows):
        rate = summaries.coverage(rows, quantity)
        lines.append(f"{LEVEL:.0%} intervals hold in {rate.count} of {len(rows)}")
        lines.append(f"rate {interval(rate.low, rate.high, 2)}")
    return lines
