"""Distances from a true to a predicted distribution of one variable under an intervention, by quadrature."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Function = Callable[[Array], Array]
STRIDE = 8  # doublings of the distance between evaluations of a distribution function, before those between are tried
TAIL = 1e-10  # of the probability, beyond either end of the knots
STEPS = 32  # between the first knots of a distribution
SHARE = 0.06  # of the probability, at most, between knots
LEAST_SHARE = 1e-6  # below which a step is left as wide as it is
ORDER = 5  # points of the quadrature between knots
FINE = 256  # parts of a step in which a difference's sign is followed


def supports(cdf: Function, centre: float, tails: Sequence[float]) -> list[tuple[float, float]]:
    """Return, for each tail, (low, high) with cdf(low) ≤ tail and cdf(high) ≥ 1 - tail, by steps that double.

    What is found is up to twice as far from the centre as it has to be.
    """
    powers = np.arange(-40.0, 65.0, STRIDE)
    reach = np.exp2(powers)
    left, right = np.split(np.asarray(cdf(np.concatenate([centre - reach, centre + reach]))), 2)
    limits = np.asarray(tails)[:, None]
    is_low, is_high = left <= limits, right >= 1 - limits
    if not (is_low.any(1) & is_high.any(1)).all():
        raise ValueError(f"cdf: does not reach {min(tails)} and 1 - {min(tails)} within {reach[-1]:.0e} of {centre}")
    between = np.exp2(np.arange(1.0 - STRIDE, 1.0))
    lows, highs = centre - reach[is_low.argmax(1), None] * between, centre + reach[is_high.argmax(1), None] * between
    left, right = np.asarray(cdf(np.concatenate([lows, highs]).ravel())).reshape(2, *lows.shape)
    is_low, is_high = left <= limits, right >= 1 - limits
    is_low[:, -1] = is_high[:, -1] = True
    rows = np.arange(len(tails))
    ends = zip(lows[rows, is_low.argmax(1)], highs[rows, is_high.argmax(1)], strict=True)
    return [(float(low), float(high)) for low, high in ends]


def knots(cdf: Function, centre: float, *, tail: float = TAIL) -> Array:
    """Return points from one end of a distribution to the other, few enough to look at and none of its modes between.

    Even steps in t with ``x = centre + scale · sinh(t)``, so that heavy tails that reach a thousand scales out have
    their share of the points; then steps that are too wide are halved (a jump, down to the numbers beside it), so that
    modes far narrower than the distances between them are found.
    """
    (low, high), inner = supports(cdf, centre, (tail, 1 / 6))
    scale = (inner[1] - inner[0]) / 4  # what is found is up to twice as wide
    first, last = np.arcsinh((np.array([low, high]) - centre) / scale)
    x = np.unique(np.clip(centre + scale * np.sinh(np.linspace(first, last, STEPS + 1)), low, high))
    return _refined(cdf, x, np.asarray(cdf(x)))


def knots_between(cdf: Function, x: Array, below: Array, *, tail: float = TAIL) -> Array | None:
    """Return the knots x of one distribution with what another needs between them, whose CDF there is `below`.

    None where more than the tails of the other lie outside them. Those of a distribution that is nearly the same are
    enough as they are.
    """
    if below[0] > tail or below[-1] < 1 - tail:
        return None
    return _refined(cdf, x, below) if _too_wide(np.diff(x), np.diff(below), leniency=2.0).any() else x


def _refined(cdf: Function, x: Array, below: Array) -> Array:
    """Knots with those between them that a distribution needs, whose CDF at x is `below`."""
    while True:
        middle = 0.5 * (x[:-1] + x[1:])
        wide = _too_wide(np.diff(x), np.diff(below)) & (x[:-1] < middle) & (middle < x[1:])
        if not wide.any():
            return x
        at = np.flatnonzero(wide) + 1
        below = np.insert(below, at, np.asarray(cdf(middle[wide])))
        x = np.insert(x, at, middle[wide])


def _too_wide(step: Array, share: Array, *, leniency: float = 1.0) -> NDArray[np.bool_]:
    """Which steps hold much of the probability, more than both their neighbours, or some of it in greater width."""
    neighbours_step, neighbours_share = np.pad(step, 1, constant_values=np.inf), np.pad(share, 1)
    is_alone = share > 1.5 * leniency * np.maximum(neighbours_share[:-2], neighbours_share[2:])
    is_coarse = step > 3.0 * leniency * np.minimum(neighbours_step[:-2], neighbours_step[2:])
    return np.asarray((share > leniency * SHARE) | ((share > LEAST_SHARE) & (is_alone | is_coarse)))


def quadrature(*knots_of: Array) -> tuple[Array, Array]:
    """Return points x and weights w with ``Σ w f(x) ≈ ∫ f dx``: Gauss and Legendre's rule between successive knots.

    The knots are those of one or several distributions.
    """
    ends = np.unique(np.concatenate(knots_of))
    t, weights = np.polynomial.legendre.leggauss(ORDER)
    half = 0.5 * np.diff(ends)[:, None]
    return (0.5 * (ends[:-1] + ends[1:])[:, None] + half * t).ravel(), (half * weights).ravel()


def kl_divergence(log_p: Array, log_q: Array, weights: Array) -> float:
    """Return ``KL(p ‖ q) = ∫ p (log p - log q) dx`` from log densities at the points [M] of a quadrature of p's mass.

    Where p underflows the integrand is 0.
    """
    density = np.exp(log_p)
    integrand = np.zeros_like(density)
    positive = density > 0
    integrand[positive] = density[positive] * (log_p[positive] - log_q[positive])
    return float(integrand @ weights)


def wasserstein(cdf_p: Array, cdf_q: Array, weights: Array) -> float:
    """Return the Wasserstein-1 distance ``∫ |F - G| dx`` from CDFs at the points [M] of a `quadrature` of both masses.

    Between successive knots F - G is the polynomial through its values, whose sign may change.
    """
    differences = (cdf_p - cdf_q).reshape(-1, ORDER)
    return float(np.abs(differences @ _interpolation()).mean(1) @ weights.reshape(-1, ORDER).sum(1))


@cache
def _interpolation() -> Array:
    """From values at Legendre's points to those in the middle of FINE even parts of a step [ORDER, FINE]."""
    t, _ = np.polynomial.legendre.leggauss(ORDER)
    middles = (np.arange(FINE) + 0.5) * 2 / FINE - 1
    return np.asarray(np.linalg.solve(np.vander(t).T, np.vander(middles, ORDER).T))


def discrete_divergence(log_p: Array, log_q: Array) -> float:
    """Return ``Σ p (log p - log q)`` over the values of a discrete variable; inf where q rules out what happens."""
    happens = log_p > -np.inf
    with np.errstate(invalid="ignore"):
        return float(np.sum(np.exp(log_p[happens]) * (log_p[happens] - log_q[happens])))


def discrete_wasserstein(cdf_p: Array, cdf_q: Array) -> float:
    """Return the Wasserstein-1 distance ``Σ |F - G|`` of whole numbers, at all values [P] up to the last of both."""
    return float(np.sum(np.abs(cdf_p - cdf_q)))
