"""Moves of a cloud at one temperature, until it has decorrelated from where it was resampled."""

from collections.abc import Iterator, Sequence

import numpy as np

from estimators.algorithms.smc.moves import (
    DifferentialEvolution,
    Independent,
    Jump,
    Langevin,
    Move,
    Snooker,
    Surroundings,
)
from estimators.algorithms.smc.particles import Particles, evaluate, joined
from estimators.algorithms.smc.shape import cluster_proposals, mode_factor, widths
from estimators.contract import Density
from estimators.optimise.arrays import Array

# With correlation r to the start after m sweeps, and so r² after 2 m, distances from the start have grown by √(1 + r):
# here r² is a fifth.
GROWTH = 1.2
# A step more in a sweep for every so many coordinates: random walks grow slow with their number.
COORDINATES_PER_STEP = 8
# How far a scale may go by itself.
SMALLEST, LARGEST = 1e-8, 1e8
# The least share of the steps that a kernel has, however short its steps: what moves few particles may move those that
# no other does.
LEAST_SHARE = 0.1


class Mutation:
    """The kernels of one cloud; their scales follow the acceptance, from one use to the next."""

    def __init__(self, density: Density, rng: np.random.Generator, max_sweeps: int) -> None:
        self._density, self._rng, self._max_sweeps = density, rng, max_sweeps
        self._scales = dict[type[Move], float]()

    def decorrelated(self, particles: Particles, temperature: float) -> Particles:
        """The cloud after as many steps as it takes, or ``max_sweeps`` sweeps: all kernels first, then the best most.

        Now and then the mean distances from the start are compared, coordinate by coordinate, with those after half as
        many steps: where they grow no more, the start is forgotten. A mode that no particle leaves is no reason to go
        on; one that some leave is.
        """
        if not self._density.size:
            return particles
        # Each half of the cloud, every other particle, moves among the other half.
        halves = [particles.take(slice(0, None, 2)), particles.take(slice(1, None, 2))]
        starts = [half.coordinates for half in halves]
        moves = [self._moves(start) for start in reversed(starts)]
        unit, squares = widths(particles.coordinates), np.ones(len(moves[0]))
        distances = list[Array]()
        for num_steps in _rounds(len(squares) + self._density.size // COORDINATES_PER_STEP, self._max_sweeps):
            for kernel in self._kernels(squares, num_steps) if distances else range(len(squares)):
                before = [half.coordinates for half in halves]
                for own in (0, 1):
                    others = halves[1 - own].coordinates
                    halves[own] = self._stepped(moves[own][kernel], halves[own], others, temperature)
                squares[kernel] = ((_away(halves, before) / unit) ** 2).mean()
            distances.append(_away(halves, starts).mean(0))
            if len(distances) > 2 and bool((distances[-1] <= GROWTH * distances[-3]).all()):
                break
        order = np.argsort(np.r_[0 : len(particles) : 2, 1 : len(particles) : 2])
        return joined(halves).take(order)

    def _kernels(self, squares: Array, count: int) -> Sequence[int]:
        """Which kernels are next, at random, in proportion to the mean squares of their last steps."""
        shares = np.maximum(squares / max(float(squares.sum()), 1e-300), LEAST_SHARE)
        return [int(kernel) for kernel in self._rng.choice(len(squares), count, p=shares / shares.sum())]

    def _moves(self, others: Array) -> list[Move]:
        return [
            DifferentialEvolution(),
            Jump(),
            Langevin(mode_factor(others, self._rng)),
            Snooker(widths(others)),
            Independent(cluster_proposals(self._density, others, self._rng)),
        ]

    # A proposal far out may overflow: it is judged by its density.
    @np.errstate(all="ignore")
    def _stepped(self, move: Move, particles: Particles, others: Array, temperature: float) -> Particles:
        around = Surroundings(others, temperature, self._scales.get(type(move), 1.0), self._rng)
        proposal = move.propose(particles, around)
        after = evaluate(self._density, proposal.points)
        gain = after.log_target(temperature) - particles.log_target(temperature)
        is_accepted = -self._rng.standard_exponential(len(particles)) < gain + proposal.log_ratio(after)
        if move.acceptance is not None:
            adapted = around.scale * float(np.exp(is_accepted.mean() - move.acceptance))
            self._scales[type(move)] = min(max(adapted, SMALLEST), LARGEST)
        return particles.replaced(is_accepted, after)


def _rounds(sweep: int, max_sweeps: int) -> Iterator[int]:
    """Numbers of steps between comparisons: a sweep, and more with each, so that two rounds double what was done."""
    done = 0
    while done < sweep * max_sweeps:
        to_do = max(sweep, int((2.0**0.5 - 1.0) * done))
        yield min(to_do, sweep * max_sweeps - done)
        done += to_do


def _away(halves: Sequence[Particles], starts: Sequence[Array]) -> Array:
    """The distances [n, D] of particles from where they were."""
    return np.concatenate([np.abs(half.coordinates - start) for half, start in zip(halves, starts, strict=True)])
