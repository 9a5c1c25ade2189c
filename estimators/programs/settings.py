"""The values and distributions that a question to a program sets its sites to, or sees them at."""

from collections.abc import Mapping
from typing import Any

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from estimators.data.values import need_value, value_of
from estimators.parameters.priors import as_setting
from estimators.programs.sites import Structure
from estimators.programs.situation import Situation, own_support
from estimators.programs.supports import are_inside, is_inside, numbers_in_words

# Draws of the Greeks, and values of a setting per row, at which a support that depends on other values is looked at.
SOME_DRAWS, SOME_VALUES = 20, 100


def checked_setting(structure: Structure, what: str, name: str, value: Any) -> Any:
    """The value or distribution that a site is set to; a ValueError where the site cannot have it."""
    check = checked_law if isinstance(value, TorchDistributionMixin) else checked_value
    return check(structure, what, name, value)


def checked_value(structure: Structure, what: str, name: str, value: Any) -> Tensor:
    """The value that a site is set to or seen at; a ValueError where the site cannot have it."""
    _need_site(structure, what, name)
    need_value(what, name, value)
    site, values = structure.sites[name], value_of(what, name, value)
    if site.is_discrete:
        if not bool(torch.isin(values, site.values.double()).all()):
            raise ValueError(f"{what}: {name} expects values among {site.values.tolist()}, got {value!r}")
        return values.to(site.values.dtype)
    if site.has_fixed_support and not site.allows(values):
        raise ValueError(f"{what}: {name} expects {numbers_in_words(site.support)}, got {value!r}")
    return values


def checked_law(structure: Structure, what: str, name: str, law: Any) -> Any:
    """The distribution of a stochastic setting; a ValueError where the site cannot have its values."""
    _need_site(structure, what, name)
    site, law = structure.sites[name], as_setting(f"{what}: {name}", law)
    if law.batch_shape or law.event_shape or site.event_dim:
        raise ValueError(f"{what}: {name} expects one distribution of a number, the same for all rows, got {law}")
    if site.is_discrete:
        values = law.enumerate_support(expand=False) if law.has_enumerate_support else None
        if values is None or not torch.equal(values.double(), site.values.double()):
            raise ValueError(f"{what}: {name} expects a distribution over {site.values.tolist()}, got {law}")
        if site.values.is_floating_point() and isinstance(law, dist.Categorical):
            return dist.Bernoulli(law.probs[..., 1])
        if values.is_floating_point() != site.values.is_floating_point():
            raise ValueError(
                f"{what}: {name} has whole numbers for values, which index tables; write {law} as a Categorical"
            )
    elif site.has_fixed_support and not is_inside(law, site.support):
        raise ValueError(
            f"{what}: {name} expects a distribution of values that it can have, got {law}: expected "
            f"{numbers_in_words(site.support)}"
        )
    return law


def check_reachable(situation: Situation, draws: Mapping[str, Tensor], what: str) -> None:
    """Raise a ValueError where a site is set to what it cannot be, whatever its causes are, at any draw of the Greeks.

    For supports that depend on other values; `checked_value` and `checked_law` know the others. Where a continuous site
    that is neither set nor seen says what the support is, nothing is known before it is drawn.
    """
    num_draws = len(next(iter(draws.values())))
    indices = torch.linspace(0, num_draws - 1, min(num_draws, SOME_DRAWS), dtype=torch.float64).long().tolist()
    for name, setting in {**situation.settings, **situation.replaced}.items():
        site = situation.structure.sites[name]
        if site.is_discrete or site.has_fixed_support or site.event_dim:
            continue
        for draw in indices:
            support = own_support(situation, name, {greek: value[draw] for greek, value in draws.items()})
            if support is None or _is_reached(setting, support):
                break
        else:
            raise ValueError(
                f"{what}: {name} expects what its own distribution can be, {numbers_in_words(support)} under the fit, "
                f"got {setting.tolist() if isinstance(setting, Tensor) else setting}"
            )


def _is_reached(setting: Any, support: Any) -> bool:
    if not isinstance(setting, Tensor):
        return is_inside(setting, support)
    values = setting.unique()
    # Sorted values: the smallest and the largest are among them.
    return are_inside(
        values[torch.linspace(0, len(values) - 1, min(len(values), SOME_VALUES), dtype=torch.float64).long()], support
    )


def _need_site(structure: Structure, what: str, name: str) -> None:
    if name not in structure.sites:
        raise ValueError(f"{what}: the program has no site {name!r} in a row; it has {list(structure.sites)}")
