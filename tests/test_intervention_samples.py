"""Samples under do(...): the query's and those of pyro.do on the fit's program follow the closed-form distribution.

A sample's largest distance from the CDF exceeds ``sqrt(log(2/alpha) / 2n)`` with probability at most alpha
(Dvoretzky, Kiefer & Wolfowitz; Massart 1990). Seeds are fixed, and a wrong distribution must exceed the same bound.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyro
import pytest
import torch
from scipy.stats import binom
from torch import Tensor

from estimators import CausalMixture, Exact, Fit, Query, Status
from estimators.isolation import isolated
from estimators.mechanisms import Gaussian
from tests.models import MODELS, TUTORIAL_ROWS

FALSE_ALARM = 1e-6
PAIR = CausalMixture(3, {"X": Gaussian(), "Y": Gaussian(shared_scale=True)})
POINT = Fit.from_greeks(
    PAIR,
    {
        "theta": [0.2, 0.5, 0.3],
        "mu_X": [-4.0, 0.5, 3.0],
        "sigma_X": [0.5, 2.0, 1.0],
        "mu_Y": [1.0, -1.0, 10.0],
        "sigma_Y": 0.7,
    },
)
MANY = Exact(num_draws=300).fit(MODELS["tutorial"], {"X": TUTORIAL_ROWS}, seed=0)


def bound(num_rows: int) -> float:
    return float(np.sqrt(np.log(2 / FALSE_ALARM) / (2 * num_rows)))


def distance(sample: Tensor, cdf: Callable[[Tensor], Tensor]) -> float:
    """sup |F_n - F|, attained at a jump of F_n."""
    values = cdf(torch.sort(sample.double()).values).numpy()
    steps = np.arange(len(values) + 1) / len(values)
    return float(max((steps[1:] - values).max(), (values - steps[:-1]).max()))


def by_program(fit: Fit, settings: dict[str, Any], num_rows: int, seed: int) -> dict[str, Tensor]:
    """Rows of pyro.do on the fit's program: the Greeks are one draw per run, so many draws need a run per row."""
    program = pyro.do(fit.program, data={name: torch.as_tensor(value) for name, value in settings.items()})
    with isolated(seed):
        if fit.num_draws == 1:
            return program(num_rows)
        runs = [program(1) for _ in range(num_rows)]
    return {name: torch.cat([run[name] for run in runs]) for name in runs[0]}


# fit, intervention, variable, and an intervention that the bound must tell from it
CASES = [
    pytest.param(POINT, {"Z": 1}, "X", {"Z": 2}, id="point, do(Z), X"),
    pytest.param(POINT, {"Z": 2}, "Y", {"X": 0.0}, id="point, do(Z), Y"),
    pytest.param(POINT, {"X": 5.0}, "Y", {"Z": 1}, id="point, do(X), Y"),
    pytest.param(POINT, {"Z": 0, "Y": 2.0}, "X", {"Y": 2.0}, id="point, do(Z, Y), X"),
    pytest.param(MANY, {"Z": 1}, "X", {"Z": 0}, id="draws, do(Z), X"),
]


@pytest.mark.parametrize(("fit", "settings", "name", "other"), CASES)
def test_samples_follow_the_closed_form(fit: Fit, settings: dict[str, Any], name: str, other: dict[str, Any]) -> None:
    query, wrong = fit.do(**settings), fit.do(**other)
    sample = query.sample(20_000, seed=1)[name]
    assert distance(sample, lambda x: query.cdf(name, x)) < bound(20_000)
    assert distance(sample, lambda x: wrong.cdf(name, x)) > bound(20_000)


@pytest.mark.parametrize(("fit", "settings", "name", "other"), CASES)
def test_pyro_do_on_the_program_follows_the_closed_form(
    fit: Fit, settings: dict[str, Any], name: str, other: dict[str, Any]
) -> None:
    query, wrong = fit.do(**settings), fit.do(**other)
    num_rows = 20_000 if fit.num_draws == 1 else 1_500
    sample = by_program(fit, settings, num_rows, seed=2)[name]
    assert distance(sample, lambda x: query.cdf(name, x)) < bound(num_rows)
    assert distance(sample, lambda x: wrong.cdf(name, x)) > bound(num_rows)


