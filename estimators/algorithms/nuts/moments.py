"""Whether chains have the moments of importance sampling: chains that all keep out of one part agree, and are wrong."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from estimators.contract import Density, Model
from estimators.diagnostics import diagnostics
from estimators.modes.weighed import Weighed
from estimators.optimise.arrays import Array
from estimators.parameters.symmetry import Symmetry, permute

# What both say is the same within so many standard errors, and rounding.
SAME, ROUNDING = 3.0, 1e-9


@dataclass(frozen=True, eq=False)
class Moments:
    """Means and mean squares of the Greeks by importance sampling, the free classes of each draw in order."""

    model: Model
    density: Density
    symmetry: Symmetry
    found: Weighed

    def agree(self, coordinates: Array, num_chains: int) -> bool:
        """Whether those of chains' draws [S, D] are the same, but for chance."""
        drawn, weighed = self._in_order(coordinates), self._in_order(self.found.points)
        _, bulk, tail = diagnostics(drawn, num_chains)
        for name, of_chains in drawn.items():
            own, other = of_chains.numpy(), weighed[name].numpy()
            centre, size = own.mean(0), np.minimum(bulk[name], tail[name])
            weights = self.found.weights.reshape(-1, *[1] * (other.ndim - 1))
            for power in (1, 2):
                one, two = (own - centre) ** power, (other - centre) ** power
                mean = (weights * two).sum(0)
                error = np.sqrt(one.var(0) / size + (weights**2 * (two - mean) ** 2).sum(0))
                if bool((np.abs(one.mean(0) - mean) > SAME * error + ROUNDING * np.abs(mean)).any()):
                    return False
        return True

    def _in_order(self, coordinates: Array) -> dict[str, Tensor]:
        """Greeks of points [S, D] whose free classes are in the order of the model's key, draw by draw."""
        draws = self.density.draws(coordinates)
        if not self.symmetry.is_nontrivial:
            return draws
        first = next(iter(self.model.order_keys(draws, self.symmetry).values()))
        key = first.expand(len(coordinates), self.symmetry.num_labels)
        order = torch.arange(self.symmetry.num_labels).repeat(len(coordinates), 1)
        for group in self.symmetry.groups:
            labels = torch.tensor(sorted(group))
            order[:, labels] = labels[key[:, labels].argsort(1)]
        return permute(draws, self.symmetry.axes, order.numpy())
