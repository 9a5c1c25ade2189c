"""Priors over a part of what the likelihood allows: every route stays inside, and gives the density that Pyro gives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.distributions.transforms import biject_to
from torch.distributions import AffineTransform, constraints

from estimators import EM, MAP, NUTS, CausalMixture, Data, Fit, Status
from estimators.algorithms.protocol import Estimator
from estimators.contract import Objective, log_joint, log_posterior
from estimators.mechanisms import (
    Bernoulli,
    DiagonalGaussian,
    FullGaussian,
    Gaussian,
    LinearGaussian,
    Mechanism,
    Poisson,
)
from estimators.mixture.density import Density
from estimators.mixture.symmetry import exchangeable
from tests.refusals import case, refused

ROWS = {
    "T": [0, 1, 0, 1, 1],
    "C": [1, 0, 4, 7, 2],
    "X": [0.0, 1.0, 10.0, 11.0, 12.0],
    "Y": [1.0, -1.0, 0.5, 3.0, 2.0],
    "V": [[0.1, 5.0], [1.0, 6.0], [0.5, 4.0], [2.0, 5.5], [0.2, 4.5]],
}
PER_INPUT = dist.Uniform(torch.tensor([-9.0, -1.0]), torch.tensor([9.0, 4.0]))
SOME: dict[str, Mechanism] = {"C": Poisson(prior=dist.Uniform(0.2, 90.0)), "V": FullGaussian(2)}
MODELS = {
    "uniform": {"X": Gaussian(loc=dist.Uniform(-1.0, 100.0), scale=dist.Uniform(0.1, 5.0))},
    "far wider than the data": {"X": Gaussian(loc=dist.Uniform(-1e15, 1e14), scale=dist.Uniform(0.0, 1e6))},
    "one scale for all": {"X": Gaussian(loc=dist.HalfNormal(20.0), scale=dist.Uniform(0.1, 9.0), shared=["scale"])},
    "of each component": {"X": Gaussian(loc=dist.Uniform(torch.tensor([-5.0, 5.0]), torch.tensor([5.0, 50.0])))},
    "beta between ends": {"X": Gaussian(loc=dist.AffineBeta(2.0, 3.0, -4.0, 40.0), scale=dist.Pareto(0.3, 1.5))},
    "half-lines": {"X": Gaussian(loc=dist.LogNormal(1.0, 1.0), scale=dist.InverseGamma(2.0, 1.0))},
    "a coin": {"T": Bernoulli(prior=dist.Uniform(0.05, 0.6)), "X": Gaussian()},
    "a coin by its own": {"T": Bernoulli(prior=dist.Kumaraswamy(2.0, 2.0)), "X": Gaussian(scale=dist.HalfCauchy(1.0))},
    "counts": {"C": Poisson(prior=dist.Uniform(0.5, 90.0)), "X": Gaussian(scale=dist.Weibull(2.0, 1.5))},
    "counts from a half": {"C": Poisson(prior=dist.Pareto(0.5, 1.0)), "X": Gaussian(loc=dist.Cauchy(0.0, 5.0))},
    "lines": {"T": Bernoulli(), "Y": LinearGaussian(["T"], coefficients=PER_INPUT, scale=dist.Uniform(0.2, 7.0))},
    "vectors": {"V": DiagonalGaussian(2, loc=PER_INPUT.expand([2]), scale=dist.Uniform(0.1, torch.tensor([3.0, 4.0])))},
    "correlated": {"V": FullGaussian(2, loc=dist.Uniform(-5.0, 9.0), scale=dist.Exponential(1.0))},
    "by a parent": {"T": Bernoulli(), "X": Gaussian(loc=dist.Uniform(-3.0, 30.0), parents=["T"])},
}


def model_and_data(name: str) -> tuple[CausalMixture, Data]:
    mechanisms: Any = MODELS[name]
    return CausalMixture(2, mechanisms, concentration=1.5), Data({key: ROWS[key] for key in mechanisms})


def pyro_log_joint(model: CausalMixture, data: Data, greeks: dict[str, torch.Tensor]) -> float:
    """log p(Greeks) by Pyro's trace and log p(rows | Greeks) by trying both classes of every row."""
    program = poutine.condition(model.sample_greeks, data=greeks)
    total = float(poutine.trace(program).get_trace().log_prob_sum())
    joint = []
    for k in range(2):
        seen = {
            **{name: column.double() for name, column in data.columns.items()},
            "Z": torch.full((data.num_rows,), k),
        }
        trace = poutine.trace(poutine.condition(lambda: model.rows(greeks, data.num_rows), data=seen)).get_trace()
        trace.compute_log_prob()
        joint.append(sum(trace.nodes[name]["log_prob"] for name in [*model.mechanisms, "Z"]))
    return total + float(torch.logsumexp(torch.stack(joint), 0).sum())


