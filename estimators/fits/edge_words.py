"""What a point estimate has at an end of its support, in words."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from estimators.contract import Density
from estimators.data.remarks import Remark
from estimators.fits.untold_ends import untold_at_ends
from estimators.optimise.arrays import Array
from estimators.optimise.ascent import LIMIT
from estimators.parameters.edges import Edge, End, words_of_edges


def words_at_boundary(density: Density, draws: Mapping[str, Tensor], remarks: Sequence[Remark]) -> str:
    """What a point estimate that is no maximum has at an end of its support, and why, or what to do."""
    edges = _edges(density, draws, remarks)
    lost = [edge for edge in edges if not edge.kind.is_maximum] or edges
    if not lost:
        greeks = {name: value[0].numpy() for name, value in draws.items()}
        ended = density.bounded & (np.abs(density.unconstrain(greeks)) > LIMIT - 0.1)
        lost = [Edge(name, None, "an end of its support", End.SUPPORT) for name in density.names_at(ended)]
    return words_of_edges(lost)


def words_at_ends(density: Density, draws: Mapping[str, Tensor], remarks: Sequence[Remark]) -> str:
    """What a maximum has at an end of its support; "" for nothing."""
    ends = (edge for edge in _edges(density, draws, remarks) if edge.kind is not End.SEPARATED)
    return words_of_edges([edge for edge in ends if edge.kind.is_maximum])


def separated(density: Density, greeks: Mapping[str, Array]) -> list[Edge]:
    """The entries of a point estimate that no finite value is best of."""
    return [edge for edge in density.edges(greeks) if edge.kind is End.SEPARATED]


def _edges(density: Density, draws: Mapping[str, Tensor], remarks: Sequence[Remark]) -> list[Edge]:
    """What is at an end; of what there are no rows, these do not show it."""
    greeks = {name: value[0].numpy() for name, value in draws.items()}
    edges = density.edges(greeks)
    untold = untold_at_ends(density, greeks) if edges else []
    shown = [edge for edge in edges if edge.kind is not End.PROBABILITY or edge.entry not in untold]
    return [_explained(edge, remarks) for edge in shown]


def _explained(edge: Edge, remarks: Sequence[Remark]) -> Edge:
    """The edge, with the remark for which it is one in place of advice."""
    for remark in remarks:
        is_level = not remark.levels or (edge.index is not None and edge.index[-1] in remark.levels)
        if edge.greek == remark.greek and is_level:
            return replace(edge, because=str(remark))
    return edge
