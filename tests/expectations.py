"""The E-step at a point, as tests ask it: Q as a differentiable function of tensors, and its maximum."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from estimators.estep.marginal import MixtureMarginal
from estimators.isolation import program_mode
from estimators.optimise.arrays import Array
from estimators.optimise.first_order import differentiable
from estimators.programs.factors import weights_of
from estimators.programs.marginal import ExpectedLogLikelihood, ProgramMarginal, complete


def arrays(greeks: Mapping[str, Tensor]) -> dict[str, Array]:
    return {name: value.detach().double().numpy() for name, value in greeks.items()}


class MixtureExpectation:
    """J(φ; S) of a causal mixture: first order only, its Hessian is complete-data information."""

    def __init__(self, marginal: MixtureMarginal, greeks: Mapping[str, Tensor]) -> None:
        self._marginal, self._at = marginal, arrays(greeks)
        self._statistics = marginal.statistics(self._at)
        self.log_likelihood = float(self._statistics.log_likelihood)

    def q(self, greeks: Mapping[str, Tensor]) -> Tensor:
        names = list(greeks)

        def evaluate(*values: Tensor) -> tuple[Array, list[Array]]:
            at = arrays(dict(zip(names, values, strict=True)))
            slopes = self._marginal.gradient(at, self._statistics)
            return self._marginal.complete(at, self._statistics), [slopes[name] for name in names]

        return differentiable(evaluate, [greeks[name] for name in names])

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
