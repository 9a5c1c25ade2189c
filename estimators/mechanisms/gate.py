"""Observed causes of Z of any kind: a multinomial logit in place of a table of weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyro.distributions as dist
from torch import Tensor
from torch.distributions import constraints

from estimators.isolation import own_modes
from estimators.mechanisms.gaussian.line import line_prior
from estimators.mechanisms.generalised_linear import weak_line
from estimators.mechanisms.protocol import check_names
from estimators.optimise.arrays import Array
from estimators.parameters.prior_checks import known_or_prior
from estimators.parameters.priors import are_equal, permuted
from estimators.parameters.zero_sum import ZeroSumNormal

# The prior sd of a slope of a standardised input, which `scaled_to` proposes.
SLOPE_WIDTH = 2.5


@dataclass(frozen=True, eq=False)
class Gate:
    """``p(Z = k | parents) ∝ exp(beta_Z[k] · (1, parents))``, for a causal mixture's ``latent``.

    Greek: ``beta_Z`` [K, 1 + P], the intercept first. A parent of L > 2 levels enters as L - 1 indicators, level 0 the
    baseline; any other as itself, ``T:A`` as products. Each column sums to zero over the classes, so that no class is a
    reference and labels are free: contrasts with a class are differences, ``fit["beta_Z"] - fit["beta_Z"][:1]``.
    ``coefficients`` is a prior ``Normal(0, scale)`` of each class's own, given that they sum to zero, with one scale or
    one for each column; or numbers [K, 1 + P], which mean known. Raises TypeError or ValueError for anything else, or
    without parents. Source: Bandeen-Roche et al. (1997), "Latent variable regression for multiple discrete outcomes".

    >>> Gate(["age"]).parents
    ('age',)
    """

    parents: Sequence[str]
    coefficients: Any = field(default_factory=weak_line)

    @own_modes()
    def __post_init__(self) -> None:
        object.__setattr__(self, "parents", check_names(self.parents))
        if not self.parents:
            raise ValueError("parents: expected at least one; without causes leave out latent, Z's weights are theta")
        given = known_or_prior("coefficients", self.coefficients, constraints.real)
        object.__setattr__(self, "coefficients", given)
        if not self.is_known and not (isinstance(given, dist.Normal) and bool((given.loc == 0).all())):
            raise ValueError(
                f"coefficients: expected Normal(0, scale), which tells no class from another, or numbers, got {given}"
            )

    @property
    def is_known(self) -> bool:
        """Whether numbers were given."""
        return isinstance(self.coefficients, Tensor)

    def prior(self, num_components: int, size: int) -> ZeroSumNormal:
        """That of all coefficients [K, 1 + P]. Raises ValueError for scales of another shape."""
        scale = self.coefficients.scale
        if tuple(scale.shape) not in ((), (size,)):
            raise ValueError(f"coefficients: expected one scale, or shape ({size},), got shape {tuple(scale.shape)}")
        return ZeroSumNormal(scale.expand(num_components, size))

    def known(self, num_components: int, size: int) -> Array:
        """Numbers [K, 1 + P]. Raises ValueError for another shape."""
        shape = tuple(self.coefficients.shape)
        if shape != (num_components, size):
            raise ValueError(f"coefficients: expected shape {(num_components, size)}, got shape {shape}")
        return np.ascontiguousarray(self.coefficients.numpy())

    def permuted(self, order: Sequence[int]) -> "Gate":
        """The gate whose component k is what component ``order[k]`` was."""
        return replace(self, coefficients=permuted(self.coefficients, order)) if self.is_known else self

    def scaled_to(self, inputs: Mapping[str, Array]) -> "Gate":
        """Slopes ``Normal(0, 2.5 / sd(t))`` in place of the default prior, and an intercept to match."""
        is_default = are_equal(self.coefficients, weak_line())
        return replace(self, coefficients=line_prior(inputs, 0.0, SLOPE_WIDTH)) if is_default else self

    def by_default(self) -> "Gate":
        """The gate with the default prior, if its coefficients are estimated."""
        return self if self.is_known else Gate(self.parents)
