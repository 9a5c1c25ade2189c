"""log p(data, φ) and its exact gradient, as a function of unconstrained coordinates of the standardised data."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pyro
import torch
from pyro.infer import ELBO, Trace_ELBO
from torch import Tensor

from estimators.data.data import LATENT, Data
from estimators.estep.marginal import MixtureMarginal, Statistics
from estimators.estep.weights import WEIGHTS
from estimators.mixture.arguments import check_distinct_rows
from estimators.mixture.coordinates import Coordinates, transforms_of
from estimators.mixture.starts import starts_of
from estimators.optimise.ascent import LEAST_ROWS
from estimators.parameters.edges import PROBABILITY, WEIGHT, Edge, Mask, edges_of_prior, edges_where
from estimators.parameters.intervals import at_ends_of_prior
from estimators.parameters.parameter import Array, Parameter
from estimators.parameters.prior_densities import log_density, log_density_of_logs
from estimators.parameters.transforms import LOGS, Logged, Transform


class Density:
    """``v → log p(data | φ(v)) [+ log p(φ(v))] [+ log |dφ/dv|]`` for v [..., D].

    The likelihood alone is EM's objective; with the prior, MAP's (a density of the constrained Greeks, as AutoDelta
    defines it); with the Jacobian as well, NUTS's. Coordinates are of all that a prior allows, or, where
    ``within_priors`` is False (as it is by default without a prior), of all that the likelihood does.
    """

    def __init__(
        self,
        model: Coordinates,
        marginal: MixtureMarginal,
        *,
        prior: bool = True,
        jacobian: bool = False,
        within_priors: bool | None = None,
    ) -> None:
        self._model, self.parameters = model, model.parameters
        self.marginal, self._prior, self._jacobian = marginal, prior, jacobian
        self._within_priors = prior if within_priors is None else within_priors
        transforms = transforms_of(model, marginal.references, within_priors=self._within_priors)
        maps = [transforms[parameter.name] for parameter in self.parameters]
        sizes = [t.size(p.shape) for t, p in zip(maps, self.parameters, strict=True)]
        ends = np.cumsum(sizes)
        places = [slice(int(end - size), int(end)) for end, size in zip(ends, sizes, strict=True)]
        self._sites = list(zip(self.parameters, maps, places, strict=True))
        # The density is a function of the logs of probabilities, where these themselves are rounded to 0 or 1.
        self._greeks: list[_Valued | _Logs] = [
            _Logs(parameter, cast(Logged, transform), place)
            if transform.has_logs
            else _Valued(parameter, transform, place)
            for parameter, transform, place in self._sites
        ]
        self.size = int(ends[-1])
        self.data, self.total_weight, self.count = marginal.data, marginal.total_weight, marginal.count
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

    def starts(self, count: int, rng: np.random.Generator, *, refinements: int, unrefined: bool = False) -> Array:
        """Distinct starts [B, D], best first, after a few EM steps on all at once (and, `unrefined`, also before)."""
        return starts_of(self, count, rng, refinements, unrefined=unrefined)

    def need_maximum(self) -> None:
        """Raise ValueError where the likelihood has no maximum: for fewer distinct rows than components."""
        check_distinct_rows(self.data, list(self.marginal.nodes), self.marginal.K)

    def trainable(self) -> tuple[Callable[[], None], ELBO]:
        """The Pyro program with Z summed out by the E-step, and the objective by which SVI trains its Greeks."""

        def marginalised() -> None:
            pyro.factor("rows", self.marginal.log_likelihood(self._model.sample_greeks()))

        return marginalised, Trace_ELBO()

    # Whether every Greek has a prior.
    has_prior = True

    def row_information(self, information: Array, at: Array) -> Array:
        """What one row tells about a location [D], whose coordinate is in units of its column."""
        return np.ones(len(at))

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
        """Whether anything has run to an end of its support."""
        return bool(self.edges(self.constrain(coordinates)))

    def edges(self, greeks: Mapping[str, Array]) -> list[Edge]:
        """Weights that nothing keeps off 0, probabilities and rates that are a hundredth of a row from their ends.

        And Greeks that have run into an end of their priors.
        """
        weights = edges_where(WEIGHTS, (greeks[WEIGHTS] * self.count < LEAST_ROWS) & self._free_weights, "0", WEIGHT)
        return weights + _edges_of_mechanisms(self.marginal, greeks) + _edges_of_priors(self._sites, greeks)

    def names_at(self, marked: Mask) -> list[str]:
        """The Greeks of which some coordinate is marked [D]."""
        return [parameter.name for parameter, _, place in self._sites if marked[place].any()]

    def of(self, data: Data) -> "Density":
        """The same density of other rows."""
        flags = {"prior": self._prior, "jacobian": self._jacobian, "within_priors": self._within_priors}
        return Density(self._model, self.marginal.of(data), **flags)

    # ---------------------------------------------------------------- row by row

    def pointwise(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """log p(row | φ) as [..., N], without the weights."""
        return self.marginal.pointwise(greeks)

    def responsibilities(self, greeks: Mapping[str, Tensor], site: str | None = None) -> Tensor:
        """p(Z = k | row, φ) as [..., N, K]; one-hot where Z is known."""
        self.site(site)
        return self.marginal.responsibilities(greeks)

    @property
    def latent(self) -> tuple[str, ...]:
        """The hidden sites."""
        return (LATENT,)

    def site(self, name: str | None) -> str:
        """The hidden site that is meant."""
        if name not in (None, LATENT):
            raise ValueError(f"responsibilities: the hidden cause is {LATENT!r}, got site={name!r}")
        return LATENT

    @property
    def row_size(self) -> int:
        """Numbers that are held at one time for each draw of the Greeks."""
        return self.marginal.num_rows * self.marginal.K

    def unit_of(self, name: str) -> float:
        """How far a Greek moves for a unit step of its coordinate: the column's scale for a location, else 1."""
        return {parameter.name: transform.unit for parameter, transform, _ in self._sites}[name]

    def constrain(self, coordinates: Array) -> dict[str, Array]:
        """φ(v) for v [..., D]."""
        batch = coordinates.shape[:-1]
        found = {}
        for parameter, transform, place in self._sites:
            flat = transform.forward(coordinates[..., place])
            found[parameter.name] = flat if len(parameter.shape) == 1 else flat.reshape(batch + parameter.shape)
        return found

    def unconstrain(self, greeks: Mapping[str, Array]) -> Array:
        """v(φ) as [..., D]."""
        parts = []
        for parameter, transform, _ in self._sites:
            value = np.asarray(greeks[parameter.name])
            batch = value.shape[: value.ndim - len(parameter.shape)]
            parts.append(transform.inverse(value.reshape(*batch, -1)))
        return np.concatenate(parts, axis=-1)

    def value(self, coordinates: Array) -> Array:
        """The log density alone, for a batch of coordinates [..., D]."""
        with np.errstate(all="ignore"):
            greeks = self._represented(coordinates)
            value = self.marginal.statistics(greeks).log_likelihood
            for greek in self._greeks:
                if self._prior:
                    value = value + greek.log_prior(greeks)[0]
                if self._jacobian:
                    value = value + greek.log_jacobian(coordinates, greeks)
        return value

    def value_and_gradient(self, coordinates: Array) -> tuple[float, Array]:
        """The log density and its gradient [D] at one point [D]."""
        value, gradient, _ = self.expand(coordinates)
        return value, gradient

    # A proposal far out may overflow: it is judged by its density, which is then not finite.
    @np.errstate(all="ignore")
    def expand(self, coordinates: Array) -> tuple[float, Array, Statistics]:
        """The log density, its gradient, and the E-step they were computed from."""
        greeks = self._represented(coordinates)
        statistics = self.marginal.statistics(greeks)
        slopes = self.marginal.gradient(greeks, statistics)
        value = float(statistics.log_likelihood)
        gradient = np.empty(self.size)
        for greek in self._greeks:
            own = greek.slopes(slopes)
            if self._prior:
                log_p, prior_slopes = greek.log_prior(greeks)
                value += float(log_p)
                own = [slope + prior_slope for slope, prior_slope in zip(own, prior_slopes, strict=True)]
            if self._jacobian:
                value += float(greek.log_jacobian(coordinates, greeks))
            gradient[greek.place] = greek.pull_back(coordinates, greeks, own, self._jacobian)
        return value, gradient, statistics

    def draws(self, coordinates: Array) -> dict[str, Tensor]:
        """φ(v) of every draw, as tensors [S, *shape]."""
        return {name: torch.from_numpy(np.array(value)) for name, value in self.constrain(coordinates).items()}

    def _represented(self, coordinates: Array) -> dict[str, Array]:
        """What the density is a function of: Greeks, or in place of probabilities their logs."""
        found: dict[str, Array] = {}
        for greek in self._greeks:
            greek.put(coordinates, found)
        return found


