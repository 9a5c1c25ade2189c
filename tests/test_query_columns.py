"""Columns of frames in questions: taken by their values, and never joined by position where their indices differ."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars
import pyarrow
import pyro
import pyro.distributions as dist
import pytest
import torch
import xarray

from estimators import CausalMixture, Data, Fit, GaussianMixture, PyroModel
from estimators.mechanisms import Bernoulli, DiagonalGaussian, Gaussian, LinearGaussian
from tests.refusals import case, refused

MODEL = CausalMixture(
    2,
    {
        "T": Bernoulli(),
        "X": Gaussian(scale=1.0),
        "Y": LinearGaussian(parents=["X", "T"], scale=1.0),
        "V": DiagonalGaussian(2, scale=1.0),
    },
)
FIT = Fit.from_greeks(
    MODEL,
    {
        "theta": [0.4, 0.6],
        "p_T": [0.3, 0.6],
        "mu_X": [0.0, 4.0],
        "beta_Y": [[0.0, 1.0, -1.0], [2.0, 0.5, 1.0]],
        "mu_V": [[0.0, 1.0], [2.0, 3.0]],
    },
).relabel({"low": 0, "high": 1})


def program(N: int) -> None:
    theta = pyro.sample("theta", dist.Dirichlet(torch.ones(2)))
    with pyro.plate("rows", N):
        Z = pyro.sample("Z", dist.Categorical(theta))
        T = pyro.sample("T", dist.Bernoulli(0.3))
        X = pyro.sample("X", dist.Normal(4.0 * Z, 1.0))
        pyro.sample("Y", dist.Normal(X + T, 1.0))


PROGRAM = Fit.from_greeks(PyroModel(program), {"theta": [0.4, 0.6]})
VALUES, LEVELS = [1.0, 2.0, 0.5], [1, 0, 1]
COLUMNS: dict[str, Callable[[list[Any]], Any]] = {
    "a filtered frame's": lambda values: pd.Series(values, index=[5, 7, 11]),
    "labels of text": lambda values: pd.Series(values, index=["a", "b", "c"]),
    "Float64": lambda values: pd.Series(values, index=[5, 7, 11], dtype="Float64"),
    "arrow": lambda values: pd.Series(values, index=[5, 7, 11], dtype=pd.ArrowDtype(pyarrow.float64())),
    "objects": lambda values: pd.Series(values, index=[5, 7, 11], dtype=object),
    "polars": polars.Series,
    "pyarrow": pyarrow.array,
    "xarray": lambda values: xarray.DataArray(values, {"row": ["a", "b", "c"]}, "row"),
    "masked, nothing missing": np.ma.masked_array,
}
EVERY_KIND = pytest.mark.parametrize("kind", COLUMNS.values(), ids=COLUMNS)


@EVERY_KIND
@pytest.mark.parametrize("fit", [FIT, PROGRAM], ids=["mixture", "program"])
def test_a_column_sets_and_is_seen_by_its_values(fit: Fit, kind: Callable[[list[Any]], Any]) -> None:
    query = fit.do(T=kind(LEVELS), X=kind(VALUES)).given(Z=kind(LEVELS))
    found = {**query.predictive.settings, **query.predictive.seen}
    assert {name: value.tolist() for name, value in found.items()} == {"T": LEVELS, "X": VALUES, "Z": LEVELS}


@EVERY_KIND
def test_a_column_gives_points_and_levels_by_its_values(kind: Callable[[list[Any]], Any]) -> None:
    query = FIT.do(Z=1)
    for found, expected in (
        (query.cdf("X", kind(VALUES)), query.cdf("X", VALUES)),
        (query.log_density("X", kind(VALUES)), query.log_density("X", VALUES)),
        (query.quantile("X", kind([0.2, 0.5, 0.9])), query.quantile("X", [0.2, 0.5, 0.9])),
    ):
        assert found.tolist() == expected.tolist()


def test_a_column_gives_points_and_levels_of_a_program_too() -> None:
    query, at = PROGRAM.do(Z=1, T=0), pd.Series([1.0, 2.0], index=[5, 7])
    assert query.cdf("X", at).tolist() == query.cdf("X", [1.0, 2.0]).tolist()
    assert query.log_density("X", at.astype("Float64")).tolist() == query.log_density("X", [1.0, 2.0]).tolist()


@EVERY_KIND
def test_a_column_is_its_values_in_counterfactuals(kind: Callable[[list[Any]], Any]) -> None:
    rows = Data({"T": [0, 1, 1], "X": [0.0, 4.0, 1.0], "Y": [1.0, 2.0, 3.0], "V": [[0.0, 1.0]] * 3})
    found, expected = (FIT.counterfactual(rows, do={"X": of(VALUES)}).mean("Y").draws for of in (kind, list))
    assert torch.equal(found, expected)


def test_a_frame_sets_vectors() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [0.0, 3.0]}, index=[5, 7], dtype="Float64")
    assert torch.equal(FIT.do(V=frame).mean("V").draws, FIT.do(V=[[1.0, 0.0], [2.0, 3.0]]).mean("V").draws)


def test_greeks_are_taken_from_a_table_of_them() -> None:
    """As ``fit.summary()`` has them, by the names of their entries."""
    table = pd.Series([0.4, 0.6, -1.0, 4.0], index=["theta[0]", "theta[1]", "mu_X[0]", "mu_X[1]"])
    fit = Fit.from_greeks(GaussianMixture(2), {"theta": table[:2], "mu_X": table[2:].astype("Float64")})
    assert fit["mu_X"].tolist() == [-1.0, 4.0]
    with refused(TypeError, "mu_X", "expected numbers", "'a'"):
        Fit.from_greeks(GaussianMixture(2), {"theta": table[:2], "mu_X": ["a", "b"]})


S = pd.Series([0.0, 1.0], index=["a", "b"])
TURNED = pd.Series([0.0, 1.0], index=["b", "a"])
NAMES = pd.Series(["low", "high"], index=["b", "a"])
FRAME = pd.DataFrame({"T": [0, 1], "X": [0.0, 4.0], "Y": [1.0, 2.0]}, index=["a", "b"])
PAIR = Fit.from_greeks(
    CausalMixture(2, {"T": Bernoulli(), "X": Gaussian(scale=1.0), "Y": LinearGaussian(parents=["X"], scale=1.0)}),
    {"theta": [0.4, 0.6], "p_T": [0.3, 0.6], "mu_X": [0.0, 4.0], "beta_Y": [[0.0, 1.0], [2.0, 0.5]]},
).relabel({"low": 0, "high": 1})
MISALIGNED = [
    case("do", lambda: PAIR.do(X=S, T=TURNED), ValueError, "do: 'X' and 'T'", "different indices", "T.to_numpy()"),
    case("given", lambda: PAIR.given(X=S, T=TURNED), ValueError, "given: 'X' and 'T'", "different indices"),
    case("do and given", lambda: PAIR.do(X=S).given(T=TURNED), ValueError, "given: 'X' and 'T'", "different indices"),
    case("given twice", lambda: PAIR.given(X=S).given(T=TURNED), ValueError, "given: 'X' and 'T'", "indices"),
    case("names of labels", lambda: PAIR.do(X=S, Z=NAMES), ValueError, "do: 'X' and 'Z'", "different indices"),
    case("names seen", lambda: PAIR.do(X=S).given(Z=NAMES), ValueError, "given: 'X' and 'Z'", "different indices"),
    case("a program's do", lambda: PROGRAM.do(X=S, T=TURNED), ValueError, "do: 'X' and 'T'", "different indices"),
    case("a program's given", lambda: PROGRAM.do(X=S).given(T=TURNED), ValueError, "given: 'X' and 'T'", "indices"),
    case(
        "contrast",
        lambda: PAIR.contrast("Y", do={"X": S}, versus={"X": TURNED}),
        *(ValueError, "contrast", "do['X']", "versus['X'].to_numpy()", "different indices"),
    ),
    case(
        "contrast given",
        lambda: PAIR.contrast("Y", do={"X": S}, versus={"X": 0.0}, given={"T": TURNED}),
        *(ValueError, "contrast", "do['X']", "given['T']"),
    ),
    case(
        "counterfactual",
        lambda: PAIR.counterfactual(FRAME, do={"X": TURNED}),
        *(ValueError, "counterfactual", "'T'", "do['X'].to_numpy()", "different indices"),
    ),
    case(
        "counterfactual of two",
        lambda: PAIR.counterfactual(Data(FRAME), do={"X": S, "T": TURNED}),
        *(ValueError, "counterfactual", "do['X']", "do['T']"),
    ),
]
MASKED = np.ma.masked_array([1.0, 2.0], mask=[False, True])
NOT_NUMBERS = [
    case("a masked entry", lambda: PAIR.do(X=MASKED), ValueError, "do: X expects a finite number", "per row"),
    case(
        "a masked label",
        lambda: PAIR.do(Z=np.ma.masked_array([0, 1], mask=[False, True])),
        ValueError,
        "do: Z",
        "0 to 1",
    ),
    case("NA", lambda: PAIR.do(X=pd.Series([1, None], dtype="Int64")), ValueError, "do: X", "finite number", "<NA>"),
    case("None", lambda: PROGRAM.do(X=polars.Series([1.0, None])), ValueError, "do: X", "finite number"),
    case("masked points", lambda: PAIR.do(Z=1).cdf("X", MASKED), ValueError, "cdf", "finite"),
    case("text", lambda: PAIR.do(X=pd.Series(["a", "b"])), TypeError, "do: X", "finite number"),
    case("dates", lambda: PAIR.do(X=pd.Series(pd.to_datetime(["2020", "2021"]))), TypeError, "do: X"),
]


@pytest.mark.parametrize(("call", "error", "parts"), MISALIGNED + NOT_NUMBERS)
def test_refused(call: Callable[[], Any], error: type[Exception], parts: tuple[str, ...]) -> None:
    with refused(error, *parts):
        call()


def test_equal_indices_and_values_without_one_belong_together() -> None:
    expected = PAIR.do(X=[0.0, 1.0], T=[0, 1]).given(Z=[0, 1]).mean("Y").draws
    same = PAIR.do(X=S, T=TURNED[::-1].astype(int)).given(Z=NAMES[::-1].replace({"low": "high", "high": "low"}))
    assert torch.equal(same.mean("Y").draws, expected)
    assert torch.equal(PAIR.do(X=S, T=[0, 1]).given(Z=np.array([0, 1])).mean("Y").draws, expected)
    once, twice = (PAIR.counterfactual(rows, do={"X": S}).mean("Y").draws for rows in (FRAME, Data(FRAME)))
    assert torch.equal(once, twice)
