"""Far out, where probabilities of a program are rounded to 0 or 1, its density is that of its gradient: by differences.

The true density goes on: ``log(1 - p)`` is -v for a logit v that rounds p to 1.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.ops.indexing import Vindex
from torch import Tensor

from estimators import Data, PyroModel
from estimators.contract import Combination, Objective, log_likelihood, log_posterior
from estimators.programs.coordinates import Coordinates
from estimators.programs.logs import KeptLogs, simplex_logs, unit_interval_logs
from tests.objectives import objective_of
from tests.test_far_out import slope

FAR = [sign * size for size in (5.0, 20.0, 36.0, 37.0, 40.0, 100.0, 690.0) for sign in (1.0, -1.0)]
RNG = np.random.default_rng(0)
# Z is seen but in two rows, so that a wrong value costs.
COLUMNS = {"Z": np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1, -1, -1]), "T": RNG.integers(2, size=12)}
COLUMNS["C"] = RNG.integers(3, size=12)


def program_of(prior: Callable[[], Any], observed: Callable[[Tensor, Tensor], dict[str, Any]]) -> PyroModel:
    """One Greek g with a prior, and what is observed given g and Z."""

    def program(N: int) -> None:
        greek = pyro.sample("g", prior())
        with pyro.plate("rows", N):
            z = pyro.sample("Z", dist.Categorical(torch.tensor([0.4, 0.6])))
            for name, law in observed(greek, z).items():
                pyro.sample(name, law)

    return PyroModel(program)


def pair(law: Any) -> Callable[[], Any]:
    return lambda: law().expand([2]).to_event(1)


BETA = pair(lambda: dist.Beta(2.0, 0.5))
WEIGHTS = pair(lambda: dist.Dirichlet(torch.full((3,), 0.7)))
MODELS = {
    "Bernoulli(p)": (program_of(BETA, lambda p, z: {"T": dist.Bernoulli(p[z])}), ["T"]),
    "Bernoulli(p), p uniform": (
        program_of(pair(lambda: dist.Uniform(0.0, 1.0)), lambda p, z: {"T": dist.Bernoulli(p[z])}),
        ["T"],
    ),
    "Bernoulli(1 - p)": (program_of(BETA, lambda p, z: {"T": dist.Bernoulli(1 - p[z])}), ["T"]),
    "Categorical([1 - p, p])": (
        program_of(BETA, lambda p, z: {"T": dist.Categorical(torch.stack([1.0 - p, p], -1)[z])}),
        ["T"],
    ),
    "Categorical(w)": (program_of(WEIGHTS, lambda w, z: {"C": dist.Categorical(Vindex(w)[z])}), ["C"]),
    "Bernoulli(logits)": (
        program_of(pair(lambda: dist.Normal(0.0, 3.0)), lambda v, z: {"T": dist.Bernoulli(logits=v[z])}),
        ["T"],
    ),
}


def objective_for(name: str, combination: Combination) -> Objective:
    model, observed = MODELS[name]
    columns = {key: COLUMNS[key] for key in ("Z", *observed)}
    return objective_of(model, Data(**columns), combination)


def differing(objective: Objective) -> set[float]:
    """Where some entry of the gradient is no difference quotient of the value, or the value is not finite."""
    distances = set()
    for far in FAR:
        for index in range(objective.size):
            at = np.full(objective.size, 0.3)
            at[index] = far
            value, gradient = objective.value_and_gradient(at)
            assert value == pytest.approx(float(objective.value(at)), rel=1e-13)
            quotient = slope(objective, at, index, 1e-3)
            rounding = 1e-12 * abs(value) / 1e-3
            if not (np.isfinite(value) and gradient[index] == pytest.approx(quotient, rel=1e-6, abs=1e-6 + rounding)):
                distances.add(far)
    return distances


@pytest.mark.parametrize(
    "combination",
    [
        # A part of the other.
        pytest.param(log_likelihood, id="likelihood", marks=pytest.mark.slow),
        pytest.param(log_posterior, id="with prior and Jacobian"),
    ],
)
@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_is_that_of_the_density(name: str, combination: Combination) -> None:
    assert not differing(objective_for(name, combination))


def test_by_rounded_probabilities_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: what the test above says of a program whose logs are those of rounded numbers."""
    monkeypatch.setattr(Coordinates, "kept_logs", lambda *_: nullcontext())
    for name in ("Bernoulli(p)", "Categorical(w)"):
        assert 36.0 in differing(objective_for(name, log_posterior))


