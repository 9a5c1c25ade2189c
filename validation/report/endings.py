"""How fits ended: status with reasons, what the chains say of themselves, and how long it took."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from validation.report.summaries import ByEstimator
from validation.report.tables import Cell, Column, Table, name_cell, number_cell
from validation.report.words import count
from validation.study.plan import PlannedScenario
from validation.study.row import CONVERGED, ERROR, Row

MOST = 6  # different reasons that are given in full
COLUMNS = (
    Column("Estimator", numeric=False),
    Column("Fits"),
    Column("Converged"),
    Column("Failed", hint="fits that gave nothing: status ERROR"),
    Column("Seconds", hint="median"),
    Column("Slowest"),
    Column("ESS / s", hint="median effective draws per second of the quantity that has fewest"),
    Column("R̂", hint="median over fits of the largest"),
    Column("Worst R̂"),
    Column("ESS", hint="median over fits of the smallest"),
    Column("Worst ESS"),
    Column("Ended otherwise", numeric=False),
)


def endings(scenario: PlannedScenario, rows: ByEstimator) -> Table:
    """Return a line per estimator; counts are over all replicates."""
    return Table(
        "endings",
        COLUMNS,
        tuple(_line(name_cell(name, scenario.estimators), rows[name]) for name in scenario.estimators),
    )


def _line(name: Cell, rows: Sequence[Row]) -> tuple[Cell, ...]:
    failed = sum(row.failed for row in rows)
    seconds = [row.seconds for row in rows if row.seconds is not None]
    rates = [row.ess_per_second for row in rows if row.ess_per_second is not None]
    r_hat, ess = ([row.diagnostics[key] for row in rows if key in row.diagnostics] for key in ("max_r_hat", "min_ess"))
    return (
        name,
        number_cell(len(rows), 9),
        number_cell(sum(row.status == CONVERGED for row in rows), 9),
        Cell(str(failed), failed, css="bad" if failed else ""),
        number_cell(_median(seconds)),
        number_cell(max(seconds, default=None)),
        number_cell(_median(rates)),
        number_cell(_median(r_hat), 4),
        number_cell(max(r_hat, default=None), 4),
        number_cell(_median(ess)),
        number_cell(min(ess, default=None)),
        Cell(_reasons(rows) or "–", css="long"),
    )


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if len(values) else None


def _reasons(rows: Sequence[Row]) -> str:
    """Statuses with their reasons, the most frequent first, and warnings that say something else."""
    reasons = Counter(f"{row.status}: {row.reason or 'no reason was given'}" for row in rows if row.status != CONVERGED)
    warnings = Counter(
        f"warned: {text}" for row in rows for text in row.warnings if row.status == ERROR or row.status not in text
    )
    lines = []
    for counts in (reasons, warnings):
        frequent = counts.most_common(MOST)
        lines += [f"{times} × {text}" for text, times in frequent]
        if others := len(counts) - len(frequent):
            lines.append(f"{counts.total() - sum(times for _, times in frequent)} × {count(others, 'other kind')}")
    return "\n".join(" ".join(line.split()) for line in lines)
