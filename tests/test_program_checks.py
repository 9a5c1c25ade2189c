"""What is tried out on a program before its first fit: rows in other company, runs that differ, and all of it once."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch import Tensor

from estimators import Data, PyroModel
from tests.refusals import refused

X = [-2.0, -1.0, 0.5, 2.0, 3.5, 1.0]
Y = [0.0, 1.0, 10.0, 11.0, 12.0, 9.0]


def components() -> tuple[Any, Any]:
    theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
    with pyro.plate("components", 2):
        return theta, pyro.sample("mu", dist.Normal(0.0, 10.0))


def with_covariate(of: Callable[[Tensor], Tensor]) -> Callable[..., None]:
    """A mixture of regressions on a function of the whole column x."""

    def program(N: int, x: Tensor) -> None:
        theta, mu = components()
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Categorical(theta))
            pyro.sample("y", dist.Normal(mu[z] + 0.3 * of(x), 1.0))

    return program


def centred_observation(N: int, x: Tensor) -> None:
    """The mean is taken over what was observed, not over an argument."""
    theta, mu = components()
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        y = pyro.sample("y", dist.Normal(mu[z], 1.0))
        pyro.sample("w", dist.Normal(y - y.mean(-1, keepdim=True), 1.0), obs=x)


def centred_in_the_prior_of_z(N: int, x: Tensor) -> None:
    _, mu = components()
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Bernoulli(logits=x - x.mean()))
        pyro.sample("y", dist.Normal(mu[z.long()], 1.0))


def centred_in_a_hidden_site_alone(N: int, x: Tensor) -> None:
    """No row's density depends on the others, but what is said of w does."""
    theta, mu = components()
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        pyro.sample("y", dist.Normal(mu[z], 1.0))
        pyro.sample("w", dist.Bernoulli(logits=x - x.mean()))


def number_of_rows(N: int, x: Tensor) -> None:
    theta, mu = components()
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        pyro.sample("y", dist.Normal(mu[z] + x, 1.0 + 1.0 / N))


def factor_outside(N: int, x: Tensor) -> None:
    """A part of the rows' likelihood that is not in their plate, so that no row has it."""
    theta, mu = components()
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        pyro.sample("y", dist.Normal(mu[z], 1.0))
    pyro.factor("more", dist.Normal(mu[0], 1.0).log_prob(x).sum())


DEPENDENT = {
    "centred": with_covariate(lambda x: x - x.mean()),
    "scaled by the largest": with_covariate(lambda x: x / x.max()),
    "standardised": with_covariate(lambda x: (x - x.mean()) / x.std()),
    "ranks": with_covariate(lambda x: x.argsort().argsort().double()),
    "sorted": with_covariate(lambda x: x.sort().values),
    "running sum": with_covariate(lambda x: x.cumsum(0)),
    "lag": with_covariate(lambda x: torch.cat([x.new_zeros(1), x[:-1]])),
    "the row's number": with_covariate(lambda x: torch.arange(len(x)).double()),
    "centred observation": centred_observation,
    "centred in the prior of z": centred_in_the_prior_of_z,
    "centred in a hidden site alone": centred_in_a_hidden_site_alone,
    "number of rows": number_of_rows,
    "factor outside": factor_outside,
}


@pytest.mark.parametrize("program", DEPENDENT.values(), ids=DEPENDENT)
def test_a_row_that_depends_on_other_rows_is_refused(program: Callable[..., None]) -> None:
    with refused(ValueError, "depends on which other rows", "before passing it"):
        PyroModel(program).check(Data(x=X, y=Y))


def grouped(N: int, group: Tensor, x: Tensor) -> None:
    """As many levels as the data have, and a prior that knows all rows."""
    theta, mu = components()
    with pyro.plate("groups", int(group.max()) + 1):
        shift = pyro.sample("shift", dist.Normal(0.0, float(x.max()) + 1.0 / N))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        pyro.sample("y", dist.Normal(mu[z] + shift[group] + x**2, 1.0))


