"""Missing entries of a program's columns: what is put in their place, and where nothing can be."""

from collections.abc import Mapping
from typing import Any

import torch
from pyro.distributions.transforms import biject_to
from torch import Tensor

from estimators.data.data import Data
from estimators.programs.call import Program, describe
from estimators.programs.sites import RowSite


def filled(data: Data) -> Data:
    """The data with a number in every missing entry."""
    if not data.has_missing:
        return data
    return data.replace(**{name: column.nan_to_num(nan=1.0) for name, column in data.columns.items()})


def need_complete(fn: Program, given: Mapping[str, Any]) -> None:
    """Raise a ValueError where a column that the program is passed has missing entries."""
    for name, value in given.items():
        if isinstance(value, Tensor) and bool(value.isnan().any()):
            raise ValueError(
                f"data: column {name!r} has missing entries and {describe(fn)} takes it as an argument, so they cannot "
                "be integrated out; drop the parameter and obs=, and let the column condition the site of its name (a "
                f"column [N, T] {name!r} the sites {name}_0, {name}_1, ...), or fill in entries that the program masks"
            )


def stand_in(site: RowSite, shape: torch.Size, generator: torch.Generator | None = None) -> Tensor:
    """Values in the support of a site for its missing entries: random with a generator, else the same for all."""

    def noise(size: torch.Size) -> Tensor:
        if generator is None:
            return torch.zeros(size, dtype=torch.float64)
        return 2.0 * torch.randn(size, dtype=torch.float64, generator=generator)

    if getattr(site.support, "is_discrete", False):
        return (noise(shape) > 0).double()
    if not site.has_fixed_support:
        return noise(shape).exp()
    transform = biject_to(site.support)
    value: Tensor = transform(noise(transform.inverse_shape(shape)))
    return value
