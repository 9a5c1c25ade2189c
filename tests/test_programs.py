"""Any Pyro program: enumeration against brute force, over a gallery of models."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import scipy.stats
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.ops.indexing import Vindex
from torch import Tensor
from torch.distributions.transforms import AffineTransform, ExpTransform

from estimators import EM, CausalMixture, PyroModel, Status
from estimators.contract import Objective, Parts, log_joint, log_likelihood, log_posterior
from estimators.data.data import Data
from estimators.mechanisms import Categorical
from estimators.programs.captured import Graph
from estimators.programs.density import ProgramDensity
from tests.expectations import ProgramExpectation
from tests.gallery import EXAMPLES, Example, as_run, brute_force, greeks_near
from tests.models import fit_quietly


def some(*short: str) -> list[Any]:
    """A program is captured anew for each test, which takes seconds: by default a few short ones."""
    return [
        pytest.param(example, id=name, marks=[] if name in short else [pytest.mark.slow])
        for name, example in EXAMPLES.items()
    ]


# Rows of which a third are seen are hidden in the others: these stand for both.
SEEN = ("confounder", "cause of a cause", "chain")
# What is in these is in others, too.
ALIKE = (*SEEN, "chain of a column", "tutorial", "two causes")
CASES = [
    pytest.param(example, False, id=name, marks=[pytest.mark.slow] * (name in ALIKE))
    for name, example in EXAMPLES.items()
] + [
    pytest.param(example, True, id=f"{name}, partly seen", marks=[pytest.mark.slow] * (name not in SEEN))
    for name, example in EXAMPLES.items()
    if example.seen
]


def gradients(value: Tensor, greeks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return dict(zip(greeks, torch.autograd.grad(value, list(greeks.values())), strict=True))


@pytest.mark.parametrize(("example", "partly_seen"), CASES)
def test_enumeration_is_the_sum_over_all_hidden_configurations(example: Example, partly_seen: bool) -> None:
    data = example.data(7, partly_seen=partly_seen)
    greeks = {name: value.requires_grad_() for name, value in greeks_near(example, data).items()}
    marginal = PyroModel(example.fn).marginal(data)
    rows, shares = brute_force(example, data, greeks)
    torch.testing.assert_close(marginal.pointwise(greeks), rows.detach(), rtol=1e-9, atol=1e-9)
    value = marginal.log_likelihood(greeks)
    torch.testing.assert_close(value, rows.sum(), rtol=1e-9, atol=1e-9)
    computed, expected = gradients(value, greeks), gradients(rows.sum(), greeks)
    for name in greeks:
        torch.testing.assert_close(computed[name], expected[name], rtol=1e-9, atol=1e-9)
    for site, share in shares.items():
        torch.testing.assert_close(
            marginal.responsibilities(greeks, site).reshape(share.shape), share.detach(), rtol=1e-9, atol=1e-9
        )


# What the short ones have between them: a table, an inner plate, parameters without priors, arguments, a Bernoulli.
@pytest.mark.parametrize("example", some("inner plate", "parameters", "regressions"))
def test_a_captured_density_is_the_program_itself(example: Example) -> None:
    """Value, gradient and batch of the graph against the program run as it is, and against finite differences."""
    marginal = PyroModel(example.fn).marginal(example.data(5))
    density = ProgramDensity(marginal)
    for combination in (log_likelihood, log_joint, log_posterior):
        objective = Objective(density, combination)
        at = marginal.coordinates.unconstrain(greeks_near(example, marginal.data)).numpy()
        value, gradient = objective.value_and_gradient(at)
        assert density._parts.evaluated.is_captured and density._parts.alone.is_captured
        v = torch.from_numpy(at).requires_grad_()
        factors, greeks = as_run(marginal, v), marginal.coordinates.constrain(v)
        rows, log_jacobian = factors.pointwise().sum(), marginal.coordinates.log_jacobian(v, greeks)
        direct = combination(Parts(rows + factors.log_global, factors.log_prior, log_jacobian))
        torch.testing.assert_close(value, float(direct.detach()), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(gradient, torch.autograd.grad(direct, v)[0], rtol=1e-9, atol=1e-9)
        step = 1e-5 * np.eye(len(at))
        batch = objective.value(np.concatenate([at + step, at - step]))
        assert batch.shape == (2 * len(at),)
        differences = (batch[: len(at)] - batch[len(at) :]) / 2e-5
        np.testing.assert_allclose(gradient, differences, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("example", some("tutorial", "zero-inflated", "inner plate"))
def test_q_has_the_gradient_of_the_marginal_and_its_maximum_is_no_lower(example: Example) -> None:
    data = example.data(9)
    marginal = PyroModel(example.fn).marginal(data)
    greeks = {name: value.requires_grad_() for name, value in greeks_near(example, data).items()}
    expectation, value = ProgramExpectation(marginal, greeks), marginal.log_likelihood(greeks)
    assert expectation.log_likelihood == pytest.approx(float(value.detach()), rel=1e-12)
    computed, expected = gradients(expectation.q(greeks), greeks), gradients(value, greeks)
    for name in greeks:
        torch.testing.assert_close(computed[name], expected[name], rtol=1e-9, atol=1e-9)
    after = expectation.argmax()
    with torch.no_grad():
        assert float(expectation.q(after)) >= float(expectation.q(greeks)) - 1e-9
        # The inequality of EM: what Q gains, the likelihood gains at least.
        gain = float(marginal.log_likelihood(after) - value)
        assert gain >= float(expectation.q(after) - expectation.q(greeks)) - 1e-7


@pytest.mark.parametrize(
    ("name", "accelerate"),
    [
        ("tutorial", False),
        ("heavy tails", True),
        # Hundreds of steps.
        *(
            pytest.param(name, accelerate, marks=pytest.mark.slow)
            for name in ("confounder", "parameters", "chain")
            for accelerate in (True, False)
        ),
        pytest.param("tutorial", True, marks=pytest.mark.slow),
        pytest.param("heavy tails", False, marks=pytest.mark.slow),
    ],
)
def test_the_likelihood_never_falls_and_ends_at_a_stationary_point(name: str, accelerate: bool) -> None:
    example = EXAMPLES[name]
    data = example.data(40)
    fit = fit_quietly(EM(num_starts=3, accelerate=accelerate), PyroModel(example.fn), data, seed=0)
    path = fit.info["log_likelihoods"]
    assert bool((path.diff() >= -1e-9 * (1.0 + path[:-1].abs())).all())
    marginal = PyroModel(example.fn).marginal(data)
    v = marginal.coordinates.unconstrain({name: value[0] for name, value in fit.draws.items()}).requires_grad_()
    slope = torch.autograd.grad(marginal.log_likelihood(marginal.coordinates.constrain(v)), v)[0]
    assert fit.status.is_interior
    assert float(slope.abs().max()) / 40 < 1e-7


def test_a_program_that_cannot_be_captured_is_run_as_it_is() -> None:
    """Python control flow on the value of a Greek: no graph, the same answers, one draw at a time."""

    def branching(N: int) -> None:
        shift = pyro.sample("shift", dist.Normal(0.0, 2.0))
        weights = pyro.sample("weights", dist.Dirichlet(torch.ones(2)))
        locs = torch.tensor([-3.0, 3.0]) + (shift if shift > 0 else 2 * shift)
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Categorical(weights))
            pyro.sample("x", dist.Normal(locs[z], 1.0))

    data = Data(x=[-4.0, -3.0, 2.0, 4.5])
    marginal = PyroModel(branching).marginal(data)
    density = ProgramDensity(marginal)
    objective = Objective(density, log_joint)
    value, gradient = objective.value_and_gradient(np.array([-0.5, 0.2]))
    assert not density._parts.evaluated.is_captured
    above, below = (objective.value_and_gradient(np.array([-0.5 + h, 0.2]))[0] for h in (1e-5, -1e-5))
    assert gradient[0] == pytest.approx((above - below) / 2e-5, rel=1e-5)
    for shift in (-1.0, 1.0):
        locs = torch.tensor([-3.0, 3.0]).double() + (shift if shift > 0 else 2 * shift)
        by_hand = torch.logsumexp(
            torch.full((2,), 0.5, dtype=torch.float64).log()
            + dist.Normal(locs, 1.0).log_prob(data.columns["x"][:, None]),
            1,
        )
        greeks = {"shift": torch.tensor([shift] * 2), "weights": torch.full((2, 2), 0.5)}
        torch.testing.assert_close(marginal.pointwise(greeks), by_hand.expand(2, 4), rtol=1e-12, atol=1e-12)
    assert value == objective.value(np.array([[-0.5, 0.2]]))[0]


def pareto(s: Tensor) -> TorchDistribution:
    return dist.Pareto(s, 3.0)


def shifted_exponential(s: Tensor) -> TorchDistribution:
    return dist.TransformedDistribution(dist.Exponential(torch.ones(())), [AffineTransform(s, 1.0)])


def shifted_lognormal(s: Tensor) -> TorchDistribution:
    return dist.TransformedDistribution(dist.Normal(0.0, 1.0), [ExpTransform(), AffineTransform(s, 1.0)])


def uniform(s: Tensor) -> TorchDistribution:
    return dist.Uniform(s, s + 4.0)


@pytest.mark.parametrize(
    ("of", "law"),
    [
        (pareto, lambda s: scipy.stats.pareto(3.0, scale=s)),
        (shifted_exponential, lambda s: scipy.stats.expon(s)),
        (shifted_lognormal, lambda s: scipy.stats.lognorm(1.0, s)),
        (uniform, lambda s: scipy.stats.uniform(s, 4.0)),
    ],
)
def test_a_value_outside_a_components_support_has_density_0_there(of: Any, law: Any) -> None:
    """The second component begins at 1.5: rows below are of the first."""

    def program(N: int) -> None:
        s = pyro.sample("s", dist.LogNormal(torch.zeros(2), 1.0).to_event(1))
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Categorical(torch.tensor([0.4, 0.6])))
            pyro.sample("x", of(s[z]))

    x, s = np.array([1.0, 2.0, 3.0]), torch.tensor([0.8, 1.5], dtype=torch.float64, requires_grad=True)
    marginal = PyroModel(program).marginal(Data(x=x))
    value = marginal.log_likelihood({"s": s})
    expected = np.log(0.4 * law(0.8).pdf(x) + 0.6 * law(1.5).pdf(x)).sum()
    assert float(value.detach()) == pytest.approx(expected, rel=1e-10)
    assert bool(torch.isfinite(torch.autograd.grad(value, s)[0]).all())


def test_a_captured_whole_number_is_computed_with_in_double_precision() -> None:
    """A graph runs where the default is single precision, in which 1 / 3 of a whole number would be."""
    counts, x = torch.tensor([1, 2]), torch.tensor([0.5, 2.0], dtype=torch.float64)
    # A write into a constant keeps the graph from computing the constants once.
    held = torch.zeros(2, dtype=torch.float64)
    graph = Graph(lambda shift: (held.add_(1.0) * 0.0 + shift * (counts * 0.1).log(),), [x])
    assert graph.is_captured
    expected = x * torch.tensor([0.1, 0.2], dtype=torch.float64).log()
    torch.testing.assert_close(graph(x)[0], expected, rtol=1e-14, atol=0)
    torch.testing.assert_close(graph.batched(x[None])[0], expected[None], rtol=1e-14, atol=0)
    assert torch.get_default_dtype() is torch.float32


def test_a_sum_that_underflows_factor_by_factor_does_not_here() -> None:
    """Two factors that favour different values by a thousand nats each."""

    def far(N: int) -> None:
        loc = pyro.sample("loc", dist.Normal(torch.tensor([0.0, 100.0]), 1.0).to_event(1))
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Categorical(torch.full((2,), 0.5)))
            pyro.sample("x", dist.Normal(loc[z], 1.0))
            pyro.sample("y", dist.Normal(-loc[z], 1.0))

    loc = torch.tensor([0.0, 100.0], dtype=torch.float64)
    x = torch.tensor([100.0], dtype=torch.float64)
    computed = PyroModel(far).marginal(Data(x=x, y=torch.zeros(1))).pointwise({"loc": loc})
    expected = torch.logsumexp(
        np.log(0.5) + dist.Normal(loc, 1.0).log_prob(x) + dist.Normal(-loc, 1.0).log_prob(torch.zeros(1).double()), 0
    )
    torch.testing.assert_close(computed[0], expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["tutorial", "confounder"])
def test_brute_force_is_the_formula(name: str) -> None:
    """The reference itself, against the sum written by hand."""
    example = EXAMPLES[name]
    data, truth = example.data(6), example.truth
    if name == "tutorial":
        joint = truth["θ"].log() + dist.Normal(truth["μ"], 1.0).log_prob(data.columns["X"][:, None])
    else:
        t, y = data.columns["T"][:, None].double(), data.columns["Y"][:, None]
        joint = truth["theta"].log() + dist.Normal(truth["a"] + truth["b"] * t, truth["sigma"]).log_prob(y)
        joint = joint + t * truth["p"].log() + (1 - t) * (1 - truth["p"]).log()
    rows, shares = brute_force(example, data, truth)
    torch.testing.assert_close(rows, torch.logsumexp(joint, 1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(shares[next(iter(example.hidden))], torch.softmax(joint, 1), rtol=1e-12, atol=1e-12)


def latent_classes(N: int, J: int = 8) -> None:
    """Two classes and items of three levels: more coordinates than Newton's method is for."""
    weights = pyro.sample("weights", dist.Dirichlet(torch.ones(2)))
    with pyro.plate("classes", 2, dim=-2), pyro.plate("items", J, dim=-1):
        p = pyro.sample("p", dist.Dirichlet(torch.ones(3)))
    with pyro.plate("rows", N, dim=-1):
        z = pyro.sample("z", dist.Categorical(weights))
        for j in range(J):
            pyro.sample(f"item_{j}", dist.Categorical(Vindex(p)[z, j]))


