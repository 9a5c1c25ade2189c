"""Simulation-based calibration: how far the ECDF of the truth's ranks is from uniform, with a simultaneous band."""

from collections.abc import Mapping

import numpy as np

from validation.report import summaries
from validation.report.marks import Array, Axis, area, line
from validation.report.panels import BOTTOM, LEFT, RIGHT, TOP, Palette, framed
from validation.report.summaries import ByEstimator
from validation.report.words import clipped
from validation.statistics.uniformity import band
from validation.study.plan import PlannedScenario
from validation.study.row import RANKED

ALPHA = 0.05
EXPECTED = np.arange(1, RANKED + 1) / (RANKED + 1)
Differences = Mapping[str, tuple[int, Array]]  # by estimator: how many ranks, and the difference of their ECDF


def differences(scenario: PlannedScenario, rows: ByEstimator, palette: Palette) -> list[str]:
    """Return one panel per quantity, the estimators overlaid (Säilynoja et al. 2022)."""
    by_quantity: dict[str, Differences] = {}
    for quantity in summaries.ranked(rows):
        ranks = {name: summaries.ranks(rows[name], quantity) for name in scenario.estimators}
        by_quantity[quantity] = {name: (len(of), difference(of)) for name, of in ranks.items() if of}
    counts = sorted({count for shown in by_quantity.values() for count, _ in shown.values()})
    bands = {n: tuple(edge / n - EXPECTED for edge in band(n, RANKED, ALPHA)) for n in counts}
    heights = [values for shown in by_quantity.values() for _, values in shown.values()]
    most = max((float(np.abs(v).max()) for v in (*heights, *(e for edges in bands.values() for e in edges))), default=1)
    y = Axis(-1.1 * most, 1.1 * most, BOTTOM, TOP)
    return [_panel(quantity, shown, y, bands, palette) for quantity, shown in by_quantity.items()]


def difference(ranks: list[int]) -> Array:
    """Return the ECDF at rank 0, …, RANKED - 1 less what is expected of uniform ranks."""
    counts = np.cumsum(np.bincount(ranks, minlength=RANKED + 1))[:-1]
    return np.asarray(counts / len(ranks) - EXPECTED)


def _panel(quantity: str, shown: Differences, y: Axis, bands: Mapping[int, tuple[Array, ...]], palette: Palette) -> str:
    x = Axis(0.0, 1.0, LEFT, RIGHT)
    edges = [bands[n] for n in sorted({n for n, _ in shown.values()})]
    marks = [area(x.at(EXPECTED), y.at(low), y.at(high), "band") for low, high in edges]
    marks.append(line([LEFT, RIGHT], y.at([0.0, 0.0]), "truth dashed"))
    for name, (_, values) in shown.items():
        marks.append(line(x.at([0, *EXPECTED, 1]), y.at([0, *values, 0]), palette.css(name)))
    description = f"ECDF of the ranks of {quantity} less uniform, by {', '.join(shown)}, with a {1 - ALPHA:.0%} band"
    return framed(clipped(quantity, 40), marks, x=x, y=y, description=description, labels=(f"rank / {RANKED + 1}", ""))
