"""Predicted against true distributions of outcomes under interventions, in the first replicates."""

from collections.abc import Iterable, Sequence

import numpy as np

from validation.report.figures.estimates import fitted
from validation.report.marks import Axis, area, dots, line
from validation.report.panels import BOTTOM, LEFT, RIGHT, TOP, Palette, framed
from validation.report.summaries import ByEstimator
from validation.report.words import clipped
from validation.study.plan import PlannedScenario
from validation.study.row import Curve, Prediction, Row

Curves = Sequence[tuple[str, Prediction, Curve]]  # estimator, what is predicted, densities


def panels(scenario: PlannedScenario, rows: ByEstimator, palette: Palette) -> list[str]:
    """Return panels of one estimator (or, where truths vary, one replicate) each; discrete outcomes by intervention."""
    varying = scenario.truth.varies
    most = drawn(scenario, palette)
    names = fitted(scenario, rows)
    by_title: dict[str, list[tuple[str, Prediction, Curve]]] = {}
    for name in names:
        for row in rows[name]:
            for prediction in row.predictions if row.replicate < most else ():
                if (curve := prediction.curve) and curve.x:
                    title = _title(name, row, prediction, curve, varying=varying)
                    by_title.setdefault(title, []).append((name, prediction, curve))
    ordered = sorted(by_title.items(), key=lambda item: is_discrete(item[1][0][2]))
    return [
        _bars(title, curves, names, palette)
        if is_discrete(curves[0][2])
        else _lines(title, curves, curves if varying else _same_outcome(curves, by_title.values()), palette)
        for title, curves in ordered
    ]


def drawn(scenario: PlannedScenario, palette: Palette) -> int:
    """Of how many replicates densities are drawn: fewer where each has a panel of its own."""
    return palette.densities // 2 if scenario.truth.varies else palette.densities


def is_discrete(curve: Curve) -> bool:
    """Whether a curve is over the values 0, 1, … of a discrete outcome rather than over a grid."""
    return curve.x == tuple(float(i) for i in range(len(curve.x)))


def _title(name: str, row: Row, prediction: Prediction, curve: Curve, *, varying: bool) -> str:
    """What the curves of one panel have in common."""
    replicate = f"replicate {row.replicate}: " if varying else ""
    if is_discrete(curve):
        return f"{replicate}p({prediction.of})"
    return f"{replicate or f'{name}: '}p({_outcome(prediction)} | do(…))"


def _same_outcome(curves: Curves, curves_by_panel: Iterable[Curves]) -> Curves:
    """The curves of all estimators for the outcome of these, which share their axes."""
    outcome = _outcome(curves[0][1])
    return [
        (name, prediction, curve)
        for of_title in curves_by_panel
        for name, prediction, curve in of_title
        if _outcome(prediction) == outcome and not is_discrete(curve)
    ]


def _outcome(prediction: Prediction) -> str:
    return prediction.of.split(" | ")[0]


def _lines(title: str, curves: Curves, on_axes_of: Curves, palette: Palette) -> str:
    x, peak = _range(on_axes_of)
    y = Axis(0.0, 1.06 * peak, BOTTOM, TOP)
    marks, drawn = [], set()
    for name, prediction, curve in curves:
        at = np.asarray(curve.x)
        inside = (at >= x.low) & (at <= x.high)
        for values, css in ((curve.true, "truth thick"), (curve.predicted, f"{palette.css(name)} thin")):
            if css == "truth thick" and prediction.of in drawn:
                continue
            drawn.add(prediction.of)
            heights = np.clip(np.asarray(values)[inside], y.low, y.high)
            marks.append(line(x.at(at[inside]), y.at(heights), css))
    marks.sort(key=lambda mark: "truth thick" not in mark)
    names = ", ".join(dict.fromkeys(name for name, _, _ in curves))
    description = f"{title}, true and as predicted by {names}: {', '.join(sorted(drawn))}"
    return framed(clipped(title, 40), marks, x=x, y=y, description=description)


def _range(curves: Curves) -> tuple[Axis, float]:
    """The axis over which any density is not negligible, and the height: at most three times the highest truth."""
    truth = max(max(curve.true) for _, _, curve in curves)
    peak = min(max(max(curve.predicted) for _, _, curve in curves), 3 * truth)
    ends = [
        np.asarray(curve.x)[(np.asarray(curve.true) > 1e-3 * truth) | (np.asarray(curve.predicted) > 1e-3 * truth)]
        for _, _, curve in curves
    ]
    return Axis.over(np.concatenate(ends), LEFT, RIGHT, pad=0.01), max(peak, truth)


def _bars(title: str, curves: Curves, names: Sequence[str], palette: Palette) -> str:
    longest = max((curve for _, _, curve in curves), key=lambda curve: len(curve.x))
    heights = [*longest.true, *(height for _, _, curve in curves for height in curve.predicted)]
    x, y = Axis(-0.5, len(longest.x) - 0.5, LEFT, RIGHT), Axis(0.0, 1.06 * max(heights), BOTTOM, TOP)
    marks = []
    for at, value in zip(longest.x, longest.true, strict=True):
        sides = x.at([at - 0.42, at + 0.42])
        marks.append(area(sides, [BOTTOM, BOTTOM], y.at([value, value]), "truth"))
    step = 0.8 / len(names)
    for i, name in enumerate(names):
        beside = (i - (len(names) - 1) / 2) * step
        of_estimator = [curve for estimator, _, curve in curves if estimator == name]
        values = np.array([value for curve in of_estimator for value in curve.x])
        predicted = np.array([height for curve in of_estimator for height in curve.predicted])
        jitter = 0.3 * step * np.sin(2.4 * np.arange(len(values)))
        marks.append(dots(x.at(values + beside + jitter), y.at(predicted), palette.css(name)))
    ticks = [(float(x.at(at)), f"{at:g}") for at in longest.x[:: max(1, len(longest.x) // 6)]]
    return framed(clipped(title, 40), marks, x=ticks, y=y, description=f"{title}, true (bars) and predicted (dots)")
