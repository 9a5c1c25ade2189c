"""What a question sets or sees, checked: values and distributions that the variables can have."""

from collections.abc import Mapping
from typing import Any

import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from estimators.data.columns import plain_numbers
from estimators.data.data import LATENT
from estimators.data.values import need_value, value_of
from estimators.isolation import isolated
from estimators.mixture.program import MixtureProgram
from estimators.mixture.situation import Setting
from estimators.parameters.priors import as_setting


def check_settings(model: MixtureProgram, settings: Mapping[str, Any], what: str = "do") -> dict[str, Setting]:
    """Return what do(...) sets, values as tensors, or raise a ValueError that names the variable."""
    laws = {name: law for name, law in settings.items() if isinstance(law, torch.distributions.Distribution)}
    _check_names(model, settings, what)
    return {
        name: _random_setting(model, what, name, value) if name in laws else _value(model, what, name, value)
        for name, value in settings.items()
    }


def check_values(model: MixtureProgram, values: Mapping[str, Any], what: str) -> dict[str, Tensor]:
    """Return values that are seen, or set for certain, as tensors, or raise a ValueError that names the variable."""
    _check_names(model, values, what)
    for name, value in values.items():
        need_value(what, name, value)
    return {name: _value(model, what, name, value) for name, value in values.items()}


def _check_names(model: MixtureProgram, settings: Mapping[str, Any], what: str) -> None:
    known = [LATENT, *model.mechanisms]
    for name in settings:
        if name not in known:
            raise ValueError(f"{what}: the model has no variable {name!r}; it has {known}")


def _value(model: MixtureProgram, what: str, name: str, value: Any) -> Tensor:
    """A value, or one per row, that the variable can have."""
    if name == LATENT:
        return _label(what, model.K, value)
    mechanism = model.mechanisms[name]
    level = value_of(what, name, value, mechanism.num_columns)
    rows = level if level.ndim > (mechanism.num_columns is not None) else level[None]
    mechanism.check(f"{name} in {what}(...)", rows)
    return level


def _random_setting(model: MixtureProgram, what: str, name: str, value: Any) -> TorchDistributionMixin:
    """A stochastic intervention: a distribution of one number whose values the variable can have."""
    given = as_setting(f"{what}: {name}", value)
    if given.batch_shape or given.event_shape:
        raise ValueError(
            f"{what}: {name} expects a distribution of one number, got batch {tuple(given.batch_shape)}, "
            f"event {tuple(given.event_shape)}"
        )
    levels = model.K if name == LATENT else model.mechanisms[name].num_levels
    if levels is not None:
        values = (
            given.enumerate_support()
            if given.has_enumerate_support
            else torch.full((1,), torch.nan, dtype=torch.float64)
        )
        if not bool(((values >= 0) & (values < levels)).all()):
            raise ValueError(f"{what}: {name} expects a distribution over 0 to {levels - 1}, got {given}")
    elif name != LATENT and model.mechanisms[name].num_columns is not None:
        raise ValueError(f"{what}: {name} is a column of vectors; set it to values")
    elif name != LATENT:
        _check_values(model, what, name, given)
    return given


def _check_values(model: MixtureProgram, what: str, name: str, law: Any) -> None:
    """Raise a ValueError where a distribution has values that the variable cannot have."""
    with isolated(0):
        drawn = law.sample(torch.Size([100])).double()
    try:
        model.mechanisms[name].check(name, drawn)
    except ValueError as error:
        reason = str(error).removeprefix(f"column {name}: ").split(" in row")[0]
        raise ValueError(
            f"{what}: {name} expects a distribution of values that it can have, got {law}: {reason}"
        ) from None


def _label(what: str, num_components: int, value: Any) -> Tensor:
    expected = f"a label from 0 to {num_components - 1}"
    try:
        labels = torch.as_tensor(plain_numbers(value))
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{what}: Z expects {expected}, got {value!r}") from None
    fits = labels.dtype != torch.bool and labels.ndim < 2 and labels.numel() > 0
    if not fits or not bool(((labels >= 0) & (labels < num_components) & (labels == labels.long())).all()):
        raise ValueError(f"{what}: Z expects {expected} (or one per row), got {value!r}")
    return labels.long()
