"""The inputs of a regression about their centres, in units of their spreads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import prod
from typing import Any, cast

import numpy as np
import pyro.distributions as dist
from pyro.distributions.torch_distribution import TorchDistributionMixin

from estimators.mechanisms.gaussian.family import DIGITS_LOST, EPS, spread
from estimators.mechanisms.protocol import Reference
from estimators.optimise.arrays import Array
from estimators.parameters.priors import default_prior
from estimators.parameters.transforms import Linear


@dataclass(frozen=True)
class Line(Reference):
    """The line in standardised inputs ``t = (1, (inputs - input_centre) / input_scale)`` that is taken off a column.

    ``u = (y - centre · (1, inputs)) / scale``, with ``centre`` [1 + P] in the inputs' own units: a far input does not
    cost the others digits.
    """

    input_centre: Any = ()
    input_scale: Any = ()
    # The map of a line onto its coordinates where these are not those of `matrix`.
    centred: Any = None

    def design(self, inputs: Array) -> Array:
        """t as [N, 1 + P]."""
        return np.concatenate([np.ones((len(inputs), 1)), (inputs - self.input_centre) / self.input_scale], 1)

    @property
    def matrix(self) -> Array:
        """A [1 + P, 1 + P] with ``A @ beta`` the line in standardised inputs."""
        found = np.diag([1.0, *np.asarray(self.input_scale)])
        found[0, 1:] = self.input_centre
        return found

    def about_0(self) -> "Line":
        """The same with inputs in units of their spreads alone: an intercept is then a coordinate by itself."""
        return replace(self, input_centre=np.zeros(len(self.input_scale)))

    def of_products(self, factors: Sequence[Sequence[object]]) -> "Line":
        """The same where inputs are products of factors: coordinates are the line in products of standardised inputs.

        An age far from 0 makes ``T:age`` all but a multiple of T, and this one of nothing: ``x y`` is of ``x - a`` and
        ``y - b`` what it is, less multiples of x and of y, which stand beside it. A product without one of these stays.
        """
        if all(len(product) == 1 for product in factors):
            return self
        places = {frozenset(product): 1 + place for place, product in enumerate(factors[: len(self.input_scale)])}
        middles, units = ([*part] for part in (self.input_centre, self.input_scale))
        map_to = np.eye(1 + len(units))
        for product, place in places.items():
            own = {factor: places[frozenset([factor])] - 1 for factor in product}
            lower = [frozenset(part) for size in range(len(product)) for part in combinations(product, size)]
            map_to[place, place] = prod(units[own[factor]] for factor in product)
            if all(not part or part in places for part in lower):
                for part in lower:
                    share = prod(units[own[factor]] for factor in part)
                    map_to[places.get(part, 0), place] = share * prod(middles[own[factor]] for factor in product - part)
        return replace(self, centred=map_to)

    @property
    def coordinates(self) -> Linear:
        """The line by its coordinates."""
        scale, centre = np.asarray(self.scale), np.asarray(self.centre)
        if self.centred is None:
            return Linear(np.linalg.inv(self.matrix) * scale, centre)
        return Linear(np.linalg.inv(self.centred) * scale, centre, self.matrix / scale)


def line_of(reference: Reference) -> Line:
    """The reference of a regression."""
    return cast(Line, reference)


def line_about(inputs: Array, centre: float = 0.0, scale: float = 1.0) -> Line:
    """The reference of a column with a centre and a scale: inputs [N, P] by their means and standard deviations.

    A deviation of 0 is 1; an input whose mean is so far from most of it that these would lose their digits has its
    median for a centre.
    """
    width = inputs.shape[-1]
    middle, unit = np.zeros(width), np.ones(width)
    if inputs.size:
        middle = centre_of_most(inputs)
        unit = spread(inputs, middle)
    return Line(np.array([centre, *np.zeros(width)]), scale, False, middle, unit)


def line_prior(inputs: Mapping[str, Array], centre: float, width: float) -> TorchDistributionMixin:
    """Slopes ``Normal(0, width / sd(t))``, and the intercept that goes with a column of mean `centre`.

    The intercept is the line at t = 0, which may be far from every row: its sd is that of ``mean(y) - Σ slope
    mean(t)``, with `width` of its own.
    """
    middles = np.array([values.mean() for values in inputs.values()])
    units = np.array([float(spread(values, middle)) for values, middle in zip(inputs.values(), middles, strict=True)])
    widths = width / units
    own = np.sqrt(width**2 + ((widths * middles) ** 2).sum())
    return default_prior(dist.Normal, np.array([centre, *np.zeros(len(units))]), np.array([own, *widths]))


def centre_of_most(columns: Array) -> Array:
    """Means [P]; of a column in which digits would be lost about its mean by what most of it is, the median."""
    count, places = len(columns), np.arange(columns.shape[1])
    near, far = np.sort(columns, 0)[[(count - 1) // 2, count // 2]]
    # Of two in the middle, the one that is itself known more finely.
    median, mean = np.where(np.abs(near) <= np.abs(far), near, far), columns.mean(0)
    away = np.sort(np.abs(columns - median), 0)
    # The usual distance from the median, or the least of those that are none of its copies.
    usual = away[np.maximum((count - 1) // 2, np.minimum((away == 0).sum(0), count - 1)), places]
    usual = np.where(median != 0, np.minimum(usual, np.abs(median)), usual)
    return np.asarray(np.where(EPS * np.abs(mean - median) > DIGITS_LOST * usual, median, mean))
