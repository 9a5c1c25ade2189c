"""The unconstrained coordinates of a mixture's Greeks, in units of the standardised columns."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from estimators.estep.variable import Node
from estimators.estep.weights import WEIGHTS, Weights
from estimators.mechanisms.protocol import Reference
from estimators.parameters.intervals import within_prior
from estimators.parameters.parameter import Parameter
from estimators.parameters.transforms import Simplex, Transform


class Coordinates(Protocol):
    """What a density needs of its mixture: the Greeks, and what says how to reach them."""

    @property
    def K(self) -> int:
        """The number of components."""

    @property
    def concentration(self) -> Any:
        """The concentration [K] of theta's prior."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The Greeks."""

    @property
    def weights(self) -> Weights:
        """The weights of Z."""

    @property
    def nodes(self) -> Mapping[str, Node]:
        """Every observed variable's place in the model."""

    def sample_greeks(self) -> Mapping[str, Tensor]:
        """The part of the Pyro program above the rows."""


def transforms_of(
    model: Coordinates, references: Mapping[str, Reference], *, within_priors: bool = False
) -> dict[str, Transform]:
    """The map to every Greek from its coordinates.

    Of values that its prior has, or (as the likelihood alone needs them) of all that the mechanism can take.
    """
    found: dict[str, Transform] = {WEIGHTS: Simplex(model.K, model.weights.width)}
    for name, node in model.nodes.items():
        own = node.transforms(references[name])
        if within_priors:
            own = {p.name: within_prior(p, own[p.name]) for p in node.parameters}
        found.update(own)
    return found
