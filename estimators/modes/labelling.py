"""Points in the labelling that is nearest to another point's, of all that the density leaves free."""

from itertools import permutations, product
from math import factorial, prod

import numpy as np

from estimators.contract import Density, Model
from estimators.optimise.arrays import Array
from estimators.optimise.stationary import NEAR
from estimators.parameters.symmetry import Indices, Symmetry, assigned, permute

# Of so many labellings every one is tried; of more, classes are matched by their Greeks.
MOST_TRIED = 24


class Labelling:
    """Labels that are free in a density, and what renames them in its coordinates."""

    def __init__(self, density: Density, symmetry: Symmetry) -> None:
        self._density, self.symmetry, self.size = density, symmetry, density.size
        self.num_images = prod(factorial(len(group)) for group in symmetry.groups)
        self._orders = self._all_orders() if self.num_images <= MOST_TRIED else None
        self._ends = np.where(density.bounded, NEAR, np.inf)

    @staticmethod
    def of(model: Model, density: Density, *, uses_prior: bool) -> "Labelling":
        """The labels that are free in the posterior of a density, or in its likelihood."""
        at = {name: value[0] for name, value in density.draws(np.zeros((1, density.size))).items()}
        return Labelling(density, model.symmetry(density.data, at, uses_prior=uses_prior))

    def nearest(self, point: Array, target: Array) -> Array:
        """A point [D] in its labelling nearest to the target [D]."""
        if self.num_images == 1:
            return point
        if self._orders is None:
            return np.asarray(self._renamed(point[None], self._matched(point, target[None]))[0])
        images = self.images(point[None])[:, 0]
        away = np.nan_to_num(((images - target) ** 2).sum(-1), nan=np.inf)
        return np.asarray(images[away.argmin()])

    def images(self, points: Array) -> Array:
        """Points [S, D] in all labellings that are compared, [P, S, D]; as they are first, and alone of too many."""
        if self._orders is None or self.num_images == 1 or not len(points):
            return points[None]
        others = self._orders[1:]
        renamed = self._renamed(np.tile(points, (len(others), 1)), np.repeat(others, len(points), 0))
        return np.concatenate([points[None], renamed.reshape(len(others), *points.shape)])

    def distances(self, points: Array, images: Array) -> Array:
        """The largest difference of a coordinate [S] of points [S, D] from the nearest of a point's images [P, D]."""
        if self._orders is None:
            own = self._renamed(np.tile(images[0], (len(points), 1)), self._matched(images[0], points))[:, None]
        else:
            own = images[None]
        away = np.abs(self._held(points)[:, None, :] - self._held(own)).max(2, initial=0.0)
        return np.asarray(np.where(np.isnan(away), np.inf, away).min(1))

    def _held(self, points: Array) -> Array:
        """Points with what is at an end of its support held there: how far beyond it is, means nothing."""
        return np.asarray(np.minimum(np.maximum(points, -self._ends), self._ends))

    def _all_orders(self) -> Indices:
        """Every permutation [P, K] of labels within their groups."""
        orders = []
        for parts in product(*(permutations(group) for group in self.symmetry.groups)):
            order = np.arange(self.symmetry.num_labels)
            for group, part in zip(self.symmetry.groups, parts, strict=True):
                order[list(group)] = part
            orders.append(order)
        return np.array(orders)

    def _renamed(self, points: Array, orders: Indices) -> Array:
        draws = permute(self._density.draws(points), self.symmetry.axes, orders)
        return self._density.unconstrain({name: value.numpy() for name, value in draws.items()})

    def _matched(self, point: Array, targets: Array) -> Indices:
        """The permutations [S, K] of a point whose classes' Greeks are nearest to those of each target [S, D]."""
        greeks = self._density.constrain(np.concatenate([targets, point[None]]))
        costs = np.zeros((len(targets), self.symmetry.num_labels, self.symmetry.num_labels))
        for name, axes in self.symmetry.axes.items():
            if len(axes) != 1:
                continue
            by_class = np.moveaxis(greeks[name], axes[0] + 1, 1)
            by_class = by_class.reshape(*by_class.shape[:2], -1)
            spread = np.maximum(by_class.std((0, 1)), 1e-300)
            apart = (by_class[:-1, :, None, :] - by_class[-1][None, None, :, :]) / spread
            costs += (apart**2).sum(-1)
        return assigned(costs, self.symmetry.groups)
