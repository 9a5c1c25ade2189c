"""Draws of the Greeks with weights, as labels look at them."""

from typing import NamedTuple

from estimators.parameters.parameter import Array
from estimators.symmetry import Draws


class Sample(NamedTuple):
    """Draws [S, ...], their weights [S], which sum to 1, and which of them has the highest density."""

    draws: Draws
    weights: Array
    best: int = 0
