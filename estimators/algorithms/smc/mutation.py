"""Moves of a cloud at one temperature, until it has decorrelated from where it was resampled."""

import numpy as np

from estimators.algorithms.smc.moves import DifferentialEvolution, Jump, Langevin, Move, Snooker, Surroundings
from estimators.algorithms.smc.particles import Particles, evaluate, joined
from estimators.algorithms.smc.shape import mode_factor, widths
from estimators.contract import Density
from estimators.optimise.arrays import Array

# With correlation r to the start after m sweeps, and so r² after 2 m, distances from the start have grown by √(1 + r):
# here r² is a tenth.
GROWTH = 1.15
# A Langevin step more for every so many coordinates: random walks grow slow with their number.
COORDINATES_PER_LANGEVIN = 8
# How far a scale may go by itself.
SMALLEST, LARGEST = 1e-8, 1e8


class Mutation:
    """The kernels of one cloud; their scales follow the acceptance, from one use to the next."""

    def __init__(self, density: Density, rng: np.random.Generator, max_sweeps: int) -> None:
        self._density, self._rng, self._max_sweeps = density, rng, max_sweeps
        self._scales = dict[type[Move], float]()

    def decorrelated(self, particles: Particles, temperature: float) -> Particles:
        """The cloud after sweeps over all kernels, as many as it takes, or ``max_sweeps``.

        The mean distances from the start, coordinate by coordinate, are compared whenever the number of sweeps has
        doubled. A mode that no particle leaves is no reason to go on; one that some leave is.
        """
        if not self._density.size:
            return particles
        start, distances = particles.coordinates, np.zeros(self._density.size)
        moves = self._moves(start)
        for sweep in range(1, self._max_sweeps + 1):
            for move in moves:
                particles = self._moved(move, particles, temperature)
            if sweep.bit_count() == 1:
                before, distances = distances, np.abs(particles.coordinates - start).mean(0)
                if bool((distances <= GROWTH * before).all()):
                    break
        return particles

    def _moves(self, coordinates: Array) -> list[Move]:
        langevin = Langevin(mode_factor(coordinates, self._rng))
        num_more = self._density.size // COORDINATES_PER_LANGEVIN
        return [DifferentialEvolution(), Jump(), langevin, Snooker(widths(coordinates)), *[langevin] * num_more]

    def _moved(self, move: Move, particles: Particles, temperature: float) -> Particles:
        """Each half of the cloud, every other particle, after one move among the other half."""
        halves = [particles.take(slice(0, None, 2)), particles.take(slice(1, None, 2))]
        for own in (0, 1):
            scale = self._scales.get(type(move), 1.0)
            around = Surroundings(halves[1 - own].coordinates, temperature, scale, self._rng)
            halves[own] = self._stepped(move, halves[own], around)
        order = np.argsort(np.r_[0 : len(particles) : 2, 1 : len(particles) : 2])
        return joined(halves).take(order)

    # A proposal far out may overflow: it is judged by its density.
    @np.errstate(all="ignore")
    def _stepped(self, move: Move, particles: Particles, around: Surroundings) -> Particles:
        proposal = move.propose(particles, around)
        after = evaluate(self._density, proposal.points)
        gain = after.log_target(around.temperature) - particles.log_target(around.temperature)
        is_accepted = -self._rng.standard_exponential(len(particles)) < gain + proposal.log_ratio(after)
        if move.acceptance is not None:
            adapted = around.scale * float(np.exp(is_accepted.mean() - move.acceptance))
            self._scales[type(move)] = min(max(adapted, SMALLEST), LARGEST)
        return particles.replaced(is_accepted, after)
