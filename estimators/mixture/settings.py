"""What a question sets or sees, checked: values and distributions that the variables can have."""

from collections.abc import Mapping
from typing import Any

import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from estimators.checks import did_you_mean, what_came
from estimators.data.columns import plain_numbers
from estimators.data.data import LATENT
from estimators.data.units import UNIT
from estimators.data.values import need_value, value_of
from estimators.isolation import isolated
from estimators.mixture.program import MixtureProgram
from estimators.mixture.situation import Setting, is_per_row
from estimators.parameters.priors import as_setting


def check_settings(model: MixtureProgram, settings: Mapping[str, Any], call: str = "do") -> dict[str, Setting]:
    """Return what do(...) sets, values as tensors, or raise a ValueError that names the variable."""
    _check_names(model, settings, call)
    return {
        name: (_law if isinstance(value, torch.distributions.Distribution) else _value)(model, call, name, value)
        for name, value in settings.items()
    }


def check_values(model: MixtureProgram, values: Mapping[str, Any], call: str) -> dict[str, Tensor]:
    """Return values that are seen, or set for certain, as tensors, or raise a ValueError that names the variable."""
    _check_names(model, values, call)
    for name, value in values.items():
        need_value(call, name, value)
    return {name: _value(model, call, name, value) for name, value in values.items()}


def _check_names(model: MixtureProgram, settings: Mapping[str, Any], call: str) -> None:
    known = [LATENT, *model.mechanisms]
    for name in settings:
        if name == UNIT and UNIT not in known:
            raise ValueError(
                f"{call}: earlier rows of a unit are seen, and not set: fit.{call}(...).given(unit=rows) asks of the "
                "unit's next row"
            )
        if name not in known:
            raise ValueError(f"{call}: the model has no variable {name!r}; it has {known}{did_you_mean(name, known)}")


def _value(model: MixtureProgram, call: str, name: str, value: Any) -> Tensor:
    """A value, or one per row, that the variable can have."""
    if name == LATENT:
        return _label(call, model.K, value)
    mechanism = model.mechanisms[name]
    checked = value_of(call, name, value, mechanism.num_columns)
    mechanism.check(f"{name} in {call}(...)", checked if is_per_row(model, name, checked) else checked[None])
    return checked


def _law(model: MixtureProgram, call: str, name: str, value: Any) -> TorchDistributionMixin:
    """A stochastic intervention: a distribution of one number whose values the variable can have."""
    law = as_setting(f"{call}: {name}", value)
    if law.batch_shape or law.event_shape:
        raise ValueError(
            f"{call}: {name} expects a distribution of one number, got batch {tuple(law.batch_shape)}, "
            f"event {tuple(law.event_shape)}"
        )
    num_levels, num_columns, _ = model.row_variables[name]
    if num_columns is not None:
        raise ValueError(f"{call}: {name} is a column of vectors; set it to values")
    if num_levels is None:
        _check_draws(model, call, name, law)
        return law
    values = law.enumerate_support() if law.has_enumerate_support else torch.tensor([torch.nan], dtype=torch.float64)
    if not bool(((values >= 0) & (values < num_levels)).all()):
        raise ValueError(f"{call}: {name} expects a distribution over 0 to {num_levels - 1}, got {law}")
    return law


def _check_draws(model: MixtureProgram, call: str, name: str, law: Any) -> None:
    """Raise a ValueError where a distribution draws values that the variable cannot have."""
    with isolated(0):
        drawn = law.sample(torch.Size([100])).double()
    try:
        model.mechanisms[name].check(name, drawn)
    except ValueError as error:
        reason = str(error).removeprefix(f"column {name}: ").split(" in row")[0]
        raise ValueError(
            f"{call}: {name} expects a distribution of values that it can have, got {law}: {reason}"
        ) from None


def _label(call: str, num_components: int, value: Any) -> Tensor:
    expected = f"a label from 0 to {num_components - 1}"
    try:
        labels = torch.as_tensor(plain_numbers(value))
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{call}: Z expects {expected}, got {what_came(value)}") from None
    if labels.is_complex():
        raise TypeError(f"{call}: Z expects {expected}, got {what_came(value)}")
    are_numbers = labels.dtype != torch.bool and labels.ndim < 2 and labels.numel() > 0
    if not are_numbers or not bool(((labels >= 0) & (labels < num_components) & (labels == labels.long())).all()):
        raise ValueError(f"{call}: Z expects {expected} (or one per row), got {what_came(value)}")
    return labels.long()
