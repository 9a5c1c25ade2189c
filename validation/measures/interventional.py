"""Distances from a true to a predicted distribution of one variable under an intervention, by quadrature."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Function = Callable[[Array], Array]
STRIDE = 8  # doublings of the distance between evaluations of a distribution function, before those between are tried
STEPS = 80  # between the first knots of a distribution
SHARE = 0.03  # of the probability, at most, between knots
LEAST_SHARE = 1e-6  # below which a step is left as wide as it is
ORDER = 5  # points of the quadrature between knots


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


def knots(cdf: Function, centre: float, *, tail: float = 1e-10) -> Array:
    """Return points from one end of a distribution to the other, few enough to look at and none of its modes between.

    Even steps in t with ``x = centre + scale · sinh(t)``, so that heavy tails that reach a thousand scales out have
    their share of the points; then steps that are too wide are halved (a jump, down to the numbers beside it), so that
    modes far narrower than the distances between them are found.
    """
    low, high = support(cdf, centre, tail=tail)
    inner = support(cdf, centre, tail=1 / 6)
    scale = (inner[1] - inner[0]) / 4  # what `support` finds is up to twice as wide
    first, last = np.arcsinh((np.array([low, high]) - centre) / scale)
    x = np.unique(np.clip(centre + scale * np.sinh(np.linspace(first, last, STEPS + 1)), low, high))
    below = np.asarray(cdf(x))
    while True:
        middle = 0.5 * (x[:-1] + x[1:])
        wide = _too_wide(np.diff(x), np.diff(below)) & (x[:-1] < middle) & (middle < x[1:])
        if not wide.any():
            return x
        at = np.flatnonzero(wide) + 1
        below = np.insert(below, at, np.asarray(cdf(middle[wide])))
        x = np.insert(x, at, middle[wide])


def _too_wide(step: Array, share: Array) -> NDArray[np.bool_]:
    """Which steps hold much of the probability, far more than their neighbours, or some of it in far greater width."""
    neighbours_step, neighbours_share = np.pad(step, 1, constant_values=np.inf), np.pad(share, 1)
    is_alone = share > 10.0 * np.maximum(neighbours_share[:-2], neighbours_share[2:])
    is_coarse = step > 3.0 * np.minimum(neighbours_step[:-2], neighbours_step[2:])
    return np.asarray((share > SHARE) | ((share > LEAST_SHARE) & (is_alone | is_coarse)))


def quadrature(*knots_of: Array) -> tuple[Array, Array]:
    """Return points x and weights w with ``Σ w f(x) ≈ ∫ f dx``: Gauss and Legendre's rule between successive knots.

    The knots are those of one or several distributions.
    """
    ends = np.unique(np.concatenate(knots_of))
    t, weights = np.polynomial.legendre.leggauss(ORDER)
    half = 0.5 * np.diff(ends)[:, None]
    return (0.5 * (ends[:-1] + ends[1:])[:, None] + half * t).ravel(), (half * weights).ravel()


def kl_divergence(log_p: Function, log_q: Function, x: Array, weights: Array) -> float:
    """Return ``KL(p ‖ q) = ∫ p (log p - log q) dx`` by the points [M] of a quadrature that hold p's mass.

    Where p underflows the integrand is 0.
    """
    log_p_x, log_q_x = np.asarray(log_p(x)), np.asarray(log_q(x))
    density = np.exp(log_p_x)
    integrand = np.zeros_like(density)
    positive = density > 0
    integrand[positive] = density[positive] * (log_p_x[positive] - log_q_x[positive])
    return float(integrand @ weights)


def wasserstein(cdf_p: Function, cdf_q: Function, x: Array, weights: Array) -> float:
    """Return the Wasserstein-1 distance ``∫ |F - G| dx`` by the points [M] of a quadrature that hold both masses."""
    return float(np.abs(np.asarray(cdf_p(x)) - np.asarray(cdf_q(x))) @ weights)


def discrete_divergence(log_p: Array, log_q: Array) -> float:
    """Return ``Σ p (log p - log q)`` over the values of a discrete variable; inf where q rules out what happens."""
    happens = log_p > -np.inf
    with np.errstate(invalid="ignore"):
        return float(np.sum(np.exp(log_p[happens]) * (log_p[happens] - log_q[happens])))


def discrete_wasserstein(cdf_p: Array, cdf_q: Array) -> float:
    """Return the Wasserstein-1 distance ``Σ |F - G|`` of whole numbers, at all values [P] up to the last of both."""
    return float(np.sum(np.abs(cdf_p - cdf_q)))
