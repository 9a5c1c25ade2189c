"""The E-step as tests ask it: the likelihood and Q as differentiable functions of tensors, and Q's maximum."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from estimators.estep.marginal import MixtureMarginal, Statistics
from estimators.estep.terms import Terms
from estimators.isolation import program_mode
from estimators.optimise.arrays import Array
from estimators.programs.factors import weights_of
from estimators.programs.marginal import ExpectedLogLikelihood, ProgramMarginal, complete


def arrays(greeks: Mapping[str, Tensor]) -> dict[str, Array]:
    return {name: value.detach().double().numpy() for name, value in greeks.items()}


class _FirstOrder(torch.autograd.Function):
    """A scalar with known gradients: autograd continues through its arguments, and a second derivative is an error."""

    @staticmethod
    def forward(ctx: Any, evaluate: Callable[..., tuple[Array, list[Array]]], *arguments: Tensor) -> Tensor:
        value, slopes = evaluate(*arguments)
        ctx.save_for_backward(*(torch.from_numpy(np.asarray(slope)) for slope in slopes))
        return torch.as_tensor(value, dtype=torch.float64)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return (None, *(gradient * slope for slope in ctx.saved_tensors))


def log_likelihood_of(marginal: MixtureMarginal, greeks: Mapping[str, Tensor]) -> Tensor:
    """log p(data | φ) of a causal mixture, differentiable to first order."""

    def evaluate(*values: Tensor) -> tuple[Array, list[Array]]:
        at = arrays(dict(zip(greeks, values, strict=True)))
        statistics = marginal.statistics(at)
        slopes = marginal.gradient(at, statistics)
        return statistics.log_likelihood, [slopes[name] for name in greeks]

    return _FirstOrder.apply(evaluate, *greeks.values())


def q_of(marginal: MixtureMarginal, greeks: Mapping[str, Array], statistics: Statistics) -> Array:
    """J(φ; S) as [...]: the expected complete-data log-likelihood."""
    value = np.zeros(())
    for name, linear in Terms(marginal.weights, marginal.nodes).log_linear_by_name():
        coefficients = linear.coefficients(greeks, statistics.references[name])
        value = value + (coefficients * statistics.sums[name]).sum((-1, -2))
    for name, general, columns, shares in marginal.general(statistics):
        value = value + general.complete(general.coefficients(greeks, statistics.references[name]), columns, shares)
    return value


class MixtureExpectation:
    """J(φ; S) of a causal mixture: first order only, its Hessian is complete-data information."""

    def __init__(self, marginal: MixtureMarginal, greeks: Mapping[str, Tensor]) -> None:
        self._marginal, self._at = marginal, arrays(greeks)
        self._statistics = marginal.statistics(self._at)
        self.log_likelihood = float(self._statistics.log_likelihood)

    def q(self, greeks: Mapping[str, Tensor]) -> Tensor:
        def evaluate(*values: Tensor) -> tuple[Array, list[Array]]:
            at = arrays(dict(zip(greeks, values, strict=True)))
            slopes = self._marginal.gradient(at, self._statistics)
            return q_of(self._marginal, at, self._statistics), [slopes[name] for name in greeks]

        return _FirstOrder.apply(evaluate, *greeks.values())

    def argmax(self) -> dict[str, Tensor]:
        best = self._marginal.argmax(self._at, self._statistics)
        return {name: torch.from_numpy(np.asarray(value)) for name, value in best.items()}


class ProgramExpectation:
    """Q(φ) of a program, differentiable; its M-step climbs in unconstrained coordinates."""

    def __init__(self, marginal: ProgramMarginal, greeks: Mapping[str, Tensor]) -> None:
        self._marginal = marginal
        self._greeks = {name: value.detach().double() for name, value in greeks.items()}
        with program_mode():
            factors = marginal.factors(self._greeks)
            value, self._weights = weights_of(factors, marginal.weights)
            self.log_likelihood = float(value + factors.log_global)

    def q(self, greeks: Mapping[str, Tensor]) -> Tensor:
        with program_mode():
            return complete(self._marginal.factors(greeks), self._weights)

    def argmax(self) -> dict[str, Tensor]:
        start = self._marginal.coordinates.unconstrain(self._greeks).numpy()
        expected = ExpectedLogLikelihood(self._marginal)
        best = expected.argmax(start, expected.e_step(start)[2])
        return self._marginal.coordinates.constrain(torch.from_numpy(best))
