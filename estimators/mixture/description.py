"""A causal mixture as plain numbers and names, and back: no code, so a file of it cannot run any."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, cast

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

import estimators.mechanisms as families
from estimators.mechanisms.protocol import Mechanism
from estimators.parameters.priors import parameters_of

CLASS = "mixture"


def described(
    K: int, mechanisms: Mapping[str, Mechanism], concentration: Tensor, latent_parents: Sequence[str]
) -> dict[str, Any]:
    """Return the arguments of a model as JSON; raises TypeError for a mechanism or a prior of one's own."""
    written = {}
    for variable, mechanism in mechanisms.items():
        family, settings = type(mechanism), cast(Any, mechanism)
        if getattr(families, family.__name__, None) is not family:
            raise TypeError(f"save: mechanism {family.__name__} of {variable} is not one of this package's")
        written[variable] = {
            "family": family.__name__,
            "settings": {f.name: _written(variable, getattr(mechanism, f.name)) for f in fields(settings) if f.init},
        }
    return {
        "class": CLASS,
        "K": K,
        "concentration": concentration.tolist(),
        "mechanisms": written,
        "latent_parents": list(latent_parents),
    }


def arguments_from(
    description: Mapping[str, Any], num_weights: int
) -> tuple[int, dict[str, Mechanism], list[float], list[str]]:
    """Return the arguments of the model that was described, which has so many weights."""
    # Before anything of that size is made.
    if description["K"] != num_weights:
        raise ValueError(f"K = {description['K']!r} where the draws have {num_weights} weights")
    mechanisms = {}
    for variable, mechanism in description["mechanisms"].items():
        if mechanism["family"] not in families.__all__:
            raise ValueError(f"unknown mechanism {mechanism['family']!r}")
        settings = {name: _read(value) for name, value in mechanism["settings"].items()}
        mechanisms[variable] = getattr(families, mechanism["family"])(**settings)
    return description["K"], mechanisms, description["concentration"], description["latent_parents"]


def _written(variable: str, value: Any) -> Any:
    if isinstance(value, Tensor):
        return {"number": value.tolist()}
    if isinstance(value, TorchDistributionMixin):
        name, parameters = type(value).__name__, parameters_of(value)
        if not parameters or getattr(dist, name, None) is not type(value):
            raise TypeError(f"save: the prior {value} of {variable} cannot be written as data")
        return {"prior": name, "parameters": {key: numbers.tolist() for key, numbers in parameters.items()}}
    return value


def _read(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "number" in value:
        return torch.tensor(value["number"], dtype=torch.float64)
    family = getattr(dist, value["prior"])
    if not issubclass(family, TorchDistributionMixin):
        raise ValueError(f"unknown prior {value['prior']!r}")
    return family(**{key: torch.tensor(numbers, dtype=torch.float64) for key, numbers in value["parameters"].items()})
