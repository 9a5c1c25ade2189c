"""Points of proposals, weighed to a target: importance sampling, with the Pareto shape of its weights."""

from dataclasses import dataclass

import numpy as np

from estimators.contract import Combination, log_prior
from estimators.diagnostics import PARETO_LIMIT, importance
from estimators.modes.proposals import Proposals, Regions
from estimators.optimise.arrays import Array
from estimators.parameters.symmetry import Indices
from estimators.status import EstimationError

# Points are evaluated so many numbers at a time, and no more than so many are in a turn, but for the least number.
BLOCK, MOST_ELEMENTS, LEAST_PROPOSALS = 40_000_000, 100_000_000, 1_000
# Of fewer effective points the tail of the weights says nothing of what has not been met.
LEAST_EFFECTIVE = 100.0


@dataclass(frozen=True, eq=False)
class Weighed:
    """Points [S, D] with normalised weights [S], the mode of each [S] and its image near that [S, D].

    ``log_weights`` [S] are the logs of the weights as they come, -inf of a point that is not a number; ``pareto_k`` is
    the shape of the weights' tail, ``ess`` their effective number.
    """

    points: Array
    log_weights: Array
    modes: Indices
    images: Array
    weights: Array
    pareto_k: float
    ess: float

    @staticmethod
    def of(points: Array, log_weights: Array, modes: Indices, images: Array) -> "Weighed":
        """Points whose logs of weights are known."""
        found = importance(log_weights)
        return Weighed(points, log_weights, modes, images, found.weights, found.pareto_k, found.ess)

    def with_more(self, others: "Weighed") -> "Weighed":
        """These and others of the same proposals."""
        return Weighed.of(
            np.concatenate([self.points, others.points]),
            np.concatenate([self.log_weights, others.log_weights]),
            np.concatenate([self.modes, others.modes]),
            np.concatenate([self.images, others.images]),
        )

    @property
    def is_trusted(self) -> bool:
        """Whether the weights turn the points into draws of their target."""
        return self.pareto_k <= PARETO_LIMIT and self.ess >= LEAST_EFFECTIVE

    def masses(self, num_modes: int) -> tuple[Array, Array]:
        """The share of each mode [M], and its standard error [M]."""
        masses = np.asarray(np.bincount(self.modes, self.weights, num_modes), dtype=float)
        inside = self.modes == np.arange(num_modes)[:, None]
        return masses, np.sqrt((self.weights**2 * (inside - masses[:, None]) ** 2).sum(1))

    def resampled(self, count: int, rng: np.random.Generator, mode: int | None = None) -> Indices:
        """Places [count] of draws of equal weight, of one mode if it is given.

        Systematic resampling: a draw of weight w comes up S w times, to the next whole number; these are neighbours,
        as the autocorrelation of chains shows it.
        """
        weights = self.weights if mode is None else np.where(self.modes == mode, self.weights, 0.0)
        steps = (np.arange(count) + rng.random()) / count * weights.sum()
        last = np.flatnonzero(weights > 0.0)[-1]
        chosen, times = np.unique(np.minimum(np.searchsorted(np.cumsum(weights), steps), last), return_counts=True)
        order = rng.permutation(len(chosen))
        return np.asarray(np.repeat(chosen[order], times[order]))


def weighed(
    combination: Combination, proposals: Proposals, regions: Regions, count: int, rng: np.random.Generator
) -> Weighed:
    """Points of the proposals, weighed to a sum of a density's parts."""
    points = proposals.draws(count, rng)
    values, priors = _in_blocks(combination, proposals, points)
    everywhere = regions.images(points)
    with np.errstate(all="ignore"):
        log_weights = values - proposals.log_density(everywhere, priors)
    modes, images = regions.of_images(everywhere)
    # A probability next to 1 is 1 in another labelling, and its logit infinite: such points would have no neighbours.
    is_sound = np.isfinite(log_weights) & np.isfinite(images).all(1)
    if not is_sound.any():
        raise EstimationError("the density is not a number at any point around its modes; rescale the columns")
    return Weighed.of(points, np.where(is_sound, log_weights, -np.inf), modes, images)


def affordable(row_size: int, count: int) -> int:
    """The number of proposals that is no more than ``count``, and less where each takes long."""
    return max(min(count, MOST_ELEMENTS // max(row_size, 1)), min(count, LEAST_PROPOSALS))


def _in_blocks(combination: Combination, proposals: Proposals, points: Array) -> tuple[Array, Array]:
    """The sum and the prior's density [S] at points [S, D]."""
    size = max(BLOCK // max(proposals.density.row_size, 1), 1)
    values, priors = list[Array](), list[Array]()
    with np.errstate(all="ignore"):
        for start in range(0, len(points), size):
            parts = proposals.density.values(points[start : start + size])
            values.append(combination(parts))
            priors.append(log_prior(parts))
    return np.concatenate(values), np.concatenate(priors)
