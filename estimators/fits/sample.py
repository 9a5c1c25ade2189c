"""Draws of the Greeks with weights, as labels look at them."""

from typing import NamedTuple

from estimators.optimise.arrays import Array
from estimators.parameters.symmetry import Draws


class Sample(NamedTuple):
    """Draws [S, ...], their weights [S], which sum to 1, and which of them has the highest density.

    ``is_about_point``: what is said of labels is said of that one.
    """

    draws: Draws
    weights: Array
    best: int = 0
    is_about_point: bool = False


class Rivals(NamedTuple):
    """Modes [M, D] beside a point, and the share [1 + M] of the point and of each of them."""

    points: Array
    shares: Array
