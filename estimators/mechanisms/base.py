"""What the estimators ask of a mechanism p(x | Z = k; φ): a density that is log-linear in features of the row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from estimators.parameters import Array, Parameter, Transform

Greeks = Mapping[str, Array]


@dataclass(frozen=True)
class Reference:
    """The affine change ``u = (x - centre) / scale`` in which a column's features are formed, so x² keeps its digits.

    ``reach`` is the largest |u| in the column. ``centre`` is a number, or an array [..., K], one value per component.
    """

    centre: Any = 0.0
    scale: float = 1.0
    reach: float = 0.0


class Mechanism(Protocol):
    """One family p(x | Z = k; φ) with ``log p(x | Z=k) = C_k(φ) · Φ(x)``.

    Methods take the mechanism's own Greeks under their symbols (``mu``, not ``mu_X``). Arrays may carry leading axes of
    parameter sets: ``mu [..., K]``, coefficients ``[..., K, F]``, statistics ``[..., K, F]``.
    """

    @property
    def num_features(self) -> int:
        """F, the number of features; the first of them is the constant 1."""

    def parameters(self, num_components: int) -> tuple[Parameter, ...]:
        """The Greeks with their priors, under their symbols."""

    def transform(self, symbol: str, reference: Reference) -> Transform:
        """The unconstrained coordinates of a Greek, in units of the standardised column."""

    def distribution(self, greeks: Mapping[str, Tensor], latent: Tensor) -> TorchDistributionMixin:
        """p(x | Z = latent) as a Pyro distribution; Greeks are [K] or, one set per row, [N, K]."""

    def check(self, name: str, column: Tensor) -> Tensor:
        """The column as float64, or a ValueError that says what is wrong with it."""

    def reference(self, column: Array) -> Reference:
        """The centre and scale of a column."""

    def features(self, column: Array, reference: Reference) -> Array:
        """Φ as [F, N]."""

    def coefficients(self, greeks: Greeks, reference: Reference) -> Array:
        """C as [..., K, F]."""

    def gradient(self, greeks: Greeks, statistics: Array, reference: Reference) -> dict[str, Array]:
        """d(Σ_k C_k · S_k)/dφ for every Greek."""

    def loses_digits(self, coefficients: Array, reference: Reference) -> bool:
        """Whether features about the shared centre lose digits at these coefficients [..., K, F]."""

    def recentred(self, greeks: Greeks, reference: Reference) -> Reference:
        """A reference with one centre per component [..., K], about which features keep their digits."""

    def argmax(self, statistics: Array, reference: Reference, previous: Greeks) -> dict[str, Array]:
        """The M-step: the Greeks that maximise Σ_k C_k · S_k; a component with no rows keeps its previous ones."""

    def has_collapsed(self, greeks: Greeks, reference: Reference) -> bool:
        """Whether a component has shrunk onto a point, where the likelihood is unbounded."""

    def mean(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """E[x | Z = k] as [..., K]."""

    def order_key(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """What orders the components, as [..., K]."""

    def exchangeable(self, num_components: int) -> list[int]:
        """A group number per component: components of one group have the same prior."""

    def permuted(self, order: Sequence[int]) -> "Mechanism":
        """The mechanism whose component k is what component ``order[k]`` was."""


class Conjugate(Protocol):
    """A mechanism whose prior is conjugate, so that a component's rows integrate out in closed form."""

    def log_evidence(self, statistics: Array, reference: Reference) -> Array:
        """log ∫ p(φ_k) Π p(x_n | φ_k) dφ_k as [..., K], from the rows' summed features [..., K, F]."""

    def posterior_draws(
        self, statistics: Array, reference: Reference, generator: np.random.Generator
    ) -> dict[str, Array]:
        """One draw of the Greeks per leading axis, from the posterior given the rows' summed features."""

    def why_not_conjugate(self) -> str | None:
        """The reason why the two methods above cannot be used, or None."""
