"""Samples under do(...): the query's and those of pyro.do on the fit's program follow the closed-form distribution.

A sample is held against the CDF at its largest distance, and each time against a wrong distribution too.
"""

from typing import Any

import pyro
import pytest
import torch
from torch import Tensor

from estimators import CausalMixture, Exact, Fit, Query, Status
from estimators.isolation import isolated
from estimators.mechanisms import Gaussian
from tests.models import MODELS, TUTORIAL_ROWS
from validation.testing import Stat

PAIR = CausalMixture(3, {"X": Gaussian(), "Y": Gaussian(shared=["scale"])})
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
@pytest.mark.statistical(min_effect=0.03)
def test_samples_follow_the_closed_form(
    stat: Stat, fit: Fit, settings: dict[str, Any], name: str, other: dict[str, Any]
) -> None:
    query, wrong = fit.do(**settings), fit.do(**other)
    sample = query.sample(20_000, seed=stat.seed)[name]
    stat.cdf(sample, lambda x: query.cdf(name, x))
    with stat.control():
        stat.cdf(sample, lambda x: wrong.cdf(name, x))


@pytest.mark.parametrize(("fit", "settings", "name", "other"), CASES)
@pytest.mark.statistical
def test_pyro_do_on_the_program_follows_the_closed_form(
    stat: Stat, fit: Fit, settings: dict[str, Any], name: str, other: dict[str, Any]
) -> None:
    query, wrong = fit.do(**settings), fit.do(**other)
    num_rows = 20_000 if fit.num_draws == 1 else 1_500
    sample = by_program(fit, settings, num_rows, seed=stat.seed)[name]
    effect = 0.03 if num_rows == 20_000 else 0.1
    stat.cdf(sample, lambda x: query.cdf(name, x), min_effect=effect)
    with stat.control():
        stat.cdf(sample, lambda x: wrong.cdf(name, x), min_effect=effect)


@pytest.mark.statistical(min_effect=0.06)
def test_samples_carry_the_spread_of_the_draws(stat: Stat) -> None:
    """The negative control of the mixture over draws: a fit at the posterior mean is too narrow, and is told apart."""
    draws = MANY.draws["mu_X"].clone()
    draws[:, 1] += 3.0 * torch.randn(300, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wide = Fit(MANY.model, "exact", {**MANY.draws, "mu_X": draws}, 1, Status.CONVERGED, {})
    narrow = Fit.from_greeks(MANY.model, {name: wide[name] for name in wide.draws})
    sample = wide.do(Z=1).sample(5_000, seed=stat.seed)["X"]
    stat.cdf(sample, lambda x: wide.do(Z=1).cdf("X", x))
    with stat.control():
        stat.cdf(sample, lambda x: narrow.do(Z=1).cdf("X", x))


@pytest.mark.statistical(checks=3, min_effect=0.03)
def test_what_is_set_is_set_and_z_keeps_its_weights(stat: Stat) -> None:
    rows = by_program(POINT, {"X": 5.0}, 20_000, seed=stat.seed)
    assert bool((rows["X"] == 5.0).all())
    for k, weight in enumerate(POINT["theta"].tolist()):
        stat.proportion(int((rows["Z"] == k).sum()), 20_000, weight)
        with stat.control():
            stat.proportion(int((rows["Z"] == k).sum()), 20_000, POINT["theta"].roll(1)[k].item())
    query = POINT.do(Z=1, X=5.0).sample(50, seed=0)
    assert bool((query["X"] == 5.0).all())
    assert set(query) == {"X", "Y"}, "Z is hidden, and set: it is not a prediction"


@pytest.mark.statistical(checks=6, min_effect=0.06)
def test_rows_follow_their_own_settings(stat: Stat) -> None:
    labels = torch.arange(15_000) % 3
    levels = torch.linspace(-1.0, 1.0, 15_000, dtype=torch.float64)
    for rows in (
        POINT.do(Z=labels, X=levels).sample(15_000, seed=stat.seed),
        by_program(POINT, {"Z": labels, "X": levels}, 15_000, seed=stat.seed),
    ):
        assert torch.equal(rows["X"], levels)
        for k in range(3):
            query: Query = POINT.do(Z=k)
            stat.cdf(rows["Y"][labels == k], lambda y, q=query: q.cdf("Y", y))
        with stat.control():
            stat.cdf(rows["Y"][labels == 0], lambda y: POINT.do(Z=1).cdf("Y", y))


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
