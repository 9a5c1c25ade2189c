"""The likelihood, prior and Jacobian of a program as functions of coordinates, each captured once with its gradient."""

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from estimators.optimise.arrays import Array
from estimators.optimise.objective import Parts
from estimators.programs.captured import Graph
from estimators.programs.marginal import ProgramMarginal


class ProgramParts:
    """The parts of the density of a program's rows and Greeks."""

    def __init__(self, marginal: ProgramMarginal) -> None:
        self._marginal = marginal
        # Made before anything that uses it is captured.
        self._factors_at = marginal.factors_at

    def values(self, coordinates: Array) -> Parts:
        """The parts [...] at points [..., D]."""
        return Parts(*(part.numpy() for part in _at(self.alone, coordinates)))

    def log_jacobian(self, coordinates: Array) -> Array:
        """log |dφ/dv| [...] at points [..., D]."""
        return np.asarray(_at(self._jacobian, coordinates)[0].numpy())

    def evaluate(self, coordinates: Array) -> tuple[Parts, Parts]:
        """The parts [...] at points [..., D], and their gradients [..., D]: -inf, and 0, where these are not finite."""
        likelihood, prior, jacobian, *slopes = (part.numpy() for part in _at(self.evaluated, coordinates))
        gradients = np.stack(slopes)
        if np.isfinite(gradients).all():
            return Parts(likelihood, prior, jacobian), Parts(*gradients)
        is_finite = np.isfinite(gradients).all((0, -1))
        gradients = np.where(is_finite[..., None], gradients, 0.0)
        return Parts(np.where(is_finite, likelihood, -np.inf), prior, jacobian), Parts(*gradients)

    def at(self, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The parts at a tensor [D], in `program_mode`."""
        factors = self._factors_at(v)
        log_likelihood = (factors.pointwise() * self._marginal.weights).sum() + factors.log_global
        return log_likelihood, factors.log_prior, self._jacobian_at(v)[0]

    def _jacobian_at(self, v: Tensor) -> tuple[Tensor]:
        coordinates = self._marginal.coordinates
        greeks = coordinates.constrain(v)
        with coordinates.kept_logs(v, greeks):
            return (coordinates.log_jacobian(v, greeks),)

    @cached_property
    def _jacobian(self) -> Graph:
        return self._marginal.graph(self._jacobian_at, self._marginal.example)

    @cached_property
    def alone(self) -> Graph:
        """The three parts without their gradients."""
        return self._marginal.graph(self.at, self._marginal.example)

    @cached_property
    def evaluated(self) -> Graph:
        """The three parts and their three gradients, as one graph."""

        def with_gradients(v: Tensor) -> tuple[Tensor, ...]:
            v = v.detach().requires_grad_()
            with torch.enable_grad():
                parts = self.at(v)
                gradients = [_slope(part, v) for part in parts]
            return *(part.detach() for part in parts), *gradients

        return self._marginal.graph(with_gradients, self._marginal.example)


def _slope(part: Tensor, v: Tensor) -> Tensor:
    # Some parts are constant: a flat prior, the Jacobian of a location.
    if not part.requires_grad:
        return torch.zeros_like(v)
    return torch.autograd.grad(part, v, allow_unused=True, materialize_grads=True, retain_graph=True)[0]


def _at(graph: Graph, coordinates: Array) -> tuple[Tensor, ...]:
    points = torch.from_numpy(np.array(coordinates))
    return graph(points) if points.ndim == 1 else graph.batched(points)
