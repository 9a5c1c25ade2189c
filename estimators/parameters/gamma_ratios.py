"""``log Γ(r + y) / Γ(r)`` and its slope in r, by Stirling's series where differences would lose digits.

Compiled code has its own (`compiled.rising`), by another way; tests compare the two.
"""

import torch
from torch import Tensor

# From here on the series hold to rounding.
LARGE = 30.0


def log_ratio(r: Tensor, y: Tensor) -> Tensor:
    """``log Γ(r + y) - log Γ(r)``."""
    a, near = r.clamp_min(LARGE), r.clamp_max(LARGE)
    b = a + y
    far = (b - 0.5) * torch.log1p(y / a) + y * a.log() - y + _series(b) - _series(a)
    return torch.where(r < LARGE, torch.lgamma(near + y) - torch.lgamma(near), far)


def ratio_slope(r: Tensor, y: Tensor) -> Tensor:
    """``ψ(r + y) - ψ(r)``."""
    a, near = r.clamp_min(LARGE), r.clamp_max(LARGE)
    b = a + y
    far = torch.log1p(y / a) - _series_slope(b) + _series_slope(a)
    return torch.where(r < LARGE, torch.digamma(near + y) - torch.digamma(near), far)


def _series(x: Tensor) -> Tensor:
    w = 1.0 / (x * x)
    return (1.0 / 12.0 - w * (1.0 / 360.0 - w * (1.0 / 1260.0 - w / 1680.0))) / x


def _series_slope(x: Tensor) -> Tensor:
    w = 1.0 / (x * x)
    return 0.5 / x + w * (1.0 / 12.0 - w * (1.0 / 120.0 - w * (1.0 / 252.0 - w / 240.0)))