@pytest.mark.parametrize("name", MODELS)
def test_the_density_and_its_gradient_are_pyros_inside_the_prior(name: str) -> None:
    model, data = model_and_data(name)
    density = model.density(data)
    objective = Objective(density, log_posterior)
    assert isinstance(density, Density)
    rng = np.random.default_rng(0)
    for point in rng.normal(0.0, 0.7, (3, density.size)):
        greeks = density.constrain(point)
        tensors = {key: torch.from_numpy(np.asarray(value)) for key, value in greeks.items()}
        for parameter in model.parameters:
            assert bool(torch.as_tensor(parameter.prior.support.check(tensors[parameter.name])).all())
        np.testing.assert_allclose(density.unconstrain(greeks), point, rtol=1e-9, atol=1e-9)
        value, gradient = objective.value_and_gradient(point)
        alone = float(Objective(density, log_joint).value(point))
        np.testing.assert_allclose(alone, pyro_log_joint(model, data, tensors), rtol=1e-9)
        steps = 1e-5 * np.eye(density.size)
        slopes = np.array([objective.value(point + h) - objective.value(point - h) for h in steps]) / 2e-5
        np.testing.assert_allclose(gradient, slopes, rtol=2e-5, atol=2e-5)
        # log |dφ/dv| from the map itself, of the Greeks whose map goes entry by entry.
        assert value - alone == pytest.approx(log_volume(density, point), rel=1e-6, abs=1e-6)


def log_volume(density: Density, point: np.ndarray) -> float:
    """log |dφ/dv| by central differences, all entries of a simplex and of correlations but the dependent ones."""
    steps = 1e-4 * np.eye(density.size)
    up, down = density.constrain(point + steps), density.constrain(point - steps)
    rows = []
    for parameter in density.parameters:
        slope = (up[parameter.name] - down[parameter.name]) / 2e-4
        if parameter.name.startswith("theta"):
            slope = slope[..., :-1]
        if parameter.name.startswith("corr"):
            slope = slope[..., *np.tril_indices(parameter.shape[-1], -1)]
        rows.append(slope.reshape(density.size, -1))
    return float(np.linalg.slogdet(np.concatenate(rows, 1))[1])


FLAT = CausalMixture(
    2,
    {
        "X": Gaussian(loc=dist.Uniform(-100.0, 1e6), scale=dist.Uniform(0.0, 40.0)),
        "C": Poisson(dist.Uniform(0.0, 90.0)),
    },
)
TWO = {"X": [0.0, 1.0, 3.0, 10.0, 11.0, 12.0], "C": [1, 0, 2, 8, 5, 6]}


def test_the_mode_under_flat_priors_is_the_maximum_of_the_likelihood() -> None:
    mode = MAP(num_steps=5, num_starts=6).fit(FLAT, TWO, seed=0)
    best = EM().fit(FLAT, TWO, seed=0)
    assert mode.status is best.status is Status.CONVERGED
    for name, value in best.draws.items():
        torch.testing.assert_close(mode.draws[name], value, rtol=1e-5, atol=1e-6)


