"""Levels in order: what declares one, how it is kept, and what is refused of names that have none."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyro
import pyro.distributions as dist
import pytest
import torch

from estimators import EM, CausalMixture, Data, Fit, PyroModel
from estimators.fits.quantities import effects_of
from estimators.mechanisms import Bernoulli, Categorical, OrderedLogistic
from tests.refusals import case, refused
from validation.scenarios.outcomes import predicted_mean

LEVELS = ["low", "medium", "high"]
# Treatment raises severity; in sorted order, high is the lowest.
TREATED = np.repeat([0, 1], 30)
SEVERITY = np.array([0] * 15 + [1] * 10 + [2] * 5 + [0] * 5 + [1] * 10 + [2] * 15)
TEXT = np.array(LEVELS)[SEVERITY]
MODEL = CausalMixture(1, {"T": Bernoulli(), "S": OrderedLogistic(3, parents=["T"])})


def fitted(severity: Any) -> Fit:
    return EM(num_starts=1).fit(MODEL, {"T": TREATED, "S": severity}, seed=0)


def in_order(levels: list[str]) -> pd.Categorical:
    return pd.Categorical(TEXT, levels, ordered=True)


@pytest.mark.parametrize(
    "severity",
    [SEVERITY, in_order(LEVELS), pl.Series(TEXT.tolist(), dtype=pl.Enum(LEVELS))],
    ids=["numbers", "pandas", "polars"],
)
def test_an_order_gives_effects_their_sign(severity: Any) -> None:
    fit = fitted(severity)
    assert float(fit["beta_S"][0, 1]) == pytest.approx(float(fitted(SEVERITY)["beta_S"][0, 1]))
    assert float(fit["beta_S"][0, 1]) > 1.0
    # The reversed order, which only its declaration tells from the right one, gives the opposite.
    turned = fitted(in_order(LEVELS[::-1]))
    assert float(turned["beta_S"][0, 1]) == pytest.approx(-float(fit["beta_S"][0, 1]), rel=1e-3)


def answer(severity: Any) -> Any:
    return lambda: fitted(severity)


def rated(N: int) -> None:
    shift = pyro.sample("shift", dist.Normal(0.0, 1.0))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Bernoulli(0.5))
        pyro.sample("S", dist.OrderedLogistic(shift + z, torch.tensor([-1.0, 1.0])))


def counted(N: int) -> None:
    share = pyro.sample("share", dist.Beta(1.0, 1.0))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Bernoulli(0.5))
        pyro.sample("S", dist.Binomial(2, share * (1.0 - 0.5 * z)))


DECLARE = ("column S", "needs levels in order", "'high', 'low', 'medium'", "pandas.Categorical(S, [", "ordered=True")
UNORDERED = [
    case("text", answer(TEXT), ValueError, *DECLARE, "OrderedLogistic"),
    case("text in a list", answer(TEXT.tolist()), ValueError, *DECLARE),
    case("categories", answer(pd.Categorical(TEXT)), ValueError, *DECLARE),
    case("a program", lambda: PyroModel(rated).check(Data(S=TEXT)), ValueError, *DECLARE, "a site of OrderedLogistic"),
    case("counts", lambda: PyroModel(counted).check(Data(S=TEXT)), ValueError, *DECLARE, "a site of Binomial"),
]


@pytest.mark.parametrize(("call", "error", "parts"), UNORDERED)
def test_names_without_an_order_are_refused(call: Any, error: type[Exception], parts: tuple[str, ...]) -> None:
    with refused(error, *parts):
        call()


def test_names_without_an_order_are_taken_where_none_is_needed() -> None:
    nominal = CausalMixture(1, {"T": Bernoulli(), "S": Categorical(3, parents=["T"])})
    assert nominal.check(Data(T=TREATED, S=TEXT)).levels["S"] == ("high", "low", "medium")
    for program in (rated, counted):
        assert PyroModel(program).check(Data(S=in_order(LEVELS))).levels["S"] == tuple(LEVELS)


def test_rows_asked_about_are_in_the_order_of_the_fit() -> None:
    for levels in (LEVELS, sorted(LEVELS)):
        fit = fitted(in_order(levels))
        expected = fit.log_density({"T": TREATED, "S": in_order(levels)})
        assert torch.equal(fit.log_density({"T": TREATED, "S": TEXT}), expected)


def test_an_order_is_kept(tmp_path: Path) -> None:
    fit = fitted(in_order(LEVELS))
    fit.save(tmp_path / "fit")
    loaded = Fit.load(tmp_path / "fit").data
    assert loaded is not None and fit.data is not None
    text = Data(T=TREATED, S=TEXT)
    joined = (Data.concat(parts) for parts in ([text, fit.data], [fit.data, text]))
    for data in (loaded, fit.data.rows(torch.arange(9)), pickle.loads(pickle.dumps(fit.data)), *joined):
        assert MODEL.check(data).levels["S"] == tuple(LEVELS)
    with refused(ValueError, *DECLARE):
        MODEL.check(fit.data.replace(S=TEXT))


NOMINAL = CausalMixture(2, {"T": Bernoulli(), "S": Categorical(3, parents=["T"]), "W": Categorical(3)})
GREEKS = {
    "theta": [0.5, 0.5],
    "p_T": [0.5, 0.5],
    "p_S": [[[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]] * 2,
    "p_W": [[0.2, 0.3, 0.5]] * 2,
}


def known(severity: Any) -> Fit:
    rows = Data(T=np.where(TREATED, "yes", "no"), S=severity, W=SEVERITY)
    return replace(Fit.from_greeks(NOMINAL, GREEKS), data=rows)


NAMES = ["high", "low", "medium"]
WAY_OUT = ("S has levels in no order", "'high', 'low', 'medium'", "0 to 2", "ordered=True")
PROBABILITY = (*WAY_OUT, ".probability('S', ...)", "event=")
MEANS = [
    case("a mean", lambda fit: fit.do(T="yes").mean("S"), ValueError, *PROBABILITY),
    case("given", lambda fit: fit.given(T="yes").mean("S"), ValueError, *PROBABILITY),
    case("an effect", lambda fit: fit.effect("S", of="T"), ValueError, *PROBABILITY),
    case("a contrast", lambda fit: fit.contrast("S", do={"T": 1}, versus={"T": 0}), ValueError, *PROBABILITY),
    case("a picture", lambda fit: fit.plot.effect("S", of="T"), ValueError, *PROBABILITY),
    case(
        "a counterfactual",
        lambda fit: fit.counterfactual(fit.data, do={"T": "yes"}, seed=0).mean("S"),
        ValueError,
        *WAY_OUT,
        "sample()['S']",
    ),
]


@pytest.mark.parametrize(("question", "error", "parts"), MEANS)
def test_names_in_no_order_have_no_mean(question: Any, error: type[Exception], parts: tuple[str, ...]) -> None:
    fit = known(TEXT)
    with refused(error, *parts):
        question(fit)
    # The same question of levels in order, and of numbers, has an answer.
    for severity in (SEVERITY, in_order(LEVELS)):
        question(known(severity))


def test_what_stands_for_a_mean_is_the_probability_of_each_level() -> None:
    query = known(TEXT).do(T="yes")
    assert query.log_density("S", NAMES).exp().tolist() == pytest.approx([0.2, 0.3, 0.5])
    assert float(query.mean("T").value) == 1.0 and float(query.mean("W").value) == pytest.approx(1.3)
    assert float(known(in_order(LEVELS)).effect("S", of="T").value) == pytest.approx(0.6)


def test_whether_effects_are_identified_is_asked_of_names_too() -> None:
    for severity in (SEVERITY, TEXT):
        fit = known(severity)
        assert fit.data is not None
        density = NOMINAL.density(fit.data)
        effects = effects_of(fit, density, fit.given(T=0).predictive, density.unconstrain(fit.draws))
        assert any(effect.name.startswith("effect of T on S") for effect in effects)


def test_means_are_compared_by_number() -> None:
    named, coded = (predicted_mean(known(severity), {"T": "yes"}, "S") for severity in (TEXT, in_order(NAMES)))
    assert torch.equal(named.draws, coded.draws)
