"""Masks in programs: a hidden step that is masked is not there, whatever routes the log joint takes."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import TraceEnum_ELBO
from pyro.infer.mcmc.util import initialize_model
from torch import Tensor

from estimators import Data, Fit, PyroModel, Status
from estimators.contract import log_joint, log_posterior
from estimators.isolation import program_mode
from estimators.programs.density import ProgramDensity

T = 3
GREEKS = {
    "start": torch.tensor([0.3, 0.7], dtype=torch.float64),
    "move": torch.tensor([[0.8, 0.2], [0.3, 0.7]], dtype=torch.float64),
    "level": torch.tensor([-1.0, 1.5], dtype=torch.float64),
}
LENGTHS = torch.tensor([3, 1, 2, 3])
X = torch.randn(len(LENGTHS), T, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
ROWS = Data(x=X, lengths=LENGTHS)


def states() -> tuple[Any, ...]:
    start = pyro.sample("start", dist.Dirichlet(torch.ones(2)))
    with pyro.plate("states", 2):
        return (
            start,
            pyro.sample("move", dist.Dirichlet(torch.ones(2))),
            pyro.sample("level", dist.Normal(0.0, 5.0)),
        )


def handlers(x: Tensor, lengths: Tensor) -> None:
    """Sequences of several lengths as in Pyro's own examples: z and x of a step under one mask."""
    start, move, level = states()
    with pyro.plate("sequences", len(x)):
        z = None
        for t in pyro.markov(range(T)):
            with poutine.mask(mask=t < lengths):
                z = pyro.sample(f"z_{t}", dist.Categorical(start if z is None else move[z]))
                pyro.sample(f"x_{t}", dist.Normal(level[z], 1.0), obs=x[:, t])


def distributions(x: Tensor, lengths: Tensor) -> None:
    """The same masks on the distributions, and as the product of two."""
    start, move, level = states()
    with pyro.plate("sequences", len(x)):
        z = None
        for t in pyro.markov(range(T)):
            with poutine.mask(mask=(t < lengths) | (lengths == 1)):
                hidden = dist.Categorical(start if z is None else move[z])
                z = pyro.sample(f"z_{t}", hidden.mask((t < lengths) | (lengths == 2)).mask(t < T))
                pyro.sample(f"x_{t}", dist.Normal(level[z], 1.0).mask(t < lengths), obs=x[:, t])


def forward(greeks: Mapping[str, Tensor], x: Tensor, lengths: Tensor) -> Tensor:
    """The forward algorithm, row by row."""
    log_likelihoods = []
    for row, length in zip(x, lengths.tolist(), strict=True):
        log_alpha = greeks["start"].log()
        for t in range(length):
            if t:
                log_alpha = torch.logsumexp(log_alpha[:, None] + greeks["move"].log(), 0)
            log_alpha = log_alpha + dist.Normal(greeks["level"], 1.0).log_prob(row[t])
        log_likelihoods.append(torch.logsumexp(log_alpha, 0))
    return torch.stack(log_likelihoods)


