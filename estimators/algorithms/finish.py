"""From what an estimator found to a fit: labels by the one rule, the status settled, and said where it is not good."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from estimators.algorithms.checked import Checked
from estimators.algorithms.prior_remarks import of_priors
from estimators.algorithms.protocol import Task
from estimators.contract import Density
from estimators.data.remarks import Remark
from estimators.diagnostics import chain_status
from estimators.fits.advice import with_labels
from estimators.fits.edge_words import separated, words_at_boundary, words_at_ends
from estimators.fits.fit import Fit
from estimators.fits.kind import Kind
from estimators.fits.labels import Labelling, label
from estimators.fits.left_open import left_open, open_at_maximum
from estimators.fits.left_to_priors import prior_remarks
from estimators.fits.mode_findings import mode_findings, proportion_remark, rivals_in_words, spurious_remarks
from estimators.fits.modes import kept_modes, mode_weights, rivals_of
from estimators.fits.summary import say_status
from estimators.modes.draw_modes import divided
from estimators.modes.found import Found
from estimators.modes.table import SHARE, Modes
from estimators.optimise.arrays import Array
from estimators.parameters.edges import words_of_edges
from estimators.status import Status, in_order, in_words

NO_MODE = (
    "The search for modes found no maximum but narrow classes on few rows: this answer is of other starts, and others "
    "as good may be there."
)
# Where no other status says why there is none.
INTERIOR = (Status.CONVERGED, Status.NOT_IDENTIFIED)
AT_END = "At the end of what it can be, as a maximum may be: "


@dataclass(frozen=True)
class Estimated:
    """Draws as an estimator found them; ``best`` is that of the highest density.

    ``findings`` are all statuses that hold, CONVERGED where none does, and what each is about ("" for nothing more);
    ``remarks`` are sentences that are no reason to warn. Both name components as the draws do. ``weights`` [M] are the
    shares of the modes that were ``found``, where the draws hold these: then the findings say all of them. ``checked``
    are the draws if they have been labelled and checked before.
    """

    kind: Kind
    draws: Mapping[str, Tensor]
    stats: Mapping[str, Any]
    findings: Mapping[Status, str] = field(default_factory=dict)
    info: Mapping[str, Tensor] = field(default_factory=dict)
    num_chains: int = 1
    best: int = 0
    remarks: tuple[str, ...] = ()
    found: Found | None = None
    weights: Array | None = None
    checked: Checked | None = None


def finish(task: Task, density: Density, estimated: Estimated) -> Fit:
    """Label the draws, settle the status, and warn (or raise, if strict) where it is not CONVERGED."""
    uses_prior = estimated.kind.uses_prior
    checked = estimated.checked or _checked(task, density, estimated)
    labelled = checked.labelled
    stats = {**estimated.stats, **labelled.stats, **checked.sizes}
    if estimated.found is not None:
        stats["search_starts"] = estimated.found.num_starts
    elif estimated.kind.is_posterior:
        estimated = _divided(task, density, estimated, checked)
    findings, modes = dict(estimated.findings), None
    if estimated.found is not None and estimated.found.modes:
        weights = estimated.weights
        if weights is None:
            weights = mode_weights(estimated.found, density, uses_prior=uses_prior)
        modes = kept_modes(estimated.found, task.model, density, weights, labelled.key, kind=estimated.kind)
        if estimated.weights is None:
            findings |= mode_findings(estimated.found, density, modes, uses_prior=uses_prior)
    rename = _renaming(task, density, estimated, labelled, (*findings.values(), *estimated.remarks))
    findings = {status: rename(about) for status, about in findings.items()}
    if estimated.kind.is_mode and Status.BOUNDARY not in findings:
        lost = words_of_edges(separated(density, {name: value[0].numpy() for name, value in labelled.draws.items()}))
        findings |= {Status.BOUNDARY: lost} if lost else {}
    findings |= _what_is_open(task, density, estimated, labelled, findings, modes)
    if estimated.kind.has_chains:
        of_divergences = {Status.DIVERGENCES: ""} if stats.get("num_divergences", 0) else {}
        findings = {**checked.holds, **of_divergences} | findings
    of_data, on_priors = density.remarks(), list[str]()
    if uses_prior and density.size and density.has_prior:
        conflict, on_priors = of_priors(task, density, labelled.draws, estimated.best)
        findings |= conflict
    findings = _explained(in_order(findings), density, labelled, of_data)
    remarks = [rename(remark) for remark in estimated.remarks]
    ends = words_at_ends(density, labelled.draws, of_data) if estimated.kind.is_mode else ""
    remarks += [f"{AT_END}{ends}."] if ends else []
    remarks += [] if estimated.found is None else spurious_remarks(estimated.found)
    is_without_modes = estimated.found is not None and not estimated.found.modes
    remarks += [NO_MODE] if is_without_modes and not findings.keys().isdisjoint(INTERIOR) else []
    # What is said with a status is said once.
    is_open = findings.get(Status.NOT_IDENTIFIED, "")
    remarks += [*on_priors, *prior_remarks(modes.left_to_priors[0] if modes else "", is_open)]
    said = (*findings.values(), ends)
    remarks += [one.sentence for one in of_data if not any(str(one) in about for about in said)]
    stats["seconds"] = time.perf_counter() - task.started
    fit = Fit(
        model=task.model,
        kind=estimated.kind,
        draws=labelled.draws,
        num_chains=estimated.num_chains,
        status=next(iter(findings)),
        stats=stats,
        info=estimated.info,
        data=density.data,
        findings=findings,
        remarks=tuple(remarks),
        found=modes,
    )
    say_status(fit, strict=task.strict)
    return fit


def _checked(task: Task, density: Density, estimated: Estimated) -> Checked:
    """The labels of the draws, and, of chains, what these say of themselves."""
    kind = estimated.kind
    rivals = rivals_of(estimated.found, density, uses_prior=kind.uses_prior) if kind.is_mode else None
    draws, best = dict(estimated.draws), estimated.best
    labelled = label(task.model, density, draws, best, uses_prior=kind.uses_prior, rivals=rivals)
    of_chains = chain_status(labelled.draws, estimated.num_chains, 0) if kind.has_chains else ({}, {})
    return Checked(labelled, *of_chains)


def _divided(task: Task, density: Density, estimated: Estimated, checked: Checked) -> Estimated:
    """The same with the mode that each draw is of, where no search has said it."""
    draws = {name: value.numpy() for name, value in checked.labelled.draws.items()}
    with in_words(estimated.stats["estimator"]):
        division = divided(task.model, density, density.unconstrain(draws))
    if division is None:
        return estimated
    found, shares = division.found, division.shares
    rivals = [number for number in range(1, len(shares)) if shares[number] >= SHARE]
    about = rivals_in_words(found, rivals, shares, uses_prior=True) if rivals else ""
    are_in_proportion = Status.CHAINS_DISAGREE not in checked.holds
    remarks = [proportion_remark(about, are_in_proportion=are_in_proportion)] if rivals else []
    info = {**estimated.info, "mode": torch.from_numpy(division.at.astype(np.int64))}
    return replace(estimated, found=found, weights=shares, info=info, remarks=(*remarks, *estimated.remarks))


def _what_is_open(
    task: Task,
    density: Density,
    estimated: Estimated,
    labelled: Labelling,
    findings: Mapping[Status, str],
    modes: Modes | None,
) -> dict[Status, str]:
    """NOT_IDENTIFIED where the rows leave something open, at the mode that was found or of the posterior."""
    is_open = modes.opens[0] if modes is not None and estimated.weights is None else ""
    if not is_open and estimated.kind.uses_prior:
        is_open = left_open(task.model, density, labelled.draws, estimated.best)
    elif modes is None and set(findings) <= {Status.CONVERGED}:
        is_open = open_at_maximum(density, labelled.draws)
    return {Status.NOT_IDENTIFIED: is_open} if is_open else {}


def _explained(
    findings: Mapping[Status, str], density: Density, labelled: Labelling, remarks: Sequence[Remark]
) -> dict[Status, str]:
    """What is at an edge, and a collapse or an edge that the rows themselves explain."""
    explained = dict(findings)
    if Status.COMPONENT_COLLAPSED in findings:
        causes = "; ".join(str(remark) for remark in remarks if remark.collapses)
        explained[Status.COMPONENT_COLLAPSED] = findings[Status.COMPONENT_COLLAPSED] or causes
    if Status.BOUNDARY in findings:
        explained[Status.BOUNDARY] = findings[Status.BOUNDARY] or words_at_boundary(density, labelled.draws, remarks)
    return explained


def _renaming(
    task: Task, density: Density, estimated: Estimated, labelled: Labelling, words: Sequence[str]
) -> Callable[[str], str]:
    """What gives components their labels, in words that name them as the estimator's draws do."""
    order = labelled.permutations[estimated.best].tolist()
    if order == sorted(order) or not any(words):
        return lambda words: words
    best = {name: value[estimated.best] for name, value in estimated.draws.items()}
    symmetry = task.model.symmetry(density.data, best, uses_prior=estimated.kind.uses_prior)
    return lambda words: with_labels(words, symmetry.axes, order)
