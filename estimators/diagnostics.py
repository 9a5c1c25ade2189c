"""What draws say of themselves: R-hat, effective sample sizes, importance weights, the status of chains."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.special import ndtri
from torch import Tensor

from estimators.isolation import quietly_imported
from estimators.optimise.arrays import Array
from estimators.status import Status

Draws = Mapping[str, Tensor]
R_HAT_LIMIT = 1.01
TAILS = (0.05, 0.95)
# χ² of one degree of freedom, less 1, that the halves of one chain exceed once in seventy.
BY_CHANCE = 5.0
ESS_PER_CHAIN = 100
# Beyond this shape of their tail, importance weights do not turn draws into those of another density.
PARETO_LIMIT = 0.7
# A tail of this shape has no mean.
HEAVY = 1.0
# Weights as they come are worth fewer than this share of the draws that smoothed ones are: smoothing hides a few.
CUT = 0.1
# Draws of a chain below which its halves say nothing of convergence.
LEAST_DRAWS = 4


def import_arviz() -> Any:
    """ArviZ, imported where it is first needed: with what it imports it takes as long as torch."""
    return quietly_imported("arviz")


class Diagnostics(NamedTuple):
    """R-hat (of one chain: of its halves), and effective sample sizes of the bulk and of the 5 % tails, by Greek."""

    r_hat: dict[str, Array]
    bulk: dict[str, Array]
    tail: dict[str, Array]


def diagnostics(draws: Draws, num_chains: int) -> Diagnostics:
    """Rank-normalised R-hat, bulk and tail ESS of every entry of every Greek; a constant counts as converged."""
    num_draws = len(next(iter(draws.values())))
    if num_draws // num_chains < LEAST_DRAWS:
        raise ValueError(
            f"effective sample size: expected at least {LEAST_DRAWS} draws per chain, got {num_draws // num_chains}; "
            "raise `num_samples`"
        )
    shapes = {name: value.shape[1:] for name, value in draws.items()}
    columns = np.concatenate([value.numpy().reshape(num_draws, -1) for value in draws.values()], axis=1)
    chains = columns.T.reshape(-1, num_chains, num_draws // num_chains)
    is_constant = np.ptp(columns, axis=0) == 0
    bulk, tail = bulk_and_tail_sizes(chains)
    half = num_draws // 2
    if num_chains == 1:
        chains = columns[num_draws - 2 * half :].T.reshape(-1, 2, half)
    r_hat = _r_hats(chains) if chains.shape[2] >= LEAST_DRAWS else None
    return Diagnostics(
        {} if r_hat is None else _by_greek(np.where(is_constant, 1.0, _or(r_hat, np.inf)), shapes),
        _by_greek(np.where(is_constant, float(num_draws), _or(bulk, 1.0)), shapes),
        _by_greek(np.where(is_constant, float(num_draws), _or(tail, 1.0)), shapes),
    )


def _or(values: Array, if_stuck: float) -> Array:
    """Numbers without NaN, which they are where chains are each stuck at a value of their own."""
    return np.where(np.isfinite(values), values, if_stuck)


def _by_greek(values: Array, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """Entries [Q] of all Greeks, by Greek."""
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
    parts = np.split(values, ends[:-1])
    return {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


def bulk_and_tail_sizes(chains: Array) -> tuple[Array, Array]:
    """Bulk and tail ESS [Q] of quantities' chains [Q, C, S], of at least 4 draws each; NaN where a draw is.

    Of rank-normalised halves of chains, and of the indicators of either 5 % tail: as ArviZ has them of one quantity.
    Source: Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), Bayesian Analysis 16(2).
    """
    halves = _halves(chains)
    limits = np.quantile(chains, TAILS, axis=(1, 2))[:, :, None, None]
    bulk, *tails = _sizes(np.concatenate([_normal_scores(halves), *(halves <= limits)])).reshape(3, -1)
    unknown = np.isnan(chains).any((1, 2))
    return np.where(unknown, np.nan, bulk), np.where(unknown, np.nan, np.minimum(*tails))


def sizes_of_means(chains: Array) -> Array:
    """The ESS [Q] of the means of quantities' chains [Q, C, S]."""
    return _sizes(_halves(chains))


def _r_hats(chains: Array) -> Array:
    """R-hat [Q] of rank-normalised halves of chains [Q, C, S], or that of distances from the median where larger."""
    halves = _halves(chains)
    folded = np.abs(halves - np.median(halves, axis=(1, 2), keepdims=True))
    scores = _normal_scores(np.concatenate([halves, folded]))
    num_draws = scores.shape[2]
    with np.errstate(all="ignore"):
        between, within = num_draws * scores.mean(2).var(1, ddof=1), scores.var(2, ddof=1).mean(1)
        r_hats = np.sqrt((between / within + num_draws - 1.0) / num_draws)
    return np.asarray(r_hats.reshape(2, -1).max(0))