def test_maximum_likelihood_knows_no_prior() -> None:
    mechanisms: Any = {"X": Gaussian(loc=dist.Uniform(50.0, 60.0), scale=dist.Pareto(30.0, 1.0))}
    found = EM(num_starts=5).fit(CausalMixture(2, mechanisms), {"X": TWO["X"]}, seed=0)
    plain = EM(num_starts=5).fit(CausalMixture(2, {"X": Gaussian()}), {"X": TWO["X"]}, seed=0)
    assert found.status is plain.status
    torch.testing.assert_close(found["mu_X"], plain["mu_X"])
    torch.testing.assert_close(found["sigma_X"], plain["sigma_X"])
    assert str(found.identifiability())
    # What it found is a Greek like any other.
    truth = Fit.from_greeks(found.model, {name: value[0] for name, value in found.draws.items()})
    torch.testing.assert_close(truth["mu_X"], found["mu_X"])


@pytest.mark.parametrize(
    ("mechanism", "name", "end"),
    [
        (Gaussian(loc=dist.Uniform(-1.0, 5.0), scale=1.0), "mu_X", 5.0),
        (Gaussian(loc=dist.HalfNormal(1e9), scale=dist.Uniform(0.01, 0.3)), "sigma_X", 0.3),
        (Gaussian(loc=dist.Normal(0.0, 1e9), scale=dist.Pareto(6.0, 1.0)), "sigma_X", 6.0),
    ],
)
def test_a_mode_at_an_end_of_the_prior_says_boundary(mechanism: Mechanism, name: str, end: float) -> None:
    with pytest.warns(UserWarning, match="BOUNDARY"):
        fit = MAP(num_steps=5, num_starts=5).fit(CausalMixture(1, {"X": mechanism}), {"X": TWO["X"]}, seed=0)
    assert float(fit[name][0]) == pytest.approx(end, abs=1e-3)


ROUTES: dict[str, Estimator] = {
    "MAP": MAP(num_steps=5, num_starts=5),
    "NUTS": NUTS(num_samples=15, warmup_steps=15, num_chains=1),
    "NUTS by Pyro": NUTS(num_samples=4, warmup_steps=4, num_chains=1, engine="pyro"),
}


@pytest.mark.filterwarnings("ignore::estimators.EstimationWarning")
@pytest.mark.parametrize("estimator", ROUTES.values(), ids=ROUTES)
def test_every_route_stays_within_the_prior_and_keeps_it(estimator: Estimator, tmp_path: Path) -> None:
    model, data = model_and_data("uniform")
    fit = estimator.fit(model, data, seed=0)
    for parameter in model.parameters:
        assert bool(torch.as_tensor(parameter.prior.support.check(fit.draws[parameter.name])).all())
    fit.save(tmp_path / "fit")
    again = Fit.load(tmp_path / "fit").model
    assert isinstance(again, CausalMixture)
    for one, other in zip(again.parameters, model.parameters, strict=True):
        at = fit.draws[one.name][0]
        torch.testing.assert_close(one.prior.log_prob(at), other.prior.log_prob(at))
    assert str(fit.identifiability())
    if fit.status is Status.CONVERGED and fit.kind == "map":
        spread = fit.laplace(num_draws=20, seed=0)
        assert bool(((spread.draws["sigma_X"] > 0.1) & (spread.draws["sigma_X"] < 5.0)).all())


def test_prior_draws_are_within_the_prior() -> None:
    drawn = model_and_data("lines")[0].prior_predictive(200, seed=0)
    assert bool(((drawn["sigma_Y"] >= 0.2) & (drawn["sigma_Y"] <= 7.0)).all())
    assert bool(((drawn["beta_Y"] >= torch.tensor([-9.0, -1.0])) & (drawn["beta_Y"] <= torch.tensor([9.0, 4.0]))).all())


def test_components_with_intervals_of_their_own_are_renamed_with_them() -> None:
    model = CausalMixture(2, {"X": Gaussian(loc=dist.AffineBeta(2.0, torch.tensor([2.0, 3.0]), 0.0, 9.0))})
    assert exchangeable(model) == [[0], [1]]
    prior: Any = model.permuted([1, 0]).parameters[1].prior
    assert prior.concentration0.tolist() == [3.0, 2.0]


