"""A mixture's log density and its gradient by compiled code alone, where all maps and priors have their tables."""

from math import prod
from typing import cast

import numpy as np

from estimators.estep.compiled.kernel import CompiledKernel
from estimators.estep.compiled.layout import Whole, addresses
from estimators.estep.marginal import MixtureMarginal, Statistics
from estimators.mixture.coordinates import Coordinates
from estimators.mixture.native.parts import EVALUATE, evaluate, finish, greeks_at, log_posterior, values_at
from estimators.mixture.native.sites import tabulated_sites
from estimators.optimise.arrays import Array
from estimators.optimise.objective import NativeFunction, Parts
from estimators.parameters.transforms import LOGS


class NativeDensity:
    """The parts of the log density at coordinates [..., D], in threads over points or over rows."""

    def __init__(self, marginal: MixtureMarginal, coordinates: Coordinates, sites: Whole, laws: Array) -> None:
        self._marginal, self._coordinates, self._size = marginal, coordinates, coordinates.size
        self._kernel = cast(CompiledKernel, marginal.kernel)
        self.tables = self._kernel.tables._replace(sites=sites, laws=laws)
        self._where = addresses(self.tables)

    def values(self, coordinates: Array) -> Parts:
        batch = coordinates.shape[:-1]
        points = np.ascontiguousarray(coordinates, dtype=np.float64).reshape(prod(batch), self._size)
        values = np.empty((len(points), 3))
        if len(points) < self._kernel.num_chunks:
            values[:, 0] = self._kernel.log_likelihood(self._greeks(points))
            values_at(self._where, points, values, False)
        else:

            def of(own: slice, first: int, last: int) -> None:
                values_at(self._where, points[own], values[own], True)

            self._kernel.spread(of, len(points))
        return Parts(*values.T.reshape(3, *batch))

    def evaluate(self, coordinates: Array) -> tuple[Parts, Parts]:
        batch = coordinates.shape[:-1]
        points = np.ascontiguousarray(coordinates, dtype=np.float64).reshape(prod(batch), self._size)
        values, gradients = np.empty((len(points), 3)), np.empty((len(points), 3, self._size))
        if len(points) < self._kernel.num_chunks:
            greeks = self._greeks(points)
            values[:, 0], sums = self._kernel.collected(greeks, is_whole=False)
            finish(self._where, points, greeks, sums, values, gradients)
        else:

            def of(own: slice, first: int, last: int) -> None:
                evaluate(self._where, points[own], values[own], gradients[own])

            self._kernel.spread(of, len(points))
        by_part = gradients.transpose(1, 0, 2).reshape(3, *batch, self._size)
        return Parts(*values.T.reshape(3, *batch)), Parts(*by_part)

    def e_step(self, coordinates: Array) -> tuple[float, Array, Statistics]:
        points = coordinates[None]
        values, gradients, greeks = np.empty((1, 3)), np.empty((1, 3, self._size)), self._greeks(points)
        value, sums = self._kernel.collected(greeks)
        finish(self._where, points, greeks, sums, values, gradients)
        # Sums are about the very centres that the compiled code had.
        named = self._named(greeks[0])
        return (
            float(value[0]),
            gradients[0, 0],
            self._marginal.statistics_of(named, value, self._kernel.by_slot(sums), ()),
        )

    @property
    def native_log_posterior(self) -> NativeFunction:
        data = np.concatenate([[[EVALUATE, 0, 0]], self._where])
        return NativeFunction(log_posterior.address, data, (self.tables, self._kernel))

    def _greeks(self, points: Array) -> Array:
        """The Greeks [S, 3, size]."""
        greeks = np.empty((len(points), *self.tables.known.shape))
        greeks_at(self._where, points, greeks)
        return greeks

    def _named(self, numbers: Array) -> dict[str, Array]:
        """The Greeks by their names, those that are probabilities by their logs."""
        named = {}
        for greek in self._coordinates.greeks:
            for parameter in greek.block.parameters:
                name, shape = parameter.name, parameter.shape
                places = self._kernel.places.slices[name]
                if not greek.transform.has_logs:
                    named[name] = numbers[0, places].reshape(shape)
                    continue
                named[LOGS[0].format(name)] = numbers[1, places].reshape(shape)
                if name in self._kernel.places.with_rests:
                    named[LOGS[1].format(name)] = numbers[2, places].reshape(shape)
        return named


def native_density(marginal: MixtureMarginal, coordinates: Coordinates) -> NativeDensity | None:
    """None where a map or a prior has no table, or a family makes its coefficients itself."""
    kernel = cast(CompiledKernel, marginal.kernel)
    # The Greeks of a block stand one after the other.
    parameters = [greek.block.joint for greek in coordinates.greeks]
    transforms = {greek.block.joint.name: greek.transform for greek in coordinates.greeks}
    tabulated = None if kernel.makes_coefficients else tabulated_sites(parameters, transforms, kernel.places.slices)
    return None if tabulated is None else NativeDensity(marginal, coordinates, *tabulated)
