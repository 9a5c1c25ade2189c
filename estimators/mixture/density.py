"""log p(data, φ) and its exact gradient, as a function of unconstrained coordinates of the standardised data."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from estimators.data.data import LATENT, Data
from estimators.data.remarks import Remark
from estimators.estep.marginal import MixtureMarginal, Statistics
from estimators.mixture.arguments import check_distinct_rows
from estimators.mixture.by_greek import ByGreek, Evaluation
from estimators.mixture.coordinates import Coordinates, draw_priors, transforms_of
from estimators.mixture.limits import edges_at_limits
from estimators.mixture.program import MixtureProgram
from estimators.mixture.remarks import few_rows, remarks_of
from estimators.mixture.spurious import is_spurious
from estimators.optimise.arrays import Array, Mask
from estimators.optimise.ascent import LEAST_ROWS
from estimators.optimise.curvature import observed_information
from estimators.optimise.inside import moved_inside
from estimators.optimise.objective import NativeFunction, Objective, Parts, log_likelihood
from estimators.parameters.edges import Edge, End, edges_of_prior, edges_where
from estimators.parameters.intervals import at_ends_of_prior
from estimators.parameters.parameter import Parameter
from estimators.parameters.prior_densities import log_prior_at
from estimators.parameters.tabulated_priors import poles


class Density:
    """The density of a mixture's rows and Greeks in parts, Z summed out, as a function of coordinates v [..., D].

    Coordinates are of all that the priors allow, or, where not ``within_priors``, of all that the likelihood does.
    """

    def __init__(self, model: MixtureProgram, marginal: MixtureMarginal, *, within_priors: bool = True) -> None:
        self._model, self.parameters, self._within_priors = model, model.parameters, within_priors
        self.marginal = marginal
        transforms = transforms_of(model, marginal.references, within_priors=within_priors)
        self._coordinates = Coordinates(model.blocks, transforms)
        self.size, self.bounded = self._coordinates.size, self._coordinates.bounded
        self.data, self.total_weight, self.count = marginal.data, marginal.total_weight, marginal.count

    @property
    def names(self) -> list[str]:
        return [parameter.name for parameter in self.parameters]

    @property
    def supports(self) -> dict[str, Any]:
        return {parameter.name: parameter.prior.support for parameter in self.parameters}

    def draw_prior(self, count: int, rng: np.random.Generator) -> Array:
        """Coordinates [count, D] of Greeks drawn from their priors.

        Beyond the priors draws are starts alone: there they are of default priors, as if columns were standardised, so
        that no start depends on the origin or the unit of a column, or on priors that play no part.
        """
        if self._within_priors:
            return self.unconstrain(draw_priors(self.parameters, count, rng))
        weights = self.marginal.weights.by_default().parameters
        nodes = [replace(node, mechanism=node.mechanism.by_default()) for node in self.marginal.nodes.values()]
        parameters = [*weights, *(parameter for node in nodes for parameter in node.parameters)]
        return self._coordinates.standardised(draw_priors(parameters, count, rng))

    def need_maximum(self) -> None:
        """Raise ValueError where the likelihood has no maximum: for fewer distinct rows than components."""
        check_distinct_rows(self.data, list(self.marginal.nodes), self.marginal.K)

    # Whether every Greek has a prior.
    has_prior = True

    def log_priors(self, greeks: Mapping[str, Array]) -> dict[str, Array]:
        return {one.name: log_prior_at(one.prior, greeks[one.name]) for one in self.parameters}

    def row_information(self, information: Array, at: Array) -> Array:
        """What one row tells about a location [D], whose coordinate is in units of its column."""
        return np.ones(len(at))

    # An M-step that does not move has reached its fixed point.
    has_closed_form = True

    def e_step(self, coordinates: Array) -> tuple[float, Array, Statistics]:
        return self._evaluation.e_step(coordinates)

    def expected(self, coordinates: Array, responsibilities: Array, site: str | None = None) -> Statistics:
        self.site(site)
        greeks = self._coordinates.represented(coordinates)
        return self.marginal.statistics_given(np.swapaxes(responsibilities, -1, -2), greeks)

    def m_step(self, coordinates: Array, statistics: Any) -> Array:
        """The M-step; what the statistics do not tell about stays as it is at `coordinates`."""
        return self.unconstrain(self.marginal.argmax(self.constrain(coordinates), statistics))

    @np.errstate(all="ignore")
    def em_steps(self, points: Array) -> tuple[Array, Array]:
        greeks = self.constrain(points)
        statistics = self.marginal.statistics(greeks)
        return statistics.log_likelihood, self.unconstrain(self.marginal.argmax(greeks, statistics))

    def under(self, points: Array, responsibilities: Array, site: str | None = None) -> Array:
        self.site(site)
        greeks, shares = self.constrain(points), np.swapaxes(responsibilities, -1, -2)
        return self.unconstrain(self.marginal.argmax(greeks, self.marginal.statistics_given(shares)))

    def information(self, coordinates: Array) -> Array:
        return observed_information(Objective(self, log_likelihood), coordinates)

    def has_collapsed(self, coordinates: Array, gradient: Array) -> bool:
        return self.marginal.has_collapsed(self.constrain(coordinates)) and _is_told(self, coordinates)

    def is_spurious(self, coordinates: Array) -> bool:
        return is_spurious(self, coordinates)

    def at_boundary(self, coordinates: Array) -> bool:
        return any(not edge.kind.is_maximum for edge in self._ends(self.constrain(coordinates)))

    def edges(self, greeks: Mapping[str, Array]) -> list[Edge]:
        """Weights that nothing keeps off 0, probabilities and rates that are a hundredth of a row from their ends.

        And Greeks that have run into an end of their priors, or, where these play no part, to a limit.
        """
        limits = [] if self._within_priors else edges_at_limits(self.marginal, greeks, LEAST_ROWS)
        return self._ends(greeks) + limits

    def _ends(self, greeks: Mapping[str, Array]) -> list[Edge]:
        """Those that take no look at the rows."""
        rows, has_prior = self.marginal.weighing, self._within_priors
        weights = self._model.weights.edges(greeks, rows, self.count, has_prior=has_prior)
        priors = {parameter.name: parameter for parameter in self.parameters} if has_prior else {}
        of_mechanisms = _edges_of_mechanisms(self.marginal, greeks, priors)
        return weights + of_mechanisms + _edges_of_priors(self._coordinates, greeks)

    def remarks(self) -> list[Remark]:
        of_rows = self.marginal.weights, self.marginal.nodes, self.data
        found = remarks_of(*of_rows, self.marginal.K)
        return found if self._within_priors else found + few_rows(*of_rows, self._coordinates.sizes)

    def names_at(self, marked: Mask) -> list[str]:
        return self._coordinates.names_at(marked)

    def of(self, data: Data) -> "Density":
        return Density(self._model, self.marginal.of(data), within_priors=self._within_priors)

    def beyond_priors(self) -> "Density":
        return Density(self._model, self.marginal, within_priors=False)

    # ---------------------------------------------------------------- row by row

    def pointwise(self, greeks: Mapping[str, Tensor]) -> Tensor:
        return self.marginal.pointwise(greeks)

    def responsibilities(self, greeks: Mapping[str, Tensor], site: str | None = None) -> Tensor:
        self.site(site)
        return self.marginal.responsibilities(greeks)

    @property
    def latent(self) -> tuple[str, ...]:
        return (LATENT,)

    def site(self, name: str | None) -> str:
        if name not in (None, LATENT):
            raise ValueError(f"responsibilities: the hidden cause is {LATENT!r}, got site={name!r}")
        return LATENT

    @property
    def row_size(self) -> int:
        return self.marginal.num_units * self.marginal.K

    def constrain(self, coordinates: Array) -> dict[str, Array]:
        return self._coordinates.constrain(coordinates)

    def unconstrain(self, greeks: Mapping[str, Array]) -> Array:
        return self._coordinates.unconstrain(greeks)

    def log_jacobian(self, coordinates: Array) -> Array:
        return self._coordinates.log_jacobian(coordinates)

    def values(self, coordinates: Array) -> Parts:
        return self._evaluation.values(coordinates)

    def evaluate(self, coordinates: Array) -> tuple[Parts, Parts]:
        return self._evaluation.evaluate(coordinates)

    @property
    def native_log_posterior(self) -> NativeFunction | None:
        return self._evaluation.native_log_posterior

    @cached_property
    def _evaluation(self) -> Evaluation:
        """By compiled code alone, where rows, maps and priors all have their tables; else Greek by Greek."""
        if self.marginal.is_tabulated:
            # Numba takes half a second to import, which only a fit or a question needs.
            from estimators.mixture.native.density import native_density

            native = native_density(self.marginal, self._coordinates)
            if native is not None:
                return native
        return ByGreek(self.marginal, self._coordinates)

    def draws(self, coordinates: Array) -> dict[str, Tensor]:
        return {name: torch.from_numpy(np.array(value)) for name, value in self.constrain(coordinates).items()}


def _is_told(density: Density, coordinates: Array) -> bool:
    """Whether a collapse is one of rows: a spread of a cell without rows may be any."""
    inside = moved_inside(Objective(density, log_likelihood), density.data.least_weight, coordinates)
    return density.marginal.has_collapsed(density.constrain(inside))


def _edges_of_mechanisms(
    marginal: MixtureMarginal, greeks: Mapping[str, Array], priors: Mapping[str, Parameter]
) -> list[Edge]:
    """Probabilities and rates at their ends, which are maxima there but at a pole of a prior, of those that count."""
    found = []
    for name, few in marginal.at_edge(greeks, LEAST_ROWS).items():
        is_low = greeks[name] < 0.5
        are_poles = poles(priors[name]) if name in priors else (np.zeros_like(few),) * 2
        for at_end, end, is_pole in zip((few & is_low, few & ~is_low), ("0", "1"), are_poles, strict=True):
            found += edges_where(name, at_end & ~is_pole, end, End.PROBABILITY)
            found += edges_where(name, at_end & is_pole, end, End.POLE)
    return found


def _edges_of_priors(coordinates: Coordinates, greeks: Mapping[str, Array]) -> list[Edge]:
    found = []
    for greek in coordinates.greeks:
        for side, end, marked in at_ends_of_prior(greek.transform, greek.block.flat(greeks)):
            ends = greek.block.apart(end)
            for name, own in greek.block.apart(marked).items():
                found += edges_of_prior(name, own, ends[name], side)
    return found
