"""What is seen weighs a site of a program through their common causes, whatever the order of its statements.

A site "depends on" another where it is computed from its value. Answers against sums by hand, `CausalMixture`s of the
same graph, and integrals; a site that what is seen does depend on is refused a density, as one that may.
"""

import itertools
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from estimators import CausalMixture, Fit, PyroModel
from estimators.mechanisms import Gaussian
from estimators.programs.captured import sources
from tests.gallery import EXAMPLES, chain
from tests.refusals import refused

THETA = np.array([0.3, 0.7])
MEANS = {"X": np.array([-1.0, 1.0]), "Y": np.array([0.0, 1.5])}
SCALES = {"X": 1.0, "Y": 0.5}
AT = [-2.0, 0.1, 1.7]


def fork(order: str) -> Any:
    """X ← Z → Y, in one order of the statements or the other, with W after both: a child of X alone."""

    def program(N: int) -> None:
        theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
        mu = {name: pyro.sample(f"mu_{name}", dist.Normal(torch.zeros(2), 5.0).to_event(1)) for name in order}
        with pyro.plate("rows", N):
            z = pyro.sample("Z", dist.Categorical(theta))
            values = {name: pyro.sample(name, dist.Normal(mu[name][z], SCALES[name])) for name in order}
            pyro.sample("W", dist.Normal(values["X"] ** 2, 1.0))

    return program


def fork_fit(order: str) -> Fit:
    greeks = {"theta": THETA, "mu_X": MEANS["X"], "mu_Y": MEANS["Y"]}
    return Fit.from_greeks(PyroModel(fork(order), order_by="mu_X"), greeks)


MIXTURE = Fit.from_greeks(
    CausalMixture(2, {"X": Gaussian(scale=SCALES["X"]), "Y": Gaussian(scale=SCALES["Y"])}),
    {"theta": THETA, "mu_X": MEANS["X"], "mu_Y": MEANS["Y"]},
)


@pytest.mark.parametrize(
    ("order", "asked", "seen"),
    [
        # The first of the two given the second; the others by default are asked of mixtures.
        ("XY", "X", "Y"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (("YX", "Y", "X"), ("XY", "Y", "X"), ("YX", "X", "Y"))
        ),
    ],
)
def test_what_has_a_common_cause_answers_exactly_in_any_order(order: str, asked: str, seen: str) -> None:
    """p(x | y) = Σ_z p(z) p(y|z) p(x|z) / Σ_z p(z) p(y|z)."""
    weights = THETA * norm.pdf(0.5, MEANS[seen], SCALES[seen])
    weights /= weights.sum()
    query, mixture = fork_fit(order).given(**{seen: 0.5}), MIXTURE.given(**{seen: 0.5})
    points = np.array(AT)[:, None]
    for answer, other, expected in (
        (
            query.log_density(asked, AT),
            mixture.log_density(asked, AT),
            np.log(norm.pdf(points, MEANS[asked], SCALES[asked]) @ weights),
        ),
        (query.cdf(asked, AT), mixture.cdf(asked, AT), norm.cdf(points, MEANS[asked], SCALES[asked]) @ weights),
        (query.mean(asked).value, mixture.mean(asked).value, MEANS[asked] @ weights),
    ):
        np.testing.assert_allclose(answer, expected, rtol=1e-10)
        np.testing.assert_allclose(answer, other, rtol=1e-10)
        assert getattr(answer, "error", None) is None
    assert query.mean(asked).error is None
    assert float(query.cdf(asked, query.quantile(asked, 0.3))) == pytest.approx(0.3, abs=1e-9)
    # The control: what is seen counts.
    unseen = norm.pdf(points, MEANS[asked], SCALES[asked]) @ THETA
    assert np.abs(query.log_density(asked, AT).exp().numpy() - unseen).max() > 0.02


