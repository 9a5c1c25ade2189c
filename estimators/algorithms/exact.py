"""The exact posterior: the sum over every allocation of the hidden rows to components, for conjugate mechanisms."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import gammaln, logsumexp

from estimators.algorithms.progress import progress
from estimators.algorithms.protocol import begin
from estimators.checks import check_flag, check_whole
from estimators.data.data import Data
from estimators.estep.weights import WEIGHTS
from estimators.fits.any_model import Model
from estimators.fits.fit import Fit, finish
from estimators.isolation import own_modes
from estimators.mixture.model import CausalMixture
from estimators.parameters.parameter import Array
from estimators.parameters.sparse import dirichlet_draws
from estimators.programs.model import PyroModel

MAX_ALLOCATIONS = 2**20
CHUNK = 2**16


@dataclass(frozen=True)
class Exact:
    """Independent draws from the exact posterior, and the exact log evidence (``fit.stats["log_evidence"]``).

    ``p(φ | x) = Σ_z p(z | x) p(φ | x, z)`` over all K^(hidden rows) allocations z, with
    ``p(z, x) = Dirichlet-multinomial(counts(z)) Π_k ∫ p(φ_k) Π_{n: z_n = k} p(x_n | φ_k) dφ_k``.

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
        if isinstance(model, PyroModel):
            raise TypeError("model: Exact needs conjugate mechanisms (a CausalMixture); for a PyroModel use NUTS()")
        task = begin(model, data, seed, strict)
        assert isinstance(task.model, CausalMixture)
        _check_conjugate(task.model, task.data)
        hidden = (task.data.latent() < 0).nonzero()[:, 0]
        allocations = task.model.K ** len(hidden)
        if allocations > MAX_ALLOCATIONS:
            raise ValueError(
                f"data: {len(hidden)} rows with Z hidden make {task.model.K}^{len(hidden)} allocations, more than "
                f"2^20; use NUTS, or at most {int(20 / np.log2(max(task.model.K, 2)))} such rows"
            )
        sums = _Allocations(task.model, task.data)
        log_joint = np.empty(allocations)
        with progress(allocations, "Exact", self.progress_bar) as bar:
            for start in range(0, allocations, CHUNK):
                part = np.arange(start, min(start + CHUNK, allocations))
                log_joint[part] = sums.log_joint(part)
                bar.update(len(part))
        evidence = float(logsumexp(log_joint))
        rng = np.random.default_rng(task.seed)
        probabilities = np.exp(log_joint - evidence)
        chosen = rng.choice(allocations, size=self.num_draws, p=probabilities / probabilities.sum())
        draws = {name: torch.from_numpy(value) for name, value in sums.posterior_draws(chosen, rng).items()}
        best = int(np.argmax(log_joint[chosen]))
        stats = {"estimator": "Exact", "seed": task.seed, "log_evidence": evidence, "num_allocations": allocations}
        return finish(
            task.model, task.data, "exact", draws, stats=stats, best=best, strict=strict, started=task.started
        )


class _Allocations:
    """Counts and summed features of the rows in each component, for allocations numbered 0 … K^H - 1."""

    def __init__(self, model: CausalMixture, data: Data) -> None:
        self._model = model
        self._marginal = model.marginal(data)
        self._hidden = int((data.latent() < 0).sum())

    def log_joint(self, numbers: np.ndarray) -> Array:
        """log p(z, x) of each allocation."""
        sums = self._collect(numbers)
        counts, concentration = self._counts(sums), self._model.concentration.numpy()
        total = concentration.sum()
        value = gammaln(total) - gammaln(total + counts.sum(-1))
        value = (value + (gammaln(concentration + counts) - gammaln(concentration)).sum(-1)).sum(-1)
        for name, node in self._model.nodes.items():
            cells = node.by_cell(sums[name])
            value = value + node.mechanism.log_evidence(cells, self._marginal.references[name]).sum(-1)  # type: ignore[attr-defined]
        return np.asarray(value)

    def posterior_draws(self, numbers: np.ndarray, rng: np.random.Generator) -> dict[str, Array]:
        """One draw of the Greeks for each allocation."""
        sums = self._collect(numbers)
        shares = dirichlet_draws(self._model.concentration.numpy() + self._counts(sums), rng)
        draws = {WEIGHTS: shares.reshape(len(numbers), *self._model.weights.levels, self._model.K)}
        for name, node in self._model.nodes.items():
            reference = self._marginal.references[name]
            draws.update(node.named(node.mechanism.posterior_draws(node.by_cell(sums[name]), reference, rng)))  # type: ignore[attr-defined]
        return draws

    @staticmethod
    def _counts(sums: Mapping[str, Array]) -> Array:
        """Rows that inform theta: [allocations, levels of Z's observed causes, K]."""
        return np.swapaxes(sums[WEIGHTS], -1, -2)

    def _collect(self, numbers: np.ndarray) -> Mapping[str, Array]:
        K = self._model.K
        digits = (numbers[:, None] // K ** np.arange(self._hidden)) % K
        allocation = (digits[:, None, :] == np.arange(K)[:, None]).astype(np.float64)
        return self._marginal.statistics_of_hidden(allocation).sums


def _check_conjugate(model: CausalMixture, data: Data) -> None:
    for name, mechanism in model.mechanisms.items():
        reason = mechanism.why_not_conjugate() if hasattr(mechanism, "why_not_conjugate") else "it has no closed form"
        if reason:
            raise ValueError(f"model: Exact needs conjugate mechanisms, and {name} is not one: {reason}")
    if data.has_missing:
        raise ValueError("data: Exact sums over allocations of complete rows; drop the rows with missing entries")
    if data.weights is not None and not bool((data.weights == 1).all()):
        raise ValueError("weights: Exact sums over allocations of single rows; drop the weights, or repeat the rows")
