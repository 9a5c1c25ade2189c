"""What draws of chains say of themselves once they have labels."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from estimators.algorithms.protocol import Task
from estimators.contract import Density
from estimators.diagnostics import chain_status
from estimators.fits.labels import Labelling, label
from estimators.status import Status


@dataclass(frozen=True)
class Checked:
    """Relabelled draws, what holds of them aside from divergences, the smallest ESS and the largest R-hat."""

    labelled: Labelling
    holds: Mapping[Status, str]
    sizes: Mapping[str, float]


def checked(task: Task, density: Density, draws: dict[str, Tensor], num_chains: int, best: int) -> Checked:
    """Draws [S, *shape] of a posterior, chain by chain; ``best`` is that of the highest density."""
    labelled = label(task.model, density, draws, best)
    return Checked(labelled, *chain_status(labelled.draws, num_chains, 0))
