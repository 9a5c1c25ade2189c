"""Points in the labelling that is nearest to another point's, of all that the density leaves free."""

from itertools import permutations, product
from math import factorial, prod

import numpy as np

from estimators.contract import Density
from estimators.parameters.parameter import Array
from estimators.symmetry import Indices, Symmetry, assigned, permute

# Of so many labellings every one is tried; of more, classes are matched by their Greeks.
MOST_TRIED = 24


class Labelling:
    """Labels that are free in a density, and what renames them in its coordinates."""

    def __init__(self, density: Density, symmetry: Symmetry) -> None:
        self._density, self.symmetry = density, symmetry
        self.num_images = prod(factorial(len(group)) for group in symmetry.groups)
        self._orders = self._all_orders() if self.num_images <= MOST_TRIED else None

    def nearest(self, point: Array, target: Array) -> Array:
        """A point [D] in its labelling nearest to the target [D]."""
        images = self._images(point, target)
        away = np.nan_to_num(((images - target) ** 2).sum(-1), nan=np.inf)
        return np.asarray(images[away.argmin()])

    def distances(self, points: Array, target: Array) -> Array:
        """The largest difference of a coordinate [S] of points [S, D] from the target, in its labelling nearest."""
        if self._orders is None:
            images = self._renamed(np.tile(target, (len(points), 1)), self._matched(target, points))
            return np.asarray(np.abs(points - images).max(1, initial=0.0))
        images = self._images(target, target)
        away = np.abs(points[:, None, :] - images).max(2, initial=0.0)
        return np.asarray(np.nan_to_num(away, nan=np.inf).min(1))

    def _images(self, point: Array, target: Array) -> Array:
        """The point in all its labellings, or, where these are many, in that which is likely the nearest."""
        if self.num_images == 1:
            return point[None]
        orders = self._matched(point, target[None]) if self._orders is None else self._orders
        return self._renamed(np.tile(point, (len(orders), 1)), orders)

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
