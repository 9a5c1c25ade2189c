"""The next temperature by the effective sample size, and systematic resampling.

Source: Del Moral, Doucet & Jasra (2006), "Sequential Monte Carlo samplers", JRSS B 68; Chopin & Papaspiliopoulos
(2020), "An Introduction to Sequential Monte Carlo", ch. 9 and 17.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from estimators.optimise.arrays import Array
from estimators.status import EstimationError

HALVINGS = 60
# The largest step between neighbouring floating-point numbers, in nats, at which targets are still compared.
RESOLUTION = 0.05


def next_temperature(log_likelihood: Array, temperature: float, share: float) -> float:
    """The largest t' <= 1 at which the weights ``p(data | v)^(t' - t)`` [n] have an ESS of at least ``share · n``.

    Raises EstimationError where no t' above t has, or where the target at t' is too coarse to tell particles apart.
    """
    following = _bisected(log_likelihood, temperature, share * len(log_likelihood))
    coarseness = following * float(np.spacing(np.abs(log_likelihood).min()))
    if following > temperature and coarseness <= RESOLUTION:
        return following
    raise EstimationError(
        f"SMC: the particles' log-likelihoods at temperature {temperature:.2g} are {np.ptp(log_likelihood):.2g} nats "
        f"apart, and their numbers {coarseness:.2g}, so none can be told to be better; rescale the columns, lower the "
        "weights, or use priors nearer to the data"
    )


def _bisected(log_likelihood: Array, temperature: float, least: float) -> float:
    low, high = 0.0, 1.0 - temperature
    if effective_size(high * log_likelihood) >= least:
        return 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if effective_size(middle * log_likelihood) >= least else (low, middle)
    return temperature + low


def effective_size(log_weights: Array) -> float:
    """``(Σ w)² / Σ w²``."""
    weights = np.exp(log_weights - log_weights.max())
    return float(weights.sum() ** 2 / (weights**2).sum())


def systematic(log_weights: Array, rng: np.random.Generator) -> NDArray[np.intp]:
    """The ancestors [n] of a resampled cloud, in the cloud's order: one uniform number decides all.

    A particle of weight w (of all weights, which sum to 1) has n w descendants, rounded up or down. They stay next to
    each other, so that dependence by descent shows as autocorrelation along the cloud.
    """
    count = len(log_weights)
    ends = np.cumsum(np.exp(log_weights - logsumexp(log_weights)))
    points = (rng.random() + np.arange(count)) / count * ends[-1]
    return np.asarray(np.minimum(np.searchsorted(ends, points, side="right"), count - 1), dtype=np.intp)
