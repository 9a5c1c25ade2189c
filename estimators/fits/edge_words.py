"""What a point estimate has at an end of its support, in words."""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from estimators.contract import Density
from estimators.optimise.ascent import LIMIT
from estimators.parameters.edges import Edge, End, words_of_edges


def words_at_boundary(density: Density, draws: Mapping[str, Tensor]) -> str:
    """What a point estimate that is no maximum has at an end of its support, and what to do."""
    edges = edges_of(density, draws)
    lost = [edge for edge in edges if not edge.kind.is_maximum] or edges
    if not lost:
        greeks = {name: value[0].numpy() for name, value in draws.items()}
        ended = density.bounded & (np.abs(density.unconstrain(greeks)) > LIMIT - 0.1)
        lost = [Edge(name, None, "an end of its support", End.SUPPORT) for name in density.names_at(ended)]
    return words_of_edges(lost)


def words_at_ends(density: Density, draws: Mapping[str, Tensor]) -> str:
    """What a maximum has at an end of its support; "" for nothing."""
    return words_of_edges([edge for edge in edges_of(density, draws) if edge.kind.is_maximum])


def edges_of(density: Density, draws: Mapping[str, Tensor]) -> list[Edge]:
    """What a point estimate has at an end of its support."""
    return density.edges({name: value[0].numpy() for name, value in draws.items()})
