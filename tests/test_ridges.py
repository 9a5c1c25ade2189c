"""What is level as far as one can see, but for a hill of less than chance beside it, is open and no rival of itself."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from estimators import EM, CausalMixture, Data, Fit
from estimators.mechanisms import Bernoulli, Gaussian, LinearGaussian
from estimators.optimise.arrays import Array
from estimators.optimise.curvature import curvature
from estimators.optimise.ridge import with_ridges
from estimators.status import Status
from tests.models import fit_quietly

RNG = np.random.default_rng(0)
Z = RNG.random(60) < 0.5
T = (RNG.random(60) < np.where(Z, 0.8, 0.2)).astype(float)
Y = 4.0 * Z - T + RNG.normal(size=60)
X = 8.0 * Z + RNG.normal(size=60)
NOISE = RNG.normal(size=60)


def fitted(w: Any, **settings: Any) -> Fit:
    mechanisms = {"T": Bernoulli(), "X": Gaussian(), "Y": LinearGaussian(["T", "w"])}
    model = CausalMixture(2, mechanisms, covariates={"w": None})
    return fit_quietly(EM(), model, Data(T=T, X=X, Y=Y, w=w), seed=0, **settings)


@pytest.mark.parametrize("settings", [{}, {"search": None}], ids=["searched", "not searched"])
def test_what_is_constant_in_each_class_is_open_and_no_rival(settings: dict[str, Any]) -> None:
    """Rows that hardly belong to a class make hills of 1e-5 nats on the ridge of its intercept and slope."""
    fit = fitted(Z.astype(float), **settings)
    assert list(fit.findings) == [Status.NOT_IDENTIFIED]
    assert "beta_Y[1, 0] and beta_Y[1, 2] cannot be told apart" in fit.findings[Status.NOT_IDENTIFIED]
    # Negative control: what varies in each class.
    assert fitted(Z + NOISE, **settings).status is Status.CONVERGED


@dataclass
class Hill:
    """``-(x + y)²/2`` and a hill of some nats across it, or a parabola without end in place of it."""

    nats: float
    width: float = 1.0
    is_parabola: bool = False
    size = 2
    bounded = np.zeros(2, dtype=bool)
    total_weight = 1.0

    def value_and_gradient(self, coordinates: Array) -> tuple[float, Array]:
        along, across = coordinates.sum(), (coordinates[0] - coordinates[1]) / self.width
        hill = -self.nats * across**2 if self.is_parabola else self.nats * np.exp(-(across**2))
        slope = -2.0 * across * (self.nats if self.is_parabola else hill)
        return float(-0.5 * along**2 + hill), -along + slope / self.width * np.array([1.0, -1.0])

    def gradients(self, points: Array) -> Array:
        return np.array([self.value_and_gradient(point)[1] for point in points])


@pytest.mark.parametrize(
    ("hill", "is_ridge"), [(Hill(1e-4), True), (Hill(0.02, width=10.0), False), (Hill(1e-4, is_parabola=True), False)]
)
def test_a_low_hill_is_on_a_ridge_and_a_flat_parabola_is_not(hill: Hill, is_ridge: bool) -> None:
    mode = np.zeros(2)
    curve = curvature(hill, mode)
    assert not curve.is_flat.any()
    assert with_ridges(hill, mode, curve).is_flat.tolist() == [is_ridge, False]