# The masks of the other, and more.
@pytest.mark.parametrize("program", [pytest.param(handlers, marks=pytest.mark.slow), distributions])
def test_a_masked_step_is_not_there(program: Callable[..., None]) -> None:
    marginal = PyroModel(program).marginal(ROWS)
    greeks = {name: value.clone().requires_grad_() for name, value in GREEKS.items()}
    expected = forward(greeks, X, LENGTHS)
    torch.testing.assert_close(marginal.pointwise(greeks), expected.detach(), rtol=1e-10, atol=1e-10)
    value = marginal.log_likelihood(greeks)
    slopes = [torch.autograd.grad(total, list(greeks.values())) for total in (value, expected.sum())]
    for name, one, other in zip(greeks, *slopes, strict=True):
        # Weights lie on the simplex: compared along it, since Pyro normalises them.
        along = [s - (s * greeks[name]).sum(-1, keepdim=True) if name != "level" else s for s in (one, other)]
        torch.testing.assert_close(*along, rtol=1e-9, atol=1e-9)
    # z_0 given two steps, by Bayes' rule.
    row = int((LENGTHS == 2).nonzero()[0])
    joint = (GREEKS["start"] * dist.Normal(GREEKS["level"], 1.0).log_prob(X[row, 0]).exp())[:, None] * (
        GREEKS["move"] * dist.Normal(GREEKS["level"], 1.0).log_prob(X[row, 1]).exp()
    )
    share = marginal.responsibilities(GREEKS, "z_0")[row]
    torch.testing.assert_close(share, joint.sum(1) / joint.sum(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("program", [handlers, pytest.param(distributions, marks=pytest.mark.slow)])
def test_pyros_own_objectives_carry_the_same_correction(program: Callable[..., None]) -> None:
    """What MAP's SVI and NUTS(engine="pyro") run, against the density that EM and nutpie do."""
    model = PyroModel(program)
    marginal = model.marginal(ROWS)
    conditioned, nesting = model.conditioned(ROWS)
    coordinates = marginal.coordinates.unconstrain(GREEKS)
    with program_mode():
        elbo = TraceEnum_ELBO(max_plate_nesting=nesting)
        loss = elbo.loss(pyro.condition(conditioned, data=GREEKS), lambda: None)
        _, potential, transforms, _ = initialize_model(conditioned, max_plate_nesting=nesting)
        energy = potential({name: transforms[name](value) for name, value in GREEKS.items()})
    values = ProgramDensity(marginal).values(coordinates.numpy())
    assert -loss == pytest.approx(float(log_joint(values)), rel=1e-10)
    assert float(-energy) == pytest.approx(float(log_posterior(values)), rel=1e-10)


def test_a_masked_step_that_is_seen_gives_its_value_and_no_factor() -> None:
    """x_2 counts where z_2 is masked but known: p(x_2 | z_2) times what the other steps say."""

    def program(x: Tensor, counts: Tensor) -> None:
        start, _, level = states()
        with pyro.plate("rows", len(x)):
            with poutine.mask(mask=counts == 1):
                z = pyro.sample("z", dist.Categorical(start))
            pyro.sample("x", dist.Normal(level[z], 1.0), obs=x)

    x, z = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64), torch.tensor([-1, 0, 1])
    log_rows = PyroModel(program).marginal(Data(x=x, counts=[1, 0, 1], z=z)).pointwise(GREEKS)
    emission = dist.Normal(GREEKS["level"], 1.0).log_prob(x[:, None])
    expected = [
        torch.logsumexp(GREEKS["start"].log() + emission[0], 0),
        emission[1, 0],
        GREEKS["start"][1].log() + emission[2, 1],
    ]
    torch.testing.assert_close(log_rows, torch.stack(expected), rtol=1e-12, atol=1e-12)


def test_a_question_is_asked_of_a_row_with_every_step() -> None:
    """Which of a fitted row's steps counted says nothing of a row that is asked about: as for the program unmasked."""
    whole = Data(x=X, lengths=torch.full((len(X),), T))
    answers = []
    for rows in (ROWS, whole):
        draws = {name: value[None] for name, value in GREEKS.items()}
        fit = Fit(PyroModel(handlers), "known", draws, 1, Status.CONVERGED, {}, data=rows)
        answers.append([fit.do(z_0=1).mean("x_2").draws, fit.given(x_2=2.0).mean("z_1").draws])
    for one, other in zip(*answers, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    steps = torch.linalg.matrix_power(GREEKS["move"], 2)[1]
    assert float(answers[0][0]) == pytest.approx(float(steps @ GREEKS["level"]), rel=1e-9)


def test_a_masked_observed_entry_has_no_factor() -> None:
    """`pyro.mask` with an array, a number, and both: as where the entry's site is left out."""

    def program(N: int, counts: Tensor) -> None:
        start, _, level = states()
        with pyro.plate("rows", N):
            z = pyro.sample("z", dist.Categorical(start))
            with poutine.mask(mask=counts == 1):
                pyro.sample("x", dist.Normal(level[z], 1.0))
                with poutine.mask(mask=False):
                    pyro.sample("y", dist.Normal(10.0 * level[z], 1.0))

    data = Data(x=[0.5, 0.7], y=[1.0, 2.0], counts=[1, 0])
    log_rows = PyroModel(program).marginal(data).pointwise(GREEKS)
    first = torch.logsumexp(
        GREEKS["start"].log() + dist.Normal(GREEKS["level"], 1.0).log_prob(torch.tensor(0.5).double()), 0
    )
    np.testing.assert_allclose(log_rows, [float(first), 0.0], rtol=1e-9, atol=1e-9)
