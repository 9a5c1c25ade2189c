"""A causal mixture as plain numbers and names, and back: no code, so a file of it cannot run any."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

import estimators.mechanisms as families
from estimators.data.data import LATENT
from estimators.data.words import LINE, cut
from estimators.estep.gated import BETA
from estimators.estep.weights import WEIGHTS
from estimators.mechanisms.gate import Gate
from estimators.mechanisms.protocol import Mechanism
from estimators.parameters.priors import parameters_of

if TYPE_CHECKING:
    from estimators.mixture.program import MixtureProgram

CLASS = "mixture"


def line_of(model: "MixtureProgram") -> str:
    """A model in a line: its classes, and what each variable is and is caused by."""
    families = [
        f"{name} ~ {type(family).__name__}({', '.join(family.parents)})"
        for name, family in model.mechanisms.items()
        if not family.is_covariate
    ]
    causes = [f"{LATENT} given {', '.join(model.latent_parents)}"] if model.latent_parents else []
    covariates = [f"covariates {', '.join(model.covariates)}"] if model.covariates else []
    return cut(f"{type(model).__name__}(K={model.K}; {'; '.join([*families, *causes, *covariates])})", LINE)


def described(
    K: int,
    mechanisms: Mapping[str, Mechanism],
    concentration: Tensor,
    latent_parents: Sequence[str],
    latent: Gate | None,
) -> dict[str, Any]:
    """Return the arguments of a model as JSON; raises TypeError for a mechanism or a prior of one's own."""
    written = {}
    for variable, mechanism in mechanisms.items():
        family = type(mechanism)
        if getattr(families, family.__name__, None) is not family:
            raise TypeError(f"save: mechanism {family.__name__} of {variable} is not one of this package's")
        written[variable] = {"family": family.__name__, "settings": _settings(variable, mechanism)}
    return {
        "class": CLASS,
        "K": K,
        "concentration": concentration.tolist(),
        "mechanisms": written,
        "latent_parents": list(latent_parents),
        "latent": None if latent is None else _settings(LATENT, latent),
    }


def arguments_from(
    description: Mapping[str, Any], draws: Mapping[str, Tensor]
) -> tuple[int, dict[str, Mechanism], list[float], list[str], Gate | None]:
    """Return the arguments of the model that was described, which has such draws."""
    latent = description["latent"]
    gate = None if latent is None else Gate(**{name: _read(value) for name, value in latent.items()})
    # Before anything of that size is made.
    num_weights = (
        draws[WEIGHTS].shape[-1] if gate is None else len(gate.coefficients if gate.is_known else draws[BETA][0])
    )
    if description["K"] != num_weights:
        raise ValueError(f"K = {description['K']!r} where the draws have {num_weights} weights")
    mechanisms = {}
    for variable, mechanism in description["mechanisms"].items():
        if mechanism["family"] not in families.__all__:
            raise ValueError(f"unknown mechanism {mechanism['family']!r}")
        settings = {name: _read(value) for name, value in mechanism["settings"].items()}
        mechanisms[variable] = getattr(families, mechanism["family"])(**settings)
    return description["K"], mechanisms, description["concentration"], description["latent_parents"], gate


def _settings(variable: str, given: Any) -> dict[str, Any]:
    return {f.name: _written(variable, getattr(given, f.name)) for f in fields(given) if f.init}


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
