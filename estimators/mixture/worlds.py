"""What a row may come from and would have become: branches over Z and the values that noise leaves possible."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from estimators.mechanisms.structural import Structural
from estimators.mixture.situation import Situation


class Worlds:
    """What was (``fact``) and what would have been (``world``) in every branch, as [S, N, C, ...], and its probability.

    Branches begin as the values of Z that a row may come from, ``shares`` [S, N, K]. Each variable computed anew splits
    them, one for each value that its noise leaves possible: noises are independent, so that probabilities multiply.
    """

    def __init__(
        self,
        situation: Situation,
        assumptions: Mapping[str, Structural],
        fact: Mapping[str, Tensor],
        settings: Mapping[str, Tensor],
        is_set: Mapping[str, Tensor],
        shares: Tensor,
        like: Mapping[str, Tensor],
    ) -> None:
        self._situation, self._assumptions = situation, assumptions
        self._fact, self._settings, self._is_set = dict(fact), settings, is_set
        # What is neither set nor computed anew is what it was.
        self._world = {**fact, **settings}
        self._shares = shares
        # Of variables that are one value a unit, the row [N] whose value each row has.
        self._like = like

    def mean_change(self, name: str, above: Sequence[str], drawn: Sequence[str], limit: int) -> Tensor | None:
        """E[value less what it was] as [S, N, ...] from the variables above, or None beyond a number of branches.

        The noise of those ``drawn`` is drawn, not enumerated.
        """
        for other in above:
            if other in drawn:
                self._set(other, self._drawn(other))
            elif not self._split(other, limit):
                return None
        change = self._world[name] - self._fact[name]
        shares = self._shares.reshape(*self._shares.shape, *[1] * (change.ndim - 3))
        # A component that cannot have made the row leaves no finite noise.
        return torch.where(shares > 0, shares * change, 0.0).sum(2)

    def draw_all(self, changed: Sequence[str]) -> dict[str, Tensor]:
        """Every variable of one world each, with noise drawn for all, so that it is the same whatever is set."""
        for name in self._situation.model.order:
            if name in self._situation.model.covariates:
                continue
            drawn = self._drawn(name, name in changed)
            if name in changed:
                self._set(name, drawn)
        return self._world

    def _drawn(self, name: str, acts: bool = True) -> Tensor:
        fact, structural = self._fact[name], self._assumptions[name]
        before = self._situation.distribution(name, self._fact)
        shape = np.broadcast_shapes(before.batch_shape, fact.shape[:3], self._shares.shape if acts else ())
        noise = structural.abduct(before.expand(shape), fact.expand(*shape, *before.event_shape))
        drawn = structural.act(self._situation.distribution(name, self._world), noise) if acts else fact
        return drawn[self._like[name]] if name in self._like and len(drawn) > 1 else drawn

    def _set(self, name: str, value: Tensor) -> None:
        """Take a value where a cause changed, and nobody set the entry."""
        keeps = self._keeps(name)
        self._world[name] = torch.where(keeps.reshape(*keeps.shape, *[1] * (value.ndim - 3)), self._fact[name], value)

    def _keeps(self, name: str) -> Tensor:
        """Where every cause has the value that it had, or an experimenter set the entry: so has the variable."""
        is_same = torch.ones(1, 1, 1, dtype=torch.bool)
        for cause in self._situation.edges[name]:
            equal = self._fact[cause] == self._world[cause]
            is_same = is_same & equal.reshape(*equal.shape[:3], -1).all(-1)
        return is_same | self._is_set[name]

    def _split(self, name: str, limit: int) -> bool:
        """Split every branch by the values that a variable may take in it; False beyond the limit."""
        before, after = (self._situation.distribution(name, values) for values in (self._fact, self._world))
        fact, keeps = self._fact[name], self._keeps(name)[..., None]
        outcomes = self._assumptions[name].outcomes(before, fact, after)  # type: ignore[attr-defined]
        if outcomes is None:
            return False
        values, probabilities = outcomes
        size, event_dim = probabilities.shape[-1], fact.ndim - 3
        num_branches = self._shares.shape[2]
        if size * num_branches > limit:
            return False
        values = torch.where(keeps.reshape(*keeps.shape, *[1] * event_dim), fact.unsqueeze(3), values)
        # What keeps its value has it on the first branch, with certainty.
        probabilities = torch.where(keeps, torch.eye(1, size, dtype=torch.float64)[0], probabilities)
        self._map_branches(lambda value: value.repeat_interleave(size, 2))
        values = values.expand(*values.shape[:2], num_branches, *values.shape[3:])
        self._world[name] = values.flatten(2, 3)
        self._shares = (self._shares[..., None] * probabilities).flatten(2, 3)
        # Branches that no row has are left out.
        kept = (self._shares > 0).flatten(0, 1).any(0).nonzero()[:, 0]
        if len(kept) < self._shares.shape[2]:
            self._shares = self._shares[:, :, kept]
            self._map_branches(lambda value: value[:, :, kept])
        return True

    def _map_branches(self, change: Callable[[Tensor], Tensor]) -> None:
        """Change the branches of all values that differ between branches."""
        for values in (self._fact, self._world):
            values |= {name: change(value) for name, value in values.items() if value.shape[2] > 1}
