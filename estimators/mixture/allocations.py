"""A mixture with its Greeks integrated out, given which component every row is in: for conjugate mechanisms."""

from collections.abc import Mapping
from typing import cast

import numpy as np
from scipy.special import gammaln

from estimators.data.data import Data
from estimators.estep.marginal import MixtureMarginal
from estimators.estep.weights import WEIGHTS
from estimators.mechanisms.protocol import Conjugate
from estimators.mixture.program import MixtureProgram
from estimators.optimise.arrays import Array
from estimators.parameters.sparse import dirichlet_draws


class Allocations:
    """Counts and summed features of the rows in each component, for allocations of units numbered 0 … K^H - 1."""

    def __init__(self, marginal: MixtureMarginal, concentration: Array) -> None:
        self._marginal, self._concentration = marginal, concentration
        self.num_components, self.num_hidden = (
            marginal.K,
            int((marginal.data.of_units(marginal.data.latent()) < 0).sum()),
        )

    def log_joint(self, numbers: np.ndarray) -> Array:
        counts, sums = self._collect(numbers)
        concentration = self._concentration
        total = concentration.sum()
        value = gammaln(total) - gammaln(total + counts.sum(-1))
        value = (value + (gammaln(concentration + counts) - gammaln(concentration)).sum(-1)).sum(-1)
        for name, node in self._marginal.nodes.items():
            mechanism, cells = cast(Conjugate, node.mechanism), node.by_cell(sums[name])
            value = value + mechanism.log_evidence(cells, self._marginal.references[name]).sum(-1)
        return np.asarray(value)

    def posterior_draws(self, numbers: np.ndarray, rng: np.random.Generator) -> dict[str, Array]:
        counts, sums = self._collect(numbers)
        weights = dirichlet_draws(self._concentration + counts, rng)
        draws = {WEIGHTS: weights.reshape(len(numbers), *self._marginal.weights.parameters[0].shape)}
        for name, node in self._marginal.nodes.items():
            mechanism, reference = cast(Conjugate, node.mechanism), self._marginal.references[name]
            draws.update(node.greeks.named(mechanism.posterior_draws(node.by_cell(sums[name]), reference, rng)))
        return draws

    def _collect(self, numbers: np.ndarray) -> tuple[Array, Mapping[str, Array]]:
        """Rows that inform theta [allocations, levels of Z's observed causes, K], and the mechanisms' statistics."""
        K, data = self._marginal.K, self._marginal.data
        latent = data.of_units(data.latent()).numpy()
        digits = (numbers[:, None] // K ** np.arange(self.num_hidden)) % K
        allocation = np.broadcast_to(latent, (len(numbers), len(latent))).copy()
        allocation[:, latent < 0] = digits
        one_hot = (allocation[:, None, :] == np.arange(K)[:, None]).astype(np.float64)
        statistics = self._marginal.statistics_given(one_hot)
        return np.swapaxes(statistics.counts, -1, -2), statistics.sums


def check_conjugate(model: MixtureProgram, data: Data) -> None:
    """Raise ValueError where the Greeks cannot be integrated out, row by row."""
    if not model.weights.has_table:
        causes = list(model.latent_parents)
        raise ValueError(
            f"model: Exact needs weights of Z that integrate out, and a gate of {causes} has no closed form"
        )
    for name, mechanism in model.mechanisms.items():
        reason = mechanism.why_not_conjugate()
        if reason:
            raise ValueError(f"model: Exact needs conjugate mechanisms, and {name} is not one: {reason}")
    if data.has_missing:
        raise ValueError("data: Exact sums over allocations of complete rows; drop the rows with missing entries")
    if data.weights is not None and not bool((data.weights == 1).all()):
        raise ValueError("weights: Exact sums over allocations of single rows; drop the weights, or repeat the rows")
