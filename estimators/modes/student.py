"""Student's t in D dimensions, what proposals are made of: its tails are heavier than those of what it stands for."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import gammaln

from estimators.optimise.arrays import Array
from estimators.optimise.curvature import ERRORS, Curvature, eigen
from estimators.status import EstimationError

DEGREES = 5.0
# Where a curvature is not positive, it is taken to be this share of what each coordinate has alone.
LEAST_VALUE = 1e-3


@dataclass(frozen=True, eq=False)
class Student:
    """Student's t with DEGREES degrees of freedom about ``location`` [D], its inverse scale ``W⁻¹ U Λ U' W⁻¹``.

    W is diagonal, ``unit`` [D]; U are ``vectors`` [D, D] and Λ ``values`` [D].
    """

    location: Array
    unit: Array
    vectors: Array
    values: Array

    @staticmethod
    def about(mode: Array, curve: Curvature) -> "Student":
        """That of a mode's curvature.

        Raises EstimationError where the information is not positive definite: the data do not inform some direction.
        """
        if not np.isfinite(curve.values).all() or curve.is_flat.any():
            flattest = int(np.argmin(curve.values - ERRORS * curve.errors))
            raise EstimationError(
                "laplace: the observed information is not positive definite as far as it is known (scaled eigenvalue "
                f"{curve.values[flattest]:.3g}, rounding error {curve.errors[flattest]:.1g}), so the data leave some "
                "combination of the Greeks undetermined; use NUTS, fewer components, or seen Z"
            )
        return Student(mode, curve.unit, curve.vectors, curve.values)

    @staticmethod
    def near(mode: Array, curve: Curvature) -> "Student":
        """The same, with some curvature in directions that have none."""
        return Student(mode, curve.unit, curve.vectors, np.maximum(curve.values, LEAST_VALUE))

    @staticmethod
    def of(location: Array, covariance: Array) -> "Student":
        """That of the scale of a covariance [D, D]."""
        unit = np.sqrt(np.diag(covariance))
        values, vectors = eigen(covariance / np.outer(unit, unit))
        return Student(location, unit, vectors, 1.0 / np.maximum(values, 1e-9))

    @property
    def scale(self) -> Array:
        """A factor [D, D] of the scale: that times its transpose."""
        return np.asarray(self.unit[:, None] * self.vectors / np.sqrt(self.values))

    @cached_property
    def log_volume(self) -> float:
        """The log of the square root of the scale's determinant."""
        return float(np.log(self.unit).sum() - 0.5 * np.log(self.values).sum())

    def draws(self, count: int, rng: np.random.Generator) -> Array:
        """Draws [count, D]."""
        mixing = rng.chisquare(DEGREES, count) / DEGREES
        standard = rng.standard_normal((count, len(self.values))) / np.sqrt(mixing)[:, None]
        return np.asarray(self.location + self.unit * ((standard / np.sqrt(self.values)) @ self.vectors.T))

    def log_density(self, points: Array) -> Array:
        """The log density [...] at points [..., D]; none at infinity, where a relabelled weight of 0 is."""
        with np.errstate(invalid="ignore"):
            standard = (points - self.location) @ self._standardising
        distance = np.einsum("...d,...d->...", standard, standard)
        logs = self._log_height - 0.5 * (DEGREES + len(self.values)) * np.log1p(distance / DEGREES)
        return np.where(np.isnan(logs), -np.inf, logs)

    @cached_property
    def _standardising(self) -> Array:
        return np.asarray(self.vectors * np.sqrt(self.values) / self.unit[:, None])

    @cached_property
    def _log_height(self) -> float:
        """The log density at the location."""
        size = len(self.values)
        constant = gammaln(0.5 * (DEGREES + size)) - gammaln(0.5 * DEGREES) - 0.5 * size * np.log(DEGREES * np.pi)
        return float(constant - self.log_volume)
