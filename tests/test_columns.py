"""Columns by name and by row: no column is an option, no two are one, and none is joined by position unasked."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pyro
import pyro.distributions as dist
import pytest
import torch
import xarray

from estimators import EM, CausalMixture, Data, Fit, GaussianMixture, PyroModel
from estimators.data.data import as_data
from estimators.mechanisms import Gaussian
from tests.refusals import case, refused

X = [0.0, 1.0, 10.0, 11.0]
OPTIONS = ["weights", "missing", "intervened", "self", "source"]
MODEL = GaussianMixture(K=2)
TRUTH = Fit.from_greeks(MODEL, {"theta": [0.5, 0.5], "mu_X": [0.0, 10.0]})


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("kind", [dict, pd.DataFrame, lambda columns: pyarrow.table(columns)])
def test_a_column_of_one_argument_is_never_an_option(name: str, kind: Callable[[Any], Any]) -> None:
    rows = kind({"X": X, name: [1.0, 2.0, 3.0, 4.0]})
    data = as_data(rows)
    assert data.columns[name].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert data.weights is None
    assert data.missing is None
    assert not data.intervened
    for call in (EM().fit, lambda _, rows: TRUTH.log_density(rows), lambda _, rows: TRUTH.responsibilities(rows)):
        with refused(ValueError, "data", repr(name), "['X', 'Z']"):
            call(MODEL, rows)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_column_called_as_an_option_lives_beside_the_option(name: str) -> None:
    data = Data({"X": X, name: [1.0, 2.0, 3.0, 4.0]}, weights=[1, 2, 0, 1], intervened={name: [True] + [False] * 3})
    for other in (
        data.rows(torch.arange(4)),
        data.replace(weights=[1, 2, 0, 1]),
        data.replace({name: [1.0, 2.0, 3.0, 4.0]}),
        Data.concat([data]),
        pickle.loads(pickle.dumps(data)),
    ):
        assert other.columns[name].tolist() == [1.0, 2.0, 3.0, 4.0]
        assert other.weights is not None
        assert other.weights.tolist() == [1.0, 2.0, 0.0, 1.0]
        assert other.is_set(name).tolist() == [True, False, False, False]


def weighing(N: int) -> None:
    """A program whose observed site has the name of an option of `Data`."""
    heavy = pyro.sample("heavy", dist.Beta(1.0, 1.0))
    with pyro.plate("rows", N):
        z = pyro.sample("z", dist.Bernoulli(heavy))
        pyro.sample("weights", dist.Normal(10.0 * z, 1.0))


def passed_weights(weights: torch.Tensor, missing: torch.Tensor) -> None:
    """The same, and columns with names of options are passed as arguments."""
    heavy = pyro.sample("heavy", dist.Beta(1.0, 1.0))
    with pyro.plate("rows", len(weights)):
        z = pyro.sample("z", dist.Bernoulli(heavy))
        pyro.sample("x", dist.Normal(10.0 * z + missing, 1.0), obs=weights)


def test_a_program_may_have_sites_and_arguments_with_the_names_of_options(tmp_path: Any) -> None:
    plain = EM(num_starts=1).fit(PyroModel(weighing), {"weights": X}, seed=0)
    assert plain.do(weights=1.0).sample(2, seed=0)["weights"].tolist() == [1.0, 1.0]
    given = EM(num_starts=1).fit(PyroModel(passed_weights), {"weights": X, "missing": [0.0] * 4}, seed=0)
    torch.testing.assert_close(given["heavy"], plain["heavy"])
    torch.testing.assert_close(
        given.log_density({"weights": X, "missing": [0.0] * 4}), plain.log_density({"weights": X})
    )
    plain.save(tmp_path / "fit")
    assert Fit.load(tmp_path / "fit", model=PyroModel(weighing)).data.columns["weights"].tolist() == X  # type: ignore[union-attr]


def test_a_variable_called_self_can_be_fitted_and_asked() -> None:
    fit = EM(num_starts=2).fit(CausalMixture(2, {"self": Gaussian(scale=1.0)}), {"self": X}, seed=0)
    assert fit.do(self=2.0).sample(1, seed=0)["self"].tolist() == [2.0]
    assert float(fit.given(self=10.0).log_density("Z", 1.0).exp()) > 0.99


SERIES = pd.Series([10.0, 11.0, 12.0], index=["a", "b", "c"])
TURNED = pd.Series([0, 1, 2], index=["c", "b", "a"])
ALIGNMENT = [
    case("two Series", lambda: Data(X=SERIES, T=TURNED), ValueError, "'X'", "'T'", "different indices", "to_numpy"),
    case("a mapping of Series", lambda: as_data({"X": SERIES, "T": TURNED}), ValueError, "'X'", "'T'", "indices"),
    case("Series and frame", lambda: Data(X=SERIES, V=TURNED.to_frame()), ValueError, "'X'", "'V'", "indices"),
    case("weights", lambda: Data(X=SERIES, weights=TURNED), ValueError, "'X'", "'weights'", "indices"),
    case("weights of a frame", lambda: Data(SERIES.to_frame("X"), weights=TURNED), ValueError, "'weights'", "indices"),
    case("a mask", lambda: Data(X=SERIES, intervened={"X": TURNED > 0}), ValueError, "intervened['X']", "indices"),
    case("filtered", lambda: Data(X=SERIES[:2], T=SERIES[1:]), ValueError, "'X'", "'T'", "indices"),
    case("with an array between", lambda: Data(X=SERIES, U=[1, 2, 3], T=TURNED), ValueError, "'X'", "'T'"),
    case(
        "xarray coordinates",
        lambda: Data(
            *[], **{n: xarray.DataArray([1.0, 2.0], {"r": r}, "r") for n, r in (("X", [0, 1]), ("T", [1, 0]))}
        ),
        *(ValueError, "'X'", "'T'", "indices"),
    ),
    case("replaced", lambda: Data(X=SERIES).replace(X=SERIES, weights=TURNED), ValueError, "'weights'", "indices"),
]
NAMES = [
    case("1 and '1'", lambda: as_data({1: X, "1": X}), ValueError, "1", "'1'", "one name", "rename"),
    case("1 and '1' in a frame", lambda: as_data(pd.DataFrame([[0, 1]], columns=[1, "1"])), ValueError, "one name"),
    case("two columns X", lambda: as_data(pd.DataFrame([[0, 1]], columns=["X", "X"])), ValueError, "'X'", "one name"),
    case(
        "levels of names",
        lambda: as_data(pd.DataFrame([[0, 1]], columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2)]))),
        *(TypeError, "('a', 1)", "join the levels"),
    ),
    case("no name", lambda: as_data({None: X}), TypeError, "as text", "None"),
    case("a name True", lambda: as_data({True: X}), TypeError, "as text", "True"),
    case("a name 1.5", lambda: as_data({1.5: X}), TypeError, "as text", "1.5"),
    case("an empty name", lambda: as_data({"": X}), ValueError, "''", "empty"),
    case("NUL", lambda: Data(**{"a\0b": X}), ValueError, "NUL"),
    case("half a character", lambda: Data(**{"\ud800": X}), ValueError, "Unicode"),
    case("long", lambda: Data(**{"x" * 1001: X}), ValueError, "1000"),
    case("twice", lambda: Data({"X": X}, X=X), ValueError, "'X'", "twice"),
    case("Data of Data", lambda: Data(Data(X=X)), TypeError, "Data"),
    case("missing, a column", lambda: Data(X=X, missing=pd.Series(X)), ValueError, "missing", "marginalize"),
]
SOURCES = [
    case("a structured array", lambda: as_data(np.zeros(3, dtype=[("X", float)])), TypeError, "data", "ndarray"),
    case("a Series", lambda: as_data(SERIES), TypeError, "data", "Series"),
    case("a generator", lambda: Data(X=(x for x in X)), TypeError, "column X", "generator"),
    case("numbers as text", lambda: Data(X=["1", "2"]), TypeError, "column X", "expected numbers"),
    case("text objects", lambda: Data(X=pd.Series(["1", "2"], dtype=object)), TypeError, "column X", "text", "'1'"),
    case("text categories", lambda: Data(X=pd.Categorical(["1", "2"])), TypeError, "column X", "text"),
    case("dates with a zone", lambda: Data(X=pd.to_datetime(["2020"], utc=True)), TypeError, "column X"),
    case("durations", lambda: Data(X=pd.to_timedelta([1, 2])), TypeError, "column X", "timedelta"),
    case("complex objects", lambda: Data(X=np.array([1j], dtype=object)), TypeError, "column X", "complex"),
    case("a frame of frames", lambda: Data(X=np.array([[1.0], None], dtype=object)), TypeError, "column X"),
]
TINY = 1e-160
UNITS = [
    case("tiny", lambda: Data(X=[TINY, 2 * TINY]), ValueError, "column X", "1e-100", "rescale"),
    case("tiny and 0", lambda: as_data({"X": [0.0, 1e-101]}), ValueError, "column X", "rescale"),
    case("tiny with gaps", lambda: Data(X=[TINY, np.nan, 0], missing="marginalize"), ValueError, "column X", "rescale"),
    case("a tiny column of a vector", lambda: Data(X=[[1.0, TINY], [2.0, 0.0]]), ValueError, "column X", "rescale"),
    case("a tiny series", lambda: Data(x=np.array([[[TINY]], [[0.0]]])), ValueError, "column x", "rescale"),
    case("tiny weights", lambda: Data(X=X, weights=[TINY] * 4), ValueError, "weights", "1e-100", "rescale"),
    case("asked of", lambda: TRUTH.log_density({"X": [TINY, 0.0]}), ValueError, "column X", "rescale"),
    case("replaced", lambda: Data(X=X).replace(X=[TINY] * 3 + [0.0]), ValueError, "column X", "rescale"),
]


@pytest.mark.parametrize(("call", "error", "parts"), ALIGNMENT + NAMES + SOURCES + UNITS)
def test_refused(call: Callable[[], Any], error: type[Exception], parts: tuple[str, ...]) -> None:
    with refused(error, *parts):
        call()


def test_equal_indices_and_columns_without_one_are_joined() -> None:
    same = Data(X=SERIES, T=TURNED[::-1], U=[1, 2, 3], V=xarray.DataArray([1, 2, 3]), weights=SERIES)
    assert same.columns["T"].tolist() == [2, 1, 0]
    assert Data(X=pd.Series(X), T=pd.Series(X, index=range(4))).num_rows == 4


def test_constants_zeros_and_single_entries_are_not_too_small() -> None:
    data = Data(A=[TINY] * 3, B=[0.0] * 3, C=[1.0, TINY, 0.0], D=[1e-99, 0.0, 0.0], weights=[1.0, TINY, 0.0])
    assert data.columns["A"].tolist() == [TINY] * 3
    assert data.columns["C"].tolist() == [1.0, TINY, 0.0]
    # A part of good rows is good.
    assert data.rows(torch.tensor([1, 2])).columns["C"].tolist() == [TINY, 0.0]


def test_units_down_to_the_smallest_give_the_same_fit() -> None:
    rng = np.random.default_rng(0)
    column = np.where(rng.random(60) < 0.4, -2.0, 3.0) + rng.normal(size=60)
    model = CausalMixture(2, {"X": Gaussian()})
    one, small = (EM(num_starts=3).fit(model, {"X": column * unit}, seed=0) for unit in (1.0, 1e-99))
    assert one.status is small.status
    np.testing.assert_allclose(small["mu_X"] / 1e-99, one["mu_X"], rtol=1e-6)


FRAMES: dict[str, Callable[[Any], Any]] = {
    "pandas": lambda frame: frame.astype("float64"),
    "Float64": lambda frame: frame.astype("Float64"),
    "Int64": lambda frame: frame.astype("Int64"),
    "arrow": lambda frame: frame.astype(pd.ArrowDtype(pyarrow.float64())),
    "arrow int": lambda frame: frame.astype(pd.ArrowDtype(pyarrow.int64())),
    "objects": lambda frame: frame.astype(object),
    "polars": lambda frame: pytest.importorskip("polars").from_pandas(frame.astype("Int64")),
    "pyarrow": lambda frame: pyarrow.Table.from_pandas(frame.astype("Int64"), preserve_index=False),
}


@pytest.mark.parametrize("kind", FRAMES.values(), ids=FRAMES)
def test_frames_with_gaps_are_as_their_columns_are(kind: Callable[[Any], Any]) -> None:
    frame = kind(pd.DataFrame({"a": [1, 2, None], "b": [3, 4, 5]}))
    data = Data(frame, missing="marginalize")
    assert data.is_missing("a").tolist() == [False, False, True]
    assert data.columns["a"][:2].tolist() == [1.0, 2.0]
    assert data.columns["b"].tolist() == [3.0, 4.0, 5.0]
    with pytest.raises(ValueError, match=r"column a: .* in row\(s\) 2"):
        as_data(frame)
    if not isinstance(frame, pyarrow.Table):
        vectors = Data(X=frame, missing="marginalize")
        assert vectors.columns["X"].shape == (3, 2)
        assert vectors.is_missing("X").tolist() == [[False, False], [False, False], [True, False]]


def test_a_frame_of_nullable_booleans_is_zeros_and_ones() -> None:
    frame = pd.DataFrame({"a": [True, False], "b": [False, True]}, dtype="boolean")
    assert Data(X=frame).columns["X"].tolist() == [[1.0, 0.0], [0.0, 1.0]]
