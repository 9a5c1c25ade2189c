"""The posterior by sequential Monte Carlo, tempered from the prior, Z summed out.

Source: Del Moral, Doucet & Jasra (2006), "Sequential Monte Carlo samplers", JRSS B 68; Chopin & Papaspiliopoulos
(2020), "An Introduction to Sequential Monte Carlo"; ter Braak & Vrugt (2008) for the moves. It departs from them in
that several clouds go their ways alone, so that what they disagree about is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import logsumexp

from estimators.algorithms.finish import Estimated, finish
from estimators.algorithms.progress import progress
from estimators.algorithms.protocol import begin
from estimators.algorithms.smc.cloud import Cloud, posterior_cloud
from estimators.algorithms.smc.particles import joined
from estimators.checks import check_flag, check_positive, check_whole
from estimators.contract import Density, Model
from estimators.fits.fit import Fit
from estimators.fits.kind import Kind
from estimators.isolation import own_modes, spawn_seeds

# Particles of a cloud, at least: each half of it gives the other its directions.
LEAST_PARTICLES = 8


@dataclass(frozen=True)
class SMC:
    """Draws from the posterior with all its modes in proportion, and the log evidence ``log p(data)``.

    ``target_t(φ) ∝ p(φ) p(data | φ)^t``: ``num_clouds`` independent clouds of ``num_particles / num_clouds`` particles
    begin as draws of the priors (t = 0) and end as draws of the posterior (t = 1). The next t is that at which the
    weights of a cloud have an effective sample size of ``ess_share`` of its particles; after resampling, particles
    move until distances from where they were have stopped growing, by the kind of move that takes them farthest more
    than by the others, at most ``max_sweeps`` times as often as there are kinds.

    ``fit.stats`` has ``log_evidence``, the log of the clouds' mean, and ``log_evidence_error``, its standard error by
    the spread of the clouds' logs (at least that of independent particles). The clouds are the fit's chains: R-hat says
    whether they agree. Particles that descend from one another are neighbours, so the effective sample sizes count
    descent as they do autocorrelation. ``fit.info["mode"]`` is the mode of each draw, by climbs from some of them, and
    ``fit.modes[1]`` has the draws of one. The status is NOT_IDENTIFIED (the rows leave Greeks open, and the priors
    answer), PRIOR_CONFLICT, CHAINS_DISAGREE (R-hat > 1.01) or LOW_ESS (bulk or tail < 100 per cloud), in order.

    Raises ValueError where a Greek has no prior, and EstimationError where hardly a draw of the priors makes the data
    possible.

    >>> fit = SMC(num_particles=800).fit(GaussianMixture(K=2), {"X": [0.0, 1.0, 10.0, 11.0, 12.0]}, seed=0)
    >>> round(fit.stats["log_evidence"])
    -16
    """

    num_particles: int = 2000
    num_clouds: int = 4
    ess_share: float = 0.5
    max_sweeps: int = 16
    progress_bar: bool | None = None

    def __post_init__(self) -> None:
        check_whole("num_clouds", self.num_clouds, least=2)
        check_whole("num_particles", self.num_particles, least=LEAST_PARTICLES * self.num_clouds)
        if self.num_particles % self.num_clouds:
            raise ValueError(
                f"num_particles: expected a multiple of num_clouds={self.num_clouds}, got {self.num_particles}; clouds "
                "are of one size"
            )
        check_positive("ess_share", self.ess_share, below=1.0)
        check_whole("max_sweeps", self.max_sweeps)
        check_flag("progress_bar", self.progress_bar, optional=True)

    @own_modes()
    def fit(self, model: Model, data: Any, *, seed: int | None = None, strict: bool = False) -> Fit:
        """Sample the posterior: a `Fit` of kind "posterior" with ``num_particles`` draws, cloud by cloud."""
        task = begin(model, data, seed, strict)
        density = task.model.density(task.data)
        if not density.has_prior:
            raise ValueError(
                "SMC: expected a prior for every Greek, as particles begin as draws of the priors, but a Greek of this "
                "model has none; draw it by pyro.sample from a proper prior in place of pyro.param, or use EM or MAP"
            )
        clouds = self._clouds(density, task.seed)
        particles = joined([cloud.particles for cloud in clouds])
        log_evidences = np.array([cloud.log_evidence for cloud in clouds])
        stats = {
            "estimator": "SMC",
            "seed": task.seed,
            "log_evidence": float(logsumexp(log_evidences) - np.log(self.num_clouds)),
            "log_evidence_error": _error(clouds),
            "num_temperatures": max(len(cloud.temperatures) - 1 for cloud in clouds),
        }
        log_posterior = particles.log_target(1.0)
        info = {
            "lp": torch.from_numpy(log_posterior),
            "log_likelihood": torch.from_numpy(particles.log_likelihood),
            "log_evidences": torch.from_numpy(log_evidences),
        }
        estimated = Estimated(
            Kind.POSTERIOR,
            density.draws(particles.coordinates),
            stats,
            info=info,
            num_chains=self.num_clouds,
            best=int(np.argmax(log_posterior)),
        )
        return finish(task, density, estimated)

    def _clouds(self, density: Density, seed: int) -> Sequence[Cloud]:
        """Independent clouds, each with random numbers of its own."""
        clouds, count = list[Cloud](), self.num_particles // self.num_clouds
        with progress(self.num_clouds, "SMC clouds", self.progress_bar) as bar:
            for own_seed in spawn_seeds(seed, self.num_clouds):
                rng = np.random.default_rng(own_seed)
                clouds.append(
                    posterior_cloud(density, count, rng, ess_share=self.ess_share, max_sweeps=self.max_sweeps)
                )
                bar.update()
        return clouds


def _error(clouds: Sequence[Cloud]) -> float:
    """The standard error of the clouds' log evidence, by its spread.

    Few clouds may be close by chance, so the spread counts for no less than that of independent particles.
    """
    spread = float(np.var([cloud.log_evidence for cloud in clouds], ddof=1))
    return float(np.sqrt(max(spread, float(np.mean([cloud.variance for cloud in clouds]))) / len(clouds)))
