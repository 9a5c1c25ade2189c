"""Draws of priors with tiny concentrations: none is exactly uniform, and the largest weight has the mean it should."""

from collections.abc import Callable

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import stats
from scipy.integrate import quad
from torch import Tensor

from estimators import CausalMixture, Data, Exact, Fit, PyroModel
from estimators.isolation import isolated
from estimators.mechanisms import Bernoulli, Categorical, Gaussian, Poisson
from estimators.parameters.sparse import in_logs
from validation.testing import Stat

SMALL = 1e-3
BETA, DIRICHLET = dist.Beta(SMALL, SMALL), dist.Dirichlet(torch.full((3,), SMALL, dtype=torch.float64))
MODEL = CausalMixture(
    2,
    {"T": Bernoulli(BETA), "C": Categorical(3, DIRICHLET), "N": Poisson(dist.Gamma(SMALL, 1.0))},
    concentration=SMALL,
)
UNIFORM = {"theta": 1 / 2, "p_T": 1 / 2, "p_C": 1 / 3, "w": 1 / 2, "p": 1 / 2}
REPEATS = 60


def program(num_rows: int) -> None:
    """Sparse priors inside an event, a plate and a mask."""
    weights = pyro.sample("w", dist.Dirichlet(torch.full((2,), SMALL)))
    with pyro.plate("components", 2):
        chances = pyro.sample("p", dist.Beta(torch.tensor(SMALL), torch.tensor(SMALL)).mask(True))
    with pyro.plate("rows", num_rows):
        z = pyro.sample("z", dist.Categorical(weights))
        pyro.sample("x", dist.Bernoulli(chances[z]))


def _traced(run: Callable[[int], object], names: list[str]) -> dict[str, Tensor]:
    with isolated(0):
        traces = [pyro.poutine.trace(run).get_trace(2) for _ in range(REPEATS)]
    return {name: torch.stack([trace.nodes[name]["value"] for trace in traces]) for name in names}


def _improved_starts() -> dict[str, Tensor]:
    density = PyroModel(program).density(Data(x=[0.0, 1.0]))
    return density.draws(density.draw_prior(REPEATS, np.random.default_rng(0)))


ROUTES: dict[str, Callable[[], dict[str, Tensor]]] = {
    "prior predictive": lambda: {k: v for k, v in MODEL.prior_predictive(REPEATS, seed=0).items() if k in UNIFORM},
    "prior Greeks": lambda: {
        name: torch.stack([MODEL.prior_greeks(seed)[name] for seed in range(REPEATS)])
        for name in ("theta", "p_T", "p_C")
    },
    "program of a mixture": lambda: _traced(MODEL, ["theta", "p_T", "p_C"]),
    "program of a user": lambda: _traced(PyroModel(program), ["w", "p"]),
    "starts of a program": _improved_starts,
    "truths of a study": lambda: {
        name: torch.stack([PyroModel(program).prior_greeks(seed)[name] for seed in range(16)]) for name in ("w", "p")
    },
}


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
def test_no_draw_is_exactly_uniform(route: Callable[[], dict[str, Tensor]]) -> None:
    for name, drawn in route().items():
        assert bool(torch.isfinite(drawn).all()) and bool((drawn > 0).all()), name
        assert not bool((drawn == UNIFORM[name]).any()), name
        assert float((drawn > 0.99).double().sum()) > 0.1 * len(drawn), f"{name}: sparse weights are mostly 0 or 1"


def test_torch_s_own_draws_are_uniform_in_a_quarter() -> None:
    """What the draws above are not: (the largest of two Gamma draws underflows as well) in a share 0.49²."""
    with isolated(0):
        assert float((dist.Beta(torch.tensor(SMALL).double(), SMALL).sample((1000,)) == 0.5).double().mean()) > 0.15


def _largest_of_three(c: float) -> float:
    """E max = ∫ P(p is the largest) dBeta(p; c + 1, 2c), the law of a weight taken in proportion to itself."""
    law, rest = stats.beta(c + 1.0, 2.0 * c), stats.beta(c, c)
    inside = quad(lambda p: law.pdf(p) * (2.0 * rest.cdf(p / (1.0 - p)) - 1.0), 1 / 3, 1 / 2)[0]
    return float(law.sf(0.5) + inside)


@pytest.mark.parametrize("concentration", [1e-3, 0.05])
@pytest.mark.statistical(checks=2, min_effect=0.02)
def test_the_largest_weight_has_its_mean(stat: Stat, concentration: float) -> None:
    """A uniform number lies below the largest weight with probability E max."""
    expected = {2: float(stats.beta(concentration + 1.0, concentration).sf(0.5)), 3: _largest_of_three(concentration)}
    with isolated(stat.seed):
        for size, mean in expected.items():
            prior = dist.Dirichlet(torch.full((size,), concentration, dtype=torch.float64))
            below = torch.rand(20_000).double() < in_logs(prior).sample((20_000,)).max(-1).values
            stat.proportion(int(below.sum()), 20_000, mean)
            with stat.control():
                if concentration < 0.01:
                    # torch's own sampler: a quarter, or an eighth, of its draws are exactly uniform.
                    below = torch.rand(20_000).double() < prior.sample((20_000,)).max(-1).values
                    stat.proportion(int(below.sum()), 20_000, mean)
                else:
                    stat.proportion(int(below.sum()), 20_000, mean - 0.03)


def test_ordinary_priors_are_drawn_as_pyro_draws_them() -> None:
    for prior in (dist.Dirichlet(torch.ones(3)), dist.Beta(1.0, 2.0), dist.Gamma(SMALL, 1.0), dist.Normal(0.0, 1.0)):
        assert in_logs(prior) is prior
    wrapped = in_logs(dist.Beta(torch.full((2,), SMALL), SMALL).to_event(1))
    assert wrapped.event_shape == (2,) and wrapped.sample((5,)).shape == (5, 2)
    value = torch.tensor([0.2, 0.7])
    assert torch.equal(wrapped.log_prob(value), dist.Beta(torch.full((2,), SMALL), SMALL).to_event(1).log_prob(value))


def test_exact_draws_without_rows_are_the_sparse_prior_s() -> None:
    """Z set in every row says nothing of theta: its posterior is its prior, no draw of which is uniform or NaN."""
    model = CausalMixture(2, {"T": Bernoulli(BETA)}, concentration=SMALL)
    fit = Exact(num_draws=400).fit(model, Data(T=[0.0, 1.0], Z=[0, 0], intervened={"Z": True}), seed=0)
    for name in ("theta", "p_T"):
        drawn = fit.draws[name]
        assert bool(torch.isfinite(drawn).all()) and not bool((drawn == 0.5).any()), name


@pytest.mark.parametrize("query", ["mean", "sample"])
def test_a_setting_drawn_from_a_sparse_law_is_not_uniform(query: str) -> None:
    model = CausalMixture(1, {"T": Gaussian(), "Y": Gaussian()})
    fit = Fit.from_greeks(model, {"theta": [1.0], "mu_T": [0.0], "sigma_T": [1.0], "mu_Y": [0.0], "sigma_Y": [1.0]})
    found = fit.do(T=BETA)
    if query == "sample":
        assert not bool((found.sample(200, seed=0)["T"] == 0.5).any())
    else:
        assert float(found.mean("T").value) == pytest.approx(0.5, abs=0.1)
