"""The exact posterior: the sum over every allocation of the hidden rows to components, for conjugate mechanisms."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import logsumexp

from estimators.algorithms.finish import Estimated, finish
from estimators.algorithms.progress import progress
from estimators.algorithms.protocol import begin
from estimators.checks import check_flag, check_whole
from estimators.contract import Model
from estimators.fits.fit import Fit
from estimators.fits.kind import Kind
from estimators.isolation import own_modes

MAX_ALLOCATIONS = 2**20
CHUNK = 2**16


@dataclass(frozen=True)
class Exact:
    """Independent draws from the exact posterior, and the exact log evidence (``fit.stats["log_evidence"]``).

    ``p(φ | x) = Σ_z p(z | x) p(φ | x, z)`` over all K^(hidden rows, or units) allocations z, with
    ``p(z, x) = Dirichlet-multinomial(counts(z)) Π_k ∫ p(φ_k) Π_{n: z_n = k} p(x_n | φ_k) dφ_k``.

    The status is NOT_IDENTIFIED where the rows leave Greeks open, and the priors answer.

    Raises ValueError where a mechanism is not conjugate (a Gaussian needs a known scale and a Normal prior), for
    weights, and beyond 2^20 allocations.

    >>> fit = Exact(num_draws=100).fit(GaussianMixture(K=2), {"X": [0.0, 1.0, 10.0]}, seed=0)
    >>> fit.kind
    'exact'
    """

    num_draws: int = 4000
    progress_bar: bool | None = None

    def __post_init__(self) -> None:
        check_whole("num_draws", self.num_draws, least=2)
        check_flag("progress_bar", self.progress_bar, optional=True)

    @own_modes()
    def fit(self, model: Model, data: Any, *, seed: int | None = None, strict: bool = False) -> Fit:
        """Draw from the exact posterior: a `Fit` of kind "exact"."""
        task = begin(model, data, seed, strict)
        sums = task.model.conjugate(task.data)
        K, num_hidden = sums.num_components, sums.num_hidden
        allocations = K**num_hidden
        if allocations > MAX_ALLOCATIONS:
            kind = "rows" if task.data.unit is None else "units"
            raise ValueError(
                f"data: {num_hidden} {kind} with Z hidden make {K}^{num_hidden} allocations, more than "
                f"2^20; use NUTS, or at most {int(20 / np.log2(max(K, 2)))} such {kind}"
            )
        log_joint = np.empty(allocations)
        with progress(allocations, "Exact", self.progress_bar) as bar:
            for start in range(0, allocations, CHUNK):
                block = np.arange(start, min(start + CHUNK, allocations))
                log_joint[block] = sums.log_joint(block)
                bar.update(len(block))
        evidence = float(logsumexp(log_joint))
        rng = np.random.default_rng(task.seed)
        probabilities = np.exp(log_joint - evidence)
        chosen = rng.choice(allocations, size=self.num_draws, p=probabilities / probabilities.sum())
        draws = {name: torch.from_numpy(value) for name, value in sums.posterior_draws(chosen, rng).items()}
        best = int(np.argmax(log_joint[chosen]))
        stats = {"estimator": "Exact", "seed": task.seed, "log_evidence": evidence, "num_allocations": allocations}
        estimated = Estimated(Kind.EXACT, draws, stats, best=best)
        return finish(task, task.model.density(task.data), estimated)