def test_the_density_is_the_formula_everywhere() -> None:
    """At logits v: S₁ log expit(v) + S₀ log expit(-v) of each class; also of EM's expected log-likelihood."""
    model, _ = MODELS["Bernoulli(p)"]
    z, t = COLUMNS["Z"][:10], COLUMNS["T"][:10]
    density = model.density(Data(Z=z, T=t))
    objective = Objective(density, log_likelihood)
    known = float(np.log(np.array([0.4, 0.6]))[z].sum())
    for v in FAR:
        at = np.array([v, -v])
        expected = known - np.logaddexp(0.0, np.where(t == 1, -1.0, 1.0) * at[z]).sum()
        assert float(objective.value(at)) == pytest.approx(expected, rel=1e-14)
        assert density.e_step(at)[0] == pytest.approx(expected, rel=1e-14)
        np.testing.assert_allclose(density.e_step(at)[1], objective.value_and_gradient(at)[1], rtol=1e-12)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n not in ("Bernoulli(1 - p)", "Categorical(w)"))) for n in MODELS],
)
def test_by_logs_and_by_values_are_one_density(name: str) -> None:
    """Where Greeks keep their digits, the public likelihood of the Greeks is the density's."""
    objective = objective_for(name, log_likelihood)
    density = objective.density
    for at in np.random.default_rng(1).normal(size=(4, density.size)):
        greeks = {key: torch.from_numpy(value) for key, value in density.constrain(at).items()}
        by_value = float(density.marginal.pointwise(greeks).sum())
        assert float(objective.value(at)) == pytest.approx(by_value, rel=1e-12)


def test_what_is_written_into_a_probability_has_no_logs_of_before() -> None:
    """A value written into p, or through a view of it, counts; what is computed from p by other ways is as ever."""
    v = torch.tensor([0.3, 50.0], dtype=torch.float64)

    def kept(p: Tensor) -> KeptLogs:
        return KeptLogs([(p, unit_interval_logs(v))])

    p = torch.sigmoid(v)
    with kept(p):
        torch.testing.assert_close((1.0 - p).log()[1], torch.tensor(-50.0).double())
        assert bool(torch.isinf((1.0 - p * 1.0).log()[1]))
        assert float((p.clamp(0.1, 0.4)).log()[0]) == pytest.approx(np.log(0.4))
        assert float((2.0 - p).log()[0]) == pytest.approx(np.log(2.0 - float(p[0])))
        p[1] = 0.5
        assert float(p.log()[1]) == pytest.approx(np.log(0.5))
    p = torch.sigmoid(v)
    with kept(p):
        view = p[1:]
        view[0] = 0.25
        assert float((1.0 - p).log()[1]) == pytest.approx(np.log(0.75))
        assert float(view.log()[0]) == pytest.approx(np.log(0.25))


def test_logs_are_those_of_the_maps() -> None:
    v = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p = torch.distributions.biject_to(torch.distributions.constraints.simplex)(v)
    torch.testing.assert_close(simplex_logs(v).log_p, p.log(), rtol=1e-12, atol=1e-12)
    yes, no = unit_interval_logs(v)
    torch.testing.assert_close(yes, torch.sigmoid(v).log(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(no, (1.0 - torch.sigmoid(v)).log(), rtol=1e-12, atol=1e-12)
