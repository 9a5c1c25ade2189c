"""What draws say of themselves, by ArviZ: R-hat, effective sample sizes, importance weights, the status of chains."""

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from torch import Tensor

from estimators.isolation import quietly_imported
from estimators.status import Status

if TYPE_CHECKING:
    import xarray

Draws = Mapping[str, Tensor]
R_HAT_LIMIT = 1.01
# χ² of one degree of freedom, less 1, that the halves of one chain exceed once in seventy.
BY_CHANCE = 5.0
ESS_PER_CHAIN = 100
# Beyond this shape of their tail, importance weights do not turn draws into those of another density.
PARETO_LIMIT = 0.7
# A tail of this shape has no mean.
HEAVY = 1.0
# Draws of a chain below which its halves say nothing of convergence.
LEAST_DRAWS = 4


def import_arviz() -> Any:
    """ArviZ, imported where it is first needed: with what it imports it takes as long as torch."""
    return quietly_imported("arviz")


def dataset(draws: Draws, num_chains: int, dims: Mapping[str, list[str]] | None = None) -> "xarray.Dataset":
    """Draws [S, *shape] as a data set over (chain, draw, ...)."""
    import xarray

    variables = {}
    for name, value in draws.items():
        array = value.numpy()
        array = array.reshape(num_chains, len(array) // num_chains, *array.shape[1:])
        names = (dims or {}).get(name, [f"{name}_dim_{axis}" for axis in range(array.ndim - 2)])
        variables[name] = (("chain", "draw", *(unused(dim, draws) for dim in names)), array)
    coordinates = {
        dim: np.arange(size)
        for names, array in variables.values()
        for dim, size in zip(names, array.shape, strict=True)
    }
    return xarray.Dataset(variables, coords=coordinates)


def unused(dim: str, variables: Container[str]) -> str:
    """The name of an axis, or the next that is not a variable's: xarray takes a variable so called for its labels."""
    while dim in variables:
        dim += "_"
    return dim


class Diagnostics(NamedTuple):
    """R-hat (of one chain: of its halves), and effective sample sizes of the bulk and of the 5 % tails, by Greek."""

    r_hat: dict[str, np.ndarray]
    bulk: dict[str, np.ndarray]
    tail: dict[str, np.ndarray]


def diagnostics(draws: Draws, num_chains: int) -> Diagnostics:
    """Rank-normalised R-hat, bulk and tail ESS of every entry of every Greek; a constant counts as converged."""
    num_draws = len(next(iter(draws.values())))
    if num_draws // num_chains < LEAST_DRAWS:
        raise ValueError(
            f"effective sample size: expected at least {LEAST_DRAWS} draws per chain, got {num_draws // num_chains}; "
            "raise `num_samples`"
        )
    # xarray would take a Greek that is called as an axis, `draw` say, for that axis's labels.
    aliases = {name: f"x{number}" for number, name in enumerate(draws)}
    data = dataset({alias: draws[name] for name, alias in aliases.items()}, num_chains)
    with np.errstate(all="ignore"):
        sizes = [import_arviz().ess(data, method=method) for method in ("bulk", "tail")]
        r_hat = _r_hats({alias: draws[name] for name, alias in aliases.items()}, data, num_chains)
    constant = {name: np.ptp(value.numpy(), axis=0) == 0 for name, value in draws.items()}
    bulk, tail = (
        {name: _settled(ess[aliases[name]].values, constant[name], float(num_draws), 1.0) for name in draws}
        for ess in sizes
    )
    r_hats = {} if r_hat is None else {n: _settled(r_hat[aliases[n]].values, constant[n], 1.0, np.inf) for n in draws}
    return Diagnostics(r_hats, bulk, tail)


def _r_hats(draws: Draws, data: "xarray.Dataset", num_chains: int) -> Any:
    """Of chains; of one that of its halves; None where these are too short."""
    if num_chains == 1:
        num_draws = len(next(iter(draws.values())))
        half = num_draws // 2
        if half < LEAST_DRAWS:
            return None
        data = dataset({name: value[num_draws - 2 * half :] for name, value in draws.items()}, 2)
    return import_arviz().rhat(data, method="rank")


def _settled(values: np.ndarray, constant: np.ndarray, if_constant: float, if_stuck: float) -> np.ndarray:
    """Diagnostics without NaN: ArviZ returns NaN for a constant, and where chains are each stuck at their own value."""
    return np.where(constant, if_constant, np.where(np.isfinite(values), values, if_stuck))


def mean_error(draws: Tensor, num_chains: int) -> float:
    """The Monte Carlo standard error of the mean of one quantity's draws [S]: sd / sqrt(ESS of the mean)."""
    per_chain = len(draws) // num_chains
    if per_chain < LEAST_DRAWS:
        raise ValueError(f"mcse: expected at least {LEAST_DRAWS} draws per chain, got {per_chain}; draw more")
    values = draws.numpy().reshape(num_chains, -1)
    if np.ptp(values) == 0:
        return 0.0
    with np.errstate(all="ignore"):
        ess = float(import_arviz().ess(values, method="mean"))
    return float(values.std(ddof=1)) / float(np.sqrt(ess if np.isfinite(ess) else 1.0))


class Importance(NamedTuple):
    """Normalised importance weights [S], their effective number, and the Pareto shape k̂ of their tail."""

    weights: np.ndarray
    ess: float
    pareto_k: float


def importance(log_weights: np.ndarray) -> Importance:
    """Pareto-smoothed importance weights [S] from their logs; what is not a number weighs nothing.

    Source: Vehtari et al. (2024), JMLR 25(72).
    """
    logs = np.where(np.isnan(log_weights), -np.inf, log_weights)
    with np.errstate(all="ignore"):
        smoothed, pareto_k = import_arviz().psislw(logs)
        weights = np.exp(smoothed - smoothed.max())
    weights = weights / weights.sum()
    ess = float(1.0 / (weights**2).sum())
    # Weights of a few values have no tail of which a shape could be told: those of next to one value are all alike.
    shape = float(pareto_k) if np.isfinite(pareto_k) else 0.0 if ess > 0.5 * len(weights) else HEAVY
    return Importance(weights, ess, shape)


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
