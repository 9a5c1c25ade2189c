"""Handlers that put what is known into a program: observed values, hidden sites to sum out, entries set or missing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from pyro.distributions import MaskedDistribution
from pyro.distributions.torch_distribution import TorchDistribution, TorchDistributionMixin
from pyro.distributions.transforms import biject_to
from pyro.poutine.messenger import Messenger
from torch import Tensor

from estimators.parameters.parameter import LOG_ZERO
from estimators.programs.supports import bounded, rewrapped

# The key in a site's `infer` under which the program's own mask is kept when the site is enumerated.
KEPT = "_kept"


class Evident(TorchDistribution):
    """A discrete distribution that is seen in some entries: log p + log 1[value = seen], without log p where it is set.

    ``seen`` is -1 where there is no evidence.
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    has_enumerate_support = True

    def __init__(self, base: Any, seen: Tensor, is_set: Tensor | None) -> None:
        self.base, self.seen, self.is_set = base, seen, is_set
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def support(self) -> Any:
        return self.base.support

    def enumerate_support(self, expand: bool = True) -> Tensor:
        values: Tensor = self.base.enumerate_support(expand=expand)
        return values

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        drawn = self.base.sample(sample_shape)
        return torch.where(self.seen >= 0, self.seen.to(drawn.dtype), drawn)

    def log_prob(self, value: Tensor) -> Tensor:
        density: Tensor = self.base.log_prob(value)
        if self.is_set is not None:
            density = torch.where(self.is_set, 0.0, density)
        return density + torch.where((self.seen < 0) | (value == self.seen), 0.0, LOG_ZERO)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "Evident":
        return Evident(self.base.expand(batch_shape), self.seen, self.is_set)


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of a program's sites, in tensors shaped as the sites are.

    ``hidden`` sites are to be enumerated; ``values`` are observed; ``seen`` are values of hidden sites, -1 where not
    seen; ``is_set`` marks entries whose own mechanism an experimenter replaced, ``is_missing`` entries of observed
    sites that have no value. ``free`` sites are sampled even where the program itself observes them; ``idle`` ones, on
    which nothing that is asked depends, get any value of their support instead of a random one; ``unmasked`` ones count
    in every entry, whatever the program masks.
    """

    hidden: tuple[str, ...] = ()
    values: Mapping[str, Tensor] = field(default_factory=dict)
    seen: Mapping[str, Tensor] = field(default_factory=dict)
    is_set: Mapping[str, Tensor] = field(default_factory=dict)
    is_missing: Mapping[str, Tensor] = field(default_factory=dict)
    free: frozenset[str] = frozenset()
    idle: frozenset[str] = frozenset()
    unmasked: frozenset[str] = frozenset()


class Observing(Messenger):
    """Conditions a program on evidence and marks its hidden sites for parallel enumeration."""

    def __init__(self, evidence: Evidence) -> None:
        super().__init__()
        self._evidence = evidence

    def _pyro_sample(self, msg: Any) -> None:
        name, evidence = msg["name"], self._evidence
        if name in evidence.free and msg["is_observed"]:
            msg["value"], msg["is_observed"] = None, False
        if name in evidence.unmasked:
            msg["fn"], msg["mask"] = unmasked(msg["fn"], msg["mask"])[0], None
        if name in evidence.hidden:
            self._enumerate(msg)
            return
        if name in evidence.idle:
            msg["value"] = _some_value(msg["fn"])
        if name in evidence.values:
            msg["value"], msg["is_observed"] = evidence.values[name], True
        if msg["is_observed"] and isinstance(msg["fn"], TorchDistributionMixin):
            msg["fn"] = bounded(msg["fn"])
        if name in evidence.is_set:
            msg["fn"] = msg["fn"].mask(~evidence.is_set[name])
        if name in evidence.is_missing:
            msg["fn"] = _without(msg["fn"], evidence.is_missing[name])

    def _enumerate(self, msg: Any) -> None:
        name, evidence = msg["name"], self._evidence
        # A masked entry, whose factor is 1 whatever its value, would add K to the sum in place of 1. With its own
        # distribution it adds 1, since nothing that counts depends on it (`reach`).
        msg["fn"], kept = unmasked(msg["fn"], msg["mask"])
        msg["mask"] = None
        # A new dictionary: the program's own may be shared between calls, and may ask for sequential enumeration.
        msg["infer"] = {**(msg["infer"] or {}), "enumerate": "parallel", "num_samples": None, KEPT: kept}
        if msg["is_observed"]:
            msg["value"], msg["is_observed"] = None, False
        if name in evidence.seen:
            is_set = evidence.is_set.get(name)
            if kept is not True:
                left_out = (evidence.seen[name] >= 0) & ~torch.as_tensor(kept)
                is_set = left_out if is_set is None else is_set | left_out
            msg["fn"] = Evident(msg["fn"], evidence.seen[name], is_set)


class Substituting(Messenger):
    """Gives sites and `pyro.param` statements their values: Greeks in an evaluation."""

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._values = values

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] in self._values:
            msg["value"], msg["done"] = self._values[msg["name"]], True

    _pyro_param = _pyro_sample


class Replacing(Messenger):
    """Gives sites other distributions, one for all rows: stochastic interventions."""

    def __init__(self, sources: Mapping[str, Any], num_plate_dims: int) -> None:
        super().__init__()
        self._sources, self._num_plate_dims = sources, num_plate_dims

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] in self._sources:
            # Batch dimensions left of the plates belong to enumerated causes, on which the site no longer depends.
            plates = msg["fn"].batch_shape[-self._num_plate_dims :]
            msg["fn"] = self._sources[msg["name"]].expand(plates)


def _some_value(fn: Any) -> Tensor:
    """A value in the support, of the shape of a sample."""
    shape = fn.batch_shape + fn.event_shape
    # A count out of a number of trials, which may be another in each row, can always be 0.
    if fn.has_enumerate_support and not hasattr(fn, "total_count"):
        first: Tensor = fn.enumerate_support(expand=False)[0]
        return first.expand(shape)
    if getattr(fn.support, "is_discrete", False):
        return torch.zeros(shape, dtype=torch.float64)
    transform = biject_to(fn.support)
    value: Tensor = transform(torch.zeros(transform.inverse_shape(shape), dtype=torch.float64))
    return value


def unmasked(fn: Any, mask: Tensor | bool | None) -> tuple[Any, Tensor | bool]:
    """A distribution without its mask, and which of its entries count by that mask and by `poutine.mask`."""
    kept: Tensor | bool = True if mask is None else mask
    while isinstance(fn, MaskedDistribution):
        kept = kept & fn._mask
        fn = fn.base_dist
    return fn, kept


def _without(fn: Any, is_missing: Tensor) -> Any:
    """A distribution without the factors of missing entries, or of vectors of which all entries are missing."""
    return rewrapped(
        fn, lambda fn: fn.mask(~(is_missing.flatten(-fn.event_dim).any(-1) if fn.event_dim else is_missing))
    )
