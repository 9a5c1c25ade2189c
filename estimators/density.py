"""log p(data, φ) and its exact gradient, as a function of unconstrained coordinates of the standardised data."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from estimators.ascent import LEAST_ROWS
from estimators.intervals import ran_into_prior
from estimators.marginal import MixtureMarginal, Statistics
from estimators.model import CausalMixture
from estimators.nodes import WEIGHTS
from estimators.parameters import Array
from estimators.priors import log_density


class Density:
    """``v → log p(data | φ(v)) [+ log p(φ(v))] [+ log |dφ/dv|]`` for v [..., D].

    The likelihood alone is EM's objective; with the prior, MAP's (a density of the constrained Greeks, as AutoDelta
    defines it); with the Jacobian as well, NUTS's. Coordinates are of all that a prior allows, or, where
    ``within_priors`` is False (as it is by default without a prior), of all that the likelihood does.
    """

    def __init__(
        self,
        model: CausalMixture,
        marginal: MixtureMarginal,
        *,
        prior: bool = True,
        jacobian: bool = False,
        within_priors: bool | None = None,
    ) -> None:
        self.parameters = model.parameters
        self.marginal, self._prior, self._jacobian = marginal, prior, jacobian
        self._within_priors = prior if within_priors is None else within_priors
        transforms = model.transforms(marginal.references, within_priors=self._within_priors)
        maps = [transforms[parameter.name] for parameter in self.parameters]
        sizes = [t.size(p.shape) for t, p in zip(maps, self.parameters, strict=True)]
        ends = np.cumsum(sizes)
        places = [slice(int(end - size), int(end)) for end, size in zip(ends, sizes, strict=True)]
        log_priors = [log_density(parameter.prior) for parameter in self.parameters]
        self._sites = list(zip(self.parameters, maps, places, log_priors, strict=True))
        self.size = int(ends[-1])
        self.total_weight, self.count = marginal.total_weight, marginal.count
        # Components whose weight nothing keeps off 0: all without a prior, those of concentration <= 1 with one.
        self._free_weights = model.concentration.numpy() <= 1.0 if prior else np.ones(model.K, dtype=bool)
        # Coordinates that are logs or logits: their ends are the boundary of the Greek's support.
        self.bounded = np.concatenate([np.full(size, t.bounded) for t, size in zip(maps, sizes, strict=True)]).astype(
            bool
        )

    @property
    def names(self) -> list[str]:
        """The Greeks."""
        return [parameter.name for parameter in self.parameters]

    @property
    def supports(self) -> dict[str, Any]:
        """The support of every Greek."""
        return {parameter.name: parameter.prior.support for parameter in self.parameters}

    # An M-step that does not move has reached its fixed point.
    has_closed_form = True

    def m_step(self, coordinates: Array, statistics: Any) -> Array:
        """The M-step from an E-step made at `coordinates`."""
        return self.unconstrain(self.marginal.argmax(self.constrain(coordinates), statistics))

    def looks_collapsed(self, coordinates: Array) -> bool:
        """Whether a component is as narrow as a point."""
        return self.marginal.has_collapsed(self.constrain(coordinates))

    def has_collapsed(self, coordinates: Array, gradient: Array) -> bool:
        """Whether a component has shrunk onto a point."""
        return self.looks_collapsed(coordinates)

    def at_boundary(self, coordinates: Array) -> bool:
        """Whether a weight that nothing keeps off 0, a probability or a rate is a hundredth of a row from its end.

        Or whether a Greek has run into an end of its prior.
        """
        greeks = self.constrain(coordinates)
        few = greeks[WEIGHTS] * self.count < LEAST_ROWS
        if bool((few & self._free_weights).any()) or self.marginal.is_at_edge(greeks, LEAST_ROWS):
            return True
        return any(ran_into_prior(transform, greeks[p.name].reshape(-1)) for p, transform, _, _ in self._sites)

    def on(self, model: CausalMixture, marginal: MixtureMarginal) -> "Density":
        """The same density of other rows."""
        flags = {"prior": self._prior, "jacobian": self._jacobian, "within_priors": self._within_priors}
        return Density(model, marginal, **flags)

    def unit_of(self, name: str) -> float:
        """How far a Greek moves for a unit step of its coordinate: the column's scale for a location, else 1."""
        for parameter, transform, _, _ in self._sites:
            if parameter.name == name:
                return transform.unit
        raise KeyError(name)

    def constrain(self, coordinates: Array) -> dict[str, Array]:
        """φ(v) for v [..., D]."""
        batch = coordinates.shape[:-1]
        found = {}
        for parameter, transform, place, _ in self._sites:
            flat = transform.forward(coordinates[..., place])
            found[parameter.name] = flat if len(parameter.shape) == 1 else flat.reshape(batch + parameter.shape)
        return found

    def unconstrain(self, greeks: Mapping[str, Array]) -> Array:
        """v(φ) as [..., D]."""
        parts = []
        for parameter, transform, _, _ in self._sites:
            value = np.asarray(greeks[parameter.name])
            batch = value.shape[: value.ndim - len(parameter.shape)]
            parts.append(transform.inverse(value.reshape(*batch, -1)))
        return np.concatenate(parts, axis=-1)

    def value(self, coordinates: Array) -> Array:
        """The log density alone, for a batch of coordinates [..., D]."""
        greeks = self.constrain(coordinates)
        with np.errstate(all="ignore"):
            return self._add_prior(self.marginal.statistics(greeks).log_likelihood, coordinates, greeks)

    def value_and_gradient(self, coordinates: Array) -> tuple[float, Array]:
        """The log density and its gradient [D] at one point [D]."""
        value, gradient, _ = self.expand(coordinates)
        return value, gradient

    # A proposal far out may overflow: it is judged by its density, which is then not finite.
    @np.errstate(all="ignore")
    def expand(self, coordinates: Array) -> tuple[float, Array, Statistics]:
        """The log density, its gradient, and the E-step they were computed from."""
        greeks = self.constrain(coordinates)
        statistics = self.marginal.statistics(greeks)
        slopes = self.marginal.gradient(greeks, statistics)
        value = float(statistics.log_likelihood)
        gradient = np.empty(self.size)
        for parameter, transform, place, log_prior in self._sites:
            greek, slope = greeks[parameter.name], slopes[parameter.name]
            if self._prior:
                log_p, prior_slope = log_prior(greek)
                value += float(log_p)
                slope = slope + prior_slope
            if len(parameter.shape) != 1:
                greek, slope = greek.reshape(-1), np.reshape(slope, -1)
            if self._jacobian:
                value += float(transform.log_jacobian(greek))
            gradient[place] = transform.pull_back(greek, slope, jacobian=self._jacobian)
        return value, gradient, statistics

    def draws(self, coordinates: Array) -> dict[str, Tensor]:
        """φ(v) of every draw, as tensors [S, *shape]."""
        return {name: torch.from_numpy(np.array(value)) for name, value in self.constrain(coordinates).items()}

    def _add_prior(self, value: Array, coordinates: Array, greeks: Mapping[str, Array]) -> Array:
        for parameter, transform, _, log_prior in self._sites:
            greek = greeks[parameter.name]
            if self._prior:
                value = value + log_prior(greek)[0]
            if self._jacobian:
                flat = greek.reshape(*coordinates.shape[:-1], -1)
                value = value + transform.log_jacobian(flat)
        return value
