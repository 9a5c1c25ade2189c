"""log p(data, φ) of a program, with its gradient, as a function of unconstrained coordinates."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from pyro.infer import ELBO, TraceEnum_ELBO
from torch import Tensor

from estimators.data.data import Data
from estimators.optimise.ascent import LEAST_ROWS, ascend
from estimators.optimise.ranking import best_first
from estimators.parameters.edges import SHARE, SUPPORT, Edge, Mask, edges_where
from estimators.parameters.parameter import Array
from estimators.programs.captured import Graph
from estimators.programs.conditioned import conditioned
from estimators.programs.marginal import ExpectedLogLikelihood, ProgramMarginal
from estimators.programs.prior_draws import prior_draws

# A log scale below this, with the likelihood still growing by half a row for each unit down, is a spike.
SPIKE = -12.0
# Draws of the priors that are scored as starts, and how many of the best are improved, by how many steps.
PRIOR_DRAWS = 200
CLIMBS = 8
CLIMB_STEPS = 25
EM_STEPS = 2
# The widest that a location may be against its own value.
WIDEST = 1e4


class ProgramDensity:
    """``v → log p(data | φ(v)) [+ log p(φ(v))] [+ log |dφ/dv|]``; the counterpart of a mixture's `Density`."""

    def __init__(self, marginal: ProgramMarginal, *, prior: bool = True, jacobian: bool = False) -> None:
        self.marginal, self._prior, self._jacobian = marginal, prior, jacobian
        self.size, self.bounded = marginal.coordinates.size, marginal.coordinates.bounded
        self.data, self.total_weight, self.count = marginal.data, marginal.total_weight, marginal.count
        if not self.size:
            raise ValueError("PyroModel: the program has no continuous site or parameter to estimate")

    def of(self, data: Data) -> "ProgramDensity":
        """The same density of other rows with the same columns."""
        return ProgramDensity(self.marginal.of(data), prior=self._prior, jacobian=self._jacobian)

    # ---------------------------------------------------------------- row by row

    def pointwise(self, greeks: Mapping[str, Tensor]) -> Tensor:
        """log p(row | φ) as [..., N], without the weights."""
        return self.marginal.pointwise(greeks)

    def responsibilities(self, greeks: Mapping[str, Tensor], site: str | None = None) -> Tensor:
        """p(site = k | row, φ) as [..., N, K]; one-hot where it is known."""
        return self.marginal.responsibilities(greeks, site)

    @property
    def latent(self) -> tuple[str, ...]:
        """The hidden sites."""
        return self.marginal.latent

    def site(self, name: str | None) -> str:
        """The hidden site that is meant: the one named, or the only one."""
        return self.marginal.site(name)

    @property
    def row_size(self) -> int:
        """Numbers that are held at one time for each draw of the Greeks."""
        return self.marginal.row_size

    # ---------------------------------------------------------------- coordinates

    @property
    def names(self) -> list[str]:
        """The Greeks."""
        return [greek.name for greek in self.marginal.coordinates.greeks]

    @property
    def supports(self) -> dict[str, Any]:
        """The support of every Greek."""
        return {greek.name: greek.support for greek in self.marginal.coordinates.greeks}

    def unit_of(self, name: str) -> float:
        """How far a Greek moves for a unit step of its coordinate."""
        return 1.0

    def constrain(self, coordinates: Array) -> dict[str, Array]:
        """φ(v) for v [..., D]."""
        return {name: value.numpy() for name, value in self.draws(coordinates).items()}

    def unconstrain(self, greeks: Mapping[str, Array]) -> Array:
        """v(φ) as [..., D]."""
        tensors = {name: torch.from_numpy(np.array(value)) for name, value in greeks.items()}
        return self.marginal.coordinates.unconstrain(tensors).numpy()

    def draws(self, coordinates: Array) -> dict[str, Tensor]:
        """φ(v) of every draw, as tensors [S, *shape]."""
        return self.marginal.coordinates.constrain(torch.from_numpy(np.array(coordinates)))

    def value(self, coordinates: Array) -> Array:
        """The log density alone, for a batch of coordinates [..., D]."""
        points = torch.from_numpy(np.array(coordinates))
        if points.ndim == 1:
            return self._value(points)[0].numpy()
        return self._value.batched(points)[0].numpy()

    def value_and_gradient(self, coordinates: Array) -> tuple[float, Array]:
        """The log density and its gradient [D] at one point [D]."""
        value, gradient = self._value_and_gradient(torch.from_numpy(np.asarray(coordinates)))
        found = gradient.numpy()
        return (float(value), found) if np.isfinite(found).all() else (-np.inf, np.zeros(self.size))

    def expand(self, coordinates: Array) -> tuple[float, Array, tuple[Tensor, ...]]:
        """The log-likelihood, its gradient, and the factors' posterior weights."""
        return self._expected.e_step(coordinates)

    def starts(self, count: int, rng: np.random.Generator, *, refinements: int, unrefined: bool = False) -> Array:
        """The best draws [B, D] of the priors, the very best of them improved: by EM steps, or by climbing the density.

        The columns of a program have no known meaning that would give other candidates.
        """
        drawn = best_first(self, prior_draws(self.marginal, max(count, PRIOR_DRAWS), rng))[:count]
        improved = []
        for point in drawn[:CLIMBS]:
            if unrefined:
                improved.append(ascend(self, point, 1e-4, max_steps=CLIMB_STEPS).coordinates)
                continue
            for _ in range(EM_STEPS):
                point = self.m_step(point, self.expand(point)[2])
            improved.append(point)
        return best_first(self, np.array([*improved, *drawn[CLIMBS:]]))

    def need_maximum(self) -> None:
        """Nothing is known of a program's likelihood before it is climbed."""

    def trainable(self) -> tuple[Callable[[], None], ELBO]:
        """The Pyro program, whose hidden sites Pyro itself enumerates, and the objective by which SVI trains it."""
        rows = self.data.repeated("MAP on a PyroModel", "EM or NUTS")
        program, nesting = conditioned(self.marginal if rows is self.data else self.marginal.of(rows))
        return program, TraceEnum_ELBO(max_plate_nesting=nesting)

    @property
    def has_prior(self) -> bool:
        """Whether every Greek has a prior: a `pyro.param` statement has none."""
        return all(greek.initial is None for greek in self.marginal.coordinates.greeks)

    def row_information(self, information: Array, at: Array) -> Array:
        """What one row tells about a location [D], whose unit nobody states: all rows' information over their number.

        And where they have none, at least that it is not ten thousand times its value.
        """
        return np.maximum(information / self.total_weight, (WIDEST * (1.0 + np.abs(at))) ** -2.0)

    def m_step(self, coordinates: Array, statistics: Any) -> Array:
        """The maximum of Q, by L-BFGS from `coordinates`."""
        return self._expected.argmax(coordinates, statistics)

    # An M-step that does not move may have been stopped by rounding.
    has_closed_form = False

    def looks_collapsed(self, coordinates: Array) -> bool:
        """Whether a scale (or a rate) is next to 0."""
        return bool((self.marginal.coordinates.scales & (coordinates < SPIKE)).any())

    def has_collapsed(self, coordinates: Array, gradient: Array) -> bool:
        """Whether a scale has run to 0 and the density still grows."""
        tiny = self.marginal.coordinates.scales & (coordinates < SPIKE)
        return bool((gradient[tiny] < -0.5).any())

    def at_boundary(self, coordinates: Array) -> bool:
        """Whether anything has run to an end of its support."""
        return bool(self.edges(self.constrain(coordinates)))

    def edges(self, greeks: Mapping[str, Array]) -> list[Edge]:
        """Weights, or probabilities or their complements, that stand for less than a hundredth of a row."""
        found = []
        for greek in self.marginal.coordinates.greeks:
            for end, share in greek.shares(torch.from_numpy(np.asarray(greeks[greek.name]))):
                few = share.numpy() * self.count < LEAST_ROWS
                if end is None:
                    found += edges_where(greek.name, few, "0", SHARE)
                else:
                    found += edges_where(greek.name, few, f"the end of its support, {end:g}", SUPPORT)
        return found

    def names_at(self, marked: Mask) -> list[str]:
        """The Greeks of which some coordinate is marked [D]."""
        return self.marginal.coordinates.names_at(marked)

    def log_joint(self, v: Tensor) -> Tensor:
        """The density as a function of a tensor [D], in `program_mode`."""
        marginal = self.marginal
        greeks = marginal.coordinates.constrain(v)
        with marginal.coordinates.kept_logs(v, greeks):
            factors = marginal.factors(greeks)
            log_jacobian = marginal.coordinates.log_jacobian(v, greeks) if self._jacobian else 0.0
        value = (factors.pointwise() * marginal.weights).sum() + factors.log_global
        if self._prior:
            value = value + factors.log_prior
        return value + log_jacobian

    # ---------------------------------------------------------------- graphs

    @cached_property
    def _value(self) -> Graph:
        return self.marginal.graph(lambda v: (self.log_joint(v),), self.marginal.example)

    @cached_property
    def _value_and_gradient(self) -> Graph:
        def both(v: Tensor) -> tuple[Tensor, ...]:
            v = v.detach().requires_grad_()
            with torch.enable_grad():
                value = self.log_joint(v)
                (slope,) = torch.autograd.grad(value, v, allow_unused=True, materialize_grads=True)
            return value.detach(), slope

        return self.marginal.graph(both, self.marginal.example)

    @cached_property
    def _expected(self) -> ExpectedLogLikelihood:
        return ExpectedLogLikelihood(self.marginal)
