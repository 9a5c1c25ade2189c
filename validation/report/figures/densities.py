"""Predicted against true distributions of outcomes under interventions, in the first replicates."""

from collections.abc import Iterable, Sequence

import numpy as np

from validation.report.figures.estimates import fitted
from validation.report.marks import Axis, area, dots, line
from validation.report.panels import BOTTOM, LEFT, RIGHT, TOP, Palette, framed
from validation.report.summaries import ByEstimator
from validation.report.words import clipped
from validation.scenarios import Truth
from validation.study.plan import Described
from validation.study.row import Curve, Prediction, Row

VARYING = 4  # replicates shown where each has a truth of its own
Curves = Sequence[tuple[str, Prediction, Curve]]  # estimator, what is predicted, densities


def panels(scenario: Described, rows: ByEstimator, palette: Palette) -> list[str]:
    """Return panels of one estimator (or, where truths vary, one replicate) each; discrete outcomes by intervention."""
    varying = scenario.truth is Truth.PRIOR
    found: dict[str, Curves] = {}
    for name in fitted(scenario, rows):
        for row in rows[name]:
            for prediction, curve in _curves(row):
                if not (varying and row.replicate >= VARYING):
                    title = _title(name, row, prediction, curve, varying=varying)
                    found[title] = [*found.get(title, []), (name, prediction, curve)]
    ordered = sorted(found.items(), key=lambda item: is_discrete(item[1][0][2]))
    return [
        _bars(title, each, fitted(scenario, rows), palette)
        if is_discrete(each[0][2])
        else _lines(title, each, each if varying else _same_outcome(each, found.values()), palette)
        for title, each in ordered
    ]


def is_discrete(curve: Curve) -> bool:
    """Whether a curve is over the values 0, 1, … of a discrete outcome rather than over a grid."""
    return curve.x == tuple(float(i) for i in range(len(curve.x)))


def _curves(row: Row) -> list[tuple[Prediction, Curve]]:
    return [(each, each.curve) for each in row.predictions if each.curve and each.curve.x]


def _title(name: str, row: Row, prediction: Prediction, curve: Curve, *, varying: bool) -> str:
    """What the curves of one panel have in common."""
    outcome = _outcome(prediction)
    which = f"replicate {row.replicate}: " if varying else ""
    if is_discrete(curve):
        return f"{which}p({prediction.of})"
    return f"{which or f'{name}: '}p({outcome} | do(…))"


def _same_outcome(found: Curves, others: Iterable[Curves]) -> Curves:
    """The curves of all estimators for the outcome of these, which share their axes."""
    outcome = _outcome(found[0][1])
    return [each for curves in others for each in curves if _outcome(each[1]) == outcome and not is_discrete(each[2])]


def _outcome(prediction: Prediction) -> str:
    return prediction.of.split(" | ")[0]


def _lines(title: str, found: Curves, on_axes_of: Curves, palette: Palette) -> str:
    x, peak = _range(on_axes_of)
    y = Axis(0.0, 1.06 * peak, BOTTOM, TOP)
    marks, seen = [], set()
    for name, prediction, curve in found:
        at = np.asarray(curve.x)
        inside = (at >= x.low) & (at <= x.high)
        for values, css in ((curve.true, "truth thick"), (curve.predicted, f"{palette.css(name)} thin")):
            if css == "truth thick" and prediction.of in seen:
                continue
            seen.add(prediction.of)
            heights = np.clip(np.asarray(values)[inside], y.low, y.high)
            marks.append(line(x.at(at[inside]), y.at(heights), css))
    marks.sort(key=lambda mark: "truth thick" not in mark)
    names = ", ".join(dict.fromkeys(name for name, _, _ in found))
    what = f"{title}, true and as predicted by {names}: {', '.join(sorted(seen))}"
    return framed(clipped(title, 40), marks, x=x, y=y, description=what)


def _range(found: Curves) -> tuple[Axis, float]:
    """The axis over which any density is not negligible, and the height: at most three times the highest truth."""
    truth = max(max(curve.true) for _, _, curve in found)
    peak = min(max(max(curve.predicted) for _, _, curve in found), 3 * truth)
    ends = [
        np.asarray(curve.x)[(np.asarray(curve.true) > 1e-3 * truth) | (np.asarray(curve.predicted) > 1e-3 * truth)]
        for _, _, curve in found
    ]
    return Axis.over(np.concatenate(ends), LEFT, RIGHT, pad=0.01), max(peak, truth)


def _bars(title: str, found: Curves, names: Sequence[str], palette: Palette) -> str:
    curve = max((each for _, _, each in found), key=lambda each: len(each.x))
    heights = [*curve.true, *(v for _, _, each in found for v in each.predicted)]
    x, y = Axis(-0.5, len(curve.x) - 0.5, LEFT, RIGHT), Axis(0.0, 1.06 * max(heights), BOTTOM, TOP)
    marks = []
    for at, value in zip(curve.x, curve.true, strict=True):
        sides = x.at([at - 0.42, at + 0.42])
        marks.append(area(sides, [BOTTOM, BOTTOM], y.at([value, value]), "truth"))
    step = 0.8 / len(names)
    for i, name in enumerate(names):
        beside = (i - (len(names) - 1) / 2) * step
        mine = [each for other, _, each in found if other == name]
        places = np.concatenate([np.asarray(each.x) for each in mine]) if mine else np.zeros(0)
        predicted = np.concatenate([np.asarray(each.predicted) for each in mine]) if mine else np.zeros(0)
        wiggle = 0.3 * step * np.sin(2.4 * np.arange(len(places)))
        marks.append(dots(x.at(places + beside + wiggle), y.at(predicted), palette.css(name)))
    ticks = [(float(x.at(at)), f"{at:g}") for at in curve.x[:: max(1, len(curve.x) // 6)]]
    return framed(clipped(title, 40), marks, x=ticks, y=y, description=f"{title}, true (bars) and predicted (dots)")
