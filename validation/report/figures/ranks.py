"""Simulation-based calibration: how far the ECDF of the truth's ranks is from uniform, with a simultaneous band."""

from collections.abc import Mapping

import numpy as np

from validation.report import summaries
from validation.report.marks import Array, Axis, area, line
from validation.report.panels import BOTTOM, LEFT, RIGHT, TOP, Palette, framed
from validation.report.summaries import ByEstimator
from validation.report.words import clipped
from validation.statistics.uniformity import band
from validation.study.plan import Described
from validation.study.row import RANKED

ALPHA = 0.05
AT = np.arange(1, RANKED + 1) / (RANKED + 1)
Lines = Mapping[str, tuple[int, Array]]  # by estimator: how many ranks, and the difference


def differences(scenario: Described, rows: ByEstimator, palette: Palette) -> list[str]:
    """Return one panel per quantity, the estimators overlaid (Säilynoja et al. 2022)."""
    counts = sorted({len(summaries.ranks(r, q)) for r in rows.values() for q in summaries.ranked({"": r})} - {0})
    bands = {n: _edges(n) for n in counts}
    names = summaries.ranked(rows)
    found = {name: _lines(scenario, rows, name) for name in names}
    heights = [v for each in found.values() for _, values in each.values() for v in values]
    most = max((abs(v) for v in (*heights, *(edge for both in bands.values() for edge in np.ravel(both)))), default=1)
    y = Axis(-1.1 * most, 1.1 * most, BOTTOM, TOP)
    return [_panel(name, found[name], y, bands, palette) for name in names]


def difference(ranks: list[int]) -> Array:
    """Return the ECDF at rank 0, …, RANKED - 1 less what is expected of uniform ranks."""
    counts = np.cumsum(np.bincount(ranks, minlength=RANKED + 1))[:-1]
    return np.asarray(counts / len(ranks) - AT)


def _edges(n: int) -> tuple[Array, Array]:
    low, high = band(n, RANKED, ALPHA)
    return low / n - AT, high / n - AT


def _lines(scenario: Described, rows: ByEstimator, quantity: str) -> Lines:
    found = {name: summaries.ranks(rows[name], quantity) for name in scenario.estimators}
    return {name: (len(ranks), difference(ranks)) for name, ranks in found.items() if ranks}


def _panel(quantity: str, lines: Lines, y: Axis, bands: Mapping[int, tuple[Array, Array]], palette: Palette) -> str:
    x = Axis(0.0, 1.0, LEFT, RIGHT)
    mine = [bands[n] for n in sorted({n for n, _ in lines.values()})]
    marks = [area(x.at(AT), y.at(low), y.at(high), "band") for low, high in mine]
    marks.append(line([LEFT, RIGHT], y.at([0.0, 0.0]), "truth dashed"))
    for name, (_, values) in lines.items():
        marks.append(line(x.at([0, *AT, 1]), y.at([0, *values, 0]), palette.css(name)))
    what = f"ECDF of the ranks of {quantity} less uniform, by {', '.join(lines)}, with a {1 - ALPHA:.0%} band"
    return framed(clipped(quantity, 40), marks, x=x, y=y, description=what, labels=(f"rank / {RANKED + 1}", ""))
