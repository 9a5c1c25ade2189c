"""Two families that are not log-linear, written as a user of the package would write them, and models with them.

`Logistic` gives its curvature, `StudentT` leaves it to differences; neither file of the package knows of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyro.distributions as dist
from pyro.ops.indexing import Vindex
from scipy.special import expit, gammaln
from torch import Tensor
from torch.distributions import constraints

from estimators import CausalMixture
from estimators.mechanisms import Bernoulli, Gaussian, Reference
from estimators.mechanisms.defaults import General
from estimators.optimise.arrays import Array
from estimators.parameters.parameter import Parameter
from estimators.parameters.transforms import Positive, Real, Transform

Greeks = Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class Logistic(General):
    """``x | Z = k ~ Bernoulli(expit(beta_k · (1, inputs)))``; Greek ``beta`` [K, 1 + P], parents as numbers.

    Levels (``num_levels``) are for families whose masses stand in a table; to queries this is a number like any other.
    """

    parents: Sequence[str]
    scale: float = 5.0

    is_regression = True

    def num_numbers(self, num_inputs: int) -> int:
        """W = 1 + P: C is beta itself."""
        return 1 + num_inputs

    def parameters(self, table: tuple[int, ...], num_inputs: int) -> tuple[Parameter, ...]:
        """``beta_k ~ Normal(0, scale)``."""
        shape = (*table, 1 + num_inputs)
        return (Parameter("beta", shape, dist.Normal(0.0, self.scale).expand(shape), support=constraints.real),)

    def transform(self, parameter: Parameter, reference: Reference) -> Transform:
        return Real()

    def check(self, name: str, column: Tensor) -> Tensor:
        if not bool(((column == 0) | (column == 1)).all()):
            raise ValueError(f"column {name}: expected 0 and 1")
        return column.double()

    def distribution(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> Any:
        return dist.Bernoulli(self.mean(greeks, cell, inputs))

    def mean(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> Tensor:
        beta = Vindex(greeks["beta"])[..., cell, :]
        return (beta[..., 0] + (beta[..., 1:] * inputs).sum(-1)).sigmoid()

    def order_key(self, greeks: Mapping[str, Tensor]) -> Tensor:
        return greeks["beta"][..., 0]

    def exchangeable(self, num_components: int, *, uses_prior: bool = True) -> list[int]:
        return [0] * num_components

    def permuted(self, order: Sequence[int]) -> "Logistic":
        return self

    def natural_parameters(self, greeks: Greeks, reference: Reference) -> Array:
        return greeks["beta"]

    def gradient(self, greeks: Greeks, statistics: Array, reference: Reference) -> dict[str, Array]:
        return {"beta": statistics}

    def log_joint(self, numbers: Array, column: Array, inputs: Array) -> Array:
        """x η - log(1 + e^η)."""
        eta = numbers @ with_one(inputs).T
        return np.asarray(column * eta - np.logaddexp(0.0, eta))

    def pullback(self, numbers: Array, column: Array, inputs: Array, shares: Array) -> Array:
        """Σ R (x - p) (1, inputs)."""
        design = with_one(inputs)
        return np.asarray((shares * (column - expit(numbers @ design.T))) @ design)

    def curvature(self, numbers: Array, column: Array, inputs: Array, shares: Array) -> Array:
        """Σ R p (1 - p) (1, inputs) (1, inputs)'."""
        design = with_one(inputs)
        chance = expit(numbers @ design.T)
        return np.einsum("skn,np,nq->skpq", shares * chance * (1.0 - chance), design, design)


@dataclass(frozen=True, eq=False)
class StudentT(General):
    """``x | Z = k ~ StudentT(df, mu_k, sigma_k)`` with known df; Greeks ``mu`` and ``sigma``, C = (mu, log sigma)."""

    df: float = 4.0
    parents: Sequence[str] = ()

    def num_numbers(self, num_inputs: int) -> int:
        return 2

    def parameters(self, table: tuple[int, ...], num_inputs: int) -> tuple[Parameter, ...]:
        scale = dist.LogNormal(0.0, 1.0).expand(table)
        return (
            Parameter("mu", table, dist.Normal(0.0, 10.0).expand(table), support=constraints.real),
            Parameter("sigma", table, scale, support=constraints.positive),
        )

    def transform(self, parameter: Parameter, reference: Reference) -> Transform:
        return Real(reference.centre, reference.scale) if parameter.name == "mu" else Positive(reference.scale)

    def reference(self, column: Array, inputs: Array) -> Reference:
        return Reference(float(column.mean()), float(column.std()) or 1.0) if len(column) else Reference()

    def check(self, name: str, column: Tensor) -> Tensor:
        return column.double()

    def distribution(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> Any:
        return dist.StudentT(self.df, Vindex(greeks["mu"])[..., cell], Vindex(greeks["sigma"])[..., cell])

    def mean(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> Tensor:
        return greeks["mu"][..., cell]

    def order_key(self, greeks: Mapping[str, Tensor]) -> Tensor:
        return greeks["mu"]

    def exchangeable(self, num_components: int, *, uses_prior: bool = True) -> list[int]:
        return [0] * num_components

    def permuted(self, order: Sequence[int]) -> "StudentT":
        return self

    def natural_parameters(self, greeks: Greeks, reference: Reference) -> Array:
        return np.stack([greeks["mu"], np.log(greeks["sigma"])], -1)

    def gradient(self, greeks: Greeks, statistics: Array, reference: Reference) -> dict[str, Array]:
        return {"mu": statistics[..., 0], "sigma": statistics[..., 1] / greeks["sigma"]}

    def log_joint(self, numbers: Array, column: Array, inputs: Array) -> Array:
        """log c - log sigma - (df + 1)/2 log(1 + u²/df) for u = (x - mu)/sigma."""
        u = (column - numbers[..., :1]) * np.exp(-numbers[..., 1:])
        constant = gammaln((self.df + 1) / 2) - gammaln(self.df / 2) - 0.5 * np.log(self.df * np.pi)
        return np.asarray(constant - numbers[..., 1:] - 0.5 * (self.df + 1) * np.log1p(u * u / self.df))

    def pullback(self, numbers: Array, column: Array, inputs: Array, shares: Array) -> Array:
        """d/dmu = (df + 1) u / (df + u²) / sigma, d/dlog sigma = u times that times sigma, less 1."""
        inverse = np.exp(-numbers[..., 1:])
        u = (column - numbers[..., :1]) * inverse
        pull = (self.df + 1) * u / (self.df + u * u)
        return np.stack([(shares * pull * inverse).sum(-1), (shares * (pull * u - 1.0)).sum(-1)], -1)


def with_one(inputs: Array) -> Array:
    """(1, inputs) [n, 1 + P]."""
    return np.concatenate([np.ones((len(inputs), 1)), inputs], -1)


GENERAL_MODELS: dict[str, CausalMixture] = {
    "Logistic": CausalMixture(2, {"X": Gaussian(), "T": Logistic(parents=["X"])}, concentration=2.0),
    "StudentT": CausalMixture(3, {"X": StudentT(), "T": Bernoulli()}, concentration=2.0),
    "StudentT with a parent": CausalMixture(2, {"T": Bernoulli(), "X": StudentT(parents=["T"])}, concentration=2.0),
}
