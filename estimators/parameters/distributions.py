"""Distributions whose densities or quantiles are exact where torch's are not."""

import math
from typing import Any

import pyro.distributions as dist
import torch
from scipy.special import betainc, stdtr, stdtrit
from torch import Tensor
from torch.distributions.utils import lazy_property

from estimators.parameters.gamma_ratios import log_ratio

# Counts from here on have Stirling's series for log y!, to 1e-15.
LARGE = 30.0
# Rates beyond which torch draws counts as whole numbers of 64 bits that overflow.
OVERFLOWING = 2.0**62


class StableNormal(dist.Normal):
    """Pyro's Normal with a CDF and quantiles that keep their digits in the tails."""

    def cdf(self, value: Tensor) -> Tensor:
        probability: Tensor = torch.special.ndtr((value - self.loc) / self.scale)
        return probability

    def icdf(self, value: Tensor) -> Tensor:
        quantile: Tensor = self.loc + self.scale * torch.special.ndtri(value)
        return quantile


class ExactBernoulli(dist.Bernoulli):  # type: ignore[misc]
    """Pyro's Bernoulli with log masses of probabilities nearer to 0 or 1 than rounding, where torch's clamps them."""

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        is_yes = value > 0
        # Each logarithm where it is wanted alone, so that no gradient is 0 times infinity.
        yes, no = torch.where(is_yes, self.probs, 0.5).log(), torch.log1p(-torch.where(is_yes, 0.5, self.probs))
        return torch.where(is_yes, yes, no)


class ExactCategorical(dist.Categorical):
    """Pyro's Categorical with log masses of probabilities nearer to 0 than rounding, where torch's clamps them."""

    @lazy_property
    def logits(self) -> Tensor:
        return self.probs.clamp_min(torch.finfo(self.probs.dtype).tiny).log()


class Counting:
    """Quantiles of a law of counts that has a CDF."""

    def icdf(self: Any, value: Tensor) -> Tensor:
        """The smallest count whose CDF is at least the level."""
        level, mean = torch.broadcast_tensors(torch.as_tensor(value, dtype=self.mean.dtype), self.mean)
        spread = 1.0 + self.stddev.expand(mean.shape)
        low, high = torch.full_like(mean, -1.0), (mean + spread).ceil()
        while bool((short := (self.cdf(high) < level) & (level < 1.0)).any()):
            low, spread = torch.where(short, high, low), 2.0 * spread
            high = torch.where(short, (high + spread).ceil(), high)
        # Bisection between a count that is too small and one that is not, as far as numbers of this size differ by 1.
        while True:
            middle = ((low + high) / 2.0).floor()
            inside = (middle > low) & (middle < high)
            if not bool(inside.any()):
                return torch.where(level >= 1.0, torch.inf, high)
            enough = self.cdf(middle) >= level
            low, high = torch.where(inside & ~enough, middle, low), torch.where(inside & enough, middle, high)


class CountingPoisson(Counting, dist.Poisson):
    """Pyro's Poisson with a density that keeps its digits at large counts, a CDF, its complement, and quantiles.

    Draws of rates beyond 2^62 are normal ones, whose law is theirs to 1e-9: numbers of this size are whole.
    """

    def sample(self, sample_shape: Any = ()) -> Tensor:
        drawn: Tensor = super().sample(torch.Size(sample_shape))  # type: ignore[no-untyped-call]
        is_far = self.rate > OVERFLOWING
        if not bool(is_far.any()):
            return drawn
        return torch.where(is_far, self.rate + self.rate.sqrt() * torch.randn_like(drawn), drawn)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return log_poisson(torch.as_tensor(value, dtype=self.rate.dtype), self.rate)

    def cdf(self, value: Tensor) -> Tensor:
        """P(count <= value), at any real value."""
        whole = torch.as_tensor(value, dtype=self.rate.dtype).floor()
        probability = torch.special.gammaincc(whole.clamp_min(0.0) + 1.0, self.rate)
        return torch.where(whole < 0, 0.0, probability)

    def survival(self, value: Tensor) -> Tensor:
        """P(count > value), whose digits 1 - P(count <= value) does not have."""
        whole = torch.as_tensor(value, dtype=self.rate.dtype).floor()
        probability = torch.special.gammainc(whole.clamp_min(0.0) + 1.0, self.rate)
        return torch.where(whole < 0, 1.0, probability)