class _Valued:
    """A Greek in the density by its value."""

    def __init__(self, parameter: Parameter, transform: Transform, place: slice) -> None:
        self._transform, self.place, self.name, self._shape = transform, place, parameter.name, parameter.shape
        self._log_prior = log_density(parameter.prior)

    def put(self, coordinates: Array, into: dict[str, Array]) -> None:
        """Add φ(v) to the Greeks."""
        into[self.name] = _shaped(self._transform.far(coordinates[..., self.place]), self._shape)

    def log_prior(self, greeks: Mapping[str, Array]) -> tuple[Array, Sequence[Array]]:
        """log p(φ) and its gradient."""
        value, slope = self._log_prior(greeks[self.name])
        return value, (slope,)

    def log_jacobian(self, coordinates: Array, greeks: Mapping[str, Array]) -> Array | float:
        """log |dφ/dv|."""
        return self._transform.log_jacobian(greeks[self.name].reshape(*coordinates.shape[:-1], -1))

    def slopes(self, found: Mapping[str, Array]) -> Sequence[Array]:
        """The gradient of the log-likelihood."""
        return (found[self.name],)

    def pull_back(
        self, coordinates: Array, greeks: Mapping[str, Array], slopes: Sequence[Array], jacobian: bool
    ) -> Array:
        """The gradient with respect to v."""
        return self._transform.pull_back(greeks[self.name].reshape(-1), slopes[0].reshape(-1), jacobian=jacobian)


