"""log p(data, φ) of a program, with its gradient, as a function of unconstrained coordinates."""

from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from estimators.data.data import Data
from estimators.data.remarks import Remark
from estimators.optimise.arrays import Array, Mask
from estimators.optimise.ascent import LEAST_ROWS
from estimators.optimise.curvature import observed_information
from estimators.optimise.objective import Objective, Parts, log_likelihood
from estimators.parameters.edges import Edge, End, edges_where
from estimators.programs.marginal import ExpectedLogLikelihood, ProgramMarginal
from estimators.programs.parts import ProgramParts
from estimators.programs.prior_draws import prior_draws
from estimators.programs.remarks import remarks_of

# A log scale below this, with the likelihood still growing by half a row for each unit down, is a spike.
SPIKE = -12.0
# The prior width of a location, at most, in units of its own value.
WIDEST = 1e4


class ProgramDensity:
    """The density of a program's rows and Greeks in parts, hidden sites summed out, as a function of v [..., D].

    Coordinates are of what the program's distributions allow.
    """

    def __init__(self, marginal: ProgramMarginal) -> None:
        self.marginal = marginal
        self.size, self.bounded = marginal.coordinates.size, marginal.coordinates.bounded
        self.data, self.total_weight, self.count = marginal.data, marginal.total_weight, marginal.count
        if not self.size:
            raise ValueError("PyroModel: the program has no continuous site or parameter to estimate")

    def of(self, data: Data) -> "ProgramDensity":
        return ProgramDensity(self.marginal.of(data))

    def beyond_priors(self) -> "ProgramDensity":
        """The density itself: a program does not say what its likelihood would allow without its priors."""
        return self

    # ---------------------------------------------------------------- row by row

    def pointwise(self, greeks: Mapping[str, Tensor]) -> Tensor:
        return self.marginal.pointwise(greeks)

    def responsibilities(self, greeks: Mapping[str, Tensor], site: str | None = None) -> Tensor:
        return self.marginal.responsibilities(greeks, site)

    @property
    def latent(self) -> tuple[str, ...]:
        return self.marginal.latent

    def site(self, name: str | None) -> str:
        return self.marginal.site(name)

    @property
    def row_size(self) -> int:
        return self.marginal.row_size

    # ---------------------------------------------------------------- coordinates

    @property
    def names(self) -> list[str]:
        return [greek.name for greek in self.marginal.coordinates.greeks]

    @property
    def supports(self) -> dict[str, Any]:
        return {greek.name: greek.support for greek in self.marginal.coordinates.greeks}

    def constrain(self, coordinates: Array) -> dict[str, Array]:
        return {name: value.numpy() for name, value in self.draws(coordinates).items()}

    def unconstrain(self, greeks: Mapping[str, Array]) -> Array:
        tensors = {name: torch.from_numpy(np.array(value)) for name, value in greeks.items()}
        return self.marginal.coordinates.unconstrain(tensors).numpy()

    def draws(self, coordinates: Array) -> dict[str, Tensor]:
        return self.marginal.coordinates.constrain(torch.from_numpy(np.array(coordinates)))

    def log_jacobian(self, coordinates: Array) -> Array:
        return self._parts.log_jacobian(coordinates)

    def values(self, coordinates: Array) -> Parts:
        return self._parts.values(coordinates)

    def evaluate(self, coordinates: Array) -> tuple[Parts, Parts]:
        return self._parts.evaluate(coordinates)

    def e_step(self, coordinates: Array) -> tuple[float, Array, tuple[Tensor, ...]]:
        return self._expected.e_step(coordinates)

    def expected(self, coordinates: Array, responsibilities: Array, site: str | None = None) -> tuple[Tensor, ...]:
        return self._expected.under(coordinates, torch.from_numpy(responsibilities), self.site(site))

    def m_step(self, coordinates: Array, statistics: Any) -> Array:
        """The maximum of Q, by L-BFGS from `coordinates`."""
        return self._expected.argmax(coordinates, statistics)

    def em_steps(self, points: Array) -> tuple[Array, Array]:
        steps = [self.e_step(point) for point in points]
        moved = [self.m_step(point, step[2]) for point, step in zip(points, steps, strict=True)]
        return np.array([step[0] for step in steps]), np.reshape(moved, points.shape)

    def under(self, points: Array, responsibilities: Array, site: str | None = None) -> Array:
        pairs = zip(points, responsibilities, strict=True)
        moved = [self.m_step(point, self.expected(point, shares, site)) for point, shares in pairs]
        return np.reshape(moved, points.shape)

    def information(self, coordinates: Array) -> Array:
        return observed_information(Objective(self, log_likelihood), coordinates)

    def draw_prior(self, count: int, rng: np.random.Generator) -> Array:
        return prior_draws(self.marginal, count, rng)

    def need_maximum(self) -> None:
        """Nothing is known of a program's likelihood before it is climbed."""

    # A program is captured as tensor operations, which Python calls.
    native_log_posterior = None

    @property
    def has_prior(self) -> bool:
        return all(greek.initial is None for greek in self.marginal.coordinates.greeks)

    def log_priors(self, greeks: Mapping[str, Array]) -> dict[str, Array]:
        """Of all Greeks together: a site's prior may depend on others."""
        return {", ".join(self.names): self.values(self.unconstrain(greeks)).prior}

    def row_information(self, information: Array, at: Array) -> Array:
        """All rows' information [D] over their number, at least that of a prior as wide as `WIDEST` times the value.

        A program does not say in what unit a location is.
        """
        return np.maximum(information / self.total_weight, (WIDEST * (1.0 + np.abs(at))) ** -2.0)

    # The M-step is a climb, which may stop short of its maximum where rounding hides the gain.
    has_closed_form = False

    def has_collapsed(self, coordinates: Array, gradient: Array) -> bool:
        """Whether a scale has run to 0 and the density still grows."""
        tiny = self.marginal.coordinates.scales & (coordinates < SPIKE)
        return bool((gradient[tiny] < -0.5).any())

    def is_spurious(self, coordinates: Array) -> bool:
        """A program does not say which rows a scale is of."""
        return False

    def at_boundary(self, coordinates: Array) -> bool:
        edges = self.edges(self.constrain(coordinates))
        are_maxima = all(edge.kind.is_maximum for edge in edges)
        # A program does not say which of its probabilities are those of classes.
        return bool(edges) and not (are_maxima and self._keeps_classes(coordinates))

    def _keeps_classes(self, coordinates: Array) -> bool:
        """Whether every class of a hidden site has some of the rows, each as often as it counts."""
        totals: defaultdict[int, Any] = defaultdict(float)
        greeks = {name: value[0] for name, value in self.draws(coordinates[None]).items()}
        for site in self.latent:
            shares = self.responsibilities(greeks, site)
            shares = shares * self.marginal.weights.reshape(-1, *[1] * (shares.ndim - 1))
            # Sites with as many values, the states of a chain among them, are taken together.
            totals[shares.shape[-1]] += shares.reshape(-1, shares.shape[-1]).sum(0)
        return all(bool((total >= LEAST_ROWS).all()) for total in totals.values())

    def edges(self, greeks: Mapping[str, Array]) -> list[Edge]:
        """Weights, or probabilities or their complements, that stand for less than a hundredth of a row."""
        edges = []
        for greek in self.marginal.coordinates.greeks:
            for end, share in greek.shares(torch.from_numpy(np.asarray(greeks[greek.name]))):
                is_near = share.numpy() * self.count < LEAST_ROWS
                if end is None:
                    edges += edges_where(greek.name, is_near, "0", End.SHARE)
                else:
                    kind = End.PROBABILITY if end in (0.0, 1.0) else End.SUPPORT
                    edges += edges_where(greek.name, is_near, f"the end of its support, {end:g}", kind)
        return edges

    def remarks(self) -> list[Remark]:
        """Constant columns, and point masses in continuous ones, of the sites of a row."""
        return remarks_of(self.marginal.structure.sites, self.marginal.hidden, self.data)

    def names_at(self, marked: Mask) -> list[str]:
        return self.marginal.coordinates.names_at(marked)

    @cached_property
    def _parts(self) -> ProgramParts:
        return ProgramParts(self.marginal)

    @cached_property
    def _expected(self) -> ExpectedLogLikelihood:
        return ExpectedLogLikelihood(self.marginal)