@pytest.mark.parametrize("has_empty_cell", [False, True])
def test_a_program_of_many_coordinates_ends_where_the_mixture_does(has_empty_cell: bool) -> None:
    """Its M-steps are climbs, and it goes on by L-BFGS; a cell without rows is no reason to end elsewhere."""
    rng = np.random.default_rng(3)
    label = rng.random(80) < 0.4
    items = np.where(rng.random((80, 8)) < 0.75, np.where(label, 0, 2)[:, None], rng.integers(0, 3, (80, 8)))
    if has_empty_cell:
        items[label, 0] = np.minimum(items[label, 0], 1)
    else:
        # Every level in both classes, some rows of each.
        items[:6] = np.arange(6)[:, None] % 3
    columns = {f"item_{j}": items[:, j] for j in range(8)}
    mixture = CausalMixture(2, {name: Categorical(3) for name in columns})
    expected = fit_quietly(EM(), mixture, Data(**columns), seed=0)
    fit = fit_quietly(EM(num_starts=6), PyroModel(latent_classes), Data(**columns), seed=0)
    assert fit.stats["log_likelihood"] == pytest.approx(expected.stats["log_likelihood"], rel=1e-9)
    assert fit.status is Status.CONVERGED
    path = fit.info["log_likelihoods"]
    assert bool((path.diff() >= -1e-12 * path[:-1].abs()).all())


def test_a_class_of_rows_that_do_not_count_has_none() -> None:
    """Whether a climb keeps its classes is a question of rows that count."""
    columns = {f"item_{j}": [0.0, 0.0, 2.0, 2.0] for j in range(8)}
    greeks = {"weights": [0.5, 0.5], "p": np.repeat([[[0.98, 0.01, 0.01]], [[0.01, 0.01, 0.98]]], 8, 1)}
    for weights, keeps in (([1.0, 1.0, 1.0, 1.0], True), ([1.0, 1.0, 0.0, 0.0], False), ([1.0, 0.0, 0.0, 0.5], True)):
        density = PyroModel(latent_classes).density(Data(**columns, weights=weights))
        at = density.unconstrain({name: np.asarray(value) for name, value in greeks.items()})
        assert density._keeps_classes(at) is keeps
