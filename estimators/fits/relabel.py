"""Other names for the labels of a fit."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from estimators.checks import what_came
from estimators.fits.advice import with_labels
from estimators.parameters.symmetry import Symmetry, permute
from estimators.queries.labels import names_of

if TYPE_CHECKING:
    from estimators.fits.fit import Fit

Order = Sequence[int] | NDArray[np.intp] | Mapping[str, int]


def symmetry_of(fit: "Fit") -> Symmetry:
    """Which labels are free, and the axes of the Greeks that they index."""
    return fit.model.symmetry(fit.data, {name: value[0] for name, value in fit.draws.items()})


def relabelled(fit: "Fit", order: Order) -> "Fit":
    """The same fit with component k renamed to what ``order[k]`` was, or with named labels; see `Fit.relabel`."""
    symmetry = fit.symmetry
    if isinstance(order, Mapping):
        if not symmetry.axes:
            raise ValueError(f"relabel: the labels of this program cannot be named; {symmetry.sentence}")
        return replace(fit, label_names=names_of(order, symmetry.num_labels))
    permutation = _checked(order, symmetry)
    draws = permute(dict(fit.draws), symmetry.axes, np.tile(permutation, (fit.num_draws, 1)))
    stats = {**fit.stats, "labels": f"set by hand to {permutation} after: {fit.stats.get('labels')}"}
    model, data = fit.model.permuted(permutation), fit.data
    for site in symmetry.sites:
        data = None if data is None else data.relabelled(permutation, site)
    names = tuple(fit.label_names[k] for k in permutation) if fit.label_names else ()

    def renamed(sentences: Sequence[str]) -> tuple[str, ...]:
        return tuple(with_labels(sentence, symmetry.axes, permutation) for sentence in sentences)

    findings = dict(zip(fit.findings, renamed([*fit.findings.values()]), strict=True))
    modes = None if fit.found is None else fit.found.renamed(symmetry.axes, permutation)
    modes = modes and modes.saying({name: renamed(said) for name, said in modes.sentences.items()})
    words = replace(fit, findings=findings, remarks=renamed(fit.remarks), found=modes)
    return replace(words, model=model, draws=draws, stats=stats, data=data, label_names=names)


def _checked(order: Sequence[int] | NDArray[np.intp], symmetry: Symmetry) -> list[int]:
    """The order as a list of labels, each once; raises TypeError or ValueError for anything else."""
    if not (symmetry.is_nontrivial or symmetry.renames_pinned):
        raise ValueError(f"relabel: the labels of this program cannot be exchanged; {symmetry.sentence}")
    labels = list(range(symmetry.num_labels))
    if not isinstance(order, Sequence | np.ndarray) or not all(isinstance(k, Real) for k in order):
        raise TypeError(f"relabel: expected a permutation of {labels}, got {what_came(order)}")
    if sorted(order) != labels:
        raise ValueError(f"relabel: expected a permutation of {labels}, got {list(order)!r}")
    return [int(k) for k in order]