def test_samples_carry_the_spread_of_the_draws() -> None:
    """The negative control of the mixture over draws: a fit at the posterior mean is too narrow, and is told apart."""
    draws = MANY.draws["mu_X"].clone()
    draws[:, 1] += 3.0 * torch.randn(300, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wide = Fit(MANY.model, "exact", {**MANY.draws, "mu_X": draws}, 1, Status.CONVERGED, {})
    narrow = Fit.from_greeks(MANY.model, {name: wide[name] for name in wide.draws})
    sample = wide.do(Z=1).sample(5_000, seed=3)["X"]
    assert distance(sample, lambda x: wide.do(Z=1).cdf("X", x)) < bound(5_000)
    assert distance(sample, lambda x: narrow.do(Z=1).cdf("X", x)) > bound(5_000)


def test_what_is_set_is_set_and_z_keeps_its_weights() -> None:
    rows = by_program(POINT, {"X": 5.0}, 20_000, seed=4)
    assert bool((rows["X"] == 5.0).all())
    for k, weight in enumerate(POINT["theta"].tolist()):
        low, high = binom.interval(1 - FALSE_ALARM, 20_000, weight)
        assert low <= int((rows["Z"] == k).sum()) <= high
    query = POINT.do(Z=1, X=5.0).sample(50, seed=0)
    assert bool((query["X"] == 5.0).all())
    assert set(query) == {"X", "Y"}, "Z is hidden, and set: it is not a prediction"


def test_rows_follow_their_own_settings() -> None:
    labels = torch.arange(15_000) % 3
    levels = torch.linspace(-1.0, 1.0, 15_000, dtype=torch.float64)
    for rows in (
        POINT.do(Z=labels, X=levels).sample(15_000, seed=5),
        by_program(POINT, {"Z": labels, "X": levels}, 15_000, seed=5),
    ):
        assert torch.equal(rows["X"], levels)
        for k in range(3):
            query: Query = POINT.do(Z=k)
            assert distance(rows["Y"][labels == k], lambda y, q=query: q.cdf("Y", y)) < bound(5_000)
        assert distance(rows["Y"][labels == 0], lambda y: POINT.do(Z=1).cdf("Y", y)) > bound(5_000)


def test_rows_of_many_draws_are_paired_with_one_draw_each() -> None:
    """X and Y of a row share their Greeks: with means that move together between draws, so do the rows."""
    shift = torch.tensor([[-50.0], [50.0]], dtype=torch.float64)
    greeks = {name: value.clone().expand(2, *value.shape[1:]) for name, value in POINT.draws.items()}
    moved = {**greeks, "mu_X": greeks["mu_X"] + shift, "mu_Y": greeks["mu_Y"] + shift}
    rows = Fit(PAIR, "exact", moved, 1, Status.CONVERGED, {}).do(Z=1).sample(200, seed=0)
    assert torch.equal(rows["X"] > 0, rows["Y"] > 0)
    assert 0 < int((rows["X"] > 0).sum()) < 200


def test_the_same_seed_gives_the_same_rows_and_leaves_the_generators_alone() -> None:
    state = torch.get_rng_state()
    first, second, other = (MANY.do(Z=1).sample(20, seed=seed)["X"] for seed in (7, 7, 8))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(MANY.do(Z=1).sample(20)["X"], MANY.do(Z=1).sample(20)["X"])


def test_the_program_is_a_pyro_program_with_its_greeks_as_sites() -> None:
    with isolated(0):
        trace = pyro.poutine.trace(pyro.do(MANY.program, data={"Z": torch.tensor(1)})).get_trace(5)
    assert {"theta", "mu_X", "X"} <= set(trace.nodes)
    which = int(trace.nodes["draw"]["value"])
    for name in MANY.draws:
        assert torch.equal(trace.nodes[name]["value"], MANY.draws[name][which])
