"""Where to start on a causal mixture: many candidates, refined and scored in one batch of parameter sets.

Seeds follow Arthur & Vassilvitskii (2007), "k-means++: the advantages of careful seeding", on standardised columns;
rows are assigned to the nearest seed, softly, and the M-step turns an assignment into Greeks, whatever the mechanisms.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch

from estimators.contract import Density
from estimators.data.data import NOT_SEEN, Data
from estimators.data.working_rows import working_rows
from estimators.estep.marginal import MixtureMarginal
from estimators.mixture.informing import tells_classes_apart
from estimators.optimise.ascent import climb_inside
from estimators.optimise.objective import Combination, Objective
from estimators.optimise.ranking import best_first
from estimators.parameters.parameter import TINY, Array

if TYPE_CHECKING:
    from estimators.mixture.density import Density as MixtureDensity

# Starts are found on at most this many rows, weighted up to all of them.
WORKING_ROWS = 4_000
# So many candidates are tried, of which as few starts as are wanted are the best.
LEAST_CANDIDATES = 8
# Of many rows, the starts that are climbed from on the working rows, how far (in gradient by row), and by how much.
NUM_CLIMBED = 6
CLIMBED = 1e-6
CLIMB_STEPS = 100
# Nats by row that a start may lie below the best there: some thousand rows tell less than a tenth of it apart.
RELEVANT = 0.1
# Share of each row that is spread over all components, so that no component starts as a spike.
SOFTNESS = 0.1


def starts_of(
    density: "MixtureDensity",
    combination: Combination,
    count: int,
    rng: np.random.Generator,
    refinements: int,
    *,
    unrefined: bool,
) -> Array:
    """Distinct starts [B, D], best first, after a few EM steps on all at once (and, `unrefined`, also before)."""
    rows = _working_rows(density.data, rng)
    part = density if rows is density.data else density.of(rows)
    found = candidates(part, part.marginal, max(count, LEAST_CANDIDATES), rng)
    refined = refine(part, part.marginal, found, refinements)
    objective, tried = Objective(part, combination), np.concatenate([found, refined]) if unrefined else refined
    ordered = best_first(objective, part.looks_collapsed, tried)[: (1 + unrefined) * count]
    if part is density:
        return ordered
    # A climb of all rows is shorter from a maximum of some of them, which costs next to nothing.
    summits = {}
    for number, start in enumerate(ordered[:NUM_CLIMBED]):
        end = climb_inside(objective, start, rows.num_rows, gradient=CLIMBED, max_steps=CLIMB_STEPS)
        if end is not None:
            summits[number] = end
    if summits:
        least = max(objective.value(np.array(list(summits.values())))) - RELEVANT * part.total_weight
        tried = np.array([summits.get(number, start) for number, start in enumerate(ordered)])
        ordered = best_first(objective, part.looks_collapsed, tried[objective.value(tried) >= least])
    # The coordinates are relative to the rows they were found on.
    return density.unconstrain(part.constrain(ordered[: (1 + unrefined) * count]))


def _working_rows(data: Data, rng: np.random.Generator) -> Data:
    """At most WORKING_ROWS rows, weighted up to all rows."""
    part, scale = working_rows(data, WORKING_ROWS, rng)
    if part is data:
        return data
    weights = torch.ones(part.num_rows, dtype=torch.float64) if part.weights is None else part.weights
    return part.replace(weights=weights * scale)


def candidates(density: Density, marginal: MixtureMarginal, count: int, rng: np.random.Generator) -> Array:
    """Unconstrained coordinates [count, D] of starts: the M-step of soft k-means++ assignments."""
    points, data, K = _points(marginal), marginal.data, marginal.K
    # A known row of which nothing else is observed is no place for its class.
    latent = torch.where(tells_classes_apart(marginal.nodes, data), data.latent(), NOT_SEEN).numpy()
    shares = np.empty((count, K, data.num_rows))
    even = _evenness(data)
    # Nearness says little of which line a row lies on: half of the starts are lines through a few rows.
    few = max((node.num_inputs + 2 for node in marginal.nodes.values() if node.num_inputs), default=0)
    for index in range(count):
        if few and index % 2:
            hard = _few_rows(latent, K, few, rng)
        else:
            hard = _assign(points, latent, K, rng)[None, :] == np.arange(K)[:, None]
        softness = SOFTNESS * rng.uniform(0.1, 2.0) * even
        shares[index] = (1.0 - softness) * hard + softness / K
    centre = density.constrain(np.zeros((count, density.size)))
    return density.unconstrain(marginal.argmax(centre, marginal.statistics_given(shares)))


def _evenness(data: Data) -> Array | float:
    """How far a row's weight is above the median's, inverted [N]: so much less of it is spread.

    Else a row that counts a million times would be the mean of every component.
    """
    if data.weights is None:
        return 1.0
    weights = data.weights.numpy()
    return np.asarray(np.minimum(1.0, np.median(weights[weights > 0]) / np.maximum(weights, TINY)))


def refine(density: Density, marginal: MixtureMarginal, coordinates: Array, steps: int) -> Array:
    """A few EM steps on all starts at once, [B, D] → [B, D]."""
    greeks: Mapping[str, Array] = density.constrain(coordinates)
    for _ in range(steps):
        greeks = marginal.argmax(greeks, marginal.statistics(greeks))
    return density.unconstrain(greeks)


def _points(marginal: MixtureMarginal) -> Array:
    """The rows as standardised numbers [N, D]: set and missing entries at 0, the centre."""
    data, columns = marginal.data, []
    for name, node in marginal.nodes.items():
        if node.is_below:
            points = node.mechanism.points(data.columns[name].double().numpy(), marginal.references[name])
            left_out = data.is_set(name).numpy()[:, None] | np.isnan(points)
            columns.append(np.where(left_out, 0.0, points))
    return np.concatenate(columns, axis=1)


def _few_rows(latent: np.ndarray, num_components: int, few: int, rng: np.random.Generator) -> Array:
    """A few random rows for each component [K, N]; every row known to be in a component is in it."""
    shares = np.asarray((latent == np.arange(num_components)[:, None]) * 1.0)
    for k in range(num_components):
        shares[k, rng.choice(len(latent), size=min(few, len(latent)), replace=False)] = 1.0
    return shares


def _assign(points: Array, latent: np.ndarray, num_components: int, rng: np.random.Generator) -> np.ndarray:
    """Nearest of K seeds for each row: means of the rows known to be in a component, k-means++ seeds for the others."""
    seeds = np.empty((num_components, points.shape[1]))
    known = [k for k in range(num_components) if (latent == k).any()]
    distance = np.full(len(points), np.inf)
    for k in known + [k for k in range(num_components) if k not in known]:
        if k in known:
            seeds[k] = points[latent == k].mean(0)
        else:
            weights = distance if np.isfinite(distance).all() and distance.sum() > 0 else np.ones(len(points))
            seeds[k] = points[rng.choice(len(points), p=weights / weights.sum())]
        distance = np.minimum(distance, ((points - seeds[k]) ** 2).sum(1))
    return np.asarray(((points[:, None, :] - seeds) ** 2).sum(2).argmin(1))
