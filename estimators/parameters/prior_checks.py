"""What is given for a Greek, a number or a prior: checked when the mechanism is made, before any work."""

from numbers import Real
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.distributions.transforms import biject_to
from torch import Tensor
from torch.distributions import constraints

from estimators.checks import check_in_memory
from estimators.isolation import float64, isolated
from estimators.parameters.intervals import ends_of
from estimators.parameters.prior_densities import is_written_out, log_density
from estimators.parameters.priors import as_prior, parameters_of, rebuilt

# Where a density is tried: these shares of an interval, or these many typical distances from its end or its middle.
SHARES = (0.01, 0.25, 0.5, 0.75, 0.99)
DISTANCES = (0.1, 0.5, 1.0, 2.0, 10.0)
DRAWS = 64
MODERATE = 1e3

# What a prior is over, and what a known number has to be.
_WORDS = {
    constraints.real: ("the real line", "on the real line"),
    constraints.positive: ("the positive numbers", "> 0"),
    constraints.unit_interval: ("the interval from 0 to 1", "from 0 to 1"),
    constraints.simplex: ("the weights that sum to 1", "that sum to 1"),
}


def known_or_prior(argument: str, value: object, support: Any) -> Any:
    """Return a float64 tensor for known values, or the prior in float64 if it is over the support or a part of it.

    Raises ValueError for a prior that is partly outside, over vectors, improper, or without a density.
    """
    if isinstance(value, Real | np.ndarray | list | tuple | Tensor) and not isinstance(value, bool):
        return _known(argument, value, support)
    prior = as_prior(argument, value)
    (space, _), own = _WORDS[support], _support_of(prior)
    if prior.event_shape and not isinstance(support, type(constraints.simplex)):
        raise ValueError(
            f"{argument}: expected a prior over {space}, for single numbers, got {_shown(prior)} over vectors of shape "
            f"{tuple(prior.event_shape)}; leave out to_event(), a batch of priors is one for each entry"
        )
    if not _is_inside(own, support):
        raise ValueError(f"{argument}: expected a prior over {space}, or a part of it, got {_shown(prior)} over {own}")
    reason = _why_not_proper(prior)
    if reason:
        raise ValueError(
            f"{argument}: expected a proper prior over {space}, or a part of it, got {_shown(prior)}: {reason}; a flat "
            "prior is Uniform(low, high), or a wide Normal"
        )
    return prior


def _known(argument: str, value: Any, support: Any) -> Tensor:
    check_in_memory(argument, value)
    known = float64(value)
    if not bool(torch.isfinite(known).all()):
        raise ValueError(f"{argument}: expected a finite number, or one per component, got {value!r}")
    if not bool(torch.as_tensor(support.check(known)).all()):
        raise ValueError(f"{argument}: expected a number {_WORDS[support][1]}, got {value!r}")
    return known


def _shown(prior: TorchDistributionMixin) -> str:
    try:
        return str(prior)
    except (NotImplementedError, AttributeError, RuntimeError):
        return type(prior).__name__


def _support_of(prior: TorchDistributionMixin) -> Any:
    try:
        return prior.support
    except (NotImplementedError, AttributeError):
        return None


def _is_inside(inner: Any, outer: Any) -> bool:
    """Whether a support, or None, is in another one."""
    if inner is None:
        return False
    ends, bounds = ends_of(inner), ends_of(outer)
    if ends is None or bounds is None:
        return isinstance(inner, type(outer))
    return bool((ends[0] >= bounds[0]).all() and (ends[1] <= bounds[1]).all())


def _why_not_proper(prior: TorchDistributionMixin) -> str | None:
    """Why a distribution cannot be a prior, or None: it must have draws, and a smooth density on its support."""
    if isinstance(prior, dist.MaskedDistribution):
        return "it is masked, so its density is not that of its draws"
    if prior.batch_shape and rebuilt(prior, parameters_of(prior)) is None:
        return "its parameters cannot be read off it, as they must be for a batch; give one prior for all entries"
    if not _are_possible(prior):
        return "its own parameters are impossible"
    if is_written_out(prior) and all(map(_is_moderate, parameters_of(prior).values())):
        return None
    try:
        with isolated(0), torch.no_grad():
            drawn = prior.sample(torch.Size([DRAWS])).double()
            prior.expand(torch.Size((2, *prior.batch_shape)))
        biject_to(prior.support)
        points = torch.cat([drawn[:1], _points(prior, drawn)])
        density = torch.as_tensor(prior.log_prob(points))
        slopes = [log_density(prior)(point.numpy())[1] for point in points]
    except (NotImplementedError, AttributeError):
        return "it has no draws, no density, or no map from unconstrained numbers"
    except (ValueError, TypeError, RuntimeError) as error:
        return f"it has no density, or no slope, on its own support ({type(error).__name__})"
    if not bool(torch.isfinite(drawn).all()):
        return "its draws are not finite"
    if not bool(torch.isfinite(density).all()):
        return "its density is 0 or infinite on its own support"
    return None if np.isfinite(slopes).all() else "its density has no finite slope"


def _are_possible(prior: TorchDistributionMixin) -> bool:
    """Whether the parameters of a prior are what they must be, which nobody may have validated."""
    return all(
        bool(torch.as_tensor(allowed.check(getattr(prior, name))).all())
        for name, allowed in (getattr(prior, "arg_constraints", None) or {}).items()
        if not constraints.is_dependent(allowed) and isinstance(getattr(prior, name, None), Tensor)
    )


def _is_moderate(parameter: Tensor) -> bool:
    """Whether numbers are so ordinary that no draw or slope of a family of known formulas overflows."""
    size = parameter.abs()
    return bool(((size <= MODERATE) & ((size == 0.0) | (size >= 1.0 / MODERATE))).all())


def _points(prior: TorchDistributionMixin, drawn: Tensor) -> Tensor:
    """Values all over the support, [points, *shape of the prior]; near the middle of the draws for a simplex."""
    ends = ends_of(prior.support)
    if ends is None:
        return drawn[1:6]
    low, high = (end.expand(prior.batch_shape) for end in ends)
    if bool(torch.isfinite(high - low).all()):
        return torch.stack([low + share * (high - low) for share in SHARES])
    end = torch.where(torch.isfinite(low), low, torch.where(torch.isfinite(high), high, drawn.median(0).values))
    distance = (drawn - end).abs().median(0).values
    signs = [sign for sign, far in ((1.0, high), (-1.0, low)) if bool(torch.isinf(far).all())]
    return torch.stack([end + sign * times * distance for sign in signs for times in DISTANCES])
