"""Effective sample sizes of the bulk and the tails of many quantities at once."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.special import ndtri
from scipy.stats import rankdata

Array = NDArray[np.float64]
TAILS = (0.05, 0.95)


def bulk_and_tail_sizes(chains: Array) -> Array:
    """Return the smaller of bulk and tail ESS [Q] of quantities' chains [Q, C, S], of at least 4 draws each.

    As ArviZ has them one by one: of rank-normalised halves of chains, and of the indicators of either 5 % tail. NaN
    where a draw is. Source: Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), Bayesian Analysis 16(2).
    """
    halves = _halves(chains)
    ranks = rankdata(halves.reshape(len(halves), -1), axis=1).reshape(halves.shape)
    normal = ndtri((ranks - 0.375) / (halves[0].size + 0.25))
    limits = np.quantile(chains, TAILS, axis=(1, 2))[:, :, None, None]
    sizes = _sizes(np.concatenate([normal, *(halves <= limits)])).reshape(3, -1).min(0)
    return np.asarray(np.where(np.isnan(chains).any((1, 2)), np.nan, sizes))


def _halves(chains: Array) -> Array:
    """Chains [M, C, S] as [M, 2C, S // 2], without the one in the middle of an odd number."""
    half = chains.shape[2] // 2
    return np.concatenate([chains[:, :, :half], chains[:, :, -half:]], axis=1)


def _sizes(chains: Array) -> Array:
    """``C S / τ`` of chains [M, C, S], τ by Geyer's initial monotone sequence; C S of one value alone."""
    _, num_chains, num_draws = chains.shape
    total = num_chains * num_draws
    covariance = _autocovariance(chains).mean(1)
    within = covariance[:, 0] * num_draws / (num_draws - 1)
    overall = covariance[:, 0] + (chains.mean(2).var(1, ddof=1) if num_chains > 1 else 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = 1.0 - (within[:, None] - covariance) / overall[:, None]
    correlation[:, 0] = 1.0
    num_pairs = max((num_draws - 1) // 2, 1)
    even, odd = (correlation[:, start : 2 * num_pairs : 2] for start in (0, 1))
    pairs = even + odd
    # Up to the first pair that is not positive, of which an even part that is counts once.
    last = np.where((pairs <= 0).any(1), (pairs <= 0).argmax(1), num_pairs - 1)
    before = np.arange(num_pairs) < last[:, None]
    tau = 2.0 * np.sum(np.minimum.accumulate(pairs, axis=1), axis=1, where=before) - 1.0
    tau += np.maximum(even[np.arange(len(even)), last], 0.0)
    is_constant = np.ptp(chains, axis=(1, 2)) < np.finfo(float).resolution
    return np.asarray(np.where(is_constant, total, total / np.maximum(tau, 1.0 / math.log10(total))))


def _autocovariance(chains: Array) -> Array:
    """The autocovariance [M, C, S] at every lag, over S at each."""
    num_draws = chains.shape[2]
    size = next_fast_len(2 * num_draws, real=True)
    spectrum = rfft(chains - chains.mean(2, keepdims=True), n=size, axis=2)
    return np.asarray(irfft(spectrum * spectrum.conj(), n=size, axis=2)[:, :, :num_draws] / num_draws)
