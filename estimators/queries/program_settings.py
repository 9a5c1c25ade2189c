"""The values and distributions that a question to a program sets its sites to, or sees them at."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from estimators.parameters.priors import as_setting
from estimators.programs.sites import Structure
from estimators.queries.estimate import level_of


def checked_value(structure: Structure, what: str, name: str, value: Any) -> Tensor:
    """The value that a site is set to or seen at, or an error where it is none of the site's."""
    _need_site(structure, what, name)
    site, found = structure.sites[name], level_of(what, name, value)
    if site.is_discrete:
        if not bool(torch.isin(found, site.values.double()).all()):
            raise ValueError(f"{what}: {name} expects values among {site.values.tolist()}, got {value!r}")
        return found.to(site.values.dtype)
    return found


def checked_law(structure: Structure, what: str, name: str, law: Any) -> Any:
    """A stochastic setting, or an error where its values are not the site's."""
    _need_site(structure, what, name)
    site, law = structure.sites[name], as_setting(f"{what}: {name}", law)
    if law.batch_shape or law.event_shape or site.event_dim:
        raise ValueError(f"{what}: {name} expects one distribution of a number, the same for all rows, got {law}")
    if site.is_discrete:
        values = law.enumerate_support(expand=False) if law.has_enumerate_support else None
        if values is None or not torch.equal(values.double(), site.values.double()):
            raise ValueError(f"{what}: {name} expects a distribution over {site.values.tolist()}, got {law}")
        if values.is_floating_point() != site.values.is_floating_point():
            raise ValueError(
                f"{what}: {name} has whole numbers for values, which index tables; write {law} as a Categorical"
            )
    return law


def _need_site(structure: Structure, what: str, name: str) -> None:
    if name not in structure.sites:
        raise ValueError(f"{what}: the program has no site {name!r} in a row; it has {list(structure.sites)}")


def need_one_role(settings: Mapping[str, Any], seen: Mapping[str, Any]) -> None:
    """Raise a ValueError for a site that is both set and seen."""
    for name in seen:
        if name in settings:
            raise ValueError(f"given: {name} is set by do(...), so it cannot be seen as well")
