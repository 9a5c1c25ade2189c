"""Distances from a true to a predicted distribution of one variable under an intervention, by quadrature."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Function = Callable[[Array], Array]


def support(cdf: Function, centre: float, *, tail: float = 1e-10) -> tuple[float, float]:
    """Return (low, high) with cdf(low) ≤ tail and cdf(high) ≥ 1 - tail, found by doubling steps from `centre`."""
    reach = np.exp2(np.arange(-3, 60, dtype=np.float64))
    below = np.asarray(cdf(centre - reach)) <= tail
    above = np.asarray(cdf(centre + reach)) >= 1 - tail
    if not (below.any() and above.any()):
        raise ValueError(f"cdf: does not reach {tail} and 1 - {tail} within {reach[-1]:.0e} of {centre}")
    return float(centre - reach[below.argmax()]), float(centre + reach[above.argmax()])


def kl_divergence(log_p: Function, log_q: Function, interval: tuple[float, float], *, points: int = 401) -> float:
    """Return ``KL(p ‖ q) = ∫ p (log p - log q) dx`` over an interval that holds p's mass (trapezoid rule).

    Where p underflows the integrand is 0. For smooth densities that vanish at both ends the rule converges faster
    than any power of the step.
    """
    x = np.linspace(*interval, points)
    log_p_x, log_q_x = np.asarray(log_p(x)), np.asarray(log_q(x))
    density = np.exp(log_p_x)
    integrand = np.zeros_like(density)
    positive = density > 0
    integrand[positive] = density[positive] * (log_p_x[positive] - log_q_x[positive])
    return float(np.trapezoid(integrand, x))


def wasserstein(cdf_p: Function, cdf_q: Function, interval: tuple[float, float], *, points: int = 401) -> float:
    """Return the Wasserstein-1 distance ``∫ |F - G| dx`` over an interval that holds the mass of both."""
    x = np.linspace(*interval, points)
    return float(np.trapezoid(np.abs(np.asarray(cdf_p(x)) - np.asarray(cdf_q(x))), x))
