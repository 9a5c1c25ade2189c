"""The bridge to ArviZ: the export of a whole fit.

Written against what ArviZ 0.23 and ArviZ 1 share: functions on `xarray.Dataset`. A container of groups is an
`InferenceData` under 0.23 and an `xarray.DataTree` under 1.
"""

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from estimators.data.data import Data
from estimators.diagnostics import import_arviz
from estimators.fits.level_names import levels_of
from estimators.fits.rows import fitted_rows, in_blocks
from estimators.status import warn_user

if TYPE_CHECKING:
    import xarray

    from estimators.fits.fit import Fit

OWN_AXES = ("chain", "draw")
# An export holds at most so many log-likelihoods of rows repeated by their weights, which take 1.6 GB.
MOST_ELEMENTS = 2e8
# What sums over classes are rounded to.
ROUNDING = 1e-14


def _repeats(weights: Tensor | None, num_draws: int) -> tuple[Tensor | slice, str]:
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


def _container(groups: Mapping[str, "xarray.Dataset"]) -> Any:
    """The groups as ArviZ's own container."""
    arviz = import_arviz()
    # ArviZ 1 answers for the old name too, with a warning: only 0.x has it among its own names.
    if "InferenceData" in vars(arviz):
        return arviz.InferenceData(**dict[str, Any](groups))
    import xarray

    return xarray.DataTree.from_dict(dict(groups))


def _rows_dataset(columns: Mapping[str, Tensor]) -> "xarray.Dataset":
    """Observed columns [N] as a data set over rows."""
    import xarray

    size = len(next(iter(columns.values())))
    row = unused("row", columns)
    variables = {}
    for name, column in columns.items():
        axes = [unused(f"{name}_dim_{axis}", columns) for axis in range(column.ndim - 1)]
        variables[name] = ((row, *axes), column.numpy())
    return xarray.Dataset(variables, coords={row: np.arange(size)})


def dataset(
    draws: Mapping[str, Tensor], num_chains: int, dims: Mapping[str, list[str]] | None = None
) -> "xarray.Dataset":
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


def exported_fit(fit: "Fit") -> Any:
    """A fit as ArviZ's own container; see `Fit.to_arviz`."""
    if fit.num_draws < 2:
        raise ValueError("to_arviz: a point fit has one draw; use fit.laplace() for draws, or fit with NUTS()")
    data = fitted_rows(fit, "to_arviz")
    taken = [name for name in OWN_AXES if name in fit.draws]
    if taken:
        raise ValueError(f"to_arviz: ArviZ has an axis called {taken[0]!r}, and so is a Greek; rename its site")
    density = fit.model.density(data)
    index, why_not = _repeats(data.unit_weights, fit.num_draws)
    if why_not:
        warn_user(f"to_arviz: {why_not}")
    groups = {"posterior": _posterior(fit)}
    if not why_not:
        pointwise = torch.cat([density.pointwise(draws) for draws in in_blocks(fit.draws, density.row_size)])
        apart = _without_rounding(pointwise[:, index])
        # What is left out at a time is a unit, of which rows share one Z; without units that is a row.
        groups["log_likelihood"] = dataset({"rows": apart}, fit.num_chains, {"rows": ["row"]})
        if data.unit is not None:
            groups["log_likelihood"] = _of_units(apart, index, data, fit.num_chains)
    groups["observed_data"] = _observed(data, index)
    sampler = {name: value for name, value in fit.info.items() if len(value) == fit.num_draws}
    if sampler:
        groups["sample_stats"] = dataset(sampler, fit.num_chains)
    return _container(groups)


def _of_units(apart: Tensor, index: Tensor | slice, data: Data, num_chains: int) -> "xarray.Dataset":
    """Log-likelihoods [S, U] of units, by their labels."""
    assert data.unit is not None
    labels = np.array(data.unit.texts)[index]
    return dataset({"units": apart}, num_chains, {"units": ["unit"]}).assign_coords(unit=labels)


def _observed(data: Data, index: Tensor | slice) -> "xarray.Dataset":
    """The rows, repeated by their weights; where there are units, each row once, with its unit's label."""
    if data.unit is None:
        return _rows_dataset({name: column[index] for name, column in data.columns.items()})
    labels = np.array(data.unit.texts)[data.unit.of_row.numpy()]
    rows = _rows_dataset(data.columns)
    return rows.assign_coords({unused("unit", data.columns): (unused("row", data.columns), labels)})


def _without_rounding(pointwise: Tensor) -> Tensor:
    """Log-likelihoods [S, N], those of a row that differ by rounding alone as one number.

    Of a row that says nothing they are 0; ArviZ divides by how far the largest are apart.
    """
    first, apart = pointwise[:1], pointwise.amax(0) - pointwise.amin(0)
    return torch.where(apart <= ROUNDING * (1.0 + first.abs()), first, pointwise)


def _posterior(fit: "Fit") -> "xarray.Dataset":
    """The draws, with an axis of components, of levels that have names, and of coefficients; names are coordinates."""
    labelled = fit.symmetry.axes if fit.label_names else fit.model.component_axes
    named_axes = fit.model.named_axes(levels_of(fit))
    coordinates = {one.over: one.names for axes in named_axes.values() for one in axes.values()}
    coordinates |= {"component": fit.label_names} if fit.label_names else {}
    axis_names = {}
    for name, value in fit.draws.items():
        axes = {axis: one.over for axis, one in named_axes.get(name, {}).items()}
        axes |= dict.fromkeys(labelled.get(name, ())[:1], "component")
        axis_names[name] = [axes.get(axis, f"{name}_dim_{axis}") for axis in range(value.ndim - 1)]
    posterior = dataset(fit.draws, fit.num_chains, axis_names)
    # A Greek that is called as an axis has it called otherwise: see `unused`.
    named = {unused(dim, fit.draws): list(names) for dim, names in coordinates.items()}
    return posterior.assign_coords({dim: names for dim, names in named.items() if dim in posterior.dims})
