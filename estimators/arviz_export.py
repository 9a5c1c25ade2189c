"""The bridge to ArviZ: data sets, convergence diagnostics and the export of a whole fit.

Written against what ArviZ 0.23 and ArviZ 1 share: functions on `xarray.Dataset`. A container of groups is an
`InferenceData` under 0.23 and an `xarray.DataTree` under 1.
"""

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from estimators.isolation import quietly_imported

if TYPE_CHECKING:
    import xarray

Draws = Mapping[str, Tensor]
OWN_AXES = ("chain", "draw")
# Log-likelihoods of repeated rows in one export: 1.6 GB.
MOST_ELEMENTS = 2e8


def _arviz() -> Any:
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
        variables[name] = (("chain", "draw", *(_unused(dim, draws) for dim in names)), array)
    return xarray.Dataset(variables, coords=_coordinates(variables))


def _unused(dim: str, variables: Container[str]) -> str:
    """The name of an axis, or the next that is not a variable's: xarray takes a variable so called for its labels."""
    while dim in variables:
        dim += "_"
    return dim


# Draws of a chain below which its halves say nothing of convergence.
LEAST_DRAWS = 4


class Diagnostics(NamedTuple):
    """R-hat (empty of one chain), and the effective sample sizes of the bulk and of the 5 % tails, by Greek."""

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
    # Under names that are no axes'.
    places = {name: f"x{number}" for number, name in enumerate(draws)}
    data = dataset({place: draws[name] for name, place in places.items()}, num_chains)
    with np.errstate(all="ignore"):
        sizes = [_arviz().ess(data, method=method) for method in ("bulk", "tail")]
        r_hat = _arviz().rhat(data, method="rank") if num_chains > 1 else None
    constant = {name: np.ptp(value.numpy(), axis=0) == 0 for name, value in draws.items()}
    bulk, tail = (
        {name: _settled(ess[places[name]].values, constant[name], float(num_draws), 1.0) for name in draws}
        for ess in sizes
    )
    known = {} if r_hat is None else {n: _settled(r_hat[places[n]].values, constant[n], 1.0, np.inf) for n in draws}
    return Diagnostics(known, bulk, tail)


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
        ess = float(_arviz().ess(values, method="mean"))
    return float(values.std(ddof=1)) / float(np.sqrt(ess if np.isfinite(ess) else 1.0))


def dims(name: str, num_axes: int, component_axis: int) -> list[str]:
    """Return the names of a Greek's axes."""
    return ["component" if axis == component_axis else f"{name}_dim_{axis}" for axis in range(num_axes)]


def repeats(weights: Tensor | None, num_draws: int) -> tuple[Tensor | slice, str]:
    """Each row's number as often as its weight says, and why rows cannot be repeated, which is empty if they can.

    The row that leave-one-out leaves out is one of the rows that a weight counts, not all of them at once.
    """
    if weights is None:
        return slice(None), ""
    if not bool((weights == weights.round()).all()):
        return slice(None), (
            "the weights are not whole numbers, so no row can be left out as one of so many: the log_likelihood group "
            "is left out, and with it arviz.loo and arviz.compare"
        )
    if float(weights.sum()) * num_draws > MOST_ELEMENTS:
        return slice(None), (
            f"rows repeated by their weights would make {float(weights.sum()) * num_draws:.3g} log-likelihoods, more "
            f"than {MOST_ELEMENTS:.3g}: the log_likelihood group is left out, and with it arviz.loo; export fewer draws"
        )
    return torch.arange(len(weights)).repeat_interleave(weights.long()), ""


def exported(
    posterior: "xarray.Dataset",
    pointwise: Tensor | None,
    columns: Mapping[str, Tensor],
    sampler: Draws,
    num_chains: int,
) -> Any:
    """Return a whole fit: its draws, the log-likelihood of each row [S, N], the rows, and the sampler's statistics."""
    groups = {"posterior": posterior}
    if pointwise is not None:
        groups["log_likelihood"] = dataset({"rows": pointwise}, num_chains, {"rows": ["row"]})
    groups["observed_data"] = rows_dataset(columns)
    if sampler:
        groups["sample_stats"] = dataset(sampler, num_chains)
    return container(groups)


def container(groups: Mapping[str, "xarray.Dataset"]) -> Any:
    """The groups as ArviZ's own container."""
    arviz = _arviz()
    # ArviZ 1 answers for the old name too, with a warning: only 0.x has it among its own names.
    if "InferenceData" in vars(arviz):
        return arviz.InferenceData(**dict[str, Any](groups))
    import xarray

    return xarray.DataTree.from_dict(dict(groups))


def _coordinates(variables: Mapping[str, tuple[tuple[str, ...], np.ndarray]]) -> dict[str, np.ndarray]:
    return {
        dim: np.arange(size)
        for names, array in variables.values()
        for dim, size in zip(names, array.shape, strict=True)
    }


def rows_dataset(columns: Mapping[str, Tensor]) -> "xarray.Dataset":
    """Observed columns [N] as a data set over rows."""
    import xarray

    size = len(next(iter(columns.values())))
    row = _unused("row", columns)
    variables = {}
    for name, column in columns.items():
        axes = [_unused(f"{name}_dim_{axis}", columns) for axis in range(column.ndim - 1)]
        variables[name] = ((row, *axes), column.numpy())
    return xarray.Dataset(variables, coords={row: np.arange(size)})