MIX = dist.MixtureSameFamily(dist.Categorical(torch.ones(2)), dist.Normal(torch.tensor([0.0, 9.0]), 1.0))
SHIFTED = dist.TransformedDistribution(dist.Beta(2.0, 2.0), [AffineTransform(1.0, 4.0)])
REFUSALS = [
    case(f"{symbol}: {prior}", lambda make=make, prior=prior: make(prior), ValueError, symbol, *parts)
    for symbol, make, priors in [
        (
            "loc",
            lambda prior: Gaussian(loc=prior),
            [
                (dist.ImproperUniform(constraints.real, (), ()), "proper", "Uniform"),
                (dist.Normal(torch.zeros(2), 1.0).to_event(1), "single numbers", "to_event"),
                (dist.MultivariateNormal(torch.zeros(2), torch.eye(2)), "single numbers"),
                (dist.Normal(0.0, 1.0).mask(False), "masked"),
                (dist.Delta(torch.tensor(1.0)), "density"),
                (SHIFTED, "on its own support"),
                (dist.Poisson(3.0), "real line"),
                (MIX, "real line"),
            ],
        ),
        (
            "scale",
            lambda prior: DiagonalGaussian(2, scale=prior),
            [
                (dist.Normal(1.0, 1.0), "positive"),
                (dist.Uniform(-0.1, 5.0), "positive"),
                (dist.Uniform(torch.tensor([-0.1, 1.0]), 5.0), "positive"),
                (dist.HalfNormal(torch.ones(2)).to_event(1), "single numbers"),
                (dist.LKJCholesky(2), "positive"),
            ],
        ),
        (
            "coefficients",
            lambda prior: LinearGaussian(["T"], coefficients=prior),
            [(dist.Normal(torch.zeros(2), 1.0).to_event(1), "to_event"), (dist.Dirichlet(torch.ones(2)), "real")],
        ),
        (
            "prior",
            lambda prior: Bernoulli(prior=prior),
            [(dist.Uniform(0.0, 2.0), "0 to 1"), (dist.HalfNormal(1.0), "0 to 1"), (dist.Bernoulli(0.5), "0 to 1")],
        ),
        (
            "prior",
            lambda prior: Poisson(prior=prior),
            [
                (dist.Uniform(-1.0, 2.0), "positive"),
                (dist.Cauchy(0.0, 1.0), "positive"),
                (dist.Poisson(1.0), "positive"),
            ],
        ),
    ]
    for prior, *parts in priors
]


@pytest.mark.parametrize(("call", "error", "parts"), REFUSALS)
def test_a_prior_that_cannot_be_one_is_refused_by_name(
    call: Callable[[], Any], error: type[Exception], parts: tuple[str, ...]
) -> None:
    with refused(error, *parts):
        call()


@pytest.mark.parametrize(
    "support", [constraints.interval(-1.0, 3.0), constraints.greater_than(2.0), constraints.less_than(-2.0)]
)
def test_values_outside_start_inside_and_values_inside_stay(support: Any) -> None:
    from estimators.parameters.intervals import within_prior
    from estimators.parameters.parameter import Parameter
    from estimators.parameters.transforms import Real

    class Within(dist.Normal):  # type: ignore[misc]
        pass

    Within.support = support
    transform = within_prior(
        Parameter("mu", (2,), Within(torch.zeros(2), 1.0), support=constraints.real), Real(0.5, 2.0)
    )
    start = biject_to(support)(torch.zeros(2, dtype=torch.float64)).numpy()
    np.testing.assert_allclose(transform.forward(transform.inverse(start)), start, rtol=1e-12)
    for value in (-1e9, -2.0, 2.0, 3.0, 1e9):
        held = transform.forward(transform.inverse(np.full(2, value)))
        assert bool(torch.as_tensor(support.check(torch.from_numpy(held))).all())
