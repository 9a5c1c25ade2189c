"""A Gaussian measurement that depends linearly on observed causes, with a line for each class of the hidden cause."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.ops.indexing import Vindex
from torch import Tensor
from torch.distributions import constraints

from estimators.isolation import own_modes
from estimators.mechanisms.defaults import LogLinear
from estimators.mechanisms.gaussian.forms import Places, with_one
from estimators.mechanisms.gaussian.precision import DIGITS_LOST, EPS, SCALE_FLOOR
from estimators.mechanisms.protocol import Equation, Greeks, Reference, check_parents
from estimators.parameters.distributions import StableNormal
from estimators.parameters.parameter import Array, Parameter
from estimators.parameters.prior_checks import known_or_prior
from estimators.parameters.prior_densities import HALF_LOG_2PI
from estimators.parameters.priors import check_shape, default_prior, expanded, groups, permuted
from estimators.parameters.transforms import Linear, Positive, Transform


@dataclass(frozen=True)
class Line(Reference):
    """The line in standardised inputs ``t = (1, (inputs - input_centre) / input_scale)`` that is taken off a column.

    ``u = (y - centre · (1, inputs)) / scale``, with ``centre`` [1 + P] in the inputs' own units: a far input does not
    cost the others digits. ``input_reach`` is the largest |t| of each input.
    """

    input_centre: Any = ()
    input_scale: Any = ()
    column_centre: float = 0.0
    input_reach: Any = ()

    @property
    def location(self) -> tuple[Any, Any]:
        """The centre and scale of the column itself."""
        return self.column_centre, self.scale

    def design(self, inputs: Array) -> Array:
        """t as [N, 1 + P]."""
        return np.concatenate([np.ones((len(inputs), 1)), (inputs - self.input_centre) / self.input_scale], 1)

    @property
    def matrix(self) -> Array:
        """A [1 + P, 1 + P] with ``A @ beta`` the line in standardised inputs."""
        found = np.diag([1.0, *np.asarray(self.input_scale)])
        found[0, 1:] = self.input_centre
        return found


@dataclass(frozen=True, eq=False)
class LinearGaussian(LogLinear):
    """``y | Z = k, parents ~ Normal(beta_k · (1, parents), sigma_k)``: a regression for each class.

    ``log p = -log(sigma_k) - log(2π)/2 - (y - beta_k · t)² / (2 sigma_k²)``, so Φ = (t ⊗ t, u t, u²) with u and t the
    standardised y and (1, parents).

    Greeks: ``beta`` [K, 1 + P], the intercept first, and ``sigma`` [K], or [] with ``shared_scale``. A parent of L > 2
    levels enters as L - 1 indicators, level 0 the baseline; any other as itself. ``coefficients`` and ``scale`` are
    priors (over the reals, with one for each of the 1 + P where they are batched, and over the positive numbers) or
    numbers, which mean known. Raises TypeError or ValueError for anything else, and for no parents.

    >>> LinearGaussian(parents=["T"], coefficients=dist.Normal(0.0, 5.0)).parents
    ('T',)
    """

    parents: Sequence[str]
    coefficients: Any = field(default_factory=lambda: default_prior(dist.Normal, 0.0, 10.0))
    scale: Any = field(default_factory=lambda: default_prior(dist.HalfNormal, 5.0))
    shared_scale: bool = False

    is_regression = True
    is_gaussian = True
    has_constant = True

    @own_modes()
    def __post_init__(self) -> None:
        object.__setattr__(self, "parents", check_parents(self.parents))
        if not self.parents:
            raise ValueError("parents: expected at least one; a measurement without observed causes is Gaussian()")
        object.__setattr__(self, "coefficients", known_or_prior("coefficients", self.coefficients, constraints.real))
        object.__setattr__(self, "scale", known_or_prior("scale", self.scale, constraints.positive))
        if not isinstance(self.shared_scale, bool):
            raise TypeError(f"shared_scale: expected True or False, got {self.shared_scale!r}")

    def num_features(self, num_inputs: int) -> int:
        """F: the products of t, u t, and u²."""
        size = num_inputs + 1
        return size * (size + 1) // 2 + size + 1

    def parameters(self, table: tuple[int, ...], num_inputs: int) -> tuple[Parameter, ...]:
        """The Greeks with their priors."""
        found, shape = [], (*table, 1 + num_inputs)
        if isinstance(self.coefficients, TorchDistributionMixin):
            if tuple(self.coefficients.batch_shape) not in ((), (1 + num_inputs,), shape):
                check_shape("coefficients", tuple(self.coefficients.batch_shape), shape)
            found.append(
                Parameter("beta", shape, self.coefficients.expand(torch.Size(shape)), support=constraints.real)
            )
        elif tuple(self.coefficients.shape) not in ((), (1 + num_inputs,), shape):
            check_shape("coefficients", tuple(self.coefficients.shape), shape)
        scales = () if self.shared_scale else table
        if isinstance(self.scale, TorchDistributionMixin):
            prior = expanded("scale", self.scale, scales)
            found.append(Parameter("sigma", scales, prior, None if self.shared_scale else 0, constraints.positive))
        else:
            check_shape("scale", tuple(self.scale.shape), table)
        return tuple(found)

    def transform(self, parameter: Parameter, reference: Reference) -> Transform:
        """``beta`` as the line in standardised units; ``sigma`` as the log of its ratio to the column's scale."""
        if parameter.name == "sigma":
            return Positive(reference.scale)
        assert isinstance(reference, Line)
        return Linear(np.linalg.inv(reference.matrix) * reference.scale, reference.centre)

    def distribution(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> TorchDistributionMixin:
        """p(y | cell, inputs)."""
        sigma = greeks.get("sigma", self.scale)
        per_cell = not self.shared_scale if "sigma" in greeks else sigma.ndim > 0
        return StableNormal(self.mean(greeks, cell, inputs), Vindex(sigma)[..., cell] if per_cell else sigma)

    def check(self, name: str, column: Tensor) -> Tensor:
        """Any finite real column [N] will do."""
        return column.double()

    def reference(self, column: Array, inputs: Array) -> Reference:
        """The means and standard deviations of the column and of the inputs (1 where they are constant).

        An input whose mean is so far from most of it that these would lose their digits has its median for a centre.
        """
        if not len(column):
            width = inputs.shape[-1]
            return Line(np.zeros(1 + width), 1.0, 0.0, False, np.zeros(width), np.ones(width), 0.0, np.zeros(width))
        centre = column[:, None].mean(0)
        scale = _spread(column[:, None], centre)
        input_centre = _centre_of_most(inputs)
        input_scale = _spread(inputs, input_centre)
        line = np.concatenate([centre, np.zeros(inputs.shape[1])])
        reach = float(np.abs(column - centre[0]).max() / scale[0])
        input_reach = np.abs(inputs - input_centre).max(0) / input_scale
        return Line(line, float(scale[0]), reach, False, input_centre, input_scale, float(centre[0]), input_reach)

    def points(self, column: Array, reference: Reference) -> Array:
        """The standardised column."""
        centre, scale = reference.location
        return np.asarray(((column - centre) / scale)[:, None])

    def features(self, column: Array, inputs: Array, reference: Reference) -> Array:
        """Φ = (t ⊗ t, u t, u²) as [F, N]."""
        assert isinstance(reference, Line)
        design = reference.design(inputs)
        line = np.asarray(reference.centre)
        u = (column - line[0] - inputs @ line[1:]) / reference.scale
        first, second = _pairs(design.shape[1])
        return np.concatenate([(design[:, first] * design[:, second]).T, (design * u[:, None]).T, u[None] ** 2])

    def gradient(self, greeks: Greeks, statistics: Array, reference: Reference) -> dict[str, Array]:
        """dJ/dbeta and dJ/dsigma."""
        line, scale = self._standardised(greeks, reference)
        squares, cross, total = _moments(statistics, line.shape[-1])
        precision = 1.0 / (scale * scale)
        residual = cross - (squares @ line[..., None])[..., 0]
        found = {}
        if "beta" in greeks:
            assert isinstance(reference, Line)
            found["beta"] = (residual * precision[..., None]) @ reference.matrix / reference.scale
        if "sigma" in greeks:
            left = total - ((cross + residual) * line).sum(-1)
            slope = (left * precision - squares[..., 0, 0]) / (scale * reference.scale)
            found["sigma"] = slope.sum(-1) if self.shared_scale else slope
        return found

    def loses_digits(self, coefficients: Array, reference: Reference) -> bool:
        """Whether eps * (range / sigma)² > 1e-10, of the column or of the line over the inputs."""
        assert isinstance(reference, Line)
        size = len(reference.matrix)
        precision = -2.0 * coefficients[..., -1]
        line = np.abs(coefficients[..., -1 - size : -1]) / precision[..., None]
        reach = np.maximum(2.0 * reference.reach, line @ np.array([1.0, *reference.input_reach]))
        return bool((EPS * reach**2 * precision > DIGITS_LOST).any())

    def recentred(self, greeks: Greeks, reference: Reference) -> Reference:
        """The cells' own lines, about which the quadratic feature is the squared residual itself."""
        assert isinstance(reference, Line)
        beta, sigma = self._beta(greeks, len(reference.input_scale)), self._sigma(greeks)
        return reference.at(np.broadcast_to(beta, (*np.broadcast_shapes(beta.shape[:-1], sigma.shape), beta.shape[-1])))

    def argmax(self, statistics: Array, reference: Reference, previous: Greeks) -> dict[str, Array]:
        """Weighted least squares, and the root mean square of its residuals (pooled with ``shared_scale``)."""
        line, scale = self._standardised(previous, reference)
        squares, cross, total = _moments(statistics, line.shape[-1])
        count = squares[..., 0, 0]
        found: dict[str, Array] = {}
        if "beta" in previous:
            assert isinstance(reference, Line)
            # A step from the line before, which keeps what a class's rows leave open as it was.
            residual = cross[..., None] - squares @ line[..., None]
            line = np.where(count[..., None] > 0, line + _solved(squares, residual)[..., 0], line)
            moved = np.linalg.solve(reference.matrix, reference.scale * line[..., None])[..., 0]
            found["beta"] = reference.centre + moved
        if "sigma" in previous:
            left = np.maximum(total - 2.0 * (cross * line).sum(-1) + _quadratic(squares, line), 0.0)
            if self.shared_scale:
                left, count = left.sum(-1), count.sum(-1)
                scale = scale[..., 0]
            root = np.where(count > 0, np.sqrt(left / np.where(count > 0, count, 1.0)), scale)
            found["sigma"] = np.maximum(root, SCALE_FLOOR) * reference.scale
        return found

    def has_collapsed(self, greeks: Greeks, reference: Reference) -> bool:
        """Whether an estimated scale is at the floor, 1e-8 of the column's."""
        return "sigma" in greeks and bool(np.any(greeks["sigma"] <= 1.01 * SCALE_FLOOR * reference.scale))

    def mean(self, greeks: Mapping[str, Tensor], cell: Tensor, inputs: Tensor) -> Tensor:
        """E[y | cell, inputs] = beta · (1, inputs)."""
        beta = self._lines(greeks, inputs.shape[-1])
        line = Vindex(beta)[..., cell, :] if beta.ndim > 1 else beta
        return line[..., 0] + (line[..., 1:] * inputs).sum(-1)

    def line(self, greeks: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Intercept [..., cells], slopes [..., cells, P] and scale [..., cells]."""
        beta, sigma = greeks.get("beta", self.coefficients), greeks.get("sigma", self.scale)
        sigma = sigma[..., None] if "sigma" in greeks and self.shared_scale else sigma
        sigma = sigma.expand(np.broadcast_shapes(sigma.shape, beta.shape[:-1]))
        return beta[..., 0].expand(sigma.shape), beta[..., 1:].expand(*sigma.shape, beta.shape[-1] - 1), sigma

    def equation(self, greeks: Greeks, num_inputs: int) -> Equation:
        """``y = beta · (1, inputs) + sigma ε``."""
        beta, sigma = self._beta(greeks, num_inputs), np.atleast_1d(self._sigma(greeks))
        shape = np.broadcast_shapes(beta.shape[:-1], sigma.shape)
        beta, sigma = np.broadcast_to(beta, (*shape, 1 + num_inputs)), np.broadcast_to(sigma, shape)
        return Equation(beta[..., :1], beta[..., None, 1:], sigma[..., None, None])

    def forms(self, equation: Equation, inputs: Array, noise: Array, reference: Reference) -> Array:
        """(t, u)."""
        assert isinstance(reference, Line)
        centre = np.asarray(reference.centre)
        # The difference of the lines first: where they are the same, u is the noise alone, to the last digit.
        u = equation.factor @ noise + (equation.slopes - centre[..., None, 1:]) @ inputs
        u[..., 0] += equation.intercept - centre[..., :1]
        t = inputs.copy()
        t[..., 0] -= reference.input_centre
        return np.concatenate([with_one(t / np.asarray(reference.input_scale)[:, None]), u / reference.scale], -2)

    def products(self, num_inputs: int) -> tuple[Places, Places]:
        """t ⊗ t, u t and u²."""
        size = 1 + num_inputs
        first, second = _pairs(size)
        return np.concatenate([first, np.arange(size), [size]]), np.concatenate([second, np.full(size + 1, size)])

    def order_key(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """Components are put in order of their intercepts."""
        beta = greeks.get("beta", self.coefficients)
        return beta[..., 0] if beta.ndim > 1 else greeks.get("sigma", beta.reshape(-1)[0])

    def exchangeable(self, num_components: int, *, uses_prior: bool = True) -> list[int]:
        """Components with equal priors (or equal known values) share a number."""
        parts = [part for part in (self._by_component(), self.scale) if part is not None]
        return groups(parts, num_components, uses_prior=uses_prior)

    def permuted(self, order: Sequence[int]) -> "LinearGaussian":
        """The same mechanism with its components renamed."""
        lines = self.coefficients if self._by_component() is None else permuted(self.coefficients, order)
        return LinearGaussian(self.parents, lines, permuted(self.scale, order), self.shared_scale)

    def natural_parameters(self, greeks: Greeks, reference: Reference) -> Array:
        """C as [..., cells, F]."""
        line, scale = self._standardised(greeks, reference)
        precision = 1.0 / (scale * scale)
        first, second = _pairs(line.shape[-1])
        products = line[..., first] * line[..., second] * np.where(first == second, -0.5, -1.0)
        shape = np.broadcast_shapes(line.shape[:-1], scale.shape)
        out = np.empty((*shape, self.num_features(line.shape[-1] - 1)))
        out[..., : len(first)] = products * precision[..., None]
        out[..., 0] -= np.log(scale * reference.scale) + HALF_LOG_2PI
        out[..., len(first) : -1] = line * precision[..., None]
        out[..., -1] = -0.5 * precision
        return out

    def _by_component(self) -> Any:
        """The prior (or known values) of the coefficients where it differs by component, else None."""
        part = self.coefficients
        size = part.ndim if isinstance(part, Tensor) else len(part.batch_shape)
        return part if size > 1 else None

    def _lines(self, greeks: Mapping[str, Tensor], num_inputs: int) -> Tensor:
        if "beta" in greeks:
            return greeks["beta"]
        known: Tensor = self.coefficients
        return known if known.ndim else known.expand(1 + num_inputs)

    def _beta(self, greeks: Greeks, num_inputs: int) -> Array:
        """The lines [..., cells, 1 + P]; one for all cells where one is known."""
        if "beta" in greeks:
            return greeks["beta"]
        known: Array = self.coefficients.numpy()
        return known if known.ndim > 1 else np.broadcast_to(known, (1, 1 + num_inputs))

    def _sigma(self, greeks: Greeks) -> Array:
        """The scales [..., cells]; one for all cells where one is shared or known."""
        sigma = greeks["sigma"] if "sigma" in greeks else self.scale.reshape(-1).numpy()
        return sigma[..., None] if "sigma" in greeks and self.shared_scale else sigma

    def _standardised(self, greeks: Greeks, reference: Reference) -> tuple[Array, Array]:
        """The lines less the reference's own [..., cells, 1 + P] and the scales [..., cells], in standardised units."""
        assert isinstance(reference, Line)
        beta = self._beta(greeks, len(reference.input_scale))
        line = (beta - reference.centre) @ reference.matrix.T / reference.scale
        return line, self._sigma(greeks) / reference.scale


def _pairs(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The indices i <= j of the products t_i t_j, (0, 0) first."""
    return np.triu_indices(size)


def _moments(statistics: Array, size: int) -> tuple[Array, Array, Array]:
    """Σ t t' [..., 1 + P, 1 + P], Σ u t [..., 1 + P] and Σ u² [...] out of the statistics [..., F]."""
    first, second = _pairs(size)
    squares = np.empty((*statistics.shape[:-1], size, size))
    squares[..., first, second] = squares[..., second, first] = statistics[..., : len(first)]
    return squares, statistics[..., len(first) : -1], statistics[..., -1]


def _solved(squares: Array, residual: Array) -> Array:
    """The shortest x with ``squares @ x = residual``, in units of each input's own size in the class's rows."""
    size = np.sqrt(np.diagonal(squares, axis1=-2, axis2=-1))[..., None]
    size = np.where(size > 0, size, 1.0)
    inverse = np.linalg.pinv(squares / size / np.swapaxes(size, -1, -2), rcond=1e-13, hermitian=True)
    return np.asarray(inverse @ (residual / size) / size)


def _quadratic(squares: Array, line: Array) -> Array:
    return np.asarray(((squares @ line[..., None])[..., 0] * line).sum(-1))


def _centre_of_most(columns: Array) -> Array:
    """Means [P]; of a column in which digits would be lost about its mean by what most of it is, the median."""
    count, places = len(columns), np.arange(columns.shape[1])
    near, far = np.sort(columns, 0)[[(count - 1) // 2, count // 2]]
    # Of two in the middle, the one that is itself known more finely.
    median, mean = np.where(np.abs(near) <= np.abs(far), near, far), columns.mean(0)
    away = np.sort(np.abs(columns - median), 0)
    # The usual distance from the median, or the least of those that are none of its copies.
    usual = away[np.maximum((count - 1) // 2, np.minimum((away == 0).sum(0), count - 1)), places]
    usual = np.where(median != 0, np.minimum(usual, np.abs(median)), usual)
    return np.asarray(np.where(EPS * np.abs(mean - median) > DIGITS_LOST * usual, median, mean))


def _spread(columns: Array, centre: Array) -> Array:
    """Root mean square distances from the centre [P] (1 where a column is constant)."""
    reach = np.abs(columns - centre).max(0)
    held = np.where(reach > 1e-100, reach, 1.0)
    # Scaled before squaring, so that columns of 1e±100 neither overflow nor underflow.
    spread = held * np.sqrt((((columns - centre) / held) ** 2).mean(0))
    return np.where(reach > 1e-100, spread, 1.0)