class _Logs:
    """A probability, or weights, in the density by the logs."""

    def __init__(self, parameter: Parameter, transform: Logged, place: slice) -> None:
        self._transform, self.place, self.name, self._shape = transform, place, parameter.name, parameter.shape
        count = len(transform.logs(np.zeros(transform.size(parameter.shape))))
        self._names = [name.format(parameter.name) for name in LOGS[:count]]
        self._log_prior = log_density_of_logs(parameter.prior)

    def put(self, coordinates: Array, into: dict[str, Array]) -> None:
        """Add log φ(v) to the Greeks."""
        for name, logs in zip(self._names, self._transform.logs(coordinates[..., self.place]), strict=True):
            into[name] = _shaped(logs, self._shape)

    def log_prior(self, greeks: Mapping[str, Array]) -> tuple[Array, Sequence[Array]]:
        """log p(φ) and its gradients."""
        return self._log_prior([greeks[name] for name in self._names])

    def log_jacobian(self, coordinates: Array, greeks: Mapping[str, Array]) -> Array | float:
        """log |dφ/dv|."""
        batch = coordinates.shape[:-1]
        return self._transform.log_jacobian_of(tuple(greeks[name].reshape(*batch, -1) for name in self._names))

    def slopes(self, found: Mapping[str, Array]) -> Sequence[Array]:
        """The gradients of the log-likelihood."""
        return [found[name] for name in self._names]

    def pull_back(
        self, coordinates: Array, greeks: Mapping[str, Array], slopes: Sequence[Array], jacobian: bool
    ) -> Array:
        """The gradient with respect to v."""
        flat = [slope.reshape(-1) for slope in slopes]
        return self._transform.pull_back_logs(coordinates[self.place], flat, jacobian=jacobian)


def _edges_of_mechanisms(marginal: MixtureMarginal, greeks: Mapping[str, Array]) -> list[Edge]:
    found = []
    for name, few in marginal.at_edge(greeks, LEAST_ROWS).items():
        found += edges_where(name, few & (greeks[name] < 0.5), "0", PROBABILITY)
        found += edges_where(name, few & (greeks[name] >= 0.5), "1", PROBABILITY)
    return found


def _edges_of_priors(sites: Sequence[tuple[Parameter, Transform, slice]], greeks: Mapping[str, Array]) -> list[Edge]:
    found = []
    for parameter, transform, _ in sites:
        for side, end, marked in at_ends_of_prior(transform, greeks[parameter.name].reshape(-1)):
            shape = parameter.shape
            found += edges_of_prior(parameter.name, marked.reshape(shape), end.reshape(shape), side)
    return found


def _shaped(flat: Array, shape: tuple[int, ...]) -> Array:
    return flat if len(shape) == 1 else flat.reshape(flat.shape[:-1] + shape)
