"""Where chains start: around the best modes found, over-dispersed, so that R-hat can see a chain that does not mix."""

from itertools import islice

import numpy as np

from estimators.algorithms.protocol import Task
from estimators.contract import Density, Objective, log_posterior
from estimators.isolation import spawn_seeds
from estimators.modes.best_starts import best_starts
from estimators.optimise.arrays import Array
from estimators.optimise.ascent import Summit, ascend
from estimators.optimise.curvature import eigen, observed_information
from estimators.status import EstimationError

RESCALE = (
    "the columns, the weights and the priors may be many orders of magnitude apart: rescale the columns, lower the "
    "weights or widen the priors"
)
# The largest step between neighbouring floating-point numbers, in nats, at which densities are still compared.
RESOLUTION = 0.05
NUM_STARTS = 50
# EM steps from every start; starts are scored both before and after them.
REFINEMENTS = 3
# Modes climbed to, and how far below the best (in nats) a mode may lie and still have a chain started at it.
NUM_MODES = 4
MODE_GAP = 10.0
SAME_MODE = 1e-6
# Chains start this many times the local sd away from a mode, so that R-hat can see a chain that does not come back.
DISPERSION = 2.0


def chain_starts(task: Task, density: Density, num_chains: int) -> Array:
    """[num_chains, D]: chains are dealt over the modes within reach of the best, and moved off them by 2 local sds."""
    if not density.size:
        return np.zeros((num_chains, 0))
    return starts_off(task, density, _few_modes(task, density, num_chains))


def starts_off(task: Task, density: Density, dealt: Array) -> Array:
    """Where chains start [num_chains, D], by 2 local sds off the mode that each is dealt [num_chains, D]."""
    rng = np.random.default_rng(spawn_seeds(task.seed, 1)[0])
    objective = Objective(density, log_posterior)
    starts = []
    for mode in dealt:
        spread = _local_sd(objective, mode)
        move = rng.standard_normal(density.size) * spread * DISPERSION
        points = (mode + move / 2**n for n in range(60))
        starts.append(next((point for point in points if _coarseness(objective, point) <= RESOLUTION), mode))
    coarsest = max(_coarseness(objective, start) for start in starts)
    if not np.isfinite(coarsest):
        raise EstimationError(f"NUTS: the log density is not finite at any start; {RESCALE}")
    if coarsest > RESOLUTION:
        raise EstimationError(
            f"NUTS: the log density is so large that its numbers are {coarsest:.2g} apart, too coarse to tell draws "
            f"apart; {RESCALE}"
        )
    return np.array(starts)


def _few_modes(task: Task, density: Density, num_chains: int) -> Array:
    """The modes [num_chains, D] that the best of a few starts lead to, in turn."""
    objective = Objective(density, log_posterior)
    starts_rng = np.random.default_rng(task.seed)
    candidates = best_starts(
        task.model, density, log_posterior, NUM_STARTS, starts_rng, refinements=REFINEMENTS, unrefined=True
    )
    summits = [ascend(objective, start, 1e-6, max_steps=200) for start in islice(candidates, NUM_MODES)]
    best = max(summit.value for summit in summits)
    modes = [summit.coordinates for summit in _distinct(summits) if summit.value >= best - MODE_GAP]
    return np.array([modes[chain % len(modes)] for chain in range(num_chains)])


def _coarseness(objective: Objective, point: Array) -> float:
    """How far apart neighbouring numbers are at a log density, in nats; infinite where it is not finite."""
    value = float(objective.value(point))
    return float(np.spacing(abs(value))) if np.isfinite(value) else np.inf


def _distinct(summits: list[Summit]) -> list[Summit]:
    """Best first, without modes of equal height: copies of each other under relabelling, or reached twice."""
    distinct: list[Summit] = []
    for summit in sorted(summits, key=lambda one: -one.value):
        if not distinct or distinct[-1].value - summit.value > SAME_MODE * (1.0 + abs(summit.value)):
            distinct.append(summit)
    return distinct


def _local_sd(objective: Objective, mode: Array) -> Array:
    values, vectors = eigen(observed_information(objective, mode))
    held = np.maximum(values, 1.0)
    return np.asarray(np.sqrt((vectors**2 / held).sum(1)))