def steps_of_the_longest(x: Tensor, lengths: Tensor) -> None:
    theta, mu = components()
    with pyro.plate("rows", len(x)):
        z = pyro.sample("z", dist.Categorical(theta))
        for t in range(int(lengths.max())):
            with poutine.mask(mask=t < lengths):
                pyro.sample(f"x_{t}", dist.Normal(mu[z], 1.0), obs=x[:, t])


@pytest.mark.parametrize(
    ("program", "data"),
    [
        pytest.param(with_covariate(torch.tanh), Data(x=X, y=Y), id="a function of each entry"),
        pytest.param(with_covariate(lambda x: x), Data(x=[1.0], y=[2.0]), id="one row"),
        pytest.param(grouped, Data(x=X, y=Y, group=[0, 1, 2, 1, 0, 1]), id="as many groups as the data have"),
        pytest.param(
            steps_of_the_longest, Data(x=[[1.0, 2.0]] * 4, lengths=[1, 1, 2, 1]), id="as many steps as the longest"
        ),
    ],
)
def test_a_row_that_does_not_is_accepted(program: Callable[..., None], data: Data) -> None:
    PyroModel(program).check(data)


def test_rows_alone_have_the_density_that_they_have_among_others() -> None:
    model, data = PyroModel(with_covariate(torch.tanh)), Data(x=X, y=Y)
    greeks = {"theta": torch.tensor([0.4, 0.6]).double(), "mu": torch.tensor([0.0, 10.0]).double()}
    together = model.marginal(model.check(data)).pointwise(greeks)
    alone = [model.marginal(data.rows(torch.tensor([row]))).pointwise(greeks) for row in (0, 3)]
    torch.testing.assert_close(torch.cat(alone), together[[0, 3]], rtol=1e-12, atol=1e-12)


def noisy(N: int, x: Tensor) -> None:
    theta, mu = components()
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        pyro.sample("y", dist.Normal(mu[z] + torch.rand(N), 1.0), obs=x)


def blocked(N: int, x: Tensor) -> None:
    theta, mu = components()
    with pyro.plate("rows", N):
        with poutine.block():
            z = pyro.sample("z", dist.Categorical(theta))
        w = pyro.sample("w", dist.Categorical(theta))
        pyro.sample("y", dist.Normal(mu[z] + mu[w], 1.0), obs=x)


@pytest.mark.parametrize("program", [noisy, blocked])
def test_a_program_that_is_another_at_every_run_is_refused(program: Callable[..., None]) -> None:
    with refused(ValueError, "another at every run", "poutine.block", "'y'"):
        PyroModel(program).check(Data(x=X))


# ------------------------------------------------------------------ once


def counted() -> tuple[Callable[..., None], list[int]]:
    runs: list[int] = []

    def program(N: int) -> None:
        runs.append(N)
        theta, mu = components()
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Categorical(theta))
            pyro.sample("y", dist.Normal(mu[z], 1.0))

    return program, runs


def test_the_checks_run_once_for_a_program_and_the_shapes_of_its_data() -> None:
    program, runs = counted()

    def runs_of(model: PyroModel, data: Data) -> int:
        """Runs of the program that a check of the data takes beyond those that find its structure."""
        runs.clear()
        PyroModel(program).marginal(data)
        structure = len(runs)
        runs.clear()
        model.check(data)
        return len(runs) - structure

    model = PyroModel(program)
    first = runs_of(model, Data(y=Y))
    assert first > 10
    # Other values: the same in brief, and once for each.
    assert runs_of(model, Data(y=X)) == 6
    assert runs_of(model, Data(y=X)) == 0
    assert runs_of(PyroModel(program), Data(y=Y)) == 0
    # Other shapes, and what is seen, set and missing: all of it again, and each of these once.
    others = [
        Data(y=Y[:4]),
        Data(y=Y, z=[0, -1, -1, -1, 1, -1]),
        Data(y=Y, intervened={"y": True}),
        Data(y=[float("nan"), *Y[1:]], missing="marginalize"),
    ]
    for data in others:
        assert runs_of(model, data) > 10
        assert runs_of(PyroModel(program), data) == 0
    # Another program, though the same code.
    other, other_runs = counted()
    PyroModel(other).check(Data(y=Y))
    assert len(other_runs) > 10