def _normal_scores(chains: Array) -> Array:
    """Normal quantiles of the ranks [Q, C, S] of each quantity's draws (Blom 1958)."""
    from scipy.stats import rankdata  # half a second, which only chains need

    ranks = rankdata(chains.reshape(len(chains), -1), axis=1).reshape(chains.shape)
    return np.asarray(ndtri((ranks - 0.375) / (chains[0].size + 0.25)))


def mean_error(draws: Tensor, num_chains: int) -> float:
    """The Monte Carlo standard error of the mean of one quantity's draws [S]: sd / sqrt(ESS of the mean)."""
    per_chain = len(draws) // num_chains
    if per_chain < LEAST_DRAWS:
        raise ValueError(f"mcse: expected at least {LEAST_DRAWS} draws per chain, got {per_chain}; draw more")
    values = draws.numpy().reshape(num_chains, -1)
    if np.ptp(values) == 0:
        return 0.0
    ess = float(sizes_of_means(values[None])[0])
    return float(values.std(ddof=1)) / float(np.sqrt(ess if np.isfinite(ess) else 1.0))


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


class Importance(NamedTuple):
    """Normalised importance weights [S], their effective number, and the Pareto shape k̂ of their tail."""

    weights: Array
    ess: float
    pareto_k: float


def importance(log_weights: Array) -> Importance:
    """Pareto-smoothed importance weights [S] from their logs; what is not a number weighs nothing.

    Source: Vehtari et al. (2024), JMLR 25(72).
    """
    logs = np.where(np.isnan(log_weights), -np.inf, log_weights)
    with np.errstate(all="ignore"):
        smoothed, pareto_k = _smoothed(logs)
        # Of a tail of equal weights there is no law to smooth them by.
        smoothed = np.where(np.isnan(smoothed), logs, smoothed)
        weights, as_they_come = np.exp(smoothed - smoothed.max()), np.exp(logs - logs.max())
    weights = weights / weights.sum()
    ess = float(1.0 / (weights**2).sum())
    # Weights of a few values have no tail of which a shape could be told: those of next to one value are all alike.
    shape = float(pareto_k) if np.isfinite(pareto_k) else 0.0 if ess > 0.5 * len(weights) else HEAVY
    # One weight that is most of all, as where a mode was missed, hardly changes the shape of a tail, and is cut to it.
    is_cut = as_they_come.sum() ** 2 < CUT * ess * (as_they_come**2).sum()
    return Importance(weights, ess, max(shape, HEAVY) if is_cut else shape)


def _smoothed(log_weights: Array) -> tuple[Array, float]:
    """Log weights whose largest are quantiles of the generalised Pareto that was fitted to them, and its shape."""
    arviz = import_arviz()
    if hasattr(arviz, "psislw"):
        return arviz.psislw(log_weights)  # type: ignore[no-any-return]
    # From ArviZ 1 on, where it takes log-likelihoods, of which the weights are the inverse, and raises where the tail
    # is one value, or a few.
    try:
        return quietly_imported("arviz_stats.base").array_stats.psislw(-log_weights)  # type: ignore[no-any-return]
    except ValueError:
        return log_weights, math.nan


def chain_status(
    draws: Mapping[str, Tensor], num_chains: int, divergences: int
) -> tuple[dict[Status, str], dict[str, float]]:
    """Return what holds of relabelled draws, and the smallest ESS (bulk or tail) and the largest R-hat behind it."""
    per_chain = len(next(iter(draws.values()))) // num_chains
    if per_chain < LEAST_DRAWS:
        return {Status.LOW_ESS: ""}, {}
    r_hat, bulk, tail = diagnostics(draws, num_chains)
    largest = max((float(np.max(value)) for value in r_hat.values()), default=1.0)
    smallest = min(float(np.min(value)) for value in (*bulk.values(), *tail.values()))
    extra = {"min_ess": smallest, **({"max_r_hat": largest} if r_hat else {})}
    # Of halves of E / 2 effective draws each, R-hat is about 1 + (χ² - 1) / E by chance.
    limit = R_HAT_LIMIT + (BY_CHANCE / smallest if num_chains == 1 else 0.0)
    holds = {
        Status.CHAINS_DISAGREE: largest > limit,
        Status.DIVERGENCES: divergences > 0,
        Status.LOW_ESS: smallest < ESS_PER_CHAIN * num_chains,
    }
    return {status: "" for status, is_true in holds.items() if is_true}, extra
