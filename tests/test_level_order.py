"""Levels in order: what declares one, what has none and is refused, and how an order is kept."""

import pickle
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
from estimators.mechanisms import Bernoulli, Categorical, OrderedLogistic
from tests.refusals import case, refused

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
