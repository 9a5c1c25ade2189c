"""What a point estimate has at an end of its support, in words."""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from estimators.contract import Density
from estimators.optimise.ascent import LIMIT
from estimators.parameters.edges import SUPPORT, Edge, words_of_edges


def words_at_edge(density: Density, draws: Mapping[str, Tensor]) -> str:
    """What a point estimate has at an end of its support, and what to do."""
    greeks = {name: value[0].numpy() for name, value in draws.items()}
    edges = density.edges(greeks)
    if not edges:
        ended = density.bounded & (np.abs(density.unconstrain(greeks)) > LIMIT - 0.1)
        edges = [Edge(name, None, "an end of its support", SUPPORT) for name in density.names_at(ended)]
    return words_of_edges(edges)
