"""Newton's method in |H|, in batches: maxima, saddles and ends of the support of functions whose every one is known."""

from dataclasses import dataclass

import numpy as np

from estimators.optimise.arrays import Array, Mask
from estimators.optimise.ascent import LIMIT
from estimators.optimise.stationary import stationary_points


@dataclass(frozen=True)
class TwoHills:
    """``-(x² - 1)² - y²``: maxima of 0 at x = ±1, a saddle of -1 between them."""

    size = 2
    bounded = np.zeros(2, dtype=bool)

    def evaluate(self, points: Array) -> tuple[Array, Array]:
        x, y = points.T
        return -((x**2 - 1) ** 2) - y**2, np.stack([-4 * x * (x**2 - 1), -2 * y], 1)


@dataclass(frozen=True)
class Coins:
    """``heads · log p + tails · log(1 - p)`` for each of several coins, p = 1 / (1 + e^-v)."""

    heads: Array
    tails: Array

    @property
    def size(self) -> int:
        return len(self.heads)

    @property
    def bounded(self) -> Mask:
        return np.ones(self.size, dtype=bool)

    def evaluate(self, points: Array) -> tuple[Array, Array]:
        log_p, log_rest = -np.logaddexp(0.0, -points), -np.logaddexp(0.0, points)
        p = np.exp(log_p)
        values = (self.heads * log_p + self.tails * log_rest).sum(1)
        return values, self.heads * (1 - p) - self.tails * p


@dataclass(frozen=True)
class Spike:
    """``-v``: a density that grows without end as a scale runs to 0."""

    size = 1
    bounded = np.ones(1, dtype=bool)

    def evaluate(self, points: Array) -> tuple[Array, Array]:
        return -points[:, 0], -np.ones_like(points)


def test_every_start_ends_at_the_maximum_of_its_side() -> None:
    starts = np.random.default_rng(0).normal(size=(50, 2)) * 2.0
    ends = stationary_points(TwoHills(), starts)
    assert ends.stationary.all() and not ends.saddles.any()
    assert np.allclose(np.abs(ends.points[:, 0]), 1.0, atol=2e-5) and np.allclose(ends.points[:, 1], 0.0, atol=1e-4)
    assert np.allclose(ends.values, 0.0, atol=1e-9)


def test_a_saddle_is_left_to_both_sides() -> None:
    ends = stationary_points(TwoHills(), np.array([[0.0, 0.7]]))
    assert ends.saddles.tolist() == [True] and not ends.stationary.any()
    assert ends.origins.tolist() == [0, 0] and (ends.ways[:, 0] < 0).tolist() == [True, False]
    further = stationary_points(TwoHills(), ends.ways)
    assert further.stationary.all() and np.allclose(np.sort(further.points[:, 0]), [-1.0, 1.0], atol=2e-5)


def test_a_probability_of_none_or_all_is_at_its_end_and_others_are_inside() -> None:
    coins = Coins(np.array([3.0, 0.0, 8.0]), np.array([5.0, 4.0, 0.0]))
    ends = stationary_points(coins, np.random.default_rng(1).normal(size=(20, 3)) * 4.0)
    assert ends.stationary.all()
    assert np.allclose(ends.points[:, 0], np.log(3.0 / 5.0), atol=1e-4)
    assert np.allclose(ends.points[:, 1:], [-LIMIT, LIMIT])


def test_a_start_at_the_wrong_end_comes_back() -> None:
    ends = stationary_points(Coins(np.array([3.0]), np.array([5.0])), np.array([[LIMIT], [-LIMIT], [20.0]]))
    assert ends.stationary.all() and np.allclose(ends.points, np.log(3.0 / 5.0), atol=1e-4)


def test_what_grows_without_end_is_no_maximum() -> None:
    assert not stationary_points(Spike(), np.array([[0.0], [-6.0], [-20.0]])).stationary.any()


def test_no_start_and_no_coordinate_are_nothing() -> None:
    assert stationary_points(TwoHills(), np.zeros((0, 2))).points.shape == (0, 2)
    assert stationary_points(Coins(np.zeros(0), np.zeros(0)), np.zeros((1, 0))).stationary.tolist() == [True]