def first_ones_only(x: Tensor) -> Tensor:
    """What is centred beyond some values only."""
    return x - x.mean() if float(x.max()) > 100.0 else x


def wrong_where_treated(N: int, x: Tensor) -> None:
    """An index that enumeration makes wrong, times a column that may be 0."""
    theta, mu = components()
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        pyro.sample("y", dist.Normal(mu[z] + x * mu[z.flatten()[0]], 1.0))


def divided_by_nothing(N: int, x: Tensor) -> None:
    """A density whose gradient is not finite where x is 0."""
    theta, mu = components()
    spread = pyro.sample("spread", dist.Gamma(2.0, 1.0))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Categorical(theta))
        pyro.sample("y", dist.Normal(mu[z], 1.0 + torch.where(x > 0, (spread * x).sqrt(), 0.0)))


HIDDEN_AT_FIRST = {
    "a constant column, centred": (with_covariate(lambda x: x - x.mean()), [3.0] * 6, X),
    "another constant, scaled": (with_covariate(lambda x: x / x.max()), [1.0] * 6, X),
    "two values, scaled by the largest": (with_covariate(lambda x: x / x.abs().max()), [1.0, -1.0] * 3, X),
    "centred beyond some values": (with_covariate(first_ones_only), X, [100.0 * x for x in X]),
    "an observation that is constant": (centred_observation, X, X),
    "a wrong index times 0": (wrong_where_treated, [0.0] * 6, X),
    "a wrong index times 0 in the first rows": (wrong_where_treated, [0.0, 0.0, 0.0, 0.0, 1.0, 2.0], X),
    "a gradient that is not finite": (divided_by_nothing, [1.0, 2.0, 3.0, 1.0, 2.0, 3.0], [0.0, *X[1:]]),
}


@pytest.mark.parametrize("name", HIDDEN_AT_FIRST)
def test_what_some_values_hide_is_found_at_others(name: str) -> None:
    program, first, other = HIDDEN_AT_FIRST[name]
    model, is_constant = PyroModel(program), first is other
    model.check(Data(x=first, y=[1.0] * 6 if is_constant else Y))
    with pytest.raises(ValueError, match=r"depends on which other rows|under enumeration|gradient"):
        model.check(Data(x=other, y=Y))


def test_a_program_that_was_refused_is_refused_again() -> None:
    model = PyroModel(with_covariate(lambda x: x - x.mean()))
    for _ in range(2):
        with pytest.raises(ValueError, match="other rows"):
            model.check(Data(x=X, y=Y))


def test_programs_are_not_kept() -> None:
    program, _ = counted()
    PyroModel(program).check(Data(y=Y))
    reference = weakref.ref(program)
    del program
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("num_rows", [1, 4])
def test_control_flow_that_needs_the_same_two_values_in_all_rows_is_refused(num_rows: int) -> None:
    """Nine joint values, one of which alone shows it, and only where no row has another."""

    def program(N: int) -> None:
        _, mu = components()
        with pyro.plate("rows", N):
            u = pyro.sample("u", dist.Categorical(torch.ones(3) / 3))
            v = pyro.sample("v", dist.Categorical(torch.ones(3) / 3))
            shift = 5.0 if bool(((u == 0) & (v == 2)).all()) else 0.0
            pyro.sample("y", dist.Normal(mu[0] * u + mu[1] * v + shift, 1.0))

    with refused(ValueError, "'u': 0", "'v': 2", "under enumeration"):
        PyroModel(program).check(Data(y=Y[:num_rows]))
