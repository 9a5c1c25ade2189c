"""The report's figures, one small panel each, made from rows."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from validation.record import Row, free
from validation.report.svg import FAINT, INK, SERIES, TRUTH, new_panel, to_svg
from validation.results import Described

ByEstimator = Mapping[str, Sequence[Row]]


def colour(name: str, names: Sequence[str]) -> str:
    """Return an estimator's colour; a Laplace approximation shares that of its point estimate."""
    bases = list(dict.fromkeys(each.split("+")[0] for each in names))
    return SERIES[bases.index(name.split("+")[0]) % len(SERIES)]


def estimates(scenario: Described, rows: ByEstimator) -> list[str]:
    """Return one panel per entry: every replicate's estimate by estimator, the truth, and an efficient 90 % band."""
    names = _fitted(rows)
    entries = shown(name for each in names for row in rows[each] for name in row.estimate)
    return [_strip(scenario, rows, entry, names, i) for i, entry in enumerate(entries)]


def truth_against_estimate(scenario: Described, rows: ByEstimator) -> list[str]:
    """Return one panel per estimator: estimates of the outcome's means against the truths they were made for."""
    return [
        _scatter(scenario, rows, name, prefix, label, i)
        for prefix, label in (("mu_", "means"), ("theta", "weight"))
        for i, name in enumerate(_fitted(rows))
    ]


def densities(scenario: Described, rows: ByEstimator) -> list[str]:
    """Return one panel per estimator: true p(X | do(Z=z)) and what the first replicates predicted."""
    names = [name for name in rows if any(p.curve for row in rows[name] for p in row.predictions)]
    return [_density(scenario, rows, name, i) for i, name in enumerate(names)]


def divergences(scenario: Described, rows: ByEstimator) -> list[str]:
    """Return one panel per intervention: every replicate's divergence by estimator, on a logarithmic axis."""
    names = [name for name in rows if any(row.predictions for row in rows[name])]
    zs = sorted({p.z for name in names for row in rows[name] for p in row.predictions})
    return [_divergence(scenario, rows, z, names) for z in zs]


def _strip(scenario: Described, rows: ByEstimator, entry: str, names: Sequence[str], number: int) -> str:
    figure = new_panel()
    axes = figure.axes[0]
    truth = _truth(scenario, rows, entry)
    if scenario.efficient_sd is not None and truth is not None and entry in scenario.efficient_sd:
        half = 1.645 * scenario.efficient_sd[entry]
        axes.axhspan(truth - half, truth + half, color=TRUTH, alpha=0.12, linewidth=0)
    if truth is not None:
        axes.axhline(truth, color=TRUTH, linewidth=1, linestyle=(0, (4, 3)))
    _dots(axes, [[row.estimate[entry] for row in rows[name] if entry in row.estimate] for name in names], names)
    axes.set_title(readable(entry), loc="left")
    what = f"Estimates of {readable(entry)} by {', '.join(names)}, with the truth as a line"
    return to_svg(figure, f"{scenario.name}-estimate-{number}", what)


def _scatter(scenario: Described, rows: ByEstimator, name: str, prefix: str, label: str, number: int) -> str:
    figure = new_panel()
    axes = figure.axes[0]
    kept = [row for row in rows[name] if row.estimate]
    entries = free(entry for row in kept for entry in row.truth if entry.startswith(prefix))
    truth = np.array([row.truth[entry] for row in kept for entry in entries])
    estimate = np.array([row.estimate[entry] for row in kept for entry in entries])
    if truth.size:
        ends = [min(truth.min(), estimate.min()), max(truth.max(), estimate.max())]
        axes.plot(ends, ends, color=TRUTH, linewidth=1.2)
        axes.plot(truth, estimate, "o", markersize=3.5, alpha=0.6, color=colour(name, list(rows)), markeredgewidth=0)
    axes.set_title(f"{name}: {label}", loc="left")
    figure.subplots_adjust(left=0.2, bottom=0.2)
    axes.set_xlabel("truth")
    axes.set_ylabel("estimate")
    return to_svg(figure, f"{scenario.name}-scatter-{prefix}-{number}", f"Estimated against true {label} by {name}")


def _density(scenario: Described, rows: ByEstimator, name: str, number: int) -> str:
    figure = new_panel()
    axes = figure.axes[0]
    curves = [p.curve for row in rows[name] for p in row.predictions if p.curve is not None]
    first = next(row for row in rows[name] if any(p.curve for p in row.predictions))
    for p in first.predictions:
        if p.curve is not None:
            axes.plot(p.curve.x, p.curve.true, color=TRUTH, linewidth=3, alpha=0.35)
    for curve in curves:
        axes.plot(curve.x, curve.predicted, color=colour(name, list(rows)), linewidth=0.8, alpha=0.8)
    axes.set_title(f"{name}: p(X | do(Z=z))", loc="left")
    axes.set_ylim(bottom=0)
    return to_svg(figure, f"{scenario.name}-density-{number}", f"True and predicted p(X | do(Z=z)) by {name}")


def _divergence(scenario: Described, rows: ByEstimator, z: int, names: Sequence[str]) -> str:
    figure = new_panel()
    axes = figure.axes[0]
    values = [[max(p.kl, 1e-6) for row in rows[name] for p in row.predictions if p.z == z] for name in names]
    _dots(axes, values, names)
    axes.set_yscale("log")
    axes.set_title(f"KL (nats) under do(Z={z})", loc="left")
    return to_svg(figure, f"{scenario.name}-kl-{z}", f"Divergence of predictions under do(Z={z}) by {', '.join(names)}")


def _dots(axes: Axes, values: Sequence[Sequence[float]], names: Sequence[str]) -> None:
    """Draw one column of dots per estimator, spread sideways in a fixed pattern, and a line at the mean."""
    for i, (column, name) in enumerate(zip(values, names, strict=True)):
        sideways = i + 0.24 * np.sin(2.399963 * np.arange(len(column)))
        axes.plot(sideways, column, "o", markersize=3, alpha=0.6, color=colour(name, names), markeredgewidth=0)
        if column:
            axes.hlines(float(np.mean(column)), i - 0.33, i + 0.33, color=INK, linewidth=1.2)
    axes.set_xticks(range(len(names)), [name.replace("+", "\n+") for name in names])
    if any("+" in name for name in names):  # two lines of labels
        axes.figure.subplots_adjust(bottom=0.2)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.6)
    axes.tick_params(axis="x", length=0)


def readable(entry: str) -> str:
    """Return an entry's name for a reader: a contrast is spelled out."""
    if entry.startswith("contrast["):
        return f"E[X|do(Z={entry[9:-1]})] − E[X|do(Z=0)]"
    return entry


def _fitted(rows: ByEstimator) -> list[str]:
    """Return the estimators without their Laplace approximations, whose centre is the same."""
    return [name for name in rows if "+" not in name]


def shown(entries: Iterable[str]) -> list[str]:
    """Return the entries worth showing, contrasts last: the last weight is determined by the others."""
    names = list(dict.fromkeys(entries))
    return [*free(names), *(name for name in names if name.startswith("contrast["))]


def _truth(scenario: Described, rows: ByEstimator, entry: str) -> float | None:
    """Return the fixed truth, or the mean of what replicates were compared with where that is an exact posterior."""
    if scenario.truth is not None:
        return scenario.truth.get(entry)
    targets = [row.truth[entry] for each in rows.values() for row in each if entry in row.truth]
    return float(np.mean(targets)) if targets else None
