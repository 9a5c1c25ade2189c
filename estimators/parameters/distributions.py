"""Distributions whose densities or quantiles are exact where torch's are not."""

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor


class StableNormal(dist.Normal):
    """Pyro's Normal with a CDF and quantiles that keep their digits in the tails."""

    def cdf(self, value: Tensor) -> Tensor:
        probability: Tensor = torch.special.ndtr((value - self.loc) / self.scale)
        return probability

    def icdf(self, value: Tensor) -> Tensor:
        quantile: Tensor = self.loc + self.scale * torch.special.ndtri(value)
        return quantile


class CountingPoisson(dist.Poisson):
    """Pyro's Poisson with a CDF, its complement, and quantiles."""

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

    def icdf(self, value: Tensor) -> Tensor:
        """The smallest count whose CDF is at least the level."""
        level = torch.as_tensor(value, dtype=self.rate.dtype)
        level, rate = torch.broadcast_tensors(level, self.rate)
        spread = 1.0 + rate.sqrt()
        low, high = torch.full_like(rate, -1.0), (rate + spread).ceil()
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
