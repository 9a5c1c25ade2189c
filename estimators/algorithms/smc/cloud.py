"""One cloud's way from the prior to the posterior."""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from estimators.algorithms.smc.mutation import Mutation
from estimators.algorithms.smc.particles import Particles, evaluate, joined
from estimators.algorithms.smc.tempering import effective_size, next_temperature, systematic
from estimators.contract import Density
from estimators.status import EstimationError

# Clouds that are drawn from the prior at most, until one is full of particles at which the data are possible.
MOST_DRAWN = 100
# Each temperature takes a cloud about one sd on its way, so this many are a prior as many sds away from the data.
MOST_TEMPERATURES = 500


@dataclass(frozen=True, eq=False)
class Cloud:
    """Particles of equal weight from the posterior, the estimated log evidence, and the temperatures on the way.

    ``variance`` is that of the log evidence if the particles at each temperature were independent; it is larger where
    they are not.
    """

    particles: Particles
    log_evidence: float
    variance: float
    temperatures: tuple[float, ...]


def posterior_cloud(
    density: Density, count: int, rng: np.random.Generator, *, ess_share: float, max_sweeps: int
) -> Cloud:
    """Lead ``count`` particles from the prior to the posterior.

    ``log p(data) = Σ_t log mean exp((t' - t) log p(data | v))``, the mean over the particles at t.
    """
    particles, log_evidence = _prior_cloud(density, count, rng)
    mutation, temperatures, variance = Mutation(density, rng, max_sweeps), [0.0], 0.0
    while temperatures[-1] < 1.0:
        if len(temperatures) > MOST_TEMPERATURES:
            raise EstimationError(
                f"SMC: after {MOST_TEMPERATURES} temperatures the cloud is at {temperatures[-1]:.2g} on the way from 0 "
                "(the priors) to 1 (the posterior): the data are far out in the tails of the priors; rescale the "
                "columns, or use priors nearer to the data"
            )
        temperatures.append(next_temperature(particles.log_likelihood, temperatures[-1], ess_share))
        log_weights = (temperatures[-1] - temperatures[-2]) * particles.log_likelihood
        log_evidence += float(logsumexp(log_weights)) - float(np.log(count))
        variance += 1.0 / effective_size(log_weights) - 1.0 / count
        particles = mutation.decorrelated(particles.take(systematic(log_weights, rng)), temperatures[-1])
    return Cloud(particles, log_evidence, variance, tuple(temperatures))


def _prior_cloud(density: Density, count: int, rng: np.random.Generator) -> tuple[Particles, float]:
    """Draws of the prior at which the data are possible, and the log of their share among all draws."""
    possible, num_drawn = list[Particles](), 0
    for _ in range(MOST_DRAWN):
        drawn = evaluate(density, density.draw_prior(count, rng))
        possible.append(drawn.take(np.isfinite(drawn.log_likelihood)))
        num_drawn += len(drawn)
        num_possible = sum(map(len, possible))
        if num_possible >= count:
            return joined(possible).take(slice(count)), float(np.log(num_possible / num_drawn))
    raise EstimationError(
        f"SMC: the data are possible at {num_possible:,} of {num_drawn:,} draws of the Greeks from their priors, fewer "
        f"than the {count:,} particles of a cloud; use priors that are nearer to the data, or fewer particles"
    )
