"""What is given as a prior or a setting, as a Pyro distribution in float64: checked, permuted, compared."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from estimators.checks import check_in_memory, what_came
from estimators.isolation import float64, isolated, own_modes, without_validation
from estimators.parameters.distributions import exact

# Draws of a setting that are tried before anything else is done with it.
TRIED = 100


def as_prior(argument: str, prior: object) -> TorchDistributionMixin:
    """Return a Pyro distribution with float64 parameters.

    Raises TypeError where it is not a Pyro distribution (torch's own lack `sample` sites and `expand`), or is made of
    tensors without numbers in memory.
    """
    if not isinstance(prior, TorchDistributionMixin):
        is_torch = isinstance(prior, torch.distributions.Distribution)
        hint = f"; use pyro.distributions.{type(prior).__name__}" if is_torch else ""
        raise TypeError(f"{argument}: expected a number or a Pyro distribution, got {what_came(prior)}{hint}")
    check_in_memory(argument, prior)
    return rebuilt(prior, {name: float64(value) for name, value in parameters_of(prior).items()}) or prior


@own_modes()
def default_prior(family: Callable[..., TorchDistributionMixin], *numbers: Any) -> TorchDistributionMixin:
    """A prior of the package's own, of numbers or arrays: on the CPU, whatever torch's default dtype and device are."""
    return family(*(torch.tensor(number, dtype=torch.float64) for number in numbers))


def as_setting(argument: str, law: object) -> TorchDistributionMixin:
    """Return a distribution that a variable is set to, with float64 parameters.

    Raises TypeError where it is not a Pyro distribution, and ValueError where it is masked, or does not draw numbers
    and say their densities.
    """
    setting: TorchDistributionMixin = exact(as_prior(argument, law))
    if _is_masked(setting):
        raise ValueError(
            f"{argument} is set to a masked distribution, whose draws do not have its density; leave out "
            ".mask(...), or do not set the variable"
        )
    _need_density(argument, setting)
    return setting


def _need_density(argument: str, law: Any) -> None:
    """Raise a ValueError unless a distribution draws finite numbers and has a density at each of them."""
    expected = f"{argument} expects a distribution that draws finite numbers and says log_prob of them, got {law}"
    advice = "set it to values (one for each row), or to another distribution"
    try:
        with isolated(0), without_validation():
            drawn = law.sample(torch.Size([TRIED]))
            log = law.log_prob(drawn)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no message"
        raise ValueError(f"{expected}, which raised {type(error).__name__} ({reason}); {advice}") from None
    if not bool(torch.isfinite(drawn).all()):
        raise ValueError(f"{expected}, which drew {drawn[~torch.isfinite(drawn)][0]:g}; {advice}")
    if bool(torch.isnan(log).any()):
        at = drawn.reshape(len(log), -1)[torch.isnan(log).reshape(len(log), -1).any(1)][0].tolist()
        raise ValueError(f"{expected}, whose log_prob is not a number at its own draw {at}; {advice}")


def _is_masked(law: Any) -> bool:
    """Whether a distribution, or one that it is made of, is masked."""
    if isinstance(law, dist.MaskedDistribution):
        return True
    names = ("base_dist", "_component_distribution", "_mixture_distribution")
    return any(_is_masked(getattr(law, name)) for name in names if hasattr(law, name))


def rebuilt(prior: TorchDistributionMixin, parameters: Mapping[str, Tensor]) -> TorchDistributionMixin | None:
    """The same family with other parameters, or None where it cannot be made of those that can be read off it."""
    try:
        return type(prior)(**parameters) if parameters else None
    except (TypeError, ValueError):
        return None


def parameters_of(prior: TorchDistributionMixin) -> dict[str, torch.Tensor]:
    """Return the constructor's parameters of a distribution, or nothing where they cannot be read off it."""
    names = [name for name in prior.arg_constraints if hasattr(prior, name)]
    if not names or isinstance(prior, dist.Independent | dist.ExpandedDistribution | dist.MaskedDistribution):
        return {}
    if {"probs", "logits"} <= set(names):
        # Each is computed from the other; the constructor takes the one that was given.
        names.remove("logits" if "probs" in vars(prior) else "probs")
    return {name: torch.as_tensor(getattr(prior, name)) for name in names}


def permuted(given: Any, order: Sequence[int]) -> Any:
    """A prior, or known values, with one entry per component put in another order."""
    order = list(order)
    if isinstance(given, Tensor):
        return given[order] if given.ndim else given
    if not given.batch_shape:
        return given
    shape = (*given.batch_shape, *given.event_shape)
    parameters = parameters_of(given).items()
    return type(given)(**{name: value.expand(shape)[order] if value.ndim else value for name, value in parameters})


def groups(given: Sequence[Any], num_components: int, *, uses_prior: bool = True) -> list[int]:
    """A group number per component: components with equal priors (or equal known values) share one.

    Without ``uses_prior`` known values alone tell components apart, as in the likelihood.
    """
    telling = [one for one in given if uses_prior or isinstance(one, Tensor)]
    components = [[_of_component(one, k) for one in telling] for k in range(num_components)]
    return [components.index(numbers) for numbers in components]


def _of_component(given: Any, k: int) -> list[Any]:
    """The numbers of one component's prior or known value."""
    if isinstance(given, Tensor):
        return [given[k].tolist() if given.ndim else given.tolist()]
    parameters = parameters_of(given).values()
    if not given.batch_shape:
        return [value.tolist() for value in parameters]
    return [value.expand(*given.batch_shape, *given.event_shape)[k].tolist() for value in parameters]


def are_equal(one: Any, other: Any) -> bool:
    """Whether two priors, or known values, are of one family and have the same numbers."""
    if type(one) is not type(other) or isinstance(one, Tensor):
        return isinstance(one, Tensor) and isinstance(other, Tensor) and torch.equal(one, other)
    numbers = [{name: value.tolist() for name, value in parameters_of(prior).items()} for prior in (one, other)]
    return bool(numbers[0]) and numbers[0] == numbers[1]
