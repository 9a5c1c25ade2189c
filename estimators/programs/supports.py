"""Values outside a support that depends on parameters have probability 0, whatever a formula gives there.

Pyro checks values where validation is on, which it cannot be while a sum runs over components to whose support a value
need not belong: the log density of ``Pareto(scale, 3)`` below its scale, or of an exponential shifted past its value,
is a finite number then.
"""

from collections.abc import Callable
from math import inf
from typing import Any

import torch
from pyro.distributions import Independent, MaskedDistribution, TransformedDistribution
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.distributions.transforms import biject_to
from torch import Tensor
from torch.distributions import constraints

from estimators.isolation import isolated
from estimators.parameters.intervals import base_support, innermost, support_of
from estimators.parameters.laws import is_finite, levels
from estimators.parameters.sparse import in_logs


class Bounded(TorchDistribution):
    """A distribution whose log probability is -∞ where a value is not possible."""

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, base: Any) -> None:
        self.base = base
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def support(self) -> Any:
        return self.base.support

    def log_prob(self, value: Tensor) -> Tensor:
        fits = is_possible(self.base, value)
        # Outside, the formula is evaluated at a value inside: torch.where passes NaN gradients of the branch not taken.
        density: Tensor = self.base.log_prob(torch.where(fits, value, _inside(self.base)))
        return torch.where(fits, density, -torch.inf)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "Bounded":
        return Bounded(self.base.expand(batch_shape))


def bounded(fn: Any) -> Any:
    """The distribution, bounded where its support depends on parameters."""
    return rewrapped(
        fn, lambda fn: Bounded(fn) if not fn.event_dim and (is_transformed(fn) or _depends_on_parameters(fn)) else fn
    )


def rewrapped(fn: Any, change: Callable[[Any], Any]) -> Any:
    """A distribution with the innermost one changed, under the same masks and event dimensions."""
    if isinstance(fn, MaskedDistribution):
        return rewrapped(fn.base_dist, change).mask(fn._mask)
    if isinstance(fn, Independent):
        return rewrapped(fn.base_dist, change).to_event(fn.reinterpreted_batch_ndims)
    return change(fn)


def is_possible(fn: Any, value: Tensor) -> Tensor:
    """Where a number is in the support of a distribution of numbers."""
    if is_transformed(fn):
        # The `support` of a transformed distribution is the range of its last transform alone.
        for transform in reversed(fn.transforms):
            value = transform.inv(value)
        fn = fn.base_dist
    fits: Tensor = fn.support.check(value)
    return fits


def _inside(fn: Any) -> Tensor:
    """A value of the support."""
    transforms = fn.transforms if is_transformed(fn) else []
    support = base_support((fn.base_dist if transforms else fn).support)
    if getattr(support, "is_discrete", False):
        value = torch.as_tensor(getattr(support, "lower_bound", 0.0), dtype=torch.float64)
    else:
        value = biject_to(support)(torch.zeros(fn.batch_shape, dtype=torch.float64))
    for transform in transforms:
        value = transform(value)
    return value


def ends_of(support: Any) -> tuple[Tensor, Tensor] | None:
    """The least and the largest number of a support, infinite where there is none; None where it does not say."""
    support = innermost(support)
    if isinstance(support, type(constraints.boolean)):
        return torch.tensor(0.0), torch.tensor(1.0)
    low, high = getattr(support, "lower_bound", None), getattr(support, "upper_bound", None)
    if low is None and high is None and not isinstance(support, type(constraints.real)):
        return None
    return torch.as_tensor(-torch.inf if low is None else low), torch.as_tensor(torch.inf if high is None else high)


def numbers_in_words(support: Any) -> str:
    """Which numbers are in a support: ``whole numbers from 0``. Of several, those that are in any."""
    inner, ends = innermost(support), ends_of(support)
    if ends is None:
        return f"values in {inner}"
    low, high = float(ends[0].min()), float(ends[1].max())
    from_low = f" {'above' if isinstance(inner, constraints.greater_than) else 'from'} {low:g}" if low > -inf else ""
    to_high = f" {'to' if low > -inf else 'up to'} {high:g}" if high < inf else ""
    return f"{'whole ' if inner.is_discrete else ''}numbers{from_low}{to_high}"


def is_inside(law: Any, support: Any) -> bool:
    """Whether all values of a distribution of numbers are in a support, or in one of several: its ends, and draws."""
    ends, own = ends_of(support), None if is_finite(law) or is_transformed(law) else ends_of(support_of(law))
    if ends is not None and own is not None and bool((own[0] < ends[0].min()) | (own[1] > ends[1].max())):
        return False
    return are_inside(some_values(law), support)


def are_inside(values: Tensor, support: Any) -> bool:
    """Whether all numbers [V] are in a support, or each in one of several."""
    ends = ends_of(support)
    shape = () if ends is None else torch.broadcast_shapes(ends[0].shape, ends[1].shape)
    fits = torch.as_tensor(support.check(values.reshape(-1, *[1] * len(shape))))
    return bool(fits.flatten(1).any(1).all() if shape else fits.all())


def some_values(law: Any) -> Tensor:
    """The levels of a distribution of numbers that has finitely many, and some draws of any other."""
    if is_finite(law):
        return levels(law)
    with isolated(0):
        drawn: Tensor = in_logs(law).sample(torch.Size([100])).double()
    return drawn


def is_transformed(fn: Any) -> bool:
    """Whether it is a distribution under transforms, and no class that knows its support."""
    return type(fn) is TransformedDistribution and not fn.event_dim


def _depends_on_parameters(fn: Any) -> bool:
    support = base_support(support_of(fn))
    bounds = [getattr(support, name, None) for name in ("lower_bound", "upper_bound")]
    return any(isinstance(bound, Tensor) and bound.ndim > 0 for bound in bounds)
