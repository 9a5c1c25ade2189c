"""The posterior by the No-U-Turn Sampler (Hoffman & Gelman 2014) on the exact marginal density, Z summed out.

Two engines sample one posterior. ``nutpie`` runs Rust NUTS on this package's value and gradient; ``pyro`` runs Pyro's
NUTS on the Pyro program with Z enumerated by Pyro itself: slow, independent of `marginal.py`, and so the reference.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from estimators.algorithms.finish import Estimated, finish
from estimators.algorithms.nuts.chain_starts import chain_starts, starts_off
from estimators.algorithms.nuts.mode_words import findings_of_modes, remarks_of_modes, stats_of_modes
from estimators.algorithms.nuts.nutpie_chains import nutpie_chains
from estimators.algorithms.nuts.proportions import in_proportion
from estimators.algorithms.nuts.pyro_chains import conditioned, pyro_chains
from estimators.algorithms.progress import search_progress
from estimators.algorithms.protocol import Task, begin
from estimators.checks import check_flag, check_positive, check_whole
from estimators.contract import Density, Model
from estimators.fits.fit import Fit
from estimators.fits.kind import Kind
from estimators.fits.mode_findings import unsearched_remarks
from estimators.isolation import own_modes, program_mode, spawn_seeds
from estimators.modes.finder import Finder, check_search
from estimators.modes.mode_search import DEFAULT
from estimators.modes.posterior_modes import PosteriorModes, posterior_modes
from estimators.optimise.arrays import Array
from estimators.status import EstimationError


@dataclass(frozen=True)
class NUTS:
    """Draws from ``p(φ | data) ∝ p(data | φ) p(φ)``, Z summed out exactly.

    ``num_chains`` chains of ``warmup_steps`` + ``num_samples`` start over-dispersed around the modes of the posterior
    that a search finds, dealt by weight; the same seed gives the same draws on any number of cores. With ``low_rank``
    the warm-up adapts to correlations between Greeks too, as of an intercept and a slope whose covariate is far from 0.
    Draws are relabelled before R-hat and ESS are computed; the status is NOT_IDENTIFIED (the rows leave Greeks open,
    and the priors answer), PRIOR_CONFLICT, CHAINS_DISAGREE (R-hat > 1.01), DIVERGENCES (any) or LOW_ESS (bulk or tail
    < 100 per chain), in order.

    Where chains of different modes do not meet, each mode's mass is estimated by importance sampling and the draws are
    resampled to these masses; R-hat and ESS are then those within modes. Where chains do not mix within a mode either,
    or some draws have a class without rows (a funnel, whose end chains miss without a sign of it), the draws are the
    importance sampler's. ``fit.stats`` has ``mode_masses``, ``mode_mass_errors`` and, where it was needed,
    ``pareto_k``; ``fit.info["mode"]`` is the mode of each draw, and ``fit.modes[1]`` has the draws of one. If the
    Pareto k̂ is above 0.7 the draws stay as they are, CHAINS_DISAGREE where there are several modes.

    Without a search (``search=None``, or a program, for which ``search=modes.Search()`` asks for one) chains start at
    the best ends of a few climbs, and what they say of themselves is all that is known.

    >>> fit = NUTS(num_samples=200, warmup_steps=200).fit(GaussianMixture(K=2), {"X": [0.0, 1.0, 10.0, 11.0]}, seed=0)
    >>> fit.num_draws
    800
    """

    num_samples: int = 1000
    warmup_steps: int = 1000
    num_chains: int = 4
    target_accept_prob: float = 0.8
    low_rank: bool = False
    engine: str = "nutpie"
    progress_bar: bool | None = None

    def __post_init__(self) -> None:
        check_whole("num_samples", self.num_samples)
        check_whole("warmup_steps", self.warmup_steps)
        check_whole("num_chains", self.num_chains)
        check_positive("target_accept_prob", self.target_accept_prob, below=1.0)
        check_flag("low_rank", self.low_rank)
        check_flag("progress_bar", self.progress_bar, optional=True)
        if self.engine not in _ENGINES:
            raise ValueError(f"engine: expected one of {sorted(_ENGINES)}, got {self.engine!r}")
        if self.low_rank and self.engine != "nutpie":
            raise ValueError(f"low_rank: expected False with engine={self.engine!r}, which has no such adaptation")

    @own_modes()
    def fit(
        self,
        model: Model,
        data: Any,
        *,
        seed: int | None = None,
        strict: bool = False,
        search: Finder | None = DEFAULT,
    ) -> Fit:
        """Sample the posterior: a `Fit` of kind "posterior" with ``num_chains * num_samples`` draws, chain by chain."""
        check_search(search)
        task = begin(model, data, seed, strict)
        if self.engine == "pyro" and task.data.weights is None:
            # What Pyro cannot condition on is refused before any work; rows with weights would be repeated first.
            program, _ = conditioned(task)
            with program_mode(task.seed):
                program()
        density = task.model.density(task.data)
        modes = None
        if search is not None:
            with search_progress("NUTS", self.progress_bar) as bar:
                modes = posterior_modes(search, task.model, density, np.random.default_rng(task.seed), bar.update)
        if modes is None:
            starts = chain_starts(task, density, self.num_chains)
        else:
            starts = starts_off(task, density, modes.dealt(self.num_chains))
        seeds = spawn_seeds(task.seed, self.num_chains + 1)[1:]
        coordinates, info = _ENGINES[self.engine](self, task, density, starts, seeds)
        if len(coordinates) != self.num_chains * self.num_samples:
            raise EstimationError(
                f"NUTS: the sampler gave {len(coordinates)} draws instead of {self.num_chains} chains of "
                f"{self.num_samples}; nothing is kept of an incomplete run"
            )
        return finish(task, density, self._estimated(task, density, modes, coordinates, info))

    def _estimated(
        self,
        task: Task,
        density: Density,
        modes: PosteriorModes | None,
        coordinates: Array,
        info: dict[str, Tensor],
    ) -> Estimated:
        """What chains have drawn; of modes that a search has found, in proportion."""
        stats = {
            "estimator": "NUTS",
            "engine": self.engine,
            "seed": task.seed,
            "num_divergences": int(info["diverging"].sum()),
            "warmup_steps": self.warmup_steps,
        }
        said: dict[str, Any] = {"remarks": unsearched_remarks(modes)} if density.size else {}
        if modes is not None:
            rng = np.random.default_rng([task.seed, 1])
            drawn = in_proportion(task, density, modes, coordinates, info, self.num_chains, rng)
            coordinates, info = drawn.coordinates, drawn.info
            stats |= stats_of_modes(drawn)
            said = {
                "findings": findings_of_modes(modes, drawn),
                "remarks": remarks_of_modes(modes, drawn, self.num_chains),
                "found": modes.found,
                "weights": drawn.masses,
                "checked": drawn.checked,
            }
        draws = density.draws(coordinates)
        for name, value in draws.items():
            if not bool(torch.isfinite(value).all()):
                raise EstimationError(
                    f"NUTS: {name} ran to infinity; the posterior is improper, use proper, tighter priors"
                )
        best = int(torch.argmax(info["lp"]))
        return Estimated(Kind.POSTERIOR, draws, stats, info=info, num_chains=self.num_chains, best=best, **said)


_ENGINES: dict[str, Callable[[NUTS, Task, Density, Array, list[int]], tuple[Array, dict[str, Tensor]]]] = {
    "nutpie": nutpie_chains,
    "pyro": pyro_chains,
}
