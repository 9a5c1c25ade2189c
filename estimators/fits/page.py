"""A fit on a page of at most 25 lines: what it is, what holds of it, what its labels mean, its Greeks, its rivals."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from torch import Tensor

from estimators.data.data import Data
from estimators.data.words import LINE, LINES, WIDTH, cut, few, few_lines, first_lines, in_digits, in_few_digits
from estimators.fits.level_names import names_along_axes
from estimators.isolation import own_modes
from estimators.queries.labels import entry_names

if TYPE_CHECKING:
    from estimators.fits.fit import Fit

# Lines that all sentences of advice, one of them, the meaning of labels, and rows may take; rivals that are shown.
ADVICE, SENTENCE, LABELS, ROWS, RIVALS = 9, 4, 2, 2, 3
# Statuses that are named in one line.
STATUSES = 3
# How good a fit is, by its name among the statistics.
SCORES = {
    "log_likelihood": "log-likelihood {:.2f}",
    "log_joint": "log joint density {:.2f}",
    "log_evidence": "log evidence {:.2f}",
    "min_ess": "least ESS {:.0f}",
    "max_r_hat": "greatest R-hat {:.3f}",
}


def line_of(fit: "Fit") -> str:
    """A fit in a line: what it is, what holds of it, its estimates, and whether there is more to read."""
    statuses = few([status.name for status in fit.findings], STATUSES)
    head = f"Fit({_kind(fit)}, {statuses}: "
    more = f"; {len(fit.advice)} sentences in fit.advice)" if len(fit.advice) > 1 else ")"
    return head + cut(_values({name: fit[name] for name in fit.draws}), LINE - len(head) - len(more)) + more


@own_modes()
def page_of(fit: "Fit") -> str:
    """A fit on a page; what is cut says which call has all of it."""
    above = [*head_of(fit), *_advice(fit), *_labels(fit)]
    below = rival_lines(fit)
    return "\n".join([*above, *_greeks(fit, LINES - len(above) - len(below)), *below])


def head_of(fit: "Fit") -> list[str]:
    """What made the fit and how good it is, and the rows."""
    scores = [words.format(fit.stats[name]) for name, words in SCORES.items() if name in fit.stats]
    what = ", ".join([_kind(fit), *scores])
    return [cut(f"{fit.stats.get('estimator', 'Fit')}: {what}"), *([] if fit.data is None else _rows(fit, fit.data))]


def _kind(fit: "Fit") -> str:
    """What the Greeks are: a maximum, or how many draws of what."""
    draws = "" if fit.kind.is_point else f"{fit.num_draws} "
    chains = f" in {fit.num_chains} chains" if fit.num_chains > 1 else ""
    return f"{draws}{fit.kind.words}{chains}"


def _rows(fit: "Fit", data: Data) -> list[str]:
    """The rows; a covariate, which is marked as set since it has no law, was set by nobody."""
    conditioned = {name for name, variable in fit.model.variables.items() if not variable.has_law}
    masks = {name: mask for name, mask in data.intervened.items() if name not in conditioned}
    return _wrapped(repr(data.replace(intervened=masks)), ROWS)


def _advice(fit: "Fit") -> list[str]:
    """The sentences of advice, each in few lines, as far as there is room."""
    lines: list[str] = []
    for sentence in fit.advice:
        room = min(SENTENCE, ADVICE - len(lines))
        lines += _wrapped(sentence, room) if room else []
    is_whole = len(lines) == sum(len(_wrapped(sentence)) for sentence in fit.advice)
    return lines if is_whole else [*lines, "... fit.advice has all of it"]


def _labels(fit: "Fit") -> list[str]:
    """What the labels mean, and how probable that is."""
    certainty = f" (certainty {fit.stats['label_certainty']:.2f})" if "label_certainty" in fit.stats else ""
    meaning = fit.stats.get("labels", "").removeprefix("labels are ")
    return _wrapped(f"Labels{certainty}: {meaning}", LABELS) if meaning else []


def _greeks(fit: "Fit", most: int) -> list[str]:
    """The first entries of the Greeks, classes side by side, each as its mean and, with draws, its sd."""
    import pandas as pd  # a quarter of a second, which only tables need

    axes, names = {**fit.model.component_axes, **fit.symmetry.axes}, names_along_axes(fit)
    rows: dict[str, dict[str, str]] = {}
    for greek, draws in fit.draws.items():
        if len(rows) < most:
            rows |= _entries(greek, draws, [*axes.get(greek, ())], names[greek])
    table = pd.DataFrame.from_dict(rows, orient="index").fillna("")
    table.index.name = "Greek" if fit.num_draws == 1 else "Greek, mean ± sd"
    num_entries = sum(draws[0].numel() for draws in fit.draws.values())
    return few_lines(table, most, f"fit.summary() has all {num_entries} entries")


def _entries(
    greek: str, draws: Tensor, axes: Sequence[int], names: Mapping[int, Sequence[str]]
) -> dict[str, dict[str, str]]:
    """The first entries of a Greek [S, *shape], each by class where an axis runs over classes; of several the last."""
    if not axes:
        by_class, columns, others = draws[..., None], ["all"], dict(names)
    else:
        axis = max(axes)
        by_class = draws.movedim(axis + 1, -1)
        columns = [names[axis][k] if axis in names else f"class {k}" for k in range(by_class.shape[-1])]
        others = {other - (other > axis): along for other, along in names.items() if other != axis}
    labels = entry_names(greek, by_class.shape[1:-1], others)[:LINES]
    first = by_class.reshape(len(draws), -1, len(columns))[:, : len(labels)]
    cells = [[in_digits(value) for value in row] for row in first.mean(0).tolist()]
    if len(draws) > 1:
        spreads = [[f"{sd:.2g}" for sd in row] for row in first.std(0).tolist()]
        cells = [[" ± ".join(both) for both in zip(*rows, strict=True)] for rows in zip(cells, spreads, strict=True)]
    return {label: dict(zip(columns, row, strict=True)) for label, row in zip(labels, cells, strict=True)}


def rival_lines(fit: "Fit") -> list[str]:
    """The other modes that count, a line each."""
    modes = fit.found
    if modes is None:
        return []
    lines = [
        cut(
            f"rival fit.modes[{number}]: weight {modes.weights[number]:.2f}, "
            + ("open, " if modes.are_open[number] else "")
            + _values({name: value[number] for name, value in modes.greeks.items()})
        )
        for number in modes.rivals
    ]
    return first_lines(lines, RIVALS + 1, "print(fit.modes) has all of them")


def _values(greeks: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{name}={in_few_digits(value)}" for name, value in greeks.items())


def _wrapped(text: str, most: int | None = None) -> list[str]:
    return wrap(text, WIDTH, subsequent_indent="  ", max_lines=most, placeholder=" ...")
