"""Distances from a true to a predicted distribution of one variable under an intervention, by quadrature."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Function = Callable[[Array], Array]
STRIDE = 8  # doublings from one look at a distribution function to the next, before those between are looked at


def support(cdf: Function, centre: float, *, tail: float = 1e-10) -> tuple[float, float]:
    """Return (low, high) with cdf(low) ≤ tail and cdf(high) ≥ 1 - tail, found by doubling steps from `centre`."""
    powers = np.arange(-40.0, 65.0, STRIDE)
    reach = np.exp2(powers)
    below, above = _beyond(cdf, centre - reach, centre + reach, tail)
    if not (below.any() and above.any()):
        raise ValueError(f"cdf: does not reach {tail} and 1 - {tail} within {reach[-1]:.0e} of {centre}")
    between = np.arange(1.0 - STRIDE, 1.0)
    left = centre - np.exp2(powers[below.argmax()] + between)
    right = centre + np.exp2(powers[above.argmax()] + between)
    below, above = _beyond(cdf, left, right, tail)
    below[-1] = above[-1] = True
    return float(left[below.argmax()]), float(right[above.argmax()])


def _beyond(cdf: Function, left: Array, right: Array, tail: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    values = np.asarray(cdf(np.concatenate([left, right])))
    return values[: len(left)] <= tail, values[len(left) :] >= 1 - tail


def bulk(cdf: Function, centre: float) -> float:
    """Return about half the width of the central two thirds of a distribution."""
    low, high = support(cdf, centre, tail=1 / 6)
    return (high - low) / 4  # what `support` finds is up to twice as wide


def nodes(centre: float, scale: float, interval: tuple[float, float], *, points: int = 401) -> tuple[Array, Array]:
    """Return points x and weights w with ``Σ w f(x) ≈ ∫ f dx`` over an interval, dense in a distribution's bulk.

    The trapezoid rule in t with ``x = centre + scale · sinh(t)``, where `scale` is that of the `bulk`: heavy tails that
    reach a thousand scales out cost no accuracy in the bulk.
    """
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
