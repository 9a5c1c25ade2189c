"""A Gaussian measurement whose mean, and perhaps scale, depend on the hidden cause."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real as RealNumber
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.constraints import Constraint
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.ops.indexing import Vindex
from torch import Tensor
from torch.distributions import constraints

from estimators.mechanisms.base import Greeks, Reference
from estimators.parameters import Array, Parameter, Positive, Real, Transform
from estimators.priors import HALF_LOG_2PI, as_prior, parameters_of

# x² features are used while eps * (range / sigma)² stays below 1e-10; beyond, features are centred per component.
DIGITS_LOST = 1e-10
EPS = float(np.finfo(np.float64).eps)
# A scale below this fraction of the column's is a spike: the M-step holds it there and the fit says so.
SCALE_FLOOR = 1e-8


@dataclass(frozen=True, eq=False)
class Gaussian:
    """``x | Z = k ~ Normal(mu_k, sigma_k)``.

    ``log p = -log(sigma_k) - log(2π)/2 - (x - mu_k)² / (2 sigma_k²)``, so Φ = (1, u, u²) with u the standardised x.

    Greeks: ``mu`` [K]; ``sigma`` [K], or [] with ``shared_scale``. ``loc`` and ``scale`` are priors (over the reals and
    over the positive numbers), or numbers, which mean known. Raises TypeError or ValueError for anything else.

    >>> Gaussian(loc=dist.Normal(0.0, 10.0), scale=1.0).num_features
    3
    """

    loc: Any = field(default_factory=lambda: dist.Normal(0.0, 10.0))
    scale: Any = field(default_factory=lambda: dist.HalfNormal(5.0))
    shared_scale: bool = False
    _known: Mapping[str, Array] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "loc", _known_or_prior("loc", self.loc, constraints.real))
        object.__setattr__(self, "scale", _known_or_prior("scale", self.scale, constraints.positive))
        if not isinstance(self.shared_scale, bool):
            raise TypeError(f"shared_scale: expected True or False, got {self.shared_scale!r}")
        given = {"mu": self.loc, "sigma": self.scale}
        known = {symbol: value.numpy() for symbol, value in given.items() if isinstance(value, Tensor)}
        object.__setattr__(self, "_known", known)

    @property
    def num_features(self) -> int:
        """F = 3: one, u and u²."""
        return 3

    def parameters(self, num_components: int) -> tuple[Parameter, ...]:
        """The Greeks with their priors."""
        found = []
        if isinstance(self.loc, TorchDistributionMixin):
            found.append(Parameter("mu", (num_components,), _expanded("loc", self.loc, (num_components,))))
        else:
            _broadcastable("loc", self.loc.shape, (num_components,))
        shape = () if self.shared_scale else (num_components,)
        if isinstance(self.scale, TorchDistributionMixin):
            found.append(Parameter("sigma", shape, _expanded("scale", self.scale, shape), bool(shape)))
        else:
            _broadcastable("scale", self.scale.shape, (num_components,))
        return tuple(found)

    def transform(self, symbol: str, reference: Reference) -> Transform:
        """``mu`` in units of the column's scale from its centre; ``sigma`` as the log of its ratio to that scale."""
        if symbol == "mu":
            return Real(float(reference.centre), reference.scale)
        return Positive(reference.scale)

    def distribution(self, greeks: Mapping[str, Tensor], latent: Tensor) -> TorchDistributionMixin:
        """p(x | Z = latent)."""
        mu, sigma = greeks.get("mu", self.loc), greeks.get("sigma", self.scale)
        per_component = ("sigma" in greeks and not self.shared_scale) or ("sigma" not in greeks and sigma.ndim == 1)
        mu = Vindex(mu)[..., latent] if mu.ndim else mu
        return _Normal(mu, Vindex(sigma)[..., latent] if per_component else sigma)

    def check(self, name: str, column: Tensor) -> Tensor:
        """Any finite real column [N] will do."""
        return column.double()

    def reference(self, column: Array) -> Reference:
        """The column's mean and standard deviation (1 where it is constant, up to 1e-100)."""
        if not len(column):
            return Reference()
        centre = float(column.mean())
        reach = float(np.abs(column - centre).max())
        # Scaled before squaring, so that columns of 1e±100 neither overflow nor underflow.
        scale = reach * float(np.sqrt(np.mean(((column - centre) / reach) ** 2))) if reach > 1e-100 else 1.0
        return Reference(centre, scale, reach / scale)

    def features(self, column: Array, reference: Reference) -> Array:
        """Φ = (1, u, u²) as [3, N]."""
        standard = (column - reference.centre) / reference.scale
        return np.stack([np.ones_like(standard), standard, standard * standard])

    def coefficients(self, greeks: Greeks, reference: Reference) -> Array:
        """C = (-m²/2s² - log sigma - log(2π)/2, m/s², -1/2s²) in standardised units."""
        mean, scale = self._standardised(greeks, reference)
        precision = 1.0 / (scale * scale)
        out = np.empty((*np.broadcast(mean, scale).shape, 3))
        out[..., 1] = mean * precision
        out[..., 2] = -0.5 * precision
        out[..., 0] = mean * mean * out[..., 2] - np.log(scale * reference.scale) - HALF_LOG_2PI
        return out

    def gradient(self, greeks: Greeks, statistics: Array, reference: Reference) -> dict[str, Array]:
        """dJ/dmu and dJ/dsigma from S = Σ r (1, u, u²)."""
        mean, scale = self._standardised(greeks, reference)
        precision = 1.0 / (scale * scale)
        count, first, second = statistics[..., 0], statistics[..., 1], statistics[..., 2]
        residual = first - mean * count
        found = {}
        if "mu" in greeks:
            found["mu"] = residual * precision / reference.scale
        if "sigma" in greeks:
            squares = second - mean * (first + residual)
            slope = (squares * precision - count) / (scale * reference.scale)
            found["sigma"] = slope.sum(-1) if self.shared_scale else slope
        return found

    def loses_digits(self, coefficients: Array, reference: Reference) -> bool:
        """Whether eps * (range / sigma)² > 1e-10."""
        precision = -2.0 * float(coefficients[..., 2].min())
        return EPS * (2.0 * reference.reach) ** 2 * precision > DIGITS_LOST

    def recentred(self, greeks: Greeks, reference: Reference) -> Reference:
        """Centres at the components' means, where the quadratic feature is (x - mu_k)² itself."""
        mean, scale = self._standardised(greeks, reference)
        centre = np.broadcast_to(reference.centre + reference.scale * mean, np.broadcast(mean, scale).shape)
        return Reference(centre, reference.scale, reference.reach)

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

    def mean(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """E[x | Z = k] = mu_k."""
        return greeks.get("mu", self.loc)

    def order_key(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """Components are put in order of their means, or of their scales where one known mean serves them all."""
        mean = self.mean(greeks)
        return mean if mean.ndim else greeks.get("sigma", mean)

    def exchangeable(self, num_components: int) -> list[int]:
        """Components with equal priors (or equal known values) share a number."""
        values = [np.broadcast_to(part, (num_components,)) for part in (*_numbers(self.loc), *_numbers(self.scale))]
        rows = list(zip(*(value.tolist() for value in values), strict=True))
        return [rows.index(row) for row in rows]

    def permuted(self, order: Sequence[int]) -> "Gaussian":
        """The same mechanism with its components renamed."""
        return Gaussian(_permuted(self.loc, order), _permuted(self.scale, order), self.shared_scale)

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
        loc = (self.loc.loc.numpy() - reference.centre) / reference.scale
        return loc, (self.loc.scale.numpy() / reference.scale) ** -2.0, (self.scale.numpy() / reference.scale) ** -2.0

    def _standardised(self, greeks: Greeks, reference: Reference) -> tuple[Array, Array]:
        mu = greeks["mu"] if "mu" in greeks else self._known["mu"]
        sigma = greeks["sigma"] if "sigma" in greeks else self._known["sigma"]
        if "sigma" in greeks and self.shared_scale:
            sigma = sigma[..., None]
        return (mu - reference.centre) / reference.scale, sigma / reference.scale


def _known_or_prior(argument: str, value: object, support: Constraint) -> Any:
    """Return a float64 tensor for known values, or the prior in float64 if it has the right support."""
    if isinstance(value, RealNumber | np.ndarray | list | tuple | Tensor) and not isinstance(value, bool):
        known = torch.as_tensor(value, dtype=torch.float64)
        if known.ndim > 1 or not bool(torch.isfinite(known).all()):
            raise ValueError(f"{argument}: expected a finite number, or one per component, got {value!r}")
        if support is constraints.positive and not bool((known > 0).all()):
            raise ValueError(f"{argument}: expected a number > 0, got {value!r}")
        return known
    prior = as_prior(argument, value)
    found = prior.support
    if support is constraints.real:
        fits = found is constraints.real
    else:
        bounds = getattr(found, "lower_bound", None), getattr(found, "upper_bound", None)
        fits = bounds == (0, None) and not found.is_discrete
    if not fits:
        kind = "the real line" if support is constraints.real else "the positive numbers"
        raise ValueError(f"{argument}: expected a prior over {kind}, got {prior} over {found}")
    return prior


def _expanded(argument: str, prior: TorchDistributionMixin, shape: tuple[int, ...]) -> TorchDistributionMixin:
    _broadcastable(argument, prior.batch_shape, shape)
    return prior.expand(torch.Size(shape))


def _broadcastable(argument: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if tuple(found) not in ((), expected):
        raise ValueError(f"{argument}: expected one value, or shape {expected}, got shape {tuple(found)}")


def _permuted(part: Any, order: Sequence[int]) -> Any:
    """A prior, or a known value, with one entry per component put in another order."""
    places = list(order)
    if isinstance(part, Tensor):
        return part[places] if part.ndim else part
    if not part.batch_shape:
        return part
    values = {name: value.expand(part.batch_shape)[places] for name, value in parameters_of(part).items()}
    return type(part)(**values)


class _Normal(dist.Normal):
    """Pyro's Normal with a CDF and quantiles that keep their digits in the tails."""

    def cdf(self, value: Tensor) -> Tensor:
        probability: Tensor = torch.special.ndtr((value - self.loc) / self.scale)
        return probability

    def icdf(self, value: Tensor) -> Tensor:
        quantile: Tensor = self.loc + self.scale * torch.special.ndtri(value)
        return quantile


def _numbers(part: Any) -> list[Array]:
    """The numbers that tell one component's prior (or known value) from another's."""
    if isinstance(part, Tensor):
        return [part.numpy()]
    return [np.asarray(getattr(part, name).numpy()) for name in part.arg_constraints if hasattr(part, name)]
