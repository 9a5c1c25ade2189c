"""The unconstrained coordinates of a mixture's Greeks, in units of the standardised columns."""

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch

from estimators.data.data import LATENT
from estimators.isolation import isolated
from estimators.mechanisms.protocol import Reference
from estimators.mixture.greeks import ByLogs, ByValue
from estimators.mixture.program import MixtureProgram
from estimators.optimise.arrays import Array, Mask
from estimators.parameters.block import Block
from estimators.parameters.intervals import within_prior
from estimators.parameters.parameter import Parameter
from estimators.parameters.sparse import in_logs
from estimators.parameters.transforms import Logged, Transform


def transforms_of(
    model: MixtureProgram, references: Mapping[str, Reference], *, within_priors: bool
) -> dict[str, Transform]:
    """The map to every block of Greeks from its coordinates.

    Of values that its prior has, or (as the likelihood alone needs them) of all that the mechanism can take.
    """
    found = model.weights.transforms(references[LATENT])
    for name, node in model.nodes.items():
        for block, transform in node.greeks.transforms(references[name]):
            found[block.joint.name] = within_prior(block.joint, transform) if within_priors else transform
    return found


class Coordinates:
    """All Greeks φ and their coordinates v [..., D], one after the other.

    A density is a function of the logs of probabilities, where these themselves are rounded to 0 or 1. ``bounded``
    marks coordinates [D] that are logs or logits: their ends are the boundary of the Greek's support.
    """

    def __init__(self, blocks: Sequence[Block], transforms: Mapping[str, Transform]) -> None:
        self.size, greeks, bounded = 0, list[ByValue | ByLogs](), []
        for block in blocks:
            transform = transforms[block.joint.name]
            size = transform.size(block.joint.shape)
            coordinates = slice(self.size, self.size + size)
            if transform.has_logs:
                greeks.append(ByLogs(block, cast(Logged, transform), coordinates))
            else:
                greeks.append(ByValue(block, transform, coordinates))
            bounded += [transform.bounded] * size
            self.size += size
        self.greeks, self.bounded = tuple(greeks), np.array(bounded, dtype=bool)

    @property
    def sizes(self) -> dict[str, int]:
        """How many coordinates each Greek has; those of a joint block, and none, are its first one's."""
        own = {greek.block.parameters[0].name: greek.coordinates for greek in self.greeks}
        return {name: where.stop - where.start for name, where in own.items()}

    def constrain(self, coordinates: Array) -> dict[str, Array]:
        """φ(v)."""
        values: dict[str, Array] = {}
        for greek in self.greeks:
            values |= greek.block.apart(greek.transform.forward(coordinates[..., greek.coordinates]))
        return values

    def unconstrain(self, greeks: Mapping[str, Array]) -> Array:
        """v(φ)."""
        return np.concatenate([greek.transform.inverse(greek.block.flat(greeks)) for greek in self.greeks], axis=-1)

    def standardised(self, greeks: Mapping[str, Array]) -> Array:
        """The same of Greeks of standardised columns."""
        own = [greek.transform.standardised(greek.block.flat(greeks)) for greek in self.greeks]
        return np.concatenate(own, axis=-1)

    def represented(self, coordinates: Array) -> dict[str, Array]:
        """What a density is a function of: Greeks, or in place of probabilities their logs."""
        values: dict[str, Array] = {}
        for greek in self.greeks:
            greek.put(coordinates, values)
        return values

    @np.errstate(all="ignore")
    def log_jacobian(self, coordinates: Array) -> Array:
        """log |dφ/dv| [...]."""
        represented, total = self.represented(coordinates), np.zeros(coordinates.shape[:-1])
        for greek in self.greeks:
            total = total + greek.log_jacobian(coordinates, represented)
        return total

    def names_at(self, marked: Mask) -> list[str]:
        """The Greeks of which some coordinate is marked [D]."""
        return [name for greek in self.greeks for name in greek.names_at(marked[greek.coordinates])]


def draw_priors(parameters: Sequence[Parameter], count: int, rng: np.random.Generator) -> dict[str, Array]:
    """Greeks [count, *shape] from their priors."""
    with isolated(int(rng.integers(2**32))):
        return {p.name: in_logs(p.prior).sample(torch.Size([count])).double().numpy() for p in parameters}