@pytest.mark.parametrize("order", ["XY", pytest.param("YX", marks=pytest.mark.slow)])
def test_draws_of_what_has_a_common_cause_know_what_is_seen(order: str) -> None:
    """Classes 20 standard deviations apart: every draw is of the class of what is seen."""
    far = Fit.from_greeks(PyroModel(fork(order)), {"theta": THETA, "mu_X": [-10.0, 10.0], "mu_Y": [-5.0, 5.0]})
    assert bool((far.given(Y=5.0).sample(200, seed=0)["X"] > 0).all())
    assert bool((far.given(X=-10.0).sample(200, seed=0)["Y"] < 0).all())
    # The control: what is set says nothing of Z.
    signs = far.do(Y=5.0).sample(200, seed=0)["X"] > 0
    assert 0 < int(signs.sum()) < 200


@pytest.mark.parametrize("order", ["XY", pytest.param("YX", marks=pytest.mark.slow)])
def test_what_does_depend_on_the_site_is_simulated_as_before(order: str) -> None:
    """W ~ N(X², 1) is seen: importance weights for the mean of X, no density, no draws; for Y, X is simulated."""
    query = fork_fit(order).given(W=2.0)
    for ask in (lambda: query.log_density("X", 0.0), lambda: query.cdf("X", 0.0)):
        with refused(NotImplementedError, "depends on X", "mean"):
            ask()
    with refused(NotImplementedError, "['X']", "W"):
        query.sample(3, seed=0)
    grid = np.linspace(-9.0, 9.0, 20_001)
    by_class = THETA[:, None] * norm.pdf(grid, MEANS["X"][:, None], 1.0) * norm.pdf(2.0, grid**2, 1.0)
    expected = {
        "X": float((by_class * grid).sum() / by_class.sum()),
        "Y": float(by_class.sum(1) @ MEANS["Y"] / by_class.sum()),
    }
    for name, value in expected.items():
        answer = query.mean(name)
        assert answer.error is not None
        assert 0.0 < float(answer.error) < 0.02
        assert abs(float(answer.value) - value) < 6.0 * float(answer.error)
        assert abs(float(answer.value) - float(fork_fit(order).given(Z=0).mean(name).value)) > 0.5
    # Set, X passes nothing on: what is seen of W is then no news of Y, and nothing is simulated.
    alone = fork_fit(order).do(X=0.5).given(W=2.0).mean("Y")
    assert alone.error is None
    assert float(alone.value) == pytest.approx(float(THETA @ MEANS["Y"]), rel=1e-12)


def kinked(N: int) -> None:
    """Y depends on X at values above 100 alone: nothing that a few values of X would show."""
    with pyro.plate("rows", N):
        z = pyro.sample("Z", dist.Bernoulli(pyro.param("p", torch.tensor(0.5))))
        x = pyro.sample("X", dist.Normal(z, 1.0))
        pyro.sample("Y", dist.Normal(torch.where(x > 100.0, x, z), 1.0))


def written(N: int) -> None:
    """Y depends on X through a tensor that X is written into."""
    with pyro.plate("rows", N):
        z = pyro.sample("Z", dist.Bernoulli(pyro.param("p", torch.tensor(0.5))))
        x = pyro.sample("X", dist.Normal(z, 1.0))
        means = torch.zeros(x.shape)
        means[...] = x
        pyro.sample("Y", dist.Normal(means, 1.0))


def converted(N: int) -> None:
    """Y depends on X through an array of NumPy, and cannot be captured."""
    with pyro.plate("rows", N):
        z = pyro.sample("Z", dist.Bernoulli(pyro.param("p", torch.tensor(0.5))))
        x = pyro.sample("X", dist.Normal(z, 1.0))
        pyro.sample("Y", dist.Normal(torch.from_numpy(x.numpy().copy()), 1.0))


def unreadable(N: int) -> None:
    """Y does not depend on X, but nobody can tell."""
    with pyro.plate("rows", N):
        z = pyro.sample("Z", dist.Bernoulli(pyro.param("p", torch.tensor(0.5))))
        x = pyro.sample("X", dist.Normal(z, 1.0))
        pyro.sample("Y", dist.Normal(z + 0.0 * float(x.sum()), 1.0))


@pytest.mark.parametrize("program", [kinked, written, converted, unreadable])
def test_what_may_depend_on_the_site_is_refused(program: Any) -> None:
    query = Fit.from_greeks(PyroModel(program), {"p": 0.5}).given(Y=0.3)
    with refused(NotImplementedError, "depends on X", "mean"):
        query.log_density("X", 0.0)
    with refused(NotImplementedError, "['X']", "Y"):
        query.sample(3, seed=0)
    assert query.mean("X").error is not None


