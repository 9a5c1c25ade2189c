"""A Gaussian measurement whose mean, and perhaps scale, depend on the hidden cause."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.ops.indexing import Vindex
from torch import Tensor
from torch.distributions import constraints

from estimators.isolation import own_modes
from estimators.mechanisms.defaults import LogLinear
from estimators.mechanisms.gaussian.forms import Places, standard_forms
from estimators.mechanisms.gaussian.precision import DIGITS_LOST, EPS, SCALE_FLOOR
from estimators.mechanisms.protocol import Equation, Greeks, Reference, check_parents
from estimators.parameters.distributions import StableNormal
from estimators.parameters.parameter import Array, Parameter
from estimators.parameters.prior_checks import known_or_prior
from estimators.parameters.prior_densities import HALF_LOG_2PI
from estimators.parameters.priors import check_shape, default_prior, expanded, groups, permuted
from estimators.parameters.transforms import Positive, Real, Transform


@dataclass(frozen=True, eq=False)
class Gaussian(LogLinear):
    """``x | Z = k ~ Normal(mu_k, sigma_k)``.

    ``log p = -log(sigma_k) - log(2π)/2 - (x - mu_k)² / (2 sigma_k²)``, so Φ = (1, u, u²) with u the standardised x.

    Greeks: ``mu`` [K]; ``sigma`` [K], or [] with ``shared_scale``. ``loc`` and ``scale`` are priors (over the reals and
    over the positive numbers, or a part of them), or numbers, which mean known. With discrete observed ``parents``, one
    ``mu`` and one ``sigma`` for each of their levels too: [K, levels, ...]. Raises TypeError or ValueError for anything
    else.

    >>> Gaussian(loc=dist.Normal(0.0, 10.0), scale=1.0, parents=["T"]).parents
    ('T',)
    """

    loc: Any = field(default_factory=lambda: default_prior(dist.Normal, 0.0, 10.0))
    scale: Any = field(default_factory=lambda: default_prior(dist.HalfNormal, 5.0))
    shared_scale: bool = False
    parents: Sequence[str] = ()
    _known: Mapping[str, Array] = field(init=False, repr=False)

    is_gaussian = True
    has_constant = True

    @own_modes()
    def __post_init__(self) -> None:
        object.__setattr__(self, "loc", known_or_prior("loc", self.loc, constraints.real))
        object.__setattr__(self, "scale", known_or_prior("scale", self.scale, constraints.positive))
        object.__setattr__(self, "parents", check_parents(self.parents))
        if not isinstance(self.shared_scale, bool):
            raise TypeError(f"shared_scale: expected True or False, got {self.shared_scale!r}")
        given = {"mu": self.loc, "sigma": self.scale}
        known = {s: v.reshape(-1).numpy() if v.ndim else v.numpy() for s, v in given.items() if isinstance(v, Tensor)}
        object.__setattr__(self, "_known", known)

    def num_features(self, num_inputs: int) -> int:
        """F = 3: one, u and u²."""
        return 3

    def parameters(self, table: tuple[int, ...], num_inputs: int) -> tuple[Parameter, ...]:
        """The Greeks with their priors."""
        found = []
        if isinstance(self.loc, TorchDistributionMixin):
            found.append(Parameter("mu", table, expanded("loc", self.loc, table), support=constraints.real))
        else:
            check_shape("loc", self.loc.shape, table)
        shape = () if self.shared_scale else table
        if isinstance(self.scale, TorchDistributionMixin):
            prior = expanded("scale", self.scale, shape)
            found.append(Parameter("sigma", shape, prior, None if self.shared_scale else 0, constraints.positive))
        else:
            check_shape("scale", self.scale.shape, table)
        return tuple(found)

    def transform(self, parameter: Parameter, reference: Reference) -> Transform:
        """``mu`` in units of the column's scale from its centre; ``sigma`` as the log of its ratio to that scale."""
        if parameter.name == "mu":
            return Real(float(reference.centre), reference.scale)
        return Positive(reference.scale)

    def distribution(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> TorchDistributionMixin:
        """p(x | cell)."""
        mu, sigma = self._of("mu", greeks), self._of("sigma", greeks)
        mu = Vindex(mu)[..., cell] if mu.ndim else mu
        return StableNormal(mu, Vindex(sigma)[..., cell] if self._is_per_cell(sigma, greeks) else sigma)

    def check(self, name: str, column: Tensor) -> Tensor:
        """Any finite real column [N] will do."""
        return column.double()

    def reference(self, column: Array, inputs: Array) -> Reference:
        """The column's mean and standard deviation (1 where it is constant, up to 1e-100)."""
        if not len(column):
            return Reference()
        centre = float(column.mean())
        reach = float(np.abs(column - centre).max())
        # Scaled before squaring, so that columns of 1e±100 neither overflow nor underflow.
        scale = reach * float(np.sqrt(np.mean(((column - centre) / reach) ** 2))) if reach > 1e-100 else 1.0
        return Reference(centre, scale, reach / scale)

    def features(self, column: Array, inputs: Array, reference: Reference) -> Array:
        """Φ = (1, u, u²) as [3, N]."""
        standard = (column - reference.centre) / reference.scale
        return np.stack([np.ones_like(standard), standard, standard * standard])

    def natural_parameters(self, greeks: Greeks, reference: Reference) -> Array:
        """C = (-m²/2s² - log sigma - log(2π)/2, m/s², -1/2s²) in standardised units."""
        mean, noise = self._mean(greeks, reference), self._noise(greeks, reference)
        linear = mean * noise.precision
        out = np.empty((*linear.shape, 3))
        out[..., 0] = -0.5 * mean * linear + noise.constant
        out[..., 1] = linear
        out[..., 2] = noise.quadratic
        return out

    def gradient(self, greeks: Greeks, statistics: Array, reference: Reference) -> dict[str, Array]:
        """dJ/dmu and dJ/dsigma from S = Σ r (1, u, u²)."""
        mean, noise = self._mean(greeks, reference), self._noise(greeks, reference)
        count, first = statistics[..., 0], statistics[..., 1]
        residual = first - mean * count
        found = {}
        if "mu" in greeks:
            found["mu"] = residual * noise.precision / reference.scale
        if "sigma" in greeks:
            squares = statistics[..., 2] - mean * (first + residual)
            slope = (squares * noise.precision - count) / (noise.scale * reference.scale)
            found["sigma"] = slope.sum(-1) if self.shared_scale else slope
        return found

    def loses_digits(self, coefficients: Array, reference: Reference) -> bool:
        """Whether eps * (range / sigma)² > 1e-10."""
        quadratic = coefficients[..., 2]
        precision = -2.0 * quadratic.item(quadratic.argmin())
        return EPS * (2.0 * reference.reach) ** 2 * precision > DIGITS_LOST

    def recentred(self, greeks: Greeks, reference: Reference) -> Reference:
        """Centres at the components' means, where the quadratic feature is (x - mu_k)² itself."""
        # The means themselves: read off standardised ones they would lose the digits that a far row costs these.
        mu = greeks["mu"] if "mu" in greeks else self._known["mu"]
        return reference.at(np.broadcast_to(mu, np.broadcast(mu, self._noise(greeks, reference).scale).shape))

    def argmax(self, statistics: Array, reference: Reference, previous: Greeks) -> dict[str, Array]:
        """Weighted means, and weighted root mean squares about them (pooled with ``shared_scale``)."""
        count, first, second = statistics[..., 0], statistics[..., 1], statistics[..., 2]
        held = np.where(count > 0, count, 1.0)
        mean, scale = (
            np.array(part) for part in np.broadcast_arrays(*self._standardised(previous, reference), count)[:2]
        )
        found = {}
        if "mu" in previous:
            mean = np.where(count > 0, first / held, mean)
            found["mu"] = reference.centre + reference.scale * mean
        if "sigma" in previous:
            squares = np.maximum(second - mean * (2.0 * first - mean * count), 0.0)
            if self.shared_scale:
                total = count.sum(-1)
                root = np.sqrt(squares.sum(-1) / np.where(total > 0, total, 1.0))
                root = np.where(total > 0, root, scale[..., 0])
            else:
                root = np.where(count > 0, np.sqrt(squares / held), scale)
            found["sigma"] = np.maximum(root, SCALE_FLOOR) * reference.scale
        return found

    def has_collapsed(self, greeks: Greeks, reference: Reference) -> bool:
        """Whether an estimated scale is at the floor, 1e-8 of the column's."""
        return "sigma" in greeks and bool(np.any(greeks["sigma"] <= 1.01 * SCALE_FLOOR * reference.scale))

    def mean(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> Tensor:
        """E[x | cell] = mu."""
        mu = self._of("mu", greeks)
        return mu[..., cell] if mu.ndim else mu

    def line(self, greeks: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Intercept [..., cells], slopes [..., cells, 0] and scale [..., cells]: it depends on nothing."""
        mu, sigma = self._of("mu", greeks), self._of("sigma", greeks)
        if not self._is_per_cell(sigma, greeks):
            sigma = sigma[..., None]
        mu, sigma = torch.broadcast_tensors(mu, sigma)
        return mu, mu.new_zeros((*mu.shape, 0)), sigma

    def equation(self, greeks: Greeks, num_inputs: int) -> Equation:
        """``x = mu + sigma ε``."""
        mu, sigma = (np.asarray(greeks[s] if s in greeks else self._known[s]) for s in ("mu", "sigma"))
        if "sigma" in greeks and self.shared_scale:
            sigma = sigma[..., None]
        mu, sigma = np.broadcast_arrays(np.atleast_1d(mu), np.atleast_1d(sigma))
        return Equation(mu[..., None], np.zeros((*mu.shape, 1, 0)), sigma[..., None, None])

    def forms(self, equation: Equation, inputs: Array, noise: Array, reference: Reference) -> Array:
        """(1, u)."""
        return standard_forms(equation, noise, np.asarray(reference.centre)[..., None], reference.scale)

    def products(self, num_inputs: int) -> tuple[Places, Places]:
        """1, u and u²."""
        return np.triu_indices(2)

    def order_key(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """Components are put in order of their means, or of their scales where one known mean serves them all."""
        mean = self._of("mu", greeks)
        return mean if mean.ndim else greeks.get("sigma", mean)

    def exchangeable(self, num_components: int, *, uses_prior: bool = True) -> list[int]:
        """Components with equal priors (or equal known values) share a number."""
        return groups([self.loc, self.scale], num_components, uses_prior=uses_prior)

    def permuted(self, order: Sequence[int]) -> "Gaussian":
        """The same mechanism with its components renamed."""
        return Gaussian(permuted(self.loc, order), permuted(self.scale, order), self.shared_scale, self.parents)

    def why_not_conjugate(self) -> str | None:
        """Conjugate with a known scale and a Normal prior."""
        if isinstance(self.scale, TorchDistributionMixin):
            return "its scale is unknown; give a number, e.g. Gaussian(scale=1.0)"
        if not isinstance(self.loc, dist.Normal):
            return "its loc prior is not Normal (or its loc is known)"
        return None

    def log_evidence(self, statistics: Array, reference: Reference) -> Array:
        """log ∫ Normal(mu; loc, loc_scale) Π Normal(x_n; mu, sigma) dmu, from (n, Σu, Σu²)."""
        loc, precision, noise = self._conjugate(reference)
        count, first, second = statistics[..., 0], statistics[..., 1], statistics[..., 2]
        squares = second - 2.0 * loc * first + loc * loc * count
        shift = first - loc * count
        posterior = precision + count * noise
        return np.asarray(
            0.5
            * (
                np.log(precision / posterior)
                + count * np.log(noise)
                + (noise * shift) * (noise * shift / posterior)
                - noise * squares
            )
            - count * (HALF_LOG_2PI + np.log(reference.scale))
        )

    def posterior_draws(
        self, statistics: Array, reference: Reference, generator: np.random.Generator
    ) -> dict[str, Array]:
        """``mu_k | rows ~ Normal``, with precision 1/loc_scale² + n_k/sigma²."""
        loc, precision, noise = self._conjugate(reference)
        posterior = precision + statistics[..., 0] * noise
        mean = (precision * loc + noise * statistics[..., 1]) / posterior
        draws = mean + generator.standard_normal(mean.shape) / np.sqrt(posterior)
        return {"mu": reference.centre + reference.scale * draws}

    def _conjugate(self, reference: Reference) -> tuple[Array, Array, Array]:
        """The prior's mean and precision and the noise precision, in standardised units."""
        loc, spread, noise = (part.reshape(-1).numpy() for part in (self.loc.loc, self.loc.scale, self.scale))
        return (
            (loc - reference.centre) / reference.scale,
            (spread / reference.scale) ** -2.0,
            (noise / reference.scale) ** -2.0,
        )

    def _of(self, symbol: str, greeks: Mapping[str, Tensor]) -> Tensor:
        """A Greek [..., cells], or its known value, [cells] or []."""
        if symbol in greeks:
            return greeks[symbol]
        known: Tensor = self.loc if symbol == "mu" else self.scale
        return known.reshape(-1) if known.ndim else known

    def _is_per_cell(self, sigma: Tensor, greeks: Mapping[str, Tensor]) -> bool:
        return not self.shared_scale if "sigma" in greeks else sigma.ndim > 0

    def _standardised(self, greeks: Greeks, reference: Reference) -> tuple[Array, Array]:
        return self._mean(greeks, reference), self._noise(greeks, reference).scale

    def _mean(self, greeks: Greeks, reference: Reference) -> Array:
        mu = greeks["mu"] if "mu" in greeks else self._known["mu"]
        return np.asarray((mu - reference.centre) / reference.scale)

    def _noise(self, greeks: Greeks, reference: Reference) -> "Noise":
        if "sigma" not in greeks:
            return _known_noise(self, reference.scale)
        return Noise.of(greeks["sigma"][..., None] if self.shared_scale else greeks["sigma"], reference.scale)


class Noise(NamedTuple):
    """What the scale alone says of C: the scale in standardised units, 1/s², -1/2s² and -log sigma - log(2π)/2."""

    scale: Array
    precision: Array
    quadratic: Array
    constant: Array

    @classmethod
    def of(cls, sigma: Array, unit: float) -> "Noise":
        """Of scales [..., cells] of a column whose own is `unit`."""
        scale = sigma / unit
        precision = 1.0 / (scale * scale)
        return cls(scale, precision, -0.5 * precision, -np.log(sigma) - HALF_LOG_2PI)


# A known scale is met with the same column at every step of an estimator.
@lru_cache(maxsize=64)
def _known_noise(mechanism: Gaussian, unit: float) -> Noise:
    return Noise.of(mechanism._known["sigma"], unit)
