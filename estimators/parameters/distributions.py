"""Distributions whose densities or quantiles are exact where torch's are not."""

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
