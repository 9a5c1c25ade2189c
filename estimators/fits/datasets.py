"""Draws and rows as data sets of xarray, which is how ArviZ keeps them."""

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from estimators.data.data import Data

if TYPE_CHECKING:
    import xarray


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


def rows_dataset(columns: Mapping[str, Tensor], rows: Data, num_chains: int | None = None) -> "xarray.Dataset":
    """Columns [N, ...], or with chains draws of them [S, N, ...], over the rows that they are of.

    Rows of a unit have its label for a coordinate; the names of a variable's levels are an attribute of it.
    """
    names = {*rows.columns, *columns}
    row, num_leading = unused("row", names), 1 if num_chains is None else 2
    axes = {
        name: [row, *(unused(f"{name}_dim_{axis}", names) for axis in range(column.ndim - num_leading))]
        for name, column in columns.items()
    }
    if num_chains is not None:
        found = dataset(columns, num_chains, axes)
    else:
        import xarray

        found = xarray.Dataset({name: (axes[name], column.numpy()) for name, column in columns.items()})
        found = found.assign_coords({row: np.arange(rows.num_rows)})
    if rows.unit is not None:
        labels = np.array(rows.unit.texts)[rows.unit.of_row.numpy()]
        found = found.assign_coords({unused("unit", names): (row, labels)})
    for name, levels in rows.levels.items():
        if name in columns:
            found[name].attrs["levels"] = list(levels)
    return found
