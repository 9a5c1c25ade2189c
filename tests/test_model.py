"""A model is a Pyro program: it runs, intervenes, conditions, and Pyro's own inference works on it."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import MCMC, NUTS, SVI, Predictive, TraceEnum_ELBO, config_enumerate, infer_discrete
from pyro.infer.autoguide import AutoNormal

from estimators import CausalMixture, GaussianMixture
from estimators.mechanisms import Bernoulli, Gaussian, LinearGaussian
from tests.models import MODELS
from validation.testing import Stat

EVERY_MODEL = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


@pytest.fixture(autouse=True)
def _own_randomness():  # type: ignore[no-untyped-def]
    with torch.random.fork_rng(devices=[]), pyro.get_param_store().scope():
        pyro.set_rng_seed(0)
        yield


@EVERY_MODEL
def test_it_draws_rows(model: CausalMixture) -> None:
    rows = model(4)
    assert set(rows) == {*model.mechanisms, "Z"}
    assert all(column.shape == (4,) for column in rows.values())
    assert rows["Z"].dtype == torch.int64
    assert all(rows[name].dtype == torch.float64 for name in model.mechanisms)


def test_a_model_is_a_line_that_names_what_is_there() -> None:
    assert repr(GaussianMixture(3)) == "GaussianMixture(K=3; X ~ Gaussian())"
    mechanisms = {"W": Bernoulli(), "Y": LinearGaussian(parents=["W", "age", "W:age"])}
    model = CausalMixture(2, mechanisms, latent_parents=["W"], covariates=["age"])
    line = "CausalMixture(K=2; W ~ Bernoulli(); Y ~ LinearGaussian(W, age, W:age); Z given W; covariates age)"
    assert repr(model) == line
    many = CausalMixture(2, {f"indicator_{number}": Bernoulli() for number in range(40)})
    assert len(repr(many)) <= 200 and repr(many).endswith(" ...")


@EVERY_MODEL
@pytest.mark.parametrize("latent", [torch.tensor(0), torch.zeros(10, dtype=torch.long)], ids=["one", "per row"])
def test_do_on_z_sets_z_and_leaves_theta(model: CausalMixture, latent: torch.Tensor) -> None:
    trace = pyro.poutine.trace(pyro.do(model, data={"Z": latent})).get_trace(10)
    rows = trace.nodes["_RETURN"]["value"]
    assert torch.equal(rows["Z"], torch.zeros(10, dtype=torch.long))
    assert all(rows[name].shape == (10,) for name in model.mechanisms)
    assert "theta" in trace.nodes
    trace.compute_log_prob()
    assert not any(site["is_observed"] for name, site in trace.nodes.items() if name in model.mechanisms)


def test_do_moves_x_to_the_component() -> None:
    model = GaussianMixture(K=2)
    known = pyro.condition(model, data={"theta": torch.tensor([0.5, 0.5]), "mu_X": torch.tensor([-50.0, 50.0])})
    assert bool((pyro.do(known, data={"Z": torch.tensor(1)})(100)["X"] > 0).all())
    assert bool((pyro.do(known, data={"Z": torch.tensor(0)})(100)["X"] < 0).all())


@EVERY_MODEL
def test_condition_and_log_prob(model: CausalMixture) -> None:
    observed = {name: torch.linspace(-1.0, 1.0, 6, dtype=torch.float64) for name in model.mechanisms}
    trace = pyro.poutine.trace(pyro.condition(model, data=observed)).get_trace(6)
    assert torch.isfinite(trace.log_prob_sum())
    for name, column in observed.items():
        assert torch.equal(trace.nodes["_RETURN"]["value"][name], column)
        assert trace.nodes[name]["is_observed"]


def test_pyros_own_inference_runs_unchanged() -> None:
    model = GaussianMixture(K=2)
    rows = torch.tensor([0.0, 1.0, 10.0, 11.0, 12.0], dtype=torch.float64)
    observed = pyro.condition(model, data={"X": rows})
    guide = AutoNormal(pyro.poutine.block(observed, hide=["Z"]))
    svi = SVI(observed, guide, pyro.optim.ClippedAdam({"lr": 0.05}), TraceEnum_ELBO(max_plate_nesting=1))
    losses = [svi.step(5) for _ in range(60)]
    assert sum(losses[-10:]) < sum(losses[:10])
    mcmc = MCMC(NUTS(observed, max_plate_nesting=1), num_samples=5, warmup_steps=5, disable_progbar=True)
    mcmc.run(5)
    draws = mcmc.get_samples()
    assert draws["mu_X"].shape == (5, 2)
    predicted = Predictive(model, posterior_samples=draws)(3)
    assert predicted["X"].shape == (5, 3)
    labels = infer_discrete(config_enumerate(observed), first_available_dim=-2)(5)["Z"]
    assert labels.shape == (5,)


@pytest.mark.statistical(min_effect=0.1)
def test_simulate_follows_the_greeks(stat: Stat) -> None:
    model = CausalMixture(2, {"X": Gaussian()}, concentration=1.0)
    greeks = {"theta": [0.25, 0.75], "mu_X": [-100.0, 100.0], "sigma_X": [0.001, 0.1]}
    rows = model.simulate(2000, greeks, seed=stat.seed)
    assert torch.equal(rows["Z"] == 1, rows["X"] > 0)
    assert torch.equal(model.simulate(2000, greeks, seed=stat.seed)["X"], rows["X"])
    stat.proportion(int((rows["Z"] == 1).sum()), 2000, 0.75)
    with stat.control():
        stat.proportion(int((rows["Z"] == 0).sum()), 2000, 0.75)


def test_the_prior_is_what_was_asked_for() -> None:
    model = CausalMixture(3, {"X": Gaussian(loc=dist.Normal(7.0, 1e-6), scale=dist.LogNormal(0.0, 1e-6))})
    greeks = model.prior_greeks(seed=1)
    torch.testing.assert_close(greeks["mu_X"], torch.full((3,), 7.0).double(), rtol=0, atol=1e-4)
    torch.testing.assert_close(greeks["sigma_X"], torch.ones(3).double(), rtol=0, atol=1e-4)
    assert float(greeks["theta"].sum()) == pytest.approx(1.0, abs=1e-12)