def test_sources_are_read_off_the_arithmetic_or_not_at_all() -> None:
    def of(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return x + y, torch.ones(len(x)), torch.where(y > 100.0, y, 0.0), x.detach() * 2.0

    both = [torch.ones(2), torch.ones(2)]
    assert sources(of, both) == [frozenset([0, 1]), frozenset(), frozenset([1]), frozenset([0])]
    assert sources(lambda x, y: (torch.ones(2) if bool(x.sum() > 0) else y,), both) is None
    assert sources(lambda x, y: (torch.ones(2) * float(y.sum()),), both) is None

    def write(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        kept = torch.zeros(2)
        kept[0] = x[0]
        return (kept + y,)

    assert sources(write, both) is None


@pytest.mark.parametrize("asked", [pytest.param("x_0", marks=pytest.mark.slow), "x_2"])
def test_a_chain_answers_for_every_step_given_any_other(asked: str) -> None:
    """p(x_s | x_t) of a hidden Markov chain, by a sum over its 16 paths."""
    example = EXAMPLES["chain"]
    fit = Fit.from_greeks(PyroModel(chain, order_by="level"), example.greeks)
    start, move, level = (example.truth[name].numpy() for name in ("start", "move", "level"))
    points = np.array([-1.0, 0.4, 3.0])
    seen = {"x_1": 0.3, "x_3": 1.2}
    density, total = np.zeros(3), 0.0
    for path in itertools.product(range(2), repeat=4):
        weight = start[path[0]] * np.prod([move[a, b] for a, b in itertools.pairwise(path)])
        weight *= np.prod([norm.pdf(x, level[path[int(name[-1])]]) for name, x in seen.items()])
        density += weight * norm.pdf(points, level[path[int(asked[-1])]])
        total += weight
    answer = fit.given(**seen).log_density(asked, points)
    np.testing.assert_allclose(answer, np.log(density / total), rtol=1e-9)
    assert np.abs(density / total - fit.do(x_1=0.3).log_density(asked, points).exp().numpy()).max() > 0.01


def test_a_site_that_is_hidden_below_a_free_one_is_drawn_with_it() -> None:
    """Y is seen, and Z depends on W alone: a draw of Z is one given the W of its row."""

    def program(N: int) -> None:
        loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
        with pyro.plate("rows", N):
            pyro.sample("Y", dist.Normal(loc, 1.0))
            w = pyro.sample("W", dist.Normal(loc, 1.0))
            pyro.sample("Z", dist.Bernoulli(logits=1e9 * w))

    drawn = Fit.from_greeks(PyroModel(program), {"loc": 0.0}).given(Y=0.5).sample(200, seed=0)
    assert torch.equal(drawn["Z"] == 1, drawn["W"] > 0)
    assert 0 < int(drawn["Z"].sum()) < 200


def tilted(N: int) -> None:
    """A factor e^x beside Z → X: X | z is N(μ_z + 1, 1), and z counts e^{μ_z} times as much."""
    theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
    mu = pyro.sample("mu", dist.Normal(torch.zeros(2), 5.0).to_event(1))
    with pyro.plate("rows", N):
        z = pyro.sample("Z", dist.Categorical(theta))
        x = pyro.sample("X", dist.Normal(mu[z], 1.0))
        pyro.sample("Y", dist.Normal(mu[z], 1.0))
        pyro.factor("tilt", x)


def test_a_factor_weighs_the_sites_that_it_depends_on() -> None:
    mu = np.array([-0.5, 0.5])
    query = Fit.from_greeks(PyroModel(tilted), {"theta": THETA, "mu": mu}).given(Y=0.2)
    with refused(NotImplementedError, "depends on X"):
        query.log_density("X", 0.0)
    weights = THETA * norm.pdf(0.2, mu) * np.exp(mu)
    answer = query.mean("X")
    assert answer.error is not None
    assert abs(float(answer.value) - float(weights @ (mu + 1.0) / weights.sum())) < 6.0 * float(answer.error) < 0.1
