"""Distances from a true to a predicted distribution of one variable under an intervention, by quadrature."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Function = Callable[[Array], Array]


def support(cdf: Function, centre: float, *, tail: float = 1e-10) -> tuple[float, float]:
    """Return (low, high) with cdf(low) ≤ tail and cdf(high) ≥ 1 - tail, found by doubling steps from `centre`."""
    reach = np.exp2(np.arange(-40, 60, dtype=np.float64))
    below = np.asarray(cdf(centre - reach)) <= tail
    above = np.asarray(cdf(centre + reach)) >= 1 - tail
    if not (below.any() and above.any()):
        raise ValueError(f"cdf: does not reach {tail} and 1 - {tail} within {reach[-1]:.0e} of {centre}")
    return float(centre - reach[below.argmax()]), float(centre + reach[above.argmax()])


def nodes(cdf: Function, centre: float, interval: tuple[float, float], *, points: int = 401) -> tuple[Array, Array]:
    """Return points x and weights w with ``Σ w f(x) ≈ ∫ f dx`` over an interval, dense in a distribution's bulk.

    The trapezoid rule in t with ``x = centre + scale · sinh(t)``, where `scale` is half the width of the central two
    thirds: heavy tails that reach a thousand scales out cost no accuracy in the bulk.
    """
    low, high = support(cdf, centre, tail=1 / 6)
    scale = (high - low) / 4  # what `support` finds is up to twice as wide
    first, last = np.arcsinh((np.asarray(interval) - centre) / scale)
    t = np.linspace(float(first), float(last), points)
    weights = scale * np.cosh(t) * (t[1] - t[0])
    weights[[0, -1]] /= 2
    return centre + scale * np.sinh(t), weights


def kl_divergence(log_p: Function, log_q: Function, x: Array, weights: Array) -> float:
    """Return ``KL(p ‖ q) = ∫ p (log p - log q) dx`` by the nodes [M] of a quadrature that hold p's mass.

    Where p underflows the integrand is 0.
    """
    log_p_x, log_q_x = np.asarray(log_p(x)), np.asarray(log_q(x))
    density = np.exp(log_p_x)
    integrand = np.zeros_like(density)
    positive = density > 0
    integrand[positive] = density[positive] * (log_p_x[positive] - log_q_x[positive])
    return float(integrand @ weights)


def wasserstein(cdf_p: Function, cdf_q: Function, x: Array, weights: Array) -> float:
    """Return the Wasserstein-1 distance ``∫ |F - G| dx`` by the nodes [M] of a quadrature that hold both masses."""
    return float(np.abs(np.asarray(cdf_p(x)) - np.asarray(cdf_q(x))) @ weights)


def discrete_divergence(log_p: Array, log_q: Array) -> float:
    """Return ``Σ p (log p - log q)`` over the values of a discrete variable; inf where q rules out what happens."""
    happens = log_p > -np.inf
    with np.errstate(invalid="ignore"):
        return float(np.sum(np.exp(log_p[happens]) * (log_p[happens] - log_q[happens])))


def discrete_wasserstein(cdf_p: Array, cdf_q: Array) -> float:
    """Return the Wasserstein-1 distance ``Σ |F - G|`` between two variables whose values are whole numbers."""
    return float(np.sum(np.abs(cdf_p - cdf_q)))
