"""Far out, where Greeks are rounded to 0, 1 or a clamp, the density is still that of its gradient: by differences."""

import numpy as np
import pyro.distributions as dist
import pytest
import torch

from estimators import CausalMixture, Data
from estimators.contract import Combination, Objective, log_likelihood, log_posterior
from estimators.mechanisms import (
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    FullGaussian,
    Gaussian,
    LinearGaussian,
    Poisson,
)
from tests.objectives import objective_of

FAR = (5.0, 37.0, 100.0, 690.0, 700.0)
RNG = np.random.default_rng(0)
T, C, N, X = RNG.integers(2, size=12), RNG.integers(3, size=12), RNG.poisson(3.0, 12), RNG.normal(size=(12, 2))
SCALE = dist.Gamma(2.0, 1.0)
MODELS = {
    "yes or no": (CausalMixture(2, {"T": Bernoulli(dist.Beta(2.0, 0.5))}), {"T": T}),
    "a uniform prior by autograd": (CausalMixture(2, {"T": Bernoulli(dist.Uniform(0.0, 1.0))}), {"T": T}),
    "levels": (CausalMixture(2, {"C": Categorical(3)}, concentration=0.3), {"C": C}),
    "a table": (CausalMixture(2, {"T": Bernoulli(), "C": Categorical(3, parents=["T"])}), {"T": T, "C": C}),
    "counts": (CausalMixture(2, {"N": Poisson()}), {"N": N}),
    "a cause of Z": (CausalMixture(3, {"T": Bernoulli(), "N": Poisson()}, latent_parents=["T"]), {"T": T, "N": N}),
    "numbers": (CausalMixture(3, {"X": Gaussian(scale=SCALE)}, concentration=2.0), {"X": X[:, 0]}),
    "lines": (
        CausalMixture(2, {"T": Bernoulli(), "X": LinearGaussian(parents=["T"], scale=SCALE)}),
        {"T": T, "X": X[:, 0]},
    ),
    "vectors": (CausalMixture(2, {"X": DiagonalGaussian(2, scale=SCALE)}), {"X": X}),
    "correlated vectors": (CausalMixture(2, {"X": FullGaussian(2, scale=SCALE)}), {"X": X}),
    "rows with gaps": (
        CausalMixture(2, {"T": Bernoulli(), "X": LinearGaussian(parents=["T"], scale=SCALE)}),
        {"T": np.where(np.arange(12) % 3, T, np.nan), "X": X[:, 0], "missing": "marginalize"},
    ),
}
PARTS = {"likelihood": log_likelihood, "with prior and Jacobian": log_posterior}


def slope(objective: Objective, at: np.ndarray, place: int, step: float) -> float:
    move = np.zeros(objective.size)
    move[place] = step
    return float(objective.value(at + move) - objective.value(at - move)) / (2.0 * step)


# The likelihood is a part of the other.
@pytest.mark.parametrize(
    "part",
    [pytest.param(part, id=name, marks=[pytest.mark.slow] * (name == "likelihood")) for name, part in PARTS.items()],
)
@pytest.mark.parametrize(("model", "columns"), MODELS.values(), ids=MODELS)
def test_the_gradient_is_that_of_the_density(model: CausalMixture, columns: dict, part: Combination) -> None:  # type: ignore[type-arg]
    """In every coordinate, alone and all together, where the density is finite; where it is not, it says so."""
    objective = objective_of(model, Data(**columns), part)
    compared = 0
    for far in (sign * size for size in FAR for sign in (1.0, -1.0)):
        for place in range(objective.size):
            at = np.full(objective.size, 0.3)
            at[place] = far
            value, gradient = objective.value_and_gradient(at)
            assert value == objective.value(at) or (np.isnan(value) and np.isnan(objective.value(at)))
            if not np.isfinite(value):
                continue
            found = slope(objective, at, place, 1e-3 if abs(gradient[place]) < 1e6 else 1e-6)
            if np.isfinite(found):
                rounding = 1e-12 * abs(value) / 1e-6
                assert gradient[place] == pytest.approx(found, rel=1e-4, abs=1e-6 + rounding), (place, far)
                compared += 1
    assert compared >= 6 * objective.size


def test_probabilities_have_a_finite_density_everywhere() -> None:
    """At a logit of v: S₁ log expit(v) + S₀ log expit(-v), with no row the more or the less for rounding."""
    model = CausalMixture(1, {"T": Bernoulli()})
    objective = objective_of(model, Data(T=T), log_likelihood)
    yes, no = int(T.sum()), int((1 - T).sum())
    for v in (*FAR, *(-far for far in FAR)):
        value, gradient = objective.value_and_gradient(np.array([v]))
        assert value == pytest.approx(-yes * np.logaddexp(0.0, -v) - no * np.logaddexp(0.0, v), rel=1e-14)
        assert gradient[0] == pytest.approx((yes if v < 0 else -no), abs=0.2)


@pytest.mark.parametrize("name", ["yes or no", "levels", "a cause of Z"])
def test_by_logs_and_by_values_are_one_density(name: str) -> None:
    """Where Greeks keep their digits, the public likelihood of the Greeks is the density's."""
    model, columns = MODELS[name]
    marginal = model.marginal(Data(**columns))
    objective = objective_of(model, Data(**columns), log_likelihood)
    at = np.random.default_rng(1).normal(size=(4, objective.size))
    greeks = {key: torch.from_numpy(value) for key, value in objective.density.constrain(at).items()}
    by_value = marginal.pointwise(greeks).sum(-1).numpy()
    np.testing.assert_allclose(objective.value(at), by_value, rtol=1e-12)


def test_a_point_without_a_density_does_not_spoil_the_others_of_a_batch() -> None:
    model, columns = MODELS["correlated vectors"]
    density = model.density(Data(**columns))
    near = 0.3 * np.random.default_rng(0).standard_normal(density.size)
    for far in (np.full(density.size, 1000.0), np.full(density.size, -1000.0), 300.0 * np.sign(near)):
        values = density.values(np.stack([near, far, near]))
        alone = density.values(near)
        np.testing.assert_allclose(values.likelihood[[0, 2]], float(alone.likelihood), rtol=1e-12)
        _, gradients = density.evaluate(np.stack([near, far]))
        np.testing.assert_allclose(gradients.likelihood[0], density.evaluate(near)[1].likelihood, rtol=1e-9)