class CountingNegativeBinomial(Counting, dist.NegativeBinomial):  # type: ignore[misc]
    """Pyro's negative binomial with a density that keeps its digits near a Poisson's, a CDF and its complement.

    Draws are those of a `CountingPoisson` of a gamma's rate.
    """

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with torch.no_grad():
            rate: Tensor = self._gamma.sample(sample_shape=torch.Size(sample_shape))
            return CountingPoisson(rate, validate_args=False).sample()  # type: ignore[no-untyped-call]

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        value = torch.as_tensor(value, dtype=self.logits.dtype)
        rising = log_ratio(self.total_count, value) - torch.lgamma(value + 1.0)
        softplus = torch.nn.functional.softplus(self.logits)
        log: Tensor = rising + value * self.logits - (value + self.total_count) * softplus
        return log

    def cdf(self, value: Tensor) -> Tensor:
        """P(count <= value), at any real value."""
        whole = torch.as_tensor(value).double().floor()
        below = _by_scipy(betainc, self.total_count, whole.clamp_min(0.0) + 1.0, torch.sigmoid(-self.logits))
        return torch.where(whole < 0, 0.0, below)

    def survival(self, value: Tensor) -> Tensor:
        """P(count > value), whose digits 1 - P(count <= value) does not have."""
        whole = torch.as_tensor(value).double().floor()
        above = _by_scipy(betainc, whole.clamp_min(0.0) + 1.0, self.total_count, torch.sigmoid(self.logits))
        return torch.where(whole < 0, 1.0, above)


class StableStudentT(dist.StudentT):  # type: ignore[misc]
    """Pyro's Student-t with a CDF, its complement, and quantiles."""

    @property
    def mean(self) -> Tensor:
        """The location, and infinite where tails are so heavy that there is no mean."""
        return torch.where(self.df > 1.0, self.loc, torch.inf)

    def cdf(self, value: Tensor) -> Tensor:
        """P(x <= value)."""
        return _by_scipy(stdtr, self.df, (value - self.loc) / self.scale)

    def survival(self, value: Tensor) -> Tensor:
        """P(x > value), whose digits 1 - P(x <= value) does not have."""
        return _by_scipy(stdtr, self.df, (self.loc - value) / self.scale)

    def icdf(self, value: Tensor) -> Tensor:
        """The value whose CDF is the level."""
        found: Tensor = self.loc + self.scale * _by_scipy(stdtrit, self.df, torch.as_tensor(value).double())
        return found


def _by_scipy(function: Any, *numbers: Tensor) -> Tensor:
    """A function that torch has not, without a gradient."""
    return torch.as_tensor(function(*(number.detach().numpy() for number in numbers)))


def log_poisson(count: Tensor, rate: Any) -> Tensor:
    """log Poisson(count; rate): the deviance of Loader (2000) and Stirling's series where log y! would lose digits."""
    is_large = count >= LARGE
    held = count.clamp_min(LARGE)
    inverse = 1.0 / held
    series = inverse * (1.0 / 12.0 - inverse**2 * (1.0 / 360.0 - inverse**2 * (1.0 / 1260.0 - inverse**2 / 1680.0)))
    far = -(torch.xlogy(held, held / rate) - (held - rate)) - 0.5 * (2.0 * math.pi * held).log() - series
    near = count.clamp_max(LARGE)
    return torch.where(is_large, far, torch.xlogy(near, rate) - rate - torch.lgamma(near + 1.0))


class StableKumaraswamy(dist.Kumaraswamy):  # type: ignore[misc]
    """Pyro's Kumaraswamy by its closed form: going back through its powers is 0 / 0 where they round to 0 or 1."""

    def log_prob(self, value: Tensor) -> Tensor:
        """``log a + log b + (a - 1) log x + (b - 1) log(1 - x^a)``, -inf outside [0, 1]."""
        a, b = self.concentration1, self.concentration0
        inside = (value >= 0.0) & (value <= 1.0)
        x = torch.where(inside, value, 0.5)
        found = a.log() + b.log() + torch.special.xlogy(a - 1.0, x) + torch.special.xlogy(b - 1.0, _above(x, a))
        return torch.where(inside, found, -torch.inf)

    def cdf(self, value: Tensor) -> Tensor:
        """``1 - (1 - x^a)^b``."""
        above = _above(value.clamp(0.0, 1.0), self.concentration1)
        return -torch.expm1(self.concentration0 * above.log())

    def icdf(self, value: Tensor) -> Tensor:
        """``(1 - (1 - u)^(1 / b))^(1 / a)``."""
        power = -torch.expm1(torch.log1p(-value) / self.concentration0)
        quantile: Tensor = power ** self.concentration1.reciprocal()
        return quantile


def _above(x: Tensor, power: Tensor) -> Tensor:
    """``1 - x^a`` with its digits."""
    return -torch.expm1(power * x.log())


def exact(law: Any) -> Any:
    """The same law, with a density and quantiles that are exact where there is one here."""
    if type(law) is dist.Kumaraswamy:
        return StableKumaraswamy(law.concentration1, law.concentration0, validate_args=False)
    return law
