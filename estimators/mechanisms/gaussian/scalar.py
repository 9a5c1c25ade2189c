"""A Gaussian measurement whose mean, and perhaps scale, depend on the hidden cause."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyro.distributions as dist

from estimators.mechanisms.gaussian.family import GaussianFamily, mean_and_scale, precision_of
from estimators.mechanisms.gaussian.vectors import without_inputs
from estimators.mechanisms.protocol import Equation, Greeks, Reference
from estimators.optimise.arrays import Array
from estimators.parameters.distributions import StableNormal
from estimators.parameters.parameter import HALF_LOG_2PI, Parameter
from estimators.parameters.priors import default_prior
from estimators.parameters.transforms import Real, Scale, Transform


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
        precision = precision_of(scale)
        return cls(scale, precision, -0.5 * precision, -np.log(sigma) - HALF_LOG_2PI)


@dataclass(frozen=True, eq=False)
class Gaussian(GaussianFamily):
    """``x | Z = k ~ Normal(mu_k, sigma_k)``.

    ``log p = -log(sigma_k) - log(2π)/2 - (x - mu_k)² / (2 sigma_k²)``, so Φ = (1, u, u²) with u the standardised x.

    Greeks: ``mu`` [K]; ``sigma`` [K], or [] with ``shared=["scale"]``. ``loc`` and ``scale`` are priors (over the reals
    and over the positive numbers, or a part of them), or numbers, which mean known. With discrete observed ``parents``,
    one ``mu`` and one ``sigma`` for each of their levels too: [K, levels, ...]. Raises TypeError or ValueError for
    anything else.

    >>> Gaussian(loc=dist.Normal(0.0, 10.0), scale=1.0, parents=["T"]).parents
    ('T',)
    """

    loc: Any = field(default_factory=lambda: default_prior(dist.Normal, 0.0, 10.0))
    scale: Any = field(default_factory=lambda: default_prior(dist.HalfNormal, 5.0))
    parents: Sequence[str] = ()

    law = StableNormal

    def __post_init__(self) -> None:
        self.take(mean_and_scale(self.loc, self.scale))

    def transform(self, parameter: Parameter, reference: Reference) -> Transform:
        """``mu`` in units of the column's scale from its centre; ``sigma`` as the log of its ratio to that scale."""
        if parameter.name == "mu":
            return Real(reference.centre, reference.scale)
        return Scale(reference.scale)

    def natural_parameters(self, greeks: Greeks, reference: Reference) -> Array:
        """C = (-m²/2s² - log sigma - log(2π)/2, m/s², -1/2s²) in standardised units."""
        mean, noise = self._mean(greeks, reference), self._noise(greeks, reference)
        linear = mean * noise.precision
        out = np.empty((*linear.shape, 3))
        out[..., 0] = -0.5 * mean * linear + noise.constant
        out[..., 1] = linear
        out[..., 2] = noise.quadratic
        return out

    def standardised_greeks(self, greeks: Greeks, reference: Reference) -> tuple[Array, Array, Array]:
        noise = self._noise(greeks, reference)
        return self._mean(greeks, reference), noise.scale, noise.precision

    def moments(self, statistics: Array) -> tuple[Array, Array, Array]:
        return statistics[..., 0], statistics[..., 1], statistics[..., 2]

    def equation(self, greeks: Greeks, num_inputs: int) -> Equation:
        """``x = mu + sigma ε``."""
        return without_inputs(self.array("mu", greeks)[..., None], self.array("sigma", greeks)[..., None, None])

    def why_not_conjugate(self) -> str | None:
        """Conjugate with a known scale and a Normal prior."""
        if not self.given["sigma"].is_known:
            return "its scale is unknown; give a number, e.g. Gaussian(scale=1.0)"
        if not isinstance(self.loc, dist.Normal):
            return "its loc prior is not Normal (or its loc is known)"
        return None

    def log_evidence(self, statistics: Array, reference: Reference) -> Array:
        """log ∫ Normal(mu; loc, loc_scale) Π Normal(x_n; mu, sigma) dmu, from (n, Σu, Σu²)."""
        loc, precision, noise = self._conjugate(reference)
        count, first, second = self.moments(statistics)
        squares = second - 2.0 * loc * first + loc * loc * count
        shift = first - loc * count
        posterior = precision + count * noise
        logs = np.log(precision / posterior) + count * np.log(noise)
        quadratic = (noise * shift) * (noise * shift / posterior)
        return np.asarray(0.5 * (logs + quadratic - noise * squares) - count * (HALF_LOG_2PI + np.log(reference.scale)))

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
        loc, spread = self.loc.loc.reshape(-1).numpy(), self.loc.scale.reshape(-1).numpy()
        noise = (self.array("sigma", {}) / reference.scale) ** -2.0
        return (loc - reference.centre) / reference.scale, (spread / reference.scale) ** -2.0, noise

    def _mean(self, greeks: Greeks, reference: Reference) -> Array:
        return np.asarray((self.array("mu", greeks) - reference.centre) / reference.scale)

    def _noise(self, greeks: Greeks, reference: Reference) -> Noise:
        if "sigma" not in greeks:
            return _known_noise(self, reference.scale)
        return Noise.of(self.array("sigma", greeks), reference.scale)


# A known scale is met with the same column at every step of an estimator.
@lru_cache(maxsize=64)
def _known_noise(mechanism: Gaussian, unit: float) -> Noise:
    return Noise.of(mechanism.array("sigma", {}), unit)
