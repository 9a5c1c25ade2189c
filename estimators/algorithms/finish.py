"""From what an estimator found to a fit: labels by the one rule, the status settled, and said where it is not good."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from estimators.algorithms.protocol import Task
from estimators.contract import Density
from estimators.diagnostics import chain_status
from estimators.fits.edge_words import words_at_edge
from estimators.fits.fit import Fit
from estimators.fits.kind import Kind
from estimators.fits.labels import label
from estimators.fits.summary import say_status
from estimators.status import Status


@dataclass(frozen=True)
class Estimated:
    """Draws as an estimator found them; ``best`` is that of the highest density."""

    kind: Kind
    draws: Mapping[str, Tensor]
    stats: Mapping[str, Any]
    status: Status = Status.CONVERGED
    info: Mapping[str, Tensor] = field(default_factory=dict)
    num_chains: int = 1
    best: int = 0


def finish(task: Task, density: Density, estimated: Estimated) -> Fit:
    """Label the draws, settle the status, and warn (or raise, if strict) where it is not CONVERGED."""
    draws, uses_prior = dict(estimated.draws), estimated.kind.uses_prior
    labelled = label(task.model, density, draws, estimated.best, uses_prior=uses_prior)
    status, stats = estimated.status, {**estimated.stats, **labelled.stats}
    if estimated.kind.has_chains:
        divergences = int(stats.get("num_divergences", 0))
        status, extra = chain_status(labelled.draws, estimated.num_chains, divergences)
        stats.update(extra)
    if status is Status.BOUNDARY:
        stats["at_edge"] = words_at_edge(density, labelled.draws)
    stats["seconds"] = time.perf_counter() - task.started
    fit = Fit(
        model=task.model,
        kind=estimated.kind,
        draws=labelled.draws,
        num_chains=estimated.num_chains,
        status=status,
        stats=stats,
        info=estimated.info,
        data=density.data,
    )
    say_status(fit, strict=task.strict)
    return fit
